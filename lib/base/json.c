/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/json.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <ctype.h>
#include <pthread.h>

#include "lib/base/encode.h"

/* How strictness is had from a lax parser: a scan over the text first checks the grammar to the
 * letter and notes, value by value in the order written, where each starts and how long it is. Then
 * cJSON parses, and its tree is walked in the same order: what cJSON keeps exactly (structure,
 * strings) comes from it; what it would round (numbers) or cannot tell (line, column) from the
 * notes.
 */
struct note {
    size_t at;
    size_t len;
};

struct scan {
    const char *text;
    size_t len;
    size_t at;
    int depth;
    struct note *notes;
    size_t count;
    size_t room;
    const char *wrong; /* what is not JSON here */
};

static const char too_many[] = "more than 500000 values";

static bool scan_value(struct scan *s);

static bool fail(struct scan *s, const char *wrong)
{
    if (!s->wrong)
        s->wrong = wrong;
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->len && strchr(" \t\r\n", s->text[s->at]) && s->text[s->at])
        s->at++;
}

static bool at_char(const struct scan *s, char c)
{
    return s->at < s->len && s->text[s->at] == c;
}

static bool eat(struct scan *s, char c)
{
    if (!at_char(s, c))
        return false;
    s->at++;
    return true;
}

/* The four digits of a \uXXXX at `at`; -1 when they are not there. */
static int hex4(const struct scan *s, size_t at)
{
    int value = 0;

    if (at + 4 > s->len)
        return -1;
    for (size_t i = at; i < at + 4; i++) {
        char c = s->text[i];

        if (!isxdigit((unsigned char)c))
            return -1;
        value = value * 16 + (isdigit((unsigned char)c) ? c - '0' : (tolower(c) - 'a') + 10);
    }
    return value;
}

static bool scan_unicode(struct scan *s)
{
    int unit = hex4(s, s->at);

    if (unit < 0)
        return fail(s, "a \\u escape needs four hex digits");
    if (unit == 0)
        return fail(s, "\\u0000 inside a string: a file or variable cannot carry it as text");
    s->at += 4;
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return fail(s, "a lone low surrogate");
    if (unit < 0xd800 || unit > 0xdbff)
        return true;
    if (s->at + 2 > s->len || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u')
        return fail(s, "a lone high surrogate");
    unit = hex4(s, s->at + 2);
    if (unit < 0xdc00 || unit > 0xdfff)
        return fail(s, "a lone high surrogate");
    s->at += 6;
    return true;
}

static bool scan_string(struct scan *s)
{
    if (!eat(s, '"'))
        return fail(s, "a string is expected");
    while (s->at < s->len) {
        unsigned char c = (unsigned char)s->text[s->at++];

        if (c == '"')
            return true;
        if (c < 0x20)
            return fail(s, "a control character inside a string");
        if (c != '\\')
            continue;
        c = s->at < s->len ? (unsigned char)s->text[s->at++] : 0;
        if (c == 'u' ? !scan_unicode(s) : !c || !strchr("\"\\/bfnrt", c))
            return fail(s, "an unknown escape");
    }
    return fail(s, "a string that does not end");
}

static bool scan_digits(struct scan *s)
{
    size_t from = s->at;

    while (s->at < s->len && isdigit((unsigned char)s->text[s->at]))
        s->at++;
    return s->at > from;
}

static bool scan_number(struct scan *s)
{
    size_t from = s->at;

    (void)eat(s, '-');
    if (!eat(s, '0') && !scan_digits(s))
        return fail(s, "a value is expected");
    if (eat(s, '.') && !scan_digits(s))
        return fail(s, "digits are expected after the point");
    if (at_char(s, 'e') || at_char(s, 'E')) {
        s->at++;
        if (!eat(s, '+'))
            (void)eat(s, '-');
        if (!scan_digits(s))
            return fail(s, "digits are expected in the exponent");
    }
    if (s->at - from > JSON_NUMBER_MAX)
        return fail(s, "a number of more than 63 characters");
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if (s->len - s->at < len || memcmp(s->text + s->at, word, len) != 0)
        return fail(s, "a value is expected");
    s->at += len;
    return true;
}

static bool scan_member(struct scan *s, bool keyed)
{
    skip_space(s);
    if (keyed) {
        if (!scan_string(s))
            return false;
        skip_space(s);
        if (!eat(s, ':'))
            return fail(s, "':' is expected after a key");
    }
    return scan_value(s);
}

static bool scan_members(struct scan *s, char end)
{
    if (++s->depth > JSON_DEPTH_MAX)
        return fail(s, "nesting deeper than 64");
    s->at++;
    skip_space(s);
    if (!eat(s, end)) {
        do {
            if (!scan_member(s, end == '}'))
                return false;
            skip_space(s);
        } while (eat(s, ','));
        if (!eat(s, end))
            return fail(s, "',' or the end of a list or map is expected");
    }
    s->depth--;
    return true;
}

static bool scan_kind(struct scan *s)
{
    switch (s->text[s->at]) {
    case '{':
        return scan_members(s, '}');
    case '[':
        return scan_members(s, ']');
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}

static bool scan_value(struct scan *s)
{
    size_t mine = s->count;

    skip_space(s);
    if (s->at >= s->len)
        return fail(s, "the text ends too early");
    if (s->count == JSON_VALUES_MAX)
        return fail(s, too_many);
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 64;
        s->notes = xrealloc(s->notes, s->room * sizeof(*s->notes));
    }
    s->notes[s->count++] = (struct note){ .at = s->at };
    if (!scan_kind(s))
        return false;
    s->notes[mine].len = s->at - s->notes[mine].at;
    return true;
}

static int say_where(const struct scan *s, size_t at, const char *what, struct error *err)
{
    unsigned line = 1;
    size_t start = 0;

    for (size_t i = 0; i < at && i < s->len; i++)
        if (s->text[i] == '\n') {
            line++;
            start = i + 1;
        }
    return error_set(err, CODE_INVALID_ARGUMENT, "not JSON: line %u column %zu: %s", line,
                     at - start + 1, what);
}

/* Bytes up to the first that is no UTF-8. */
static size_t utf8_length(const struct scan *s)
{
    size_t at = 0;

    for (size_t used = 1; used && at < s->len; at += used)
        used = utf8_next(s->text + at, s->len - at);
    return at;
}

static int scan_all(struct scan *s, struct error *err)
{
    if (s->len > JSON_BYTES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "JSON of more than %d bytes",
                         JSON_BYTES_MAX);
    if (!utf8_is_valid(s->text, s->len))
        return say_where(s, utf8_length(s), "a byte that is not UTF-8", err);
    if (!scan_value(s)) {
        (void)say_where(s, s->at, s->wrong, err);
        if (err && s->wrong == too_many)
            err->code = CODE_RESOURCE_EXHAUSTED;
        return -1;
    }
    skip_space(s);
    if (s->at != s->len)
        return say_where(s, s->at, "more text after the value", err);
    return 0;
}

/* --- cJSON ------------------------------------------------------------------------------------ */

static void *hook_malloc(size_t size)
{
    size_t *block = xmalloc(size + sizeof(size_t) * 2);

    *block = size;
    return block + 2;
}

static void hook_free(void *p)
{
    size_t *block = p;

    if (block)
        wipe_free(block - 2, *(block - 2) + sizeof(size_t) * 2);
}

static void set_hooks(void)
{
    cJSON_Hooks hooks = { .malloc_fn = hook_malloc, .free_fn = hook_free };

    cJSON_InitHooks(&hooks);
}

struct walk {
    const struct scan *scan;
    size_t next;    /* note of the next value */
    size_t line_at; /* offset up to which lines were counted: notes come in order */
    unsigned line;
    size_t line_start;
    bool has_twin; /* a key stands twice in one map */
    unsigned twin_line;
    unsigned twin_column;
};

static void locate(struct walk *w, size_t at, struct tree *t)
{
    for (; w->line_at < at; w->line_at++)
        if (w->scan->text[w->line_at] == '\n') {
            w->line++;
            w->line_start = w->line_at + 1;
        }
    t->line = w->line;
    t->column = (unsigned)(at - w->line_start + 1);
}

static enum tree_kind kind_of(const cJSON *item)
{
    if (cJSON_IsObject(item))
        return TREE_MAP;
    if (cJSON_IsArray(item))
        return TREE_LIST;
    if (cJSON_IsString(item))
        return TREE_TEXT;
    if (cJSON_IsNumber(item))
        return TREE_NUMBER;
    return cJSON_IsBool(item) ? TREE_BOOL : TREE_NULL;
}

static struct tree *walk_item(struct walk *w, const cJSON *item)
{
    const struct note *note = &w->scan->notes[w->next];
    enum tree_kind kind = kind_of(item);
    const char *text = NULL;
    size_t len = 0;
    struct tree *t;
    const struct tree *twin;

    assert(w->next < w->scan->count);
    w->next++;
    if (kind == TREE_TEXT) {
        text = item->valuestring;
        len = strlen(text);
    } else if (kind == TREE_NUMBER) {
        text = w->scan->text + note->at;
        len = note->len;
    }
    t = tree_new(kind, text, len);
    t->truth = cJSON_IsTrue(item);
    locate(w, note->at, t);
    for (const cJSON *c = item->child; c; c = c->next)
        tree_add(t, kind == TREE_MAP ? c->string : NULL, walk_item(w, c));
    twin = kind == TREE_MAP ? tree_duplicate(t) : NULL;
    if (twin) {
        w->has_twin = true;
        w->twin_line = twin->line;
        w->twin_column = twin->column;
    }
    return t;
}

static void notes_done(struct scan *s)
{
    free(s->notes);
}

int json_parse(const char *text, size_t len, struct tree **ret, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct scan s CLEANUP(notes_done) = { .text = text, .len = len };
    struct walk w = { .scan = &s, .line = 1 };
    struct tree *t autotree = NULL;
    cJSON *parsed;

    (void)pthread_once(&once, set_hooks);
    if (scan_all(&s, err) < 0)
        return -1;
    parsed = cJSON_ParseWithLengthOpts(text, len, NULL, 0);
    if (!parsed)
        return error_set(err, CODE_INVALID_ARGUMENT, "not JSON");
    t = walk_item(&w, parsed);
    cJSON_Delete(parsed);
    if (w.has_twin)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "not JSON: line %u column %u: a key that stands twice in one map",
                         w.twin_line, w.twin_column);
    *ret = take(t);
    return 0;
}
