/* SPDX-License-Identifier: Apache-2.0
 *
 * secret.h - the only type for secret bytes: not printable, wiped when released.
 * Does not know what the bytes mean.
 */
#ifndef LOCKET_BASE_SECRET_H
#define LOCKET_BASE_SECRET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

struct secret {
    uint8_t *bytes; /* not NUL-terminated for its user; may contain any byte; NULL when len is 0 */
    size_t len;
};

#define autosecret CLEANUP(secret_done)

/* Wipes, frees, leaves {NULL, 0}. */
void secret_done(struct secret *s);

/* A copy of len bytes. Ownership: the caller, by secret_done. */
struct secret secret_copy(const void *bytes, size_t len);

/* A copy of another secret. Ownership: the caller, by secret_done. */
struct secret secret_dup(const struct secret *s);

/* Moves the bytes out; *s is left empty. */
struct secret secret_take(struct secret *s);

/* Makes a secret of a heap block that the caller gives away (malloc'ed, len bytes used). */
struct secret secret_adopt(void *heap, size_t len);

/* Are both the same bytes? Takes the same time wherever they differ. */
bool secret_same(const struct secret *a, const struct secret *b);

/* Wipes a heap block of known size, then frees it. NULL is fine. */
void wipe_free(void *p, size_t size);

/* Wipes a NUL-terminated heap string, then frees it. NULL is fine. */
void wipe_free_text(char *text);

/* The same for a char * variable: char *token CLEANUP(wipe_text_at) = NULL; */
void wipe_text_at(char **slot);
#define autowipe CLEANUP(wipe_text_at)

#endif
