/* SPDX-License-Identifier: Apache-2.0
 *
 * source_double.h - a provider in memory: it answers what a test put in, and remembers what it was
 * asked.
 */
#ifndef LOCKET_TESTS_SOURCE_DOUBLE_H
#define LOCKET_TESTS_SOURCE_DOUBLE_H

#include "driver/volume/source.h"

/* Answers with no files. Ownership: ops->free. */
struct source *source_double_new(void);

/* The file that every fetch answers from now on (mode 0644, an object of its own, of the version
 * KEY + text). */
void source_double_put(struct source *self, const char *path, const char *text);

/* The key of its versions from now on; "v-" at first. Static text. */
void source_double_key(struct source *self, const char *key);

/* Lets every fetch fail with this error; NULL: no more. */
void source_double_fail(struct source *self, const struct error *err);

/* Lets every fetch wait until it is cancelled (true) or answer at once. */
void source_double_hang(struct source *self, bool hang);

/* What every fetch tells of itself from now on. */
void source_double_tell(struct source *self, const struct source_told *told);

/* How many fetches were begun. */
size_t source_double_fetches(struct source *self);

#endif
