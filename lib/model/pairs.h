/* SPDX-License-Identifier: Apache-2.0
 *
 * pairs.h - a small sorted map of text to text: parameters, annotations, volume attributes.
 * Does not know what a key means; treats every value as something to wipe.
 */
#ifndef LOCKET_MODEL_PAIRS_H
#define LOCKET_MODEL_PAIRS_H

#include "lib/base/strbuf.h"

struct pair {
    char *key;
    char *value;
};

struct pairs { /* sorted by key bytes, keys unique */
    struct pair *items;
    size_t count;
};

#define autopairs CLEANUP(pairs_done)

/* Wipes and frees all values (they may hold tokens); { 0 } afterwards. */
void pairs_done(struct pairs *p);

/* Adds or replaces, keeping the order. Both texts are copied. */
void pairs_set(struct pairs *p, const char *key, const char *value);

/* The value of a key; NULL when absent. Borrowed until the next pairs_set. */
const char *pairs_get(const struct pairs *p, const char *key);

/* Makes dst, empty before, a copy of src. */
void pairs_copy(struct pairs *dst, const struct pairs *src);

/* Do both have the same keys with the same values? */
bool pairs_same(const struct pairs *a, const struct pairs *b);

/* Appends what Go's json.Marshal makes of a map[string]string: keys sorted, no spaces. */
void pairs_json(const struct pairs *p, struct strbuf *out);

#endif
