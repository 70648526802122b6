/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/crypto.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include "lib/base/strbuf.h"

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

/* T(n) = HMAC(PRK, T(n-1) | info | n); the blocks one after the other are the key. */
static int expand(const struct secret *prk, const char *use, struct secret *out, struct error *err)
{
    uint8_t block[SHA256_BYTES];
    struct strbuf text CLEANUP(strbuf_done) = { .sensitive = true };

    for (size_t at = 0; at < out->len; at += sizeof(block)) {
        size_t left = out->len - at;

        strbuf_reset(&text);
        if (at)
            strbuf_add(&text, block, sizeof(block));
        strbuf_add_text(&text, use);
        strbuf_add_char(&text, (char)(at / sizeof(block) + 1));
        if (hmac_sha256(prk, text.text, text.len, block, err) < 0)
            return -1;
        memcpy(out->bytes + at, block, left < sizeof(block) ? left : sizeof(block));
    }
    explicit_bzero(block, sizeof(block));
    return 0;
}

int hkdf_sha256(const struct secret *key, const char *use, size_t len, struct secret *ret,
                struct error *err)
{
    static uint8_t no_salt[SHA256_BYTES];
    const struct secret salt = { no_salt, sizeof(no_salt) };
    struct secret prk CLEANUP(secret_done) = secret_adopt(xmalloc(SHA256_BYTES), SHA256_BYTES);
    struct secret out CLEANUP(secret_done) = { 0 };

    assert(len > 0 && len <= HKDF_BYTES_MAX);
    out = secret_adopt(xcalloc(1, len), len);
    if (hmac_sha256(&salt, key->bytes, key->len, prk.bytes, err) < 0 ||
        expand(&prk, use, &out, err) < 0)
        return -1;
    *ret = secret_take(&out);
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
