/* SPDX-License-Identifier: Apache-2.0
 *
 * PKCS#12 of each way to write it becomes what PEM becomes; what cannot be read says why.
 */
#include <openssl/provider.h>

#include "lib/base/crypto_pfx.h"
#include "tests/unit/base/pem_expect.h"

static STACK_OF(X509) * stack_of(X509 *first, X509 *second)
{
    STACK_OF(X509) *stack = sk_X509_new_null();

    assert_true(sk_X509_push(stack, first) > 0);
    assert_true(sk_X509_push(stack, second) > 0);
    return stack;
}

static const struct {
    const char *says;
    struct pfx_style style;
} pfx_rows[] = {
    { "of today's methods", { .password = "" } },
    { "of today's methods, no password at all", { .password = NULL } },
    { "of Triple-DES",
      { .password = "",
        .key_nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
        .cert_nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC } },
    { "of Triple-DES, no password at all",
      { .password = NULL,
        .key_nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
        .cert_nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC } },
    { "that is not encrypted", { .password = "", .key_nid = -1, .cert_nid = -1 } },
    { "that is neither encrypted nor authenticated",
      { .password = NULL, .key_nid = -1, .cert_nid = -1, .mac_rounds = -1 } },
    { "without a MAC", { .password = "", .mac_rounds = -1 } },
};

static void expect_pfx(enum kind kind, const struct pfx_style *style, const char *says)
{
    const struct family *f = &families[kind];
    STACK_OF(X509) *others = stack_of(f->root, f->middle);
    autosecret struct secret file = make_pfx(style, f->leaf_key, f->leaf, others);
    autostrbuf struct strbuf certificates = { 0 };
    autostrbuf struct strbuf key = { 0 };
    autobundle struct pem_bundle *b = NULL;
    struct error err = { 0 };

    sk_X509_free(others);
    if (pem_bundle_read(&file, &b, &err) < 0 || pem_bundle_lead(b, b, &err) < 0)
        fail_msg("PKCS#12 %s: %s", says, err.msg);
    add_cert(&certificates, f->leaf);
    add_cert(&certificates, f->middle);
    add_cert(&certificates, f->root);
    expect_certificates(b, &certificates);
    if (kind == OF_ED25519)
        add_pkcs8(&key, f->leaf_key);
    else
        add_traditional(&key, f->leaf_key);
    expect_key(b, &key, says);
}

static void pkcs12_gives_the_same_as_pem(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pfx_rows); i++)
        expect_pfx(OF_EC, &pfx_rows[i].style, pfx_rows[i].says);
    for (enum kind kind = OF_RSA; kind < KINDS; kind++)
        expect_pfx(kind, &pfx_rows[0].style, "of each kind of key");
}

/* What `openssl pkcs12 -export -legacy` writes, and older programs by themselves. The old ciphers
 * are in a context of the writer's own, so that the reader has to have them itself. */
static void pkcs12_of_rc2_is_read(void **state)
{
    OSSL_LIB_CTX *methods = OSSL_LIB_CTX_new();
    OSSL_PROVIDER *old = OSSL_PROVIDER_load(methods, "legacy");
    OSSL_PROVIDER *usual = OSSL_PROVIDER_load(methods, "default");
    const struct pfx_style rc2 = { .password = "",
                                   .key_nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
                                   .cert_nid = NID_pbe_WithSHA1And40BitRC2_CBC,
                                   .methods = methods };

    (void)state;
    assert_non_null(old);
    assert_non_null(usual);
    expect_pfx(OF_RSA, &rc2, "of RC2");
    OSSL_PROVIDER_unload(old);
    OSSL_PROVIDER_unload(usual);
    OSSL_LIB_CTX_free(methods);
}

static void pkcs12_that_cannot_be_read_says_why(void **state)
{
    static const struct {
        const char *says;
        struct pfx_style style;
        const char *words;
    } rows[] = {
        { "a password", { .password = "word" }, "with a password" },
        { "a password, no MAC", { .password = "word", .mac_rounds = -1 }, "with a password" },
        { "a slow MAC", { .password = "", .mac_rounds = PFX_ROUNDS_MAX + 1 }, "rounds" },
        { "slow keys", { .password = "", .rounds = PFX_ROUNDS_MAX + 1 }, "rounds" },
        { "slow old keys",
          { .password = "",
            .key_nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
            .cert_nid = -1,
            .rounds = PFX_ROUNDS_MAX + 1 },
          "rounds" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autosecret struct secret file = make_pfx(&rows[i].style, ours.leaf_key, ours.leaf, NULL);
        autobundle struct pem_bundle *b = NULL;
        struct error err = { 0 };

        expect_words(rows[i].says, pem_bundle_read(&file, &b, &err), &err, rows[i].words);
    }
}

static void pkcs12_of_very_many_parts_is_refused(void **state)
{
    PKCS8_PRIV_KEY_INFO *key = EVP_PKEY2PKCS8(ours.leaf_key);
    STACK_OF(PKCS12_SAFEBAG) *bags = sk_PKCS12_SAFEBAG_new_null();
    STACK_OF(PKCS7) *safes = NULL;
    autobundle struct pem_bundle *b = NULL;
    struct secret file = { 0 };
    struct error err = { 0 };
    PKCS12 *p12;

    (void)state;
    for (int i = 0; i <= PFX_PARTS_MAX; i++)
        sk_PKCS12_SAFEBAG_push(
            bags, PKCS12_SAFEBAG_create_pkcs8_encrypt(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NULL,
                                                      0, NULL, 0, 1, key));
    assert_int_equal(PKCS12_add_safe(&safes, bags, -1, 0, NULL), 1);
    p12 = PKCS12_add_safes(safes, 0);
    file.len = (size_t)i2d_PKCS12(p12, &file.bytes);
    expect_words("65 keys", pem_bundle_read(&file, &b, &err), &err, "more than 64 encrypted parts");
    OPENSSL_free(file.bytes);
    PKCS12_free(p12);
    PKCS8_PRIV_KEY_INFO_free(key);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
}

static void a_pkcs12_that_is_cut_or_changed_is_never_taken(void **state)
{
    static const struct pfx_style style = { .password = "", .rounds = 1, .mac_rounds = 1 };
    autosecret struct secret whole = make_pfx(&style, ours.leaf_key, ours.leaf, NULL);

    (void)state;
    for (size_t len = 1; len < whole.len; len += 3) {
        autosecret struct secret cut = secret_copy(whole.bytes, len);
        autobundle struct pem_bundle *b = NULL;

        assert_int_equal(pem_bundle_read(&cut, &b, NULL), -1);
    }
    for (size_t at = 60; at + 120 < whole.len; at += 3) { /* what the MAC covers */
        autosecret struct secret changed = secret_dup(&whole);
        autobundle struct pem_bundle *b = NULL;

        changed.bytes[at] ^= 4;
        assert_int_equal(pem_bundle_read(&changed, &b, NULL), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pkcs12_gives_the_same_as_pem),
        cmocka_unit_test(pkcs12_of_rc2_is_read),
        cmocka_unit_test(pkcs12_that_cannot_be_read_says_why),
        cmocka_unit_test(pkcs12_of_very_many_parts_is_refused),
        cmocka_unit_test(a_pkcs12_that_is_cut_or_changed_is_never_taken),
    };

    return cmocka_run_group_tests(tests, make_families, free_families);
}
