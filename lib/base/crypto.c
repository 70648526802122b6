/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/crypto.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

int sha256(const void *bytes, size_t len, uint8_t digest[SHA256_BYTES], struct error *err)
{
    if (EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) != 1)
        return error_set(err, CODE_INTERNAL, "SHA-256 is not to be had from OpenSSL");
    return 0;
}

int hmac_sha256(const struct secret *key, const void *bytes, size_t len,
                uint8_t digest[SHA256_BYTES], struct error *err)
{
    unsigned used = 0;

    if (!HMAC(EVP_sha256(), key->bytes, (int)key->len, bytes, len, digest, &used))
        return error_set(err, CODE_INTERNAL, "HMAC-SHA-256 is not to be had from OpenSSL");
    return 0;
}

int random_bytes(void *bytes, size_t len, struct error *err)
{
    char *at = bytes;

    while (len) {
        ssize_t n = getrandom(at, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_sys(err, errno, "getrandom");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}
