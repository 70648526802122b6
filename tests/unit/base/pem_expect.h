/* SPDX-License-Identifier: Apache-2.0
 *
 * pem_expect.h - families with a leaf of each kind of key, and what tests expect of their files.
 */
#ifndef LOCKET_TESTS_PEM_EXPECT_H
#define LOCKET_TESTS_PEM_EXPECT_H

#include "lib/base/crypto_pem.h"
#include "tests/unit/base/pem_maker.h"

enum kind { OF_RSA, OF_EC, OF_ED25519, KINDS };

static inline EVP_PKEY *key_of(enum kind kind)
{
    switch (kind) {
    case OF_RSA:
        return EVP_RSA_gen(2048);
    case OF_EC:
        return EVP_EC_gen("P-256");
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
}

static struct family families[KINDS]; /* the leaf's key is of each kind */
#define ours (families[OF_EC])

static inline int make_families(void **state)
{
    (void)state;
    for (enum kind kind = OF_RSA; kind < KINDS; kind++)
        families[kind] = family_make(key_of(kind));
    return 0;
}

static inline int free_families(void **state)
{
    (void)state;
    for (enum kind kind = OF_RSA; kind < KINDS; kind++)
        family_free(&families[kind]);
    return 0;
}

static inline struct pem_bundle *must_read(const struct secret *file)
{
    struct pem_bundle *b = NULL;
    struct error err = { 0 };

    if (pem_bundle_read(file, &b, &err) < 0)
        fail_msg("%s", err.msg);
    return b;
}

static inline struct pem_bundle *must_read_text(const struct strbuf *text)
{
    struct secret file = { .bytes = (uint8_t *)text->text, .len = text->len };

    return must_read(&file);
}

static inline void expect_secret(const struct secret *got, const struct strbuf *wanted,
                                 const char *says)
{
    if (got->len != wanted->len || memcmp(got->bytes, wanted->text, got->len) != 0)
        fail_msg("%s: got\n%.*s\ninstead of\n%s", says, (int)got->len, (const char *)got->bytes,
                 strbuf_text(wanted));
}

static inline void expect_certificates(const struct pem_bundle *b, const struct strbuf *wanted)
{
    autosecret struct secret got = { 0 };
    struct error err = { 0 };

    if (pem_bundle_certificates(b, &got, &err) < 0)
        fail_msg("%s", err.msg);
    expect_secret(&got, wanted, "certificates");
}

static inline void expect_key(const struct pem_bundle *b, const struct strbuf *wanted,
                              const char *says)
{
    autosecret struct secret got = { 0 };
    struct error err = { 0 };

    if (pem_bundle_key(b, &got, &err) < 0)
        fail_msg("%s: %s", says, err.msg);
    expect_secret(&got, wanted, says);
}

static inline void expect_words(const char *says, int got, const struct error *err,
                                const char *words)
{
    if (got == 0)
        fail_msg("%s: was taken", says);
    if (!strstr(err->msg, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", says, err->msg, words);
}

#endif
