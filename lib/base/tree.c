/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/tree.h"

void tree_free(struct tree *t)
{
    while (t) {
        struct tree *next = t->next;

        tree_free(t->child); /* as deep as the parsers' ceilings let a tree be */
        wipe_free(t->text, t->text_len);
        wipe_free_text(t->key);
        free(t);
        t = next;
    }
}

void tree_free_at(struct tree **slot)
{
    tree_free(*slot);
    *slot = NULL;
}

const struct tree *tree_get(const struct tree *t, const char *key)
{
    if (!t || t->kind != TREE_MAP)
        return NULL;
    for (const struct tree *c = t->child; c; c = c->next)
        if (strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

const char *tree_get_text(const struct tree *t, const char *key)
{
    const struct tree *c = tree_get(t, key);

    return c && c->kind == TREE_TEXT ? c->text : NULL;
}

static int by_key(const void *a, const void *b)
{
    const struct tree *const *left = a;
    const struct tree *const *right = b;

    return strcmp((*left)->key, (*right)->key);
}

const struct tree **tree_sorted(const struct tree *map, size_t *ret_count)
{
    size_t count = tree_count(map);
    const struct tree **sorted = xcalloc(count, sizeof(*sorted));
    size_t i = 0;

    for (const struct tree *c = map->child; c; c = c->next)
        sorted[i++] = c;
    if (count > 1)
        qsort(sorted, count, sizeof(*sorted), by_key);
    *ret_count = count;
    return sorted;
}

const struct tree *tree_duplicate(const struct tree *map)
{
    size_t count = 0;
    autofree const struct tree **sorted = tree_sorted(map, &count);

    for (size_t i = 1; i < count; i++)
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
            return sorted[i];
    return NULL;
}

size_t tree_count(const struct tree *t)
{
    size_t count = 0;

    for (const struct tree *c = t ? t->child : NULL; c; c = c->next)
        count++;
    return count;
}

const char *tree_kind_name(enum tree_kind kind)
{
    static const char *const names[] = {
        [TREE_NULL] = "null",     [TREE_BOOL] = "a boolean", [TREE_NUMBER] = "a number",
        [TREE_TEXT] = "a string", [TREE_LIST] = "a list",    [TREE_MAP] = "a map",
    };

    return names[kind];
}

struct tree *tree_new(enum tree_kind kind, const char *text, size_t text_len)
{
    struct tree *t = xcalloc(1, sizeof(*t));

    t->kind = kind;
    if (text) {
        t->text = xmalloc(text_len + 1);
        memcpy(t->text, text, text_len);
        t->text[text_len] = '\0';
        t->text_len = text_len;
    }
    return t;
}

void tree_add(struct tree *parent, const char *key, struct tree *child)
{
    struct tree **slot = &parent->child;

    if (parent->last)
        slot = &parent->last->next;
    if (key)
        child->key = xstrdup(key);
    *slot = child;
    parent->last = child;
}
