/* SPDX-License-Identifier: Apache-2.0
 *
 * pem_maker.h - keys, certificates and files of them for tests, made by OpenSSL's EVP.
 */
#ifndef LOCKET_TESTS_PEM_MAKER_H
#define LOCKET_TESTS_PEM_MAKER_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "lib/base/strbuf.h"
#include "tests/check.h"

/* Who is who: the leaf is issued by the middle, that by the root; "other" has nothing to do with
 * them, and "lone" signed itself. */
struct family {
    EVP_PKEY *root_key;
    EVP_PKEY *middle_key;
    EVP_PKEY *leaf_key;
    EVP_PKEY *other_key;
    X509 *root;
    X509 *middle;
    X509 *leaf;
    X509 *lone; /* of other_key */
};

static inline X509 *make_certificate(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *by,
                                     const char *is_authority)
{
    X509 *made = X509_new();
    X509_NAME *subject = X509_get_subject_name(made);
    X509_EXTENSION *basic = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, is_authority);
    const EVP_MD *md = EVP_PKEY_is_a(by, "ED25519") ? NULL : EVP_sha256();

    assert_non_null(basic);
    assert_int_equal(X509_set_version(made, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(made), (long)strlen(name)), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(made), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(made), 3600));
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(made, issuer ? X509_get_subject_name(issuer) : subject),
                     1);
    assert_int_equal(X509_set_pubkey(made, key), 1);
    assert_int_equal(X509_add_ext(made, basic, -1), 1);
    assert_true(X509_sign(made, by, md) > 0);
    X509_EXTENSION_free(basic);
    return made;
}

static inline struct family family_make(EVP_PKEY *leaf_key)
{
    struct family f = { .root_key = EVP_EC_gen("P-256"),
                        .middle_key = EVP_EC_gen("P-256"),
                        .leaf_key = leaf_key,
                        .other_key = EVP_EC_gen("P-256") };

    f.root = make_certificate("root", f.root_key, NULL, f.root_key, "critical,CA:TRUE");
    f.middle = make_certificate("middle", f.middle_key, f.root, f.root_key, "critical,CA:TRUE");
    f.leaf = make_certificate("the leaf", f.leaf_key, f.middle, f.middle_key, "CA:FALSE");
    f.lone = make_certificate("lone", f.other_key, NULL, f.other_key, "CA:FALSE");
    return f;
}

static inline void family_free(struct family *f)
{
    X509_free(f->root);
    X509_free(f->middle);
    X509_free(f->leaf);
    X509_free(f->lone);
    EVP_PKEY_free(f->root_key);
    EVP_PKEY_free(f->middle_key);
    EVP_PKEY_free(f->leaf_key);
    EVP_PKEY_free(f->other_key);
}

static inline void add_bio(struct strbuf *out, BIO *from)
{
    char *text = NULL;
    long len = BIO_get_mem_data(from, &text);

    strbuf_add(out, text, (size_t)len);
    BIO_free(from);
}

/* Adds the certificate as PEM. */
static inline void add_cert(struct strbuf *out, X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
    add_bio(out, bio);
}

/* Adds the key as PKCS#8, as stores give it. */
static inline void add_pkcs8(struct strbuf *out, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    add_bio(out, bio);
}

/* Adds the key in the form that its kind had before PKCS#8, which for RSA and EC is expected. */
static inline void add_traditional(struct strbuf *out, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    add_bio(out, bio);
}

/* How a PKCS#12 file is written; zero values are OpenSSL's defaults. */
struct pfx_style {
    const char *password;
    int key_nid; /* -1: not encrypted */
    int cert_nid;
    int rounds;
    int mac_rounds; /* -1: no MAC */
    OSSL_LIB_CTX *methods;
};

static inline struct secret make_pfx(const struct pfx_style *style, EVP_PKEY *key,
                                     X509 *certificate, STACK_OF(X509) * others)
{
    PKCS12 *p12 = PKCS12_create_ex(style->password, NULL, key, certificate, others, style->key_nid,
                                   style->cert_nid, style->rounds, style->mac_rounds, 0,
                                   style->methods, NULL);
    uint8_t *der = NULL;
    struct secret made;
    int len;

    assert_non_null(p12);
    len = i2d_PKCS12(p12, &der);
    assert_true(len > 0);
    made = secret_copy(der, (size_t)len);
    OPENSSL_free(der);
    PKCS12_free(p12);
    return made;
}

#endif
