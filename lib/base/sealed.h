/* SPDX-License-Identifier: Apache-2.0
 *
 * sealed.h - a secret that must be kept for a while, stored so that its bytes lie nowhere in
 * memory: a one-time pad and the bytes under it. Protects against a stray read (a core, a scan, a
 * bug that prints memory), not against an attacker who runs code in the process.
 */
#ifndef LOCKET_BASE_SEALED_H
#define LOCKET_BASE_SEALED_H

#include <stdbool.h>

#include "lib/base/secret.h"

struct sealed {
    uint8_t *pad; /* random; NULL when empty */
    uint8_t *masked;
    size_t len;
};

/* Replaces the content by a copy of len bytes. A machine without randomness ends the process. */
void sealed_set(struct sealed *s, const void *bytes, size_t len);

/* The bytes, for as long as the caller keeps the copy. Ownership: the caller, by secret_done. */
struct secret sealed_open(const struct sealed *s);

/* Does it hold exactly these bytes? Opens nothing. */
bool sealed_holds(const struct sealed *s, const void *bytes, size_t len);

/* Wipes; empty afterwards. */
void sealed_done(struct sealed *s);

#endif
