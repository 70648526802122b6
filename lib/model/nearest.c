/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/nearest.h"

#include <ctype.h>
#include <string.h>

enum {
    LETTERS_MAX = 48, /* longer than any name that is offered */
    DISTANCE_MAX = 3,
};

static int lower(char c)
{
    return tolower((unsigned char)c);
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Levenshtein's distance, one row at a time. Both are at most LETTERS_MAX long. */
static size_t distance(const char *a, const char *b)
{
    size_t row[LETTERS_MAX + 1];
    size_t b_len = strlen(b);

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            size_t changed = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));

            row[j] = least(above + 1, row[j - 1] + 1, changed);
            diagonal = above;
        }
    }
    return row[b_len];
}

void nearest_offer(struct nearest *n, const char *name)
{
    size_t len = strlen(n->wanted);
    size_t most = len / 3 < DISTANCE_MAX ? len / 3 : DISTANCE_MAX;
    size_t far;

    if (len > LETTERS_MAX || strlen(name) > LETTERS_MAX)
        return;
    far = distance(n->wanted, name);
    if (far > most || (n->found && far >= n->distance))
        return;
    n->found = name;
    n->distance = far;
}
