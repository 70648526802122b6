/* SPDX-License-Identifier: Apache-2.0
 *
 * Secret bytes: copied, moved, compared, wiped; and sealed ones.
 */
/* WRAP: free */
#include "lib/base/sealed.h"
#include "lib/base/secret.h"
#include "tests/check.h"

void __real_free(void *p);
void __wrap_free(void *p);

static bool watching;
static size_t given_back;
static bool leaked;

void __wrap_free(void *p)
{
    if (p && watching) {
        given_back++;
        if (memcmp(p, "\0\0\0\0\0\0\0", 7) != 0)
            leaked = true;
    }
    __real_free(p);
}

static void watch(void)
{
    given_back = 0;
    leaked = false;
    watching = true;
}

static void expect_wiped(size_t blocks)
{
    watching = false;
    assert_int_equal(given_back, blocks);
    assert_false(leaked);
}

static void what_is_released_is_wiped(void **state)
{
    struct secret s = secret_copy("hunter2", 7);
    struct secret twin = secret_dup(&s);
    char *text = xstrdup("hunter2");
    char *other = xstrdup("hunter2");

    (void)state;
    watch();
    secret_done(&s);
    secret_done(&twin);
    wipe_free_text(text);
    wipe_text_at(&other);
    wipe_free(xmemdup("hunter2", 7), 7);
    expect_wiped(5);
    assert_null(s.bytes);
    assert_int_equal(s.len, 0);
    assert_null(other);
    secret_done(&s);
    wipe_free(NULL, 7);
    wipe_free_text(NULL);
}

static void moving_leaves_an_empty_one(void **state)
{
    struct secret s = secret_adopt(xmemdup("abc", 3), 3);
    struct secret moved CLEANUP(secret_done) = secret_take(&s);

    (void)state;
    assert_null(s.bytes);
    assert_int_equal(s.len, 0);
    assert_memory_equal(moved.bytes, "abc", 3);
}

static void nothing_is_copied_as_nothing(void **state)
{
    struct secret s = secret_copy("", 0);
    struct secret twin = secret_dup(&s);

    (void)state;
    assert_null(s.bytes);
    assert_null(twin.bytes);
}

static void secrets_are_the_same_by_every_byte(void **state)
{
    static const struct {
        const char *a, *b;
        size_t a_len, b_len;
        bool same;
    } rows[] = {
        { "abc", "abc", 3, 3, true },    { "abc", "abd", 3, 3, false },
        { "abc", "xbc", 3, 3, false },   { "abc", "abc", 3, 2, false },
        { "", "", 0, 0, true },          { "", "a", 0, 1, false },
        { "a\0b", "a\0c", 3, 3, false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct secret a CLEANUP(secret_done) = secret_copy(rows[i].a, rows[i].a_len);
        struct secret b CLEANUP(secret_done) = secret_copy(rows[i].b, rows[i].b_len);

        assert_int_equal(secret_same(&a, &b), rows[i].same);
    }
}

static void a_sealed_secret_lies_nowhere_and_opens_again(void **state)
{
    struct sealed s = { 0 };
    struct secret plain CLEANUP(secret_done) = { 0 };

    (void)state;
    assert_true(sealed_holds(&s, "", 0));
    sealed_set(&s, "first-secret", 12);
    sealed_set(&s, "hunter2-hunter2", 15);
    assert_memory_not_equal(s.pad, "hunter2-hunter2", 15);
    assert_memory_not_equal(s.masked, "hunter2-hunter2", 15);
    assert_true(sealed_holds(&s, "hunter2-hunter2", 15));
    assert_false(sealed_holds(&s, "hunter2-hunter3", 15));
    assert_false(sealed_holds(&s, "hunter2-hunter2", 14));
    plain = sealed_open(&s);
    assert_int_equal(plain.len, 15);
    assert_memory_equal(plain.bytes, "hunter2-hunter2", 15);
    watch();
    sealed_done(&s);
    expect_wiped(2);
    sealed_set(&s, "", 0);
    secret_done(&plain);
    plain = sealed_open(&s);
    assert_null(plain.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_released_is_wiped),
        cmocka_unit_test(moving_leaves_an_empty_one),
        cmocka_unit_test(nothing_is_copied_as_nothing),
        cmocka_unit_test(secrets_are_the_same_by_every_byte),
        cmocka_unit_test(a_sealed_secret_lies_nowhere_and_opens_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
