/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests against published vectors (FIPS 180-4, RFC 4231, RFC 5869); random bytes that differ.
 */
#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "tests/check.h"

static void expect_hex(const uint8_t digest[SHA256_BYTES], const char *hex)
{
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    hex_encode(&out, digest, SHA256_BYTES);
    assert_string_equal(strbuf_text(&out), hex);
}

static void sha256_gives_the_published_digests(void **state)
{
    uint8_t digest[SHA256_BYTES];

    (void)state;
    assert_int_equal(sha256("abc", 3, digest, NULL), 0);
    expect_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(sha256(NULL, 0, digest, NULL), 0);
    expect_hex(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void hmac_gives_the_published_digests(void **state)
{
    static const struct {
        const char *key;
        const char *text;
        const char *hex;
    } rows[] = {
        { "Jefe", "what do ya want for nothing?",
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
        { "", "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct secret key CLEANUP(secret_done) = secret_copy(rows[i].key, strlen(rows[i].key));
        uint8_t digest[SHA256_BYTES];
        struct error err = { 0 };

        if (hmac_sha256(&key, rows[i].text, strlen(rows[i].text), digest, &err) < 0)
            fail_msg("key \"%s\": %s", rows[i].key, err.msg);
        expect_hex(digest, rows[i].hex);
    }
}

static void a_key_for_one_use_is_the_published_one(void **state)
{
    static const char key22[] = "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
                                "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b";
    static const struct {
        const char *key;
        const char *use;
        size_t len;
        const char *hex;
    } rows[] = {
        { key22, "", 42,
          "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8" },
        { "Jefe", "one use", 32,
          "4fbde1ad63357580f7ffbe00f0402f3ccb3843182e9938e6fb9b7f0120289bd4" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct secret key CLEANUP(secret_done) = secret_copy(rows[i].key, strlen(rows[i].key));
        struct secret made CLEANUP(secret_done) = { 0 };
        struct strbuf hex CLEANUP(strbuf_done) = { 0 };
        struct error err = { 0 };

        if (hkdf_sha256(&key, rows[i].use, rows[i].len, &made, &err) < 0)
            fail_msg("%s", err.msg);
        hex_encode(&hex, made.bytes, made.len);
        assert_string_equal(strbuf_text(&hex), rows[i].hex);
    }
}

static void keys_for_two_uses_differ(void **state)
{
    struct secret key CLEANUP(secret_done) = secret_copy("Jefe", 4);
    struct secret one CLEANUP(secret_done) = { 0 };
    struct secret two CLEANUP(secret_done) = { 0 };

    (void)state;
    assert_int_equal(hkdf_sha256(&key, "one use", SHA256_BYTES, &one, NULL), 0);
    assert_int_equal(hkdf_sha256(&key, "another", SHA256_BYTES, &two, NULL), 0);
    assert_false(secret_same(&one, &two));
    assert_false(secret_same(&one, &key));
}

static void random_bytes_differ_and_fill_all(void **state)
{
    uint8_t a[64] = { 0 };
    uint8_t b[64] = { 0 };

    (void)state;
    assert_int_equal(random_bytes(a, sizeof(a), NULL), 0);
    assert_int_equal(random_bytes(b, sizeof(b), NULL), 0);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a + 48, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(random_bytes(NULL, 0, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_digests),
        cmocka_unit_test(hmac_gives_the_published_digests),
        cmocka_unit_test(a_key_for_one_use_is_the_published_one),
        cmocka_unit_test(keys_for_two_uses_differ),
        cmocka_unit_test(random_bytes_differ_and_fill_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
