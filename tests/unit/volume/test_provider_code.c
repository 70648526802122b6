/* SPDX-License-Identifier: Apache-2.0
 *
 * Which codes of providers become words of our metrics.
 */
#include <stdbool.h>
#include <string.h>

#include "driver/volume/provider_code.h"
#include "lib/base/cleanup.h"
#include "tests/check.h"

#define SIXTY_THREE "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789."

static const struct {
    const char *code;
    bool taken;
} rows[] = {
    { "TooBad", true },
    { "AADSTS700016", true },
    { "rpc.code-5_x", true },
    { SIXTY_THREE, true },
    { "", false },
    { SIXTY_THREE "4", false },
    { "two words", false },
    { "line\nbreak", false },
    { "a\"b", false },
    { "{label}", false },
    { "\xc3\xa9", false },
    { "TokenMismatch", false }, /* ours: the audit would call it a denial */
    { "AttributeOverride", false },
    { "GRPCProviderError", false },
    { "ProviderNotFound", false },
};

static void a_word_is_taken_as_it_is_and_all_else_is_a_provider_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_string_equal(provider_code_reason(rows[i].code),
                            rows[i].taken ? rows[i].code : PROVIDER_ERROR);
}

static void a_code_is_the_same_text_each_time(void **state)
{
    autofree char *copy = xstrdup("TooBad");

    (void)state;
    assert_ptr_equal(provider_code_reason(copy), provider_code_reason("TooBad"));
    assert_ptr_not_equal(provider_code_reason(copy), copy);
}

/* Last: the room is used up for good. */
static void a_provider_that_makes_codes_up_fills_no_metric(void **state)
{
    size_t taken = 0;

    (void)state;
    for (int i = 0; i < 10 * PROVIDER_CODES_MAX; i++) {
        autofree char *code = str_printf("Code%d", i);

        taken += strcmp(provider_code_reason(code), code) == 0;
    }
    assert_true(taken > 0 && taken < PROVIDER_CODES_MAX);
    assert_string_equal(provider_code_reason("TooBad"), "TooBad"); /* known before */
    assert_string_equal(provider_code_reason("OneMore"), PROVIDER_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_taken_as_it_is_and_all_else_is_a_provider_error),
        cmocka_unit_test(a_code_is_the_same_text_each_time),
        cmocka_unit_test(a_provider_that_makes_codes_up_fills_no_metric),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
