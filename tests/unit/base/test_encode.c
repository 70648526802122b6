/* SPDX-License-Identifier: Apache-2.0
 *
 * base64, hex, percent encoding, UTF-8 and CRC-32 against known values (RFC 4648, RFC 3986).
 */
#include "lib/base/encode.h"
#include "tests/check.h"

static const struct {
    enum base64_alphabet alphabet;
    const char *plain;
    const char *coded;
} pairs[] = {
    { BASE64_STD, "", "" },
    { BASE64_STD, "f", "Zg==" },
    { BASE64_STD, "fo", "Zm8=" },
    { BASE64_STD, "foo", "Zm9v" },
    { BASE64_STD, "foob", "Zm9vYg==" },
    { BASE64_STD, "fooba", "Zm9vYmE=" },
    { BASE64_STD, "foobar", "Zm9vYmFy" },
    { BASE64_STD, "\xfb\xff\xfe", "+//+" },
    { BASE64_URL, "\xfb\xff\xfe", "-__-" },
    { BASE64_URL, "f", "Zg==" },
    { BASE64_URL_RAW, "f", "Zg" },
    { BASE64_URL_RAW, "fo", "Zm8" },
    { BASE64_URL_RAW, "foo", "Zm9v" },
    { BASE64_URL_RAW, "", "" },
};

static void base64_goes_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct strbuf out CLEANUP(strbuf_done) = { 0 };
        struct secret plain CLEANUP(secret_done) = { 0 };
        struct secret wanted CLEANUP(secret_done) =
            secret_copy(pairs[i].plain, strlen(pairs[i].plain));
        struct error err = { 0 };

        base64_encode(pairs[i].alphabet, &out, pairs[i].plain, strlen(pairs[i].plain));
        assert_string_equal(strbuf_text(&out), pairs[i].coded);
        if (base64_decode(pairs[i].alphabet, pairs[i].coded, strlen(pairs[i].coded), &plain, &err) <
            0)
            fail_msg("%s: %s", pairs[i].coded, err.msg);
        assert_true(secret_same(&plain, &wanted));
    }
}

static const struct {
    const char *says;
    enum base64_alphabet alphabet;
    const char *text;
} bads[] = {
    { "padding missing", BASE64_STD, "Zg" },
    { "padding where none belongs", BASE64_URL_RAW, "Zg==" },
    { "too much padding", BASE64_STD, "Zg===" },
    { "three marks of padding", BASE64_STD, "Z===" },
    { "padding alone", BASE64_STD, "====" },
    { "padding inside", BASE64_STD, "Zg==Zg==" },
    { "one letter", BASE64_URL_RAW, "Z" },
    { "five letters", BASE64_URL_RAW, "Zm9vY" },
    { "letters of the other alphabet", BASE64_STD, "-__-" },
    { "letters of the other alphabet", BASE64_URL, "+//+" },
    { "white space", BASE64_STD, "Zm9 " },
    { "a line break", BASE64_STD, "Zm9v\n" },
    { "last bits that are not zero", BASE64_STD, "Zh==" },
    { "last bits that are not zero", BASE64_STD, "Zm9=" },
    { "last bits that are not zero", BASE64_URL_RAW, "Zh" },
};

static void base64_that_is_not_canonical_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bads); i++) {
        struct secret plain CLEANUP(secret_done) = { 0 };
        struct error err = { 0 };

        if (base64_decode(bads[i].alphabet, bads[i].text, strlen(bads[i].text), &plain, &err) == 0)
            fail_msg("%s: %s was taken", bads[i].says, bads[i].text);
        assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
        assert_null(plain.bytes);
    }
}

static void a_nul_byte_is_no_letter(void **state)
{
    struct secret plain CLEANUP(secret_done) = { 0 };

    (void)state;
    assert_int_equal(base64_decode(BASE64_STD, "Zm9\0", 4, &plain, NULL), -1);
    assert_int_equal(hex_decode("1\0", 2, &plain, NULL), -1);
    assert_int_equal(hex_decode("\0001", 2, &plain, NULL), -1);
}

/* An output is set on every success: a caller's variable need not be empty before. */
static void decoding_nothing_gives_an_empty_secret(void **state)
{
    struct secret plain = { .bytes = (uint8_t *)"x", .len = 1 };

    (void)state;
    assert_int_equal(base64_decode(BASE64_STD, "", 0, &plain, NULL), 0);
    assert_null(plain.bytes);
    plain.bytes = (uint8_t *)"x";
    assert_int_equal(hex_decode("", 0, &plain, NULL), 0);
    assert_null(plain.bytes);
    assert_int_equal(plain.len, 0);
}

static void hex_goes_both_ways(void **state)
{
    static const uint8_t bytes[] = { 0x00, 0x1f, 0xa0, 0xff };
    struct secret plain CLEANUP(secret_done) = { 0 };
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    (void)state;
    hex_encode(&out, bytes, sizeof(bytes));
    assert_string_equal(out.text, "001fa0ff");
    assert_int_equal(hex_decode("001FA0fF", 8, &plain, NULL), 0);
    assert_int_equal(plain.len, 4);
    assert_memory_equal(plain.bytes, bytes, 4);
    secret_done(&plain);
    assert_int_equal(hex_decode("001", 3, &plain, NULL), -1);
    assert_int_equal(hex_decode("0g", 2, &plain, NULL), -1);
    assert_int_equal(hex_decode("g0", 2, &plain, NULL), -1);
    assert_int_equal(hex_decode("0x", 2, &plain, NULL), -1);
}

static void urls_keep_only_unreserved_characters(void **state)
{
    static const struct {
        const char *text;
        bool keep_slash;
        const char *coded;
    } rows[] = {
        { "aZ09-._~", false, "aZ09-._~" },
        { "a/b", true, "a/b" },
        { "a/b", false, "a%2Fb" },
        { " +%&=?#", true, "%20%2B%25%26%3D%3F%23" },
        { "\xc3\xa4", true, "%C3%A4" },
        { "", true, "" },
        { "!*'()", true, "%21%2A%27%28%29" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct strbuf out CLEANUP(strbuf_done) = { 0 };

        url_encode(&out, rows[i].text, rows[i].keep_slash);
        assert_string_equal(strbuf_text(&out), rows[i].coded);
    }
}

static const struct {
    const char *bytes;
    bool valid;
} utf8s[] = {
    { "", true },
    { "a\x7f", true },
    { "\xc2\x80", true },
    { "\xdf\xbf", true },
    { "\xe0\xa0\x80", true },
    { "\xed\x9f\xbf", true },
    { "\xee\x80\x80", true },
    { "\xf0\x90\x80\x80", true },
    { "\xf4\x8f\xbf\xbf", true },
    { "\x80", false },
    { "\xc0\x80", false },
    { "\xc1\xbf", false },
    { "\xc2", false },
    { "\xc2\xc2", false },
    { "\xe0\x9f\xbf", false },
    { "\xed\xa0\x80", false },
    { "\xe2\x82", false },
    { "\xe2\x82\x41", false },
    { "\xf0\x8f\xbf\xbf", false },
    { "\xf4\x90\x80\x80", false },
    { "\xf0\x9f\x98", false },
    { "\xf0\x9f\x98\x41", false },
    { "\xf5\x80\x80\x80", false },
    { "\xff", false },
    { "ok\xfe", false },
};

static void utf8_is_judged_by_table_3_7(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(utf8s); i++)
        if (utf8_is_valid(utf8s[i].bytes, strlen(utf8s[i].bytes)) != utf8s[i].valid)
            fail_msg("row %zu is not %s", i, utf8s[i].valid ? "valid" : "refused");
    assert_int_equal(utf8_next("\xe2\x82\xac"
                               "a",
                               4),
                     3);
}

static void crc_32_is_the_one_of_ethernet_and_goes_on(void **state)
{
    (void)state;
    assert_int_equal(crc32_update(0, "", 0), 0);
    assert_int_equal(crc32_update(0, "123456789", 9), 0xcbf43926U);
    assert_int_equal(crc32_update(crc32_update(0, "1234", 4), "56789", 5), 0xcbf43926U);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_goes_both_ways),
        cmocka_unit_test(base64_that_is_not_canonical_is_refused),
        cmocka_unit_test(a_nul_byte_is_no_letter),
        cmocka_unit_test(decoding_nothing_gives_an_empty_secret),
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(urls_keep_only_unreserved_characters),
        cmocka_unit_test(utf8_is_judged_by_table_3_7),
        cmocka_unit_test(crc_32_is_the_one_of_ethernet_and_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
