/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/objects_validate.h"

#include <strings.h>

#include "lib/base/yaml.h"
#include "lib/model/fileset.h"
#include "lib/model/nearest.h"

/* What is known while one list is looked through. */
struct list {
    const struct param_table *table;
    const char *field; /* "spec.parameters.objects" */
    struct class_files *files;
    size_t index; /* of the item being looked at */
    struct complaints *c;
};

/* Borrowed, without regard to case where the provider has none. */
static const struct tree *member(const struct list *l, const struct tree *item, const char *key)
{
    for (const struct tree *t = item->child; t; t = t->next)
        if (strcmp(t->key, key) == 0 || (l->table->any_case && strcasecmp(t->key, key) == 0))
            return t;
    return NULL;
}

static bool is_scalar(const struct tree *t)
{
    return t->kind == TREE_TEXT || t->kind == TREE_NUMBER || t->kind == TREE_BOOL;
}

/* The text of a scalar, "" for anything else. */
static const char *text_of(const struct tree *t)
{
    return t && is_scalar(t) && t->text ? t->text : "";
}

static void enum_value(const struct list *l, const struct object_row *row, const struct tree *t)
{
    struct strbuf choices CLEANUP(strbuf_done) = { 0 };

    for (const char *const *v = row->values; *v; v++) {
        if (strcasecmp(*v, text_of(t)) == 0 && is_scalar(t))
            return;
        if (**v)
            strbuf_printf(&choices, "%s%s", choices.len ? ", " : "", *v);
    }
    complain(l->c, t, "%s[%zu].%s: must be one of %s", l->field, l->index, row->name,
             strbuf_text(&choices));
}

static bool is_count(const struct tree *t)
{
    return is_scalar(t) && *text_of(t) && strspn(text_of(t), "0123456789") == strlen(text_of(t));
}

/* What a value of this kind must be; NULL: it is. */
static const char *wants_of(const struct object_row *row, const struct tree *t)
{
    mode_t ignored;

    switch (row->kind) {
    case OBJECT_TEXT:
        return is_scalar(t) ? NULL : "must be a string";
    case OBJECT_MAP:
        return t->kind == TREE_MAP ? NULL : "must be a map";
    case OBJECT_LIST:
        return t->kind == TREE_LIST ? NULL : "must be a list";
    case OBJECT_COUNT:
        return is_count(t) ? NULL : "must be a whole number from 0";
    case OBJECT_MODE:
        return param_mode(t, &ignored, NULL) == 0
                   ? NULL
                   : "must be a mode from 0000 to 0777, such as 0644";
    case OBJECT_ENUM: /* see enum_value */
        return NULL;
    }
    return NULL;
}

static void value(const struct list *l, const struct object_row *row, const struct tree *t)
{
    const char *wants = t->kind == TREE_NULL ? NULL : wants_of(row, t);

    if (row->required && (t->kind == TREE_NULL || (is_scalar(t) && !*text_of(t))))
        wants = "is empty; the provider needs it";
    else if (t->text_len > row->bytes_max)
        wants = "is too long";
    if (wants)
        complain(l->c, t, "%s[%zu].%s: %s", l->field, l->index, row->name, wants);
    else if (row->kind == OBJECT_ENUM && t->kind != TREE_NULL)
        enum_value(l, row, t);
}

static void unknown(const struct list *l, const struct tree *t)
{
    struct nearest near = { .wanted = t->key };

    for (size_t i = 0; i < l->table->object_count; i++)
        nearest_offer(&near, l->table->objects[i].name);
    if (near.found)
        complain(l->c, t,
                 "%s[%zu].%.100s: provider %s has no such key and ignores it; did you "
                 "mean %s?",
                 l->field, l->index, t->key, l->table->provider, near.found);
    else
        complain(l->c, t, "%s[%zu].%.100s: provider %s has no such key and ignores it; remove it",
                 l->field, l->index, t->key, l->table->provider);
}

/* Adds a final path to those seen; tells when it was there before. */
static void only_once(struct list *l, const struct tree *t)
{
    const char *before = pairs_get(&l->files->paths, t->text);
    autofree char *index = str_printf("%zu", l->index);

    if (before)
        complain(l->c, t, "%s[%zu].%s: is the file of [%s] already; give each its own", l->field,
                 l->index, t->key, before);
    else
        pairs_set(&l->files->paths, t->text, index);
}

static void path(struct list *l, const struct tree *item)
{
    const struct param_table *table = l->table;
    const struct tree *t = table->alias ? member(l, item, table->alias) : NULL;
    struct error err = { 0 };

    if (!*text_of(t))
        t = table->path ? member(l, item, table->path) : NULL;
    if (!t || !*text_of(t)) {
        l->files->complete = false;
        return;
    }
    if (fileset_check_path(t->text, t->text_len, &err) < 0) {
        l->files->complete = false;
        complain(l->c, t, "%s[%zu].%s: %s", l->field, l->index, t->key, err.msg);
    } else {
        only_once(l, t);
    }
}

/* A text that stands for several files: Azure's versions of one object. */
static bool is_many(const struct list *l, const struct tree *t)
{
    return strlen(text_of(member(l, t, "objectVersionHistory"))) > 0;
}

static void item(struct list *l, const struct tree *t)
{
    if (t->kind != TREE_MAP) {
        l->files->complete = false;
        complain(l->c, t, "%s[%zu]: must be a map such as \"- %s: ...\", not %s", l->field,
                 l->index, l->table->objects[0].name, tree_kind_name(t->kind));
        return;
    }
    for (const struct tree *m = t->child; m; m = m->next) {
        const struct object_row *row = params_object_row(l->table, m->key);

        if (row)
            value(l, row, m);
        else
            unknown(l, m);
    }
    for (size_t i = 0; i < l->table->object_count; i++)
        if (l->table->objects[i].required && !member(l, t, l->table->objects[i].name))
            complain(l->c, t, "%s[%zu].%s: is missing; the provider needs it", l->field, l->index,
                     l->table->objects[i].name);
    path(l, t);
    if (is_many(l, t))
        l->files->complete = false;
}

/* An item that is YAML in a text of its own. */
static void text_item(struct list *l, const struct tree *t, const char *source)
{
    const struct place inside = { .outer = l->c->place, .node = t, .source = source };
    struct tree *parsed autotree = NULL;
    struct error err = { 0 };
    autofree char *field = str_printf("%s[%zu]", l->field, l->index);

    l->c->place = &inside;
    if (yaml_parse(t->text, t->text_len, &parsed, &err) < 0) {
        complain_of(l->c, field, &err);
        l->files->complete = false;
    } else if (parsed) {
        item(l, parsed);
    }
    l->c->place = inside.outer;
}

static void items(struct list *l, const struct tree *all, const char *source, bool as_text)
{
    if (tree_count(all) == 0)
        complain(l->c, all, "%s: names no object; nothing would be mounted", l->field);
    if (tree_count(all) > FILESET_FILES_MAX) {
        complain(l->c, all, "%s: has more than %d objects", l->field, FILESET_FILES_MAX);
        l->files->complete = false;
        return;
    }
    for (const struct tree *t = all->child; t; t = t->next) {
        if (as_text && t->kind == TREE_TEXT)
            text_item(l, t, source);
        else
            item(l, t);
        l->index++;
    }
}

/* The list itself, out of Azure's map around it; told and NULL when there is none. */
static const struct tree *list_of(const struct tree *parsed, const struct param_row *row,
                                  const struct list *l)
{
    const struct tree *all = row->kind == PARAM_OBJECTS ? parsed : tree_get(parsed, "array");

    if (all && all->kind == TREE_LIST)
        return all;
    if (parsed->kind == TREE_NULL)
        complain(l->c, parsed, "%s: names no object; nothing would be mounted", l->field);
    else if (row->kind == PARAM_OBJECTS)
        complain(l->c, parsed, "%s: must be a YAML list, each item beginning with \"- \"",
                 l->field);
    else
        complain(l->c, parsed, "%s: must be a YAML map with a list `array`", l->field);
    return NULL;
}

void objects_validate(const struct objects_in *in, struct class_files *files, struct complaints *c)
{
    const struct tree *parameter = in->parameter;
    const struct place inside = { .outer = c->place, .node = parameter, .source = in->source };
    autofree char *field = str_printf("spec.parameters.%s", in->row->name);
    struct list l = { .table = in->table, .field = field, .files = files, .c = c };
    struct tree *parsed autotree = NULL;
    struct error err = { 0 };
    const struct tree *all;

    if (parameter->text_len > in->row->bytes_max) {
        complain(c, parameter, "%s: is longer than %zu bytes", field, in->row->bytes_max);
        return;
    }
    c->place = &inside;
    if (yaml_parse(parameter->text, parameter->text_len, &parsed, &err) < 0) {
        complain_of(c, field, &err);
    } else if (parsed) {
        all = list_of(parsed, in->row, &l);
        files->complete = all != NULL;
        if (all)
            items(&l, all, parameter->text, in->row->kind == PARAM_OBJECTS_ARRAY);
    }
    c->place = inside.outer;
}
