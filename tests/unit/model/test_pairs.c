/* SPDX-License-Identifier: Apache-2.0
 *
 * The sorted map of text to text.
 */
#include "lib/model/nearest.h"
#include "lib/model/pairs.h"
#include "tests/check.h"

static void keys_are_sorted_unique_and_found(void **state)
{
    struct pairs p CLEANUP(pairs_done) = { 0 };
    struct pairs copy CLEANUP(pairs_done) = { 0 };
    static const char *const keys[] = { "m", "a", "z", "b", "Z", "" };

    (void)state;
    assert_null(pairs_get(&p, "a"));
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        pairs_set(&p, keys[i], "first");
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        pairs_set(&p, keys[i], keys[i]);
    assert_int_equal(p.count, COUNT_OF(keys));
    pairs_copy(&copy, &p);
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        assert_string_equal(pairs_get(&copy, keys[i]), keys[i]);
    for (size_t i = 1; i < copy.count; i++)
        assert_true(strcmp(copy.items[i - 1].key, copy.items[i].key) < 0);
    assert_null(pairs_get(&copy, "c"));
}

static void json_is_what_go_writes(void **state)
{
    struct pairs p CLEANUP(pairs_done) = { 0 };
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    (void)state;
    pairs_json(&p, &out);
    pairs_set(&p, "b", "<\n\"");
    pairs_set(&p, "a", "");
    pairs_json(&p, &out);
    assert_string_equal(strbuf_text(&out), "{}{\"a\":\"\",\"b\":\"\\u003c\\n\\\"\"}");
}

static void a_misspelt_name_finds_its_nearest(void **state)
{
    static const char *const names[] = { "objectName", "objectAlias", "objectVersion", "key" };
    static const struct {
        const char *wanted;
        const char *found;
    } rows[] = {
        { "objectname", "objectName" },
        { "objetName", "objectName" },
        { "objectAlais", "objectAlias" },
        { "kye", NULL },
        { "keys", "key" },
        { "somethingElse", NULL },
        { "", NULL },
        { "a-name-that-is-longer-than-any-name-that-could-be-offered-here", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct nearest n = { .wanted = rows[i].wanted };

        for (size_t k = 0; k < COUNT_OF(names); k++)
            nearest_offer(&n, names[k]);
        if (!str_same(n.found, rows[i].found))
            fail_msg("%s found %s", rows[i].wanted, n.found ? n.found : "nothing");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_sorted_unique_and_found),
        cmocka_unit_test(json_is_what_go_writes),
        cmocka_unit_test(a_misspelt_name_finds_its_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
