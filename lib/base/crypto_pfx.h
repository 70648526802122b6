/* SPDX-License-Identifier: Apache-2.0
 *
 * crypto_pfx.h - what a PKCS#12 file with an empty password holds, part by part, as DER.
 * Does not know what is done with the parts (crypto_pem.h).
 */
#ifndef LOCKET_BASE_CRYPTO_PFX_H
#define LOCKET_BASE_CRYPTO_PFX_H

#include "lib/base/error.h"
#include "lib/base/secret.h"

enum {
    /* Rounds of a key derivation; programs write 2,000 to 600,000, and a file that says 2^31 would
     * hold its reader up for an hour. */
    PFX_ROUNDS_MAX = 1000000,
    PFX_PARTS_MAX = 64, /* each costs a derivation; programs write two or three */
};

/* Who takes the parts, in the file's order. Each returns -1 with err set to end the reading. */
struct pfx_taker {
    void *arg;
    int (*certificate)(void *arg, const uint8_t *der, size_t len, struct error *err);
    int (*key)(void *arg, const uint8_t *der, size_t len, struct error *err); /* PKCS#8, clear */
};

/* Reads the file and hands each certificate and private key to the taker.
 * Errors: INVALID_ARGUMENT: no PKCS#12, a password, a method that OpenSSL does not have here.
 * RESOURCE_EXHAUSTED over a ceiling. The text never has content. What was taken before an error is
 * to be thrown away. OpenSSL's own complaints are left for the caller to clear. */
must_check int pfx_read(const struct secret *file, const struct pfx_taker *taker,
                        struct error *err);

#endif
