/* SPDX-License-Identifier: Apache-2.0
 *
 * The value tree: order, lookup, sorting, duplicates, and that nothing of it is left behind.
 */
#include "lib/base/tree.h"
#include "tests/check.h"

static struct tree *map_of(const char *const *keys, size_t count)
{
    struct tree *map = tree_new(TREE_MAP, NULL, 0);

    for (size_t i = 0; i < count; i++)
        tree_add(map, keys[i], tree_new(TREE_TEXT, keys[i], strlen(keys[i])));
    return map;
}

static void children_stay_in_the_order_added(void **state)
{
    static const char *const keys[] = { "b", "a", "c" };
    struct tree *map autotree = map_of(keys, COUNT_OF(keys));
    const struct tree *c = map->child;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++, c = c->next)
        assert_string_equal(c->key, keys[i]);
    assert_null(c);
    assert_int_equal(tree_count(map), 3);
    assert_int_equal(tree_count(NULL), 0);
}

static void members_are_found_by_their_exact_key(void **state)
{
    static const char *const keys[] = { "a", "A", "" };
    struct tree *map autotree = map_of(keys, COUNT_OF(keys));
    struct tree *text autotree = tree_new(TREE_TEXT, "a", 1);

    (void)state;
    assert_string_equal(tree_get_text(map, "A"), "A");
    assert_string_equal(tree_get_text(map, ""), "");
    assert_null(tree_get(map, "aa"));
    assert_null(tree_get(text, "a"));
    assert_null(tree_get(NULL, "a"));
    tree_add(map, "number", tree_new(TREE_NUMBER, "1", 1));
    assert_non_null(tree_get(map, "number"));
    assert_null(tree_get_text(map, "number"));
}

static void sorting_is_by_bytes(void **state)
{
    static const char *const keys[] = { "b", "\xc3\xa4", "B", "", "aa", "a" };
    static const char *const sorted[] = { "", "B", "a", "aa", "b", "\xc3\xa4" };
    struct tree *map autotree = map_of(keys, COUNT_OF(keys));
    size_t count = 0;
    autofree const struct tree **got = tree_sorted(map, &count);

    (void)state;
    assert_int_equal(count, COUNT_OF(sorted));
    for (size_t i = 0; i < count; i++)
        assert_string_equal(got[i]->key, sorted[i]);
}

static void a_key_that_stands_twice_is_found(void **state)
{
    static const char *const keys[] = { "x", "b", "a", "b" };
    struct tree *twice autotree = map_of(keys, 4);
    struct tree *once autotree = map_of(keys, 3);
    struct tree *none autotree = map_of(keys, 0);

    (void)state;
    assert_ptr_equal(tree_duplicate(twice), twice->last);
    assert_null(tree_duplicate(once));
    assert_null(tree_duplicate(none));
}

static void text_may_be_any_bytes_and_ends_in_nul(void **state)
{
    struct tree *t autotree = tree_new(TREE_TEXT, "abc", 2);
    struct tree *none autotree = tree_new(TREE_NULL, NULL, 0);

    (void)state;
    assert_string_equal(t->text, "ab");
    assert_int_equal(t->text_len, 2);
    assert_null(none->text);
}

static void every_kind_has_a_name(void **state)
{
    (void)state;
    for (int kind = TREE_NULL; kind <= TREE_MAP; kind++)
        assert_true(strlen(tree_kind_name((enum tree_kind)kind)) > 3);
    assert_string_equal(tree_kind_name(TREE_TEXT), "a string");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_stay_in_the_order_added),
        cmocka_unit_test(members_are_found_by_their_exact_key),
        cmocka_unit_test(sorting_is_by_bytes),
        cmocka_unit_test(a_key_that_stands_twice_is_found),
        cmocka_unit_test(text_may_be_any_bytes_and_ends_in_nul),
        cmocka_unit_test(every_kind_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
