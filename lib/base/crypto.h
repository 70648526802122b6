/* SPDX-License-Identifier: Apache-2.0
 *
 * crypto.h - SHA-256, HMAC-SHA256 and random bytes over OpenSSL's EVP. The only file that includes
 * OpenSSL. The driver does not link it: see docs/SECURITY.md.
 */
#ifndef LOCKET_BASE_CRYPTO_H
#define LOCKET_BASE_CRYPTO_H

#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/secret.h"

enum { SHA256_BYTES = 32 };

/* Digests. INTERNAL when OpenSSL refuses (a policy without SHA-256). */
must_check int sha256(const void *bytes, size_t len, uint8_t digest[SHA256_BYTES],
                      struct error *err);
must_check int hmac_sha256(const struct secret *key, const void *bytes, size_t len,
                           uint8_t digest[SHA256_BYTES], struct error *err);

/* Fills from getrandom(2). */
must_check int random_bytes(void *bytes, size_t len, struct error *err);

#endif
