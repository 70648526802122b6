/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of PEM with keys and certificates that are made here: which come out, in what form and
 * order, and what is said of those that cannot be used.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "tests/unit/base/pem_expect.h"

/* --- keys ------------------------------------------------------------------------------------ */

static void a_key_is_written_in_the_form_of_its_kind(void **state)
{
    static const struct {
        enum kind kind;
        const char *first_line;
    } rows[] = {
        { OF_RSA, "-----BEGIN RSA PRIVATE KEY-----\n" },
        { OF_EC, "-----BEGIN EC PRIVATE KEY-----\n" },
        { OF_ED25519, "-----BEGIN PRIVATE KEY-----\n" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        EVP_PKEY *key = families[rows[i].kind].leaf_key;
        autostrbuf struct strbuf as_stored = { 0 };
        autostrbuf struct strbuf wanted = { 0 };
        autobundle struct pem_bundle *first = NULL;
        autobundle struct pem_bundle *again = NULL;

        add_pkcs8(&as_stored, key);
        if (rows[i].kind == OF_ED25519)
            add_pkcs8(&wanted, key);
        else
            add_traditional(&wanted, key);
        assert_true(str_starts(strbuf_text(&wanted), rows[i].first_line));
        first = must_read_text(&as_stored);
        expect_key(first, &wanted, rows[i].first_line);
        again = must_read_text(&wanted);
        expect_key(again, &wanted, "its own output");
    }
}

/* --- certificates ---------------------------------------------------------------------------- */

static void certificates_stay_in_their_order_without_what_stands_between(void **state)
{
    autostrbuf struct strbuf file = { 0 };
    autostrbuf struct strbuf wanted = { 0 };
    autobundle struct pem_bundle *b = NULL;

    (void)state;
    strbuf_add_text(&file, "Bag Attributes\r\n    friendlyName: web\r\n\xff\x80");
    strbuf_add_text(&file, "\n-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n"
                           "-----END DH PARAMETERS-----\n");
    add_pkcs8(&file, ours.leaf_key);
    strbuf_add_text(&file, "subject=root\n");
    add_cert(&file, ours.root);
    add_cert(&file, ours.leaf);
    strbuf_add_text(&file, "tail");
    b = must_read_text(&file);
    add_cert(&wanted, ours.root);
    add_cert(&wanted, ours.leaf);
    expect_certificates(b, &wanted);
}

static void blocks_of_any_line_length_are_read(void **state)
{
    autostrbuf struct strbuf wanted = { 0 };
    autostrbuf struct strbuf file = { 0 };
    autobundle struct pem_bundle *b = NULL;
    const char *body;
    const char *end;

    (void)state;
    add_cert(&wanted, ours.leaf);
    body = strchr(wanted.text, '\n') + 1;
    end = strstr(wanted.text, "-----END");
    strbuf_add(&file, wanted.text, (size_t)(body - wanted.text));
    for (const char *c = body; c < end; c++)
        if (*c != '\n')
            strbuf_add_char(&file, *c);
    strbuf_add_text(&file, "\r\n");
    strbuf_add_text(&file, end);
    b = must_read_text(&file);
    expect_certificates(b, &wanted);
}

static void the_leaf_goes_first_and_its_issuers_follow(void **state)
{
    X509 *const orders[][4] = {
        { ours.leaf, ours.middle, ours.root, ours.lone },
        { ours.root, ours.middle, ours.leaf, ours.lone },
        { ours.middle, ours.lone, ours.root, ours.leaf },
        { ours.lone, ours.root, ours.leaf, ours.middle },
    };
    autostrbuf struct strbuf wanted = { 0 };
    autostrbuf struct strbuf holder_file = { 0 };
    autobundle struct pem_bundle *holder = NULL;

    (void)state;
    add_pkcs8(&holder_file, ours.leaf_key);
    holder = must_read_text(&holder_file);
    for (size_t k = 0; k < 4; k++)
        add_cert(&wanted, orders[0][k]);
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        autostrbuf struct strbuf file = { 0 };
        autobundle struct pem_bundle *b = NULL;
        struct error err = { 0 };

        for (size_t k = 0; k < 4; k++)
            add_cert(&file, orders[i][k]);
        b = must_read_text(&file);
        if (pem_bundle_lead(b, holder, &err) < 0)
            fail_msg("order %zu: %s", i, err.msg);
        expect_certificates(b, &wanted);
    }
}

static void a_certificate_that_signed_itself_is_a_leaf_even_twice(void **state)
{
    autostrbuf struct strbuf file = { 0 };
    autobundle struct pem_bundle *b = NULL;

    (void)state;
    add_pkcs8(&file, ours.root_key);
    add_cert(&file, ours.root);
    add_cert(&file, ours.root);
    b = must_read_text(&file);
    assert_int_equal(pem_bundle_lead(b, b, NULL), 0);
}

/* --- refused --------------------------------------------------------------------------------- */

static void add_damaged_key(struct strbuf *out, EVP_PKEY *ec_key)
{
    uint8_t *der = NULL;
    int len = i2d_PrivateKey(ec_key, &der);
    BIO *bio = BIO_new(BIO_s_mem());

    assert_true(len > 30);
    der[20] ^= 1; /* of the private number; the public point behind it stays */
    assert_true(PEM_write_bio(bio, "EC PRIVATE KEY", "", der, len) > 0);
    OPENSSL_free(der);
    add_bio(out, bio);
}

static void a_key_that_is_not_of_the_leaf_is_refused(void **state)
{
    const struct {
        const char *says;
        EVP_PKEY *key;
        const char *words;
    } rows[] = {
        { "a stranger's", ours.other_key, "belongs to none of the 3 certificates" },
        { "the issuer's", ours.middle_key, "belongs to the issuer of the leaf" },
        { "none", NULL, "holds no private key" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autostrbuf struct strbuf file = { 0 };
        autobundle struct pem_bundle *b = NULL;
        struct error err = { 0 };

        if (rows[i].key)
            add_pkcs8(&file, rows[i].key);
        add_cert(&file, ours.leaf);
        add_cert(&file, ours.middle);
        add_cert(&file, ours.root);
        b = must_read_text(&file);
        expect_words(rows[i].says, pem_bundle_lead(b, b, &err), &err, rows[i].words);
    }
}

static void a_damaged_key_is_refused_though_its_public_part_fits(void **state)
{
    autostrbuf struct strbuf file = { 0 };
    autobundle struct pem_bundle *b = NULL;
    struct error err = { 0 };

    (void)state;
    add_damaged_key(&file, ours.leaf_key);
    add_cert(&file, ours.leaf);
    b = must_read_text(&file);
    expect_words("damaged", pem_bundle_lead(b, b, &err), &err, "damaged");
}

static void add_encrypted(struct strbuf *out, bool old)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const unsigned char word[] = "word";

    if (old)
        assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, ours.leaf_key, EVP_aes_128_cbc(),
                                                              word, 4, NULL, NULL),
                         1);
    else
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, ours.leaf_key, EVP_aes_128_cbc(),
                                                       "word", 4, NULL, NULL),
                         1);
    add_bio(out, bio);
}

/* As wide as is asked for, though nobody looked for primes. */
static EVP_PKEY *wide_rsa(int bits)
{
    static const char *const numbers[] = {
        OSSL_PKEY_PARAM_RSA_N,
        OSSL_PKEY_PARAM_RSA_D,
        OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,
        OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2,
        OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *n = BN_new();
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params;

    assert_int_equal(BN_set_bit(n, bits - 1) && BN_set_bit(n, 0), 1);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        assert_int_equal(OSSL_PARAM_BLD_push_BN(build, numbers[i], n), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_ulong(build, OSSL_PKEY_PARAM_RSA_E, 65537), 1);
    params = OSSL_PARAM_BLD_to_param(build);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    return key;
}

static void add_foreign(struct strbuf *file, EVP_PKEY *key)
{
    add_pkcs8(file, key);
    EVP_PKEY_free(key);
}

static void add_key_case(struct strbuf *file, size_t which)
{
    switch (which) {
    case 0:
    case 1:
        add_encrypted(file, which);
        break;
    case 2:
        add_pkcs8(file, ours.leaf_key);
        add_pkcs8(file, ours.other_key);
        break;
    case 3:
        add_foreign(file, EVP_PKEY_Q_keygen(NULL, NULL, "ED448"));
        break;
    case 4:
        strbuf_add_text(file, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"
                              "-----END OPENSSH PRIVATE KEY-----\n");
        break;
    case 5:
        add_foreign(file, wide_rsa(PEM_RSA_BITS_MAX + 1));
        break;
    default:
        break;
    }
}

static void a_key_of_no_use_says_why_and_leaves_the_certificates_readable(void **state)
{
    static const char *const words[] = { "is encrypted",
                                         "is encrypted",
                                         "more than one private key",
                                         "neither RSA nor EC nor Ed25519",
                                         "OpenSSH",
                                         "more than 8192 bits",
                                         "holds no private key" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        autostrbuf struct strbuf file = { 0 };
        autostrbuf struct strbuf wanted = { 0 };
        autobundle struct pem_bundle *b = NULL;
        autosecret struct secret key = { 0 };
        struct error err = { 0 };

        add_key_case(&file, i);
        add_cert(&file, ours.leaf);
        add_cert(&wanted, ours.leaf);
        b = must_read_text(&file);
        expect_certificates(b, &wanted);
        expect_words(words[i], pem_bundle_key(b, &key, &err), &err, words[i]);
        assert_int_equal(key.len, 0);
    }
}

static void the_same_key_twice_is_one_key(void **state)
{
    autostrbuf struct strbuf file = { 0 };
    autostrbuf struct strbuf wanted = { 0 };
    autobundle struct pem_bundle *b = NULL;

    (void)state;
    add_pkcs8(&file, ours.leaf_key);
    add_traditional(&file, ours.leaf_key);
    add_traditional(&wanted, ours.leaf_key);
    b = must_read_text(&file);
    expect_key(b, &wanted, "twice");
}

#define MARK "c2VjcmV0LW1hcms"
static const struct {
    const char *says;
    const char *text;
    const char *words;
} refused[] = {
    { "nothing", "", "is empty" },
    { "a password", MARK, "is neither PEM nor PKCS#12" },
    { "a block without an end", "-----BEGIN CERTIFICATE-----\n" MARK "\n", "block 1 of the PEM" },
    { "a block of other letters",
      "-----BEGIN PRIVATE KEY-----\n" MARK "\x01\x02!\n-----END PRIVATE KEY-----\n",
      "block 1 of the PEM: is no PEM: cut off or damaged" },
    { "a certificate of noise",
      "-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n"
      "-----BEGIN CERTIFICATE-----\n" MARK "x\n-----END CERTIFICATE-----\n",
      "block 2 of the PEM: is not an X.509 certificate" },
    { "a key of noise", "-----BEGIN EC PRIVATE KEY-----\n" MARK "x\n-----END EC PRIVATE KEY-----\n",
      "block 1 of the PEM: is not a private key" },
    { "other blocks alone", "-----BEGIN " MARK "-----\nMAYCAQUCAQI=\n-----END " MARK "-----\n",
      "holds no certificate and no private key" },
    { "an end that does not fit",
      "-----BEGIN CERTIFICATE-----\nMAYCAQUCAQI=\n-----END " MARK "-----\n", "block 1 of the PEM" },
};

static void what_no_parser_takes_is_refused_without_a_word_of_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        autosecret struct secret file = secret_copy(refused[i].text, strlen(refused[i].text));
        autobundle struct pem_bundle *b = NULL;
        struct error err = { 0 };

        expect_words(refused[i].says, pem_bundle_read(&file, &b, &err), &err, refused[i].words);
        assert_null(b);
        assert_null(strstr(err.msg, MARK));
        assert_int_equal(ERR_peek_error(), 0);
    }
}

static void a_certificate_with_something_behind_it_is_refused(void **state)
{
    autostrbuf struct strbuf text = { 0 };
    autobundle struct pem_bundle *b = NULL;
    struct error err = { 0 };
    struct secret file;
    uint8_t der[2048] = { 0 };
    uint8_t *end = der;
    BIO *bio = BIO_new(BIO_s_mem());

    (void)state;
    assert_true(i2d_X509(ours.leaf, NULL) < (int)sizeof(der));
    assert_true(i2d_X509(ours.leaf, &end) > 0);
    assert_true(PEM_write_bio(bio, "CERTIFICATE", "", der, end - der + 1) > 0);
    add_bio(&text, bio);
    file = (struct secret){ .bytes = (uint8_t *)text.text, .len = text.len };
    expect_words("a byte more", pem_bundle_read(&file, &b, &err), &err,
                 "block 1 of the PEM: is not an X.509 certificate");
}

static void ceilings_hold(void **state)
{
    autostrbuf struct strbuf many = { 0 };
    autosecret struct secret large = { .bytes = xcalloc(1, PEM_BYTES_MAX + 1),
                                       .len = PEM_BYTES_MAX + 1 };
    struct secret file;
    autobundle struct pem_bundle *b = NULL;
    struct error err = { 0 };

    (void)state;
    expect_words("bytes", pem_bundle_read(&large, &b, &err), &err, "more than 1048576 bytes");
    for (int i = 0; i <= PEM_CERTIFICATES_MAX; i++)
        add_cert(&many, ours.lone);
    file = (struct secret){ .bytes = (uint8_t *)many.text, .len = many.len };
    expect_words("certificates", pem_bundle_read(&file, &b, &err), &err,
                 "block 513 of the PEM: holds more than 512 certificates");
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_written_in_the_form_of_its_kind),
        cmocka_unit_test(certificates_stay_in_their_order_without_what_stands_between),
        cmocka_unit_test(blocks_of_any_line_length_are_read),
        cmocka_unit_test(the_leaf_goes_first_and_its_issuers_follow),
        cmocka_unit_test(a_certificate_that_signed_itself_is_a_leaf_even_twice),
        cmocka_unit_test(a_key_that_is_not_of_the_leaf_is_refused),
        cmocka_unit_test(a_damaged_key_is_refused_though_its_public_part_fits),
        cmocka_unit_test(a_key_of_no_use_says_why_and_leaves_the_certificates_readable),
        cmocka_unit_test(the_same_key_twice_is_one_key),
        cmocka_unit_test(what_no_parser_takes_is_refused_without_a_word_of_it),
        cmocka_unit_test(a_certificate_with_something_behind_it_is_refused),
        cmocka_unit_test(ceilings_hold),
    };

    return cmocka_run_group_tests(tests, make_families, free_families);
}
