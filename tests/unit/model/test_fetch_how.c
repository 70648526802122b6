/* SPDX-License-Identifier: Apache-2.0
 *
 * What a provider tells of a fetch, and what is taken of it on the other side.
 */
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/model/fetch_how.h"
#include "tests/check.h"

#define UUID "1f0e8c1a-0d5c-4a5e-9d0e-2b1f3f6f7a10"

static void hand_over(void *arg, const char *key, const char *value)
{
    fetch_how_take(arg, key, value);
}

static void all_that_is_told_arrives_as_it_was(void **state)
{
    struct fetch_how how = { .calls = 3,
                             .logins = 1,
                             .logins_failed = 2,
                             .leases = 4,
                             .leases_kept = 5,
                             .leases_failed = 6,
                             .expires_at_unix_ms = INT64_MAX,
                             .own_versions = 1 };
    struct fetch_how got = { 0 };

    (void)state;
    fetch_how_text(how.store, "https://vault:8200 (namespace team)");
    fetch_how_text(how.auth_method, "auth/kubernetes");
    fetch_how_text(how.role, "app");
    fetch_how_add(how.request, UUID);
    fetch_how_each(&how, hand_over, &got);
    assert_memory_equal(&how, &got, sizeof(how));
}

static void whoever_names_no_store_tells_nothing(void **state)
{
    const struct fetch_how how = { .calls = 3 };
    const struct fetch_how nothing = { 0 };
    struct fetch_how got = { 0 };

    (void)state;
    fetch_how_each(&how, hand_over, &got);
    assert_memory_equal(&got, &nothing, sizeof(got));
}

#define SIXTEEN "0123456789abcdef"
#define TOO_LONG                                                                                   \
    SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN        \
        SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN

static const struct {
    const char *key;
    const char *value;
} refused[] = {
    { "locket-store", "two\nlines" },
    { "locket-store", "\x1b[31mred" },
    { "locket-role", "r\xc3\xb6le" },
    { "locket-request", TOO_LONG },
    { "locket-logins", "-1" },
    { "locket-logins", "many" },
    { "locket-logins", "" },
    { "locket-logins", "9223372036854775808" },
    { "locket-token", "a key that nobody knows" },
    { "", "" },
};

static void what_does_not_fit_is_left_out(void **state)
{
    const struct fetch_how nothing = { 0 };
    struct fetch_how got = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        fetch_how_take(&got, refused[i].key, refused[i].value);
        if (memcmp(&got, &nothing, sizeof(got)) != 0)
            fail_msg("%s: %s is taken", refused[i].key, refused[i].value);
    }
}

static void a_text_is_made_printable_and_cut(void **state)
{
    char slot[FETCH_HOW_TEXT_MAX];

    (void)state;
    fetch_how_text(slot, "a\nb\xff");
    assert_string_equal(slot, "a?b?");
    fetch_how_text(slot, TOO_LONG);
    assert_int_equal(strlen(slot), FETCH_HOW_TEXT_MAX - 1);
    fetch_how_text(slot, NULL);
    assert_string_equal(slot, "");
}

static void ids_are_listed_once_and_whole(void **state)
{
    char slot[FETCH_HOW_TEXT_MAX] = "";

    (void)state;
    fetch_how_add(slot, "r-12");
    fetch_how_add(slot, "r-1");
    fetch_how_add(slot, "r-12");
    fetch_how_add(slot, "");
    fetch_how_add(slot, "no id");
    fetch_how_add(slot, "a,b");
    assert_string_equal(slot, "r-12,r-1");
    for (int i = 0; i < 20; i++) {
        autofree char *id = str_printf(UUID "-%d", i);

        fetch_how_add(slot, id);
    }
    assert_true(strlen(slot) < FETCH_HOW_TEXT_MAX);
    assert_string_equal(strrchr(slot, ',') + 1, UUID "-5");
}

static void the_first_expiry_counts(void **state)
{
    struct fetch_how how = { 0 };

    (void)state;
    fetch_how_expires(&how, 20);
    fetch_how_expires(&how, 10);
    fetch_how_expires(&how, 30);
    assert_int_equal(how.expires_at_unix_ms, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_told_arrives_as_it_was),
        cmocka_unit_test(whoever_names_no_store_tells_nothing),
        cmocka_unit_test(what_does_not_fit_is_left_out),
        cmocka_unit_test(a_text_is_made_printable_and_cut),
        cmocka_unit_test(ids_are_listed_once_and_whole),
        cmocka_unit_test(the_first_expiry_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
