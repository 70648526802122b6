/* SPDX-License-Identifier: Apache-2.0
 *
 * nearest.h - which known name a misspelt one was probably meant to be.
 */
#ifndef LOCKET_MODEL_NEAREST_H
#define LOCKET_MODEL_NEAREST_H

#include <stddef.h>

/* Looks at names one by one: start with { .wanted = ... }, offer each, read found. */
struct nearest {
    const char *wanted;
    const char *found; /* borrowed from the offers; NULL: nothing is near */
    size_t distance;
};

/* At most three letters, or a third of the name, may differ; case does not count. */
void nearest_offer(struct nearest *n, const char *name);

#endif
