/* SPDX-License-Identifier: Apache-2.0
 *
 * crypto.h - SHA-256, HMAC-SHA256, HKDF and random bytes over OpenSSL's EVP. The only file that
 * includes OpenSSL. The driver does not link it: see docs/SECURITY.md.
 */
#ifndef LOCKET_BASE_CRYPTO_H
#define LOCKET_BASE_CRYPTO_H

#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/secret.h"

enum { SHA256_BYTES = 32, HKDF_BYTES_MAX = 255 * SHA256_BYTES };

/* Digests. INTERNAL when OpenSSL refuses (a policy without SHA-256). */
must_check int sha256(const void *bytes, size_t len, uint8_t digest[SHA256_BYTES],
                      struct error *err);
must_check int hmac_sha256(const struct secret *key, const void *bytes, size_t len,
                           uint8_t digest[SHA256_BYTES], struct error *err);

/* A key of len bytes for one use of a longer-lived one, so that no key has two uses: HKDF-SHA256
 * without salt, `use` as its info. Ownership: *ret by secret_done. len: 1 to HKDF_BYTES_MAX.
 * Source: RFC 5869. */
must_check int hkdf_sha256(const struct secret *key, const char *use, size_t len,
                           struct secret *ret, struct error *err);

/* Fills from getrandom(2). */
must_check int random_bytes(void *bytes, size_t len, struct error *err);

#endif
