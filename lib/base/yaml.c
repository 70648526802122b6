/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/yaml.h"

#include <ctype.h>
#include <yaml.h>

/* Events are turned into a tree by recursion; depth and node count have ceilings, aliases are
 * refused, so that no small document can become a large one. */
struct reader {
    const char *text; /* the whole stream; borrowed */
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; deleted when the next is read */
    bool has_event;
    int depth;
    size_t nodes;
};

static void reader_done(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
}

static int say(const yaml_mark_t *mark, struct error *err, const char *what)
{
    return error_set(err, CODE_INVALID_ARGUMENT, "line %zu column %zu: %s", mark->line + 1,
                     mark->column + 1, what);
}

/* Of what libyaml found wrong. A byte it cannot read has an offset only. */
static int say_problem(const struct reader *r, struct error *err)
{
    const yaml_parser_t *p = &r->parser;
    yaml_mark_t mark = p->problem_mark;

    if (p->error == YAML_READER_ERROR) {
        mark = (yaml_mark_t){ 0 };
        for (size_t i = 0; i < p->problem_offset; i++, mark.column++)
            if (r->text[i] == '\n') {
                mark.line++;
                mark.column = SIZE_MAX; /* 0 after the increment */
            }
    }
    return say(&mark, err, p->problem ? p->problem : "not YAML");
}

static int next_event(struct reader *r, struct error *err)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return say_problem(r, err);
    r->has_event = true;
    return 0;
}

/* --- YAML 1.2's core schema, for plain scalars -------------------------------------------------
 */

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

static bool all_digits(const char *text, const char *digits)
{
    return *text && text[strspn(text, digits)] == '\0';
}

static bool is_number(const char *text)
{
    static const char *const specials[] = { ".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf", "+.INF",
                                            "-.inf", "-.Inf", "-.INF", ".nan",  ".NaN",  ".NAN" };
    const char *s = text + (*text == '-' || *text == '+');
    size_t whole;
    size_t part = 0;

    if (is_one_of(text, specials, COUNT_OF(specials)))
        return true;
    if (str_starts(s, "0x"))
        return all_digits(s + 2, "0123456789abcdefABCDEF");
    if (str_starts(s, "0o"))
        return all_digits(s + 2, "01234567");
    whole = strspn(s, "0123456789");
    s += whole;
    if (*s == '.') {
        part = strspn(s + 1, "0123456789");
        s += 1 + part;
    }
    if (!whole && !part)
        return false;
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '-' || s[1] == '+');
        return all_digits(s, "0123456789");
    }
    return *s == '\0';
}

static enum tree_kind plain_kind(const char *text)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
    static const char *const bools[] = { "true", "True", "TRUE", "false", "False", "FALSE" };

    if (is_one_of(text, nulls, COUNT_OF(nulls)))
        return TREE_NULL;
    if (is_one_of(text, bools, COUNT_OF(bools)))
        return TREE_BOOL;
    return is_number(text) ? TREE_NUMBER : TREE_TEXT;
}

/* --- nodes -------------------------------------------------------------------------------------
 */

static int read_node(struct reader *r, struct tree **ret, struct error *err);

static int check_tag(const yaml_event_t *e, const yaml_char_t *tag, struct error *err)
{
    static const char *const known[] = {
        "tag:yaml.org,2002:str",   "tag:yaml.org,2002:int", "tag:yaml.org,2002:bool",
        "tag:yaml.org,2002:null",  "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq",
        "tag:yaml.org,2002:float",
    };

    if (!tag || strcmp((const char *)tag, "!") == 0 ||
        is_one_of((const char *)tag, known, COUNT_OF(known)))
        return 0;
    return say(&e->start_mark, err, "an unknown tag: remove it");
}

static int read_scalar(struct reader *r, struct tree **ret, struct error *err)
{
    const char *text = (const char *)r->event.data.scalar.value;
    size_t len = r->event.data.scalar.length;
    const char *tag = (const char *)r->event.data.scalar.tag;
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !tag;
    enum tree_kind kind = TREE_TEXT;

    if (check_tag(&r->event, r->event.data.scalar.tag, err) < 0)
        return -1;
    if (memchr(text, '\0', len))
        return say(&r->event.start_mark, err, "a NUL inside a value: it cannot be carried as text");
    if (plain || (tag && strcmp(tag, "!") != 0 && !str_ends(tag, ":str")))
        kind = plain_kind(text);
    *ret = tree_new(kind, kind == TREE_NULL ? NULL : text, len);
    (*ret)->truth = kind == TREE_BOOL && tolower((unsigned char)text[0]) == 't';
    (*ret)->quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return 0;
}

static int read_key(struct reader *r, char **ret, struct error *err)
{
    const char *text = (const char *)r->event.data.scalar.value;

    if (r->event.type != YAML_SCALAR_EVENT)
        return say(&r->event.start_mark, err, "a key must be a plain word or string");
    if (strlen(text) != r->event.data.scalar.length)
        return say(&r->event.start_mark, err, "a NUL inside a key");
    if (strcmp(text, "<<") == 0 && r->event.data.scalar.plain_implicit)
        return say(&r->event.start_mark, err, "merge keys are not read: write the members out");
    *ret = xstrdup(text);
    return 0;
}

/* One member, its first event being the current one. */
static int read_member(struct reader *r, struct tree *parent, struct error *err)
{
    autofree char *key = NULL;
    struct tree *child = NULL;

    if (parent->kind == TREE_MAP && (read_key(r, &key, err) < 0 || next_event(r, err) < 0))
        return -1;
    if (read_node(r, &child, err) < 0)
        return -1;
    tree_add(parent, key, child);
    return 0;
}

static int check_keys(const struct tree *map, struct error *err)
{
    const struct tree *twice = tree_duplicate(map);

    if (!twice)
        return 0;
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "line %u column %u: key \"%.64s\" stands twice in one map: remove one",
                     twice->line, twice->column, twice->key);
}

static int read_members(struct reader *r, struct tree *parent, struct error *err)
{
    yaml_event_type_t end =
        parent->kind == TREE_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    yaml_mark_t start = r->event.start_mark;

    if (++r->depth > YAML_DEPTH_MAX)
        return say(&start, err, "nesting deeper than 64");
    if (next_event(r, err) < 0)
        return -1;
    while (r->event.type != end)
        if (read_member(r, parent, err) < 0 || next_event(r, err) < 0)
            return -1;
    r->depth--;
    return parent->kind == TREE_MAP ? check_keys(parent, err) : 0;
}

static int read_group(struct reader *r, enum tree_kind kind, struct tree **ret, struct error *err)
{
    struct tree *t autotree = tree_new(kind, NULL, 0);
    const yaml_char_t *tag =
        kind == TREE_MAP ? r->event.data.mapping_start.tag : r->event.data.sequence_start.tag;

    if (check_tag(&r->event, tag, err) < 0 || read_members(r, t, err) < 0)
        return -1;
    *ret = take(t);
    return 0;
}

static int read_node(struct reader *r, struct tree **ret, struct error *err)
{
    yaml_mark_t start = r->event.start_mark;
    int result;

    if (++r->nodes > YAML_NODES_MAX)
        return say(&start, err, "more than 200000 values");
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        result = read_scalar(r, ret, err);
        break;
    case YAML_MAPPING_START_EVENT:
        result = read_group(r, TREE_MAP, ret, err);
        break;
    case YAML_SEQUENCE_START_EVENT:
        result = read_group(r, TREE_LIST, ret, err);
        break;
    default:
        return say(&start, err, "an alias (*name): write the value out");
    }
    if (result == 0) {
        (*ret)->line = (unsigned)start.line + 1;
        (*ret)->column = (unsigned)start.column + 1;
    }
    return result;
}

static int read_document(struct reader *r, struct tree *list, struct error *err)
{
    struct tree *document = NULL;

    if (next_event(r, err) < 0 || read_node(r, &document, err) < 0)
        return -1;
    if (document->kind == TREE_NULL && !document->quoted)
        tree_free(document);
    else
        tree_add(list, NULL, document);
    if (tree_count(list) > YAML_DOCUMENTS_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "more than %d documents",
                         YAML_DOCUMENTS_MAX);
    return 0;
}

static int read_documents(struct reader *r, struct tree *list, struct error *err)
{
    if (next_event(r, err) < 0)
        return -1;
    while (r->event.type != YAML_STREAM_END_EVENT) {
        if (r->event.type == YAML_DOCUMENT_START_EVENT && read_document(r, list, err) < 0)
            return -1;
        if (next_event(r, err) < 0)
            return -1;
    }
    return 0;
}

int yaml_parse_all(const char *text, size_t len, struct tree **ret, struct error *err)
{
    struct reader r CLEANUP(reader_done) = { .text = text };
    struct tree *list autotree = tree_new(TREE_LIST, NULL, 0);

    if (!yaml_parser_initialize(&r.parser))
        return error_set(err, CODE_INTERNAL, "the YAML parser does not start");
    if (len > YAML_BYTES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "YAML of more than %d bytes",
                         YAML_BYTES_MAX);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    /* libyaml asserts on the NULL that an empty file is read as. */
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text ? text : ""), len);
    if (read_documents(&r, list, err) < 0)
        return -1;
    *ret = take(list);
    return 0;
}

int yaml_parse(const char *text, size_t len, struct tree **ret, struct error *err)
{
    struct tree *list autotree = NULL;

    if (yaml_parse_all(text, len, &list, err) < 0)
        return -1;
    if (tree_count(list) > 1)
        return error_set(err, CODE_INVALID_ARGUMENT, "line %u: a second document: only one is read",
                         list->child->next->line);
    *ret = list->child ? list->child : tree_new(TREE_NULL, NULL, 0);
    list->child = NULL;
    return 0;
}
