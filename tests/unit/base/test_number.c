/* SPDX-License-Identifier: Apache-2.0
 *
 * test_number.c - whole numbers, and what only looks like one.
 */
#include "lib/base/number.h"
#include "tests/check.h"

static const struct {
    const char *says; /* shown when the row fails */
    const char *text;
    int64_t want; /* -7: must be refused */
} numbers[] = {
    { "zero", "0", 0 },
    { "the largest allowed", "1000", 1000 },
    { "the smallest allowed", "-5", -5 },
    { "leading zeros do not make it octal", "0010", 10 },
    { "one above the largest", "1001", -7 },
    { "one below the smallest", "-6", -7 },
    { "nothing", "", -7 },
    { "a sign alone", "-", -7 },
    { "a plus sign", "+1", -7 },
    { "a blank before", " 1", -7 },
    { "a blank behind", "1 ", -7 },
    { "two signs", "--1", -7 },
    { "a blank between", "- 1", -7 },
    { "a fraction", "1.0", -7 },
    { "an exponent", "1e2", -7 },
    { "hexadecimal", "0x10", -7 },
    { "more than 64 bits", "99999999999999999999", -7 },
    { "words", "many", -7 },
};

static void numbers_are_digits_within_both_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int64_t got = -7;

        if (number_parse(numbers[i].text, -5, 1000, &got, NULL) < 0)
            assert_int_equal(got, -7);
        if (got != numbers[i].want)
            fail_msg("%s: \"%s\" gave %lld", numbers[i].says, numbers[i].text, (long long)got);
    }
}

static void all_of_64_bits_is_a_number(void **state)
{
    int64_t got = 0;

    (void)state;
    assert_int_equal(number_parse("9223372036854775807", INT64_MIN, INT64_MAX, &got, NULL), 0);
    assert_true(got == INT64_MAX);
    assert_int_equal(number_parse("-9223372036854775808", INT64_MIN, INT64_MAX, &got, NULL), 0);
    assert_true(got == INT64_MIN);
}

static void the_error_names_text_and_ends(void **state)
{
    struct error err = { 0 };
    int64_t got = 0;

    (void)state;
    assert_int_equal(number_parse("512", 0, 511, &got, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_string_equal(err.msg, "\"512\" is no number from 0 to 511");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_digits_within_both_ends),
        cmocka_unit_test(all_of_64_bits_is_a_number),
        cmocka_unit_test(the_error_names_text_and_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
