/* SPDX-License-Identifier: Apache-2.0
 *
 * The growing byte string: growth, ceilings, wiping.
 */
/* WRAP: free */
#include "lib/base/strbuf.h"
#include "tests/check.h"

void __real_free(void *p);
void __wrap_free(void *p);

static const char *watched; /* looked for in every block that is given back */
static size_t watched_room;
static bool leaked;

void __wrap_free(void *p)
{
    if (p && watched && memmem(p, watched_room, watched, strlen(watched)))
        leaked = true;
    __real_free(p);
}

static void it_grows_and_is_always_a_string(void **state)
{
    struct strbuf b CLEANUP(strbuf_done) = { 0 };
    size_t wanted = 0;

    (void)state;
    assert_string_equal(strbuf_text(&b), "");
    for (int i = 0; i < 1000; i++) {
        strbuf_add_char(&b, 'a');
        strbuf_add_text(&b, "bc");
        strbuf_printf(&b, "%03d", i);
        strbuf_add(&b, "\0", 1);
        wanted += 7;
        assert_int_equal(b.len, wanted);
        assert_int_equal(b.text[b.len], '\0');
    }
    assert_memory_equal(b.text + 6 * 7, "abc006\0abc007", 13);
    assert_false(b.overflow);
    strbuf_add(&b, NULL, 0);
    assert_int_equal(b.len, wanted);
}

static void above_the_ceiling_nothing_is_added_any_more(void **state)
{
    struct strbuf b CLEANUP(strbuf_done) = { .ceiling = 5 };

    (void)state;
    strbuf_add_text(&b, "abcde");
    assert_false(b.overflow);
    strbuf_add_text(&b, "f");
    assert_true(b.overflow);
    assert_string_equal(strbuf_text(&b), "abcde");
    strbuf_reset(&b);
    assert_false(b.overflow);
    strbuf_printf(&b, "%s", "abcdef");
    assert_true(b.overflow);
    strbuf_add_text(&b, "a");
    assert_int_equal(b.len, 0);
    strbuf_done(&b);
    assert_int_equal(b.ceiling, 5);
    strbuf_add(&b, "x", SIZE_MAX);
    assert_true(b.overflow);
}

static void there_is_a_ceiling_without_asking(void **state)
{
    struct strbuf b CLEANUP(strbuf_done) = { 0 };
    autofree char *block = xcalloc(1, STRBUF_CEILING);

    (void)state;
    strbuf_add(&b, block, STRBUF_CEILING);
    assert_false(b.overflow);
    strbuf_add_char(&b, 'x');
    assert_true(b.overflow);
}

static void content_can_be_moved_out(void **state)
{
    struct strbuf b CLEANUP(strbuf_done) = { .sensitive = true, .ceiling = 100 };
    autowipe char *text = NULL;
    autofree char *empty = NULL;
    struct secret s CLEANUP(secret_done) = { 0 };
    struct secret none CLEANUP(secret_done) = { 0 };

    (void)state;
    strbuf_add_text(&b, "abc");
    text = strbuf_take(&b);
    assert_string_equal(text, "abc");
    assert_null(b.text);
    assert_true(b.sensitive);
    empty = strbuf_take(&b);
    assert_string_equal(empty, "");
    strbuf_add_text(&b, "secret");
    s = strbuf_take_secret(&b);
    assert_int_equal(s.len, 6);
    assert_memory_equal(s.bytes, "secret", 6);
    strbuf_add_text(&b, "x");
    strbuf_reset(&b);
    none = strbuf_take_secret(&b);
    assert_null(none.bytes);
    assert_null(b.text);
}

static void a_sensitive_one_leaves_nothing_behind(void **state)
{
    struct strbuf b = { .sensitive = true };
    struct secret s;

    (void)state;
    leaked = false;
    watched = "hunter2";
    watched_room = 64; /* the first room */
    strbuf_add_text(&b, "hunter2");
    while (b.room == 64)
        strbuf_add_char(&b, '.'); /* until it moves */
    watched_room = 128;
    strbuf_done(&b);
    strbuf_add_text(&b, "hunter2");
    strbuf_reset(&b);
    assert_null(memmem(b.text, b.room, "hunter2", 7));
    watched_room = 64;
    strbuf_done(&b);
    strbuf_add_text(&b, "hunter2");
    s = strbuf_take_secret(&b);
    watched_room = 7;
    secret_done(&s);
    watched = NULL;
    assert_false(leaked);
}

/* That the test above would see it. */
static void one_that_is_not_sensitive_is_not_wiped(void **state)
{
    struct strbuf b = { 0 };

    (void)state;
    leaked = false;
    watched = "hunter2";
    watched_room = 64;
    strbuf_add_text(&b, "hunter2");
    strbuf_done(&b);
    watched = NULL;
    assert_true(leaked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_and_is_always_a_string),
        cmocka_unit_test(above_the_ceiling_nothing_is_added_any_more),
        cmocka_unit_test(there_is_a_ceiling_without_asking),
        cmocka_unit_test(content_can_be_moved_out),
        cmocka_unit_test(a_sensitive_one_leaves_nothing_behind),
        cmocka_unit_test(one_that_is_not_sensitive_is_not_wiped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
