/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/pairs.h"

#include "lib/base/json.h"

void pairs_done(struct pairs *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].key);
        wipe_free_text(p->items[i].value);
    }
    free(p->items);
    *p = (struct pairs){ 0 };
}

/* The place of a key, or where it would have to go. */
static size_t place_of(const struct pairs *p, const char *key, bool *ret_found)
{
    size_t low = 0;
    size_t high = p->count;

    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(p->items[middle].key, key);

        if (order < 0)
            low = middle + 1;
        else
            high = middle;
        *ret_found = order == 0;
    }
    return *ret_found ? high : low;
}

void pairs_set(struct pairs *p, const char *key, const char *value)
{
    bool found;
    size_t at = place_of(p, key, &found);
    char *copy = xstrdup(value);

    if (found) {
        wipe_free_text(p->items[at].value);
        p->items[at].value = copy;
        return;
    }
    p->items = xrealloc(p->items, (p->count + 1) * sizeof(*p->items));
    memmove(p->items + at + 1, p->items + at, (p->count - at) * sizeof(*p->items));
    p->items[at] = (struct pair){ .key = xstrdup(key), .value = copy };
    p->count++;
}

const char *pairs_get(const struct pairs *p, const char *key)
{
    bool found;
    size_t at = place_of(p, key, &found);

    return found ? p->items[at].value : NULL;
}

void pairs_copy(struct pairs *dst, const struct pairs *src)
{
    if (!src->count)
        return;
    dst->items = xcalloc(src->count, sizeof(*dst->items));
    for (size_t i = 0; i < src->count; i++) {
        dst->items[i].key = xstrdup(src->items[i].key);
        dst->items[i].value = xstrdup(src->items[i].value);
    }
    dst->count = src->count;
}

bool pairs_same(const struct pairs *a, const struct pairs *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i].key, b->items[i].key) != 0 ||
            strcmp(a->items[i].value, b->items[i].value) != 0)
            return false;
    return true;
}

void pairs_json(const struct pairs *p, struct strbuf *out)
{
    strbuf_add_char(out, '{');
    for (size_t i = 0; i < p->count; i++) {
        if (i)
            strbuf_add_char(out, ',');
        json_add_text(out, p->items[i].key, strlen(p->items[i].key));
        strbuf_add_char(out, ':');
        json_add_text(out, p->items[i].value, strlen(p->items[i].value));
    }
    strbuf_add_char(out, '}');
}
