/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML: what the core schema makes of words, what is refused and where.
 */
#include "lib/base/json.h"
#include "lib/base/yaml.h"
#include "tests/check.h"

static const struct {
    const char *word;
    enum tree_kind kind;
} words[] = {
    { "null", TREE_NULL },
    { "~", TREE_NULL },
    { "Null", TREE_NULL },
    { "NULL", TREE_NULL },
    { "nULL", TREE_TEXT },
    { "true", TREE_BOOL },
    { "True", TREE_BOOL },
    { "FALSE", TREE_BOOL },
    { "tRue", TREE_TEXT },
    { "yes", TREE_TEXT },
    { "no", TREE_TEXT },
    { "on", TREE_TEXT },
    { "off", TREE_TEXT },
    { "y", TREE_TEXT },
    { "0", TREE_NUMBER },
    { "-12", TREE_NUMBER },
    { "+3", TREE_NUMBER },
    { "007", TREE_NUMBER },
    { "0o17", TREE_NUMBER },
    { "0o8", TREE_TEXT },
    { "0x1F", TREE_NUMBER },
    { "0x", TREE_TEXT },
    { "0xg", TREE_TEXT },
    { "1.5", TREE_NUMBER },
    { ".5", TREE_NUMBER },
    { "1.", TREE_NUMBER },
    { "1e3", TREE_NUMBER },
    { "1E-3", TREE_NUMBER },
    { "1e", TREE_TEXT },
    { "e3", TREE_TEXT },
    { ".inf", TREE_NUMBER },
    { "-.Inf", TREE_NUMBER },
    { "+.INF", TREE_NUMBER },
    { ".nan", TREE_NUMBER },
    { "-.nan", TREE_TEXT },
    { "+", TREE_TEXT },
    { ".", TREE_TEXT },
    { "1.2.3", TREE_TEXT },
    { "9007199254740993", TREE_NUMBER },
    { "12:30", TREE_TEXT },
    { "1_000", TREE_TEXT },
    { "2026-01-02", TREE_TEXT },
    { "'12'", TREE_TEXT },
    { "\"true\"", TREE_TEXT },
    { "''", TREE_TEXT },
    { "!!str 12", TREE_TEXT },
    { "!!int '12'", TREE_NUMBER },
    { "! '12'", TREE_TEXT },
    { "|\n  12\n", TREE_TEXT },
    { ">-\n  true\n", TREE_TEXT },
    { "", TREE_NULL },
    { "[]", TREE_LIST },
    { "{}", TREE_MAP },
    { "!!seq []", TREE_LIST },
};

static void words_are_resolved_by_the_core_schema(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        autofree char *text = str_printf("key: %s", words[i].word);
        struct tree *t autotree = NULL;
        struct error err = { 0 };

        if (yaml_parse(text, strlen(text), &t, &err) < 0)
            fail_msg("%s: %s", words[i].word, err.msg);
        if (tree_get(t, "key")->kind != words[i].kind)
            fail_msg("%s is %s", words[i].word, tree_kind_name(tree_get(t, "key")->kind));
    }
}

static const struct {
    const char *says;
    const char *text;
    const char *json;
} goods[] = {
    { "block style", "a:\n  - 1\n  - b: x\n    c: [p, 'q']\n",
      "{\"a\":[1,{\"b\":\"x\",\"c\":[\"p\",\"q\"]}]}" },
    { "a literal block keeps its lines", "a: |\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\"}" },
    { "a folded block", "a: >-\n  one\n  two\n", "{\"a\":\"one two\"}" },
    { "escapes in double quotes", "a: \"x\\ty\\u00e4\"", "{\"a\":\"x\\ty\xc3\xa4\"}" },
    { "numbers as written", "[9007199254740993, 1.50]", "[9007199254740993,1.50]" },
    { "keys of any scalar are text", "{1: a, true: b, '': c}",
      "{\"\":\"c\",\"1\":\"a\",\"true\":\"b\"}" },
    { "a quoted << is a key", "{'<<': 1}", "{\"\\u003c\\u003c\":1}" },
    { "comments are left out", "# x\na: 1 # y\n", "{\"a\":1}" },
    { "a byte order mark",
      "\xef\xbb\xbf"
      "a: 1\n",
      "{\"a\":1}" },
    { "line ends of other systems", "a: 1\r\nb: 2\r\n", "{\"a\":1,\"b\":2}" },
    { "an anchor that nobody uses", "a: &x 1\n", "{\"a\":1}" },
    { "nothing", "", "null" },
    { "a comment alone", "# nothing\n", "null" },
    { "JSON is YAML", "{\"a\": [true, null, \"b\"]}", "{\"a\":[true,null,\"b\"]}" },
    { "one document with marks", "---\na: 1\n...\n", "{\"a\":1}" },
};

static void good_text_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goods); i++) {
        struct tree *t autotree = NULL;
        struct strbuf out CLEANUP(strbuf_done) = { 0 };
        struct error err = { 0 };

        if (yaml_parse(goods[i].text, strlen(goods[i].text), &t, &err) < 0)
            fail_msg("%s: %s", goods[i].says, err.msg);
        json_write(&out, t);
        if (strcmp(strbuf_text(&out), goods[i].json) != 0)
            fail_msg("%s: %s", goods[i].says, strbuf_text(&out));
    }
}

static const struct {
    const char *says;
    const char *text;
    const char *told;
} bads[] = {
    { "a key twice", "a: 1\nb: 2\na: 3\n",
      "line 3 column 4: key \"a\" stands twice in one map: remove one" },
    { "a key twice, spelt in two ways", "{a: 1, \"\\x61\": 2}", "key \"a\" stands twice" },
    { "an alias", "a: &x 1\nb: *x\n", "line 2 column 4: an alias (*name): write the value out" },
    { "an alias as a key", "a: &x 1\n*x : 2\n",
      "line 2 column 1: a key must be a plain word or string" },
    { "a merge key", "<<: {a: 1}\n",
      "line 1 column 1: merge keys are not read: write the members out" },
    { "a map as a key", "{a: 1}: 2\n", "a key must be a plain word or string" },
    { "a list as a key", "? [a]\n: 2\n", "a key must be a plain word or string" },
    { "a tag of somebody's own", "a: !secret x\n", "line 1 column 4: an unknown tag: remove it" },
    { "binary", "a: !!binary aGk=\n", "an unknown tag: remove it" },
    { "a tag on a map", "!!set {a}\n", "an unknown tag: remove it" },
    { "a tag on a list", "!x [a]\n", "an unknown tag: remove it" },
    { "an escaped NUL", "a: \"x\\0y\"\n",
      "line 1 column 4: a NUL inside a value: it cannot be carried as text" },
    { "an escaped NUL in a key", "\"x\\0y\": a\n", "line 1 column 1: a NUL inside a key" },
    { "a tab as indentation", "a:\n\t- 1\n", "line 2 column 1: " },
    { "a list that does not end", "a: [1, 2\n", "line 2 column 1: " },
    { "a string that does not end", "a: 'x\n", "line 2 column 1: " },
    { "two documents", "a: 1\n---\nb: 2\n", "line 3: a second document: only one is read" },
    { "a control character", "a: 1\nb: \x01\n", "line 2 column 4: control characters" },
    { "bytes that are no UTF-8", "a: 1\n\n  \xff\n", "line 3 column 3: invalid leading UTF-8" },
};

static void bad_text_is_refused_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bads); i++) {
        struct tree *t autotree = NULL;
        struct error err = { 0 };

        if (yaml_parse(bads[i].text, strlen(bads[i].text), &t, &err) == 0)
            fail_msg("%s: was taken", bads[i].says);
        if (t || err.code != CODE_INVALID_ARGUMENT || !strstr(err.msg, bads[i].told))
            fail_msg("%s: %s", bads[i].says, err.msg);
    }
}

static void a_nul_byte_is_refused(void **state)
{
    struct tree *t autotree = NULL;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(yaml_parse("a: x\0y", 6, &t, &err), -1);
    assert_non_null(strstr(err.msg, "line 1 column 5: control characters"));
}

static void nodes_know_line_column_and_quotes(void **state)
{
    static const char text[] = "a:\n  - x\n  - 'y'\nb: true\n";
    struct tree *t autotree = NULL;
    const struct tree *c;

    (void)state;
    assert_int_equal(yaml_parse(text, strlen(text), &t, NULL), 0);
    c = tree_get(t, "a");
    assert_int_equal(c->line, 2);
    assert_int_equal(c->column, 3);
    assert_false(c->child->quoted);
    assert_true(c->child->next->quoted);
    assert_int_equal(c->child->next->line, 3);
    assert_int_equal(c->child->next->column, 5);
    c = tree_get(t, "b");
    assert_true(c->truth);
    assert_string_equal(c->text, "true");
}

static void documents_are_told_apart_and_empty_ones_left_out(void **state)
{
    static const char text[] = "---\n---\na: 1\n---\n# nothing\n---\n- 2\n...\n---\n''\n";
    struct tree *all autotree = NULL;

    (void)state;
    assert_int_equal(yaml_parse_all(text, strlen(text), &all, NULL), 0);
    assert_int_equal(all->kind, TREE_LIST);
    assert_int_equal(tree_count(all), 3);
    assert_int_equal(all->child->kind, TREE_MAP);
    assert_int_equal(all->child->next->kind, TREE_LIST);
    assert_int_equal(all->last->kind, TREE_TEXT);
}

/* Texts of many pieces: at the ceiling they are read, one more is refused. */
static void ceilings_are_errors(void **state)
{
    static const struct {
        const char *says;
        const char *open, *close;
        size_t most;
        const char *told;
    } rows[] = {
        { "depth in flow style", "[", "]", YAML_DEPTH_MAX, "nesting deeper than 64" },
        { "depth in block style", "- ", "", YAML_DEPTH_MAX, "nesting deeper than 64" },
        { "documents", "--- a\n", "", YAML_DOCUMENTS_MAX, "more than 1000 documents" },
        { "values", "- a\n", "", YAML_NODES_MAX - 1, "more than 200000 values" },
        { "bytes", " ", "", YAML_BYTES_MAX, "YAML of more than 4194304 bytes" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t extra = 0; extra < 2; extra++) {
            struct strbuf text CLEANUP(strbuf_done) = { 0 };
            struct tree *all autotree = NULL;
            struct error err = { 0 };

            for (size_t n = 0; n < rows[i].most + extra; n++)
                strbuf_add_text(&text, rows[i].open);
            for (size_t n = 0; n < rows[i].most + extra; n++)
                strbuf_add_text(&text, rows[i].close);
            if (yaml_parse_all(text.text, text.len, &all, &err) != (extra ? -1 : 0))
                fail_msg("%s: %zu over the ceiling: \"%s\"", rows[i].says, extra, err.msg);
            if (extra && !strstr(err.msg, rows[i].told))
                fail_msg("%s: %s", rows[i].says, err.msg);
        }
    }
}

static void errors_hold_no_value_of_the_text(void **state)
{
    static const char *const texts[] = { "a: hunter2\na: hunter2\n", "a: *hunter2\n",
                                         "a: !x hunter2\n",          "a: 'hunter2\n",
                                         "a: \"hunter2\\q\"\n",      "a: &x hunter2\nb: *x\n",
                                         "a: hunter2: b: c\n",       "a: \"hunter2\\0\"\n" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct tree *t autotree = NULL;
        struct error err = { 0 };

        assert_int_equal(yaml_parse(texts[i], strlen(texts[i]), &t, &err), -1);
        assert_null(strstr(err.msg, "hunter"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_resolved_by_the_core_schema),
        cmocka_unit_test(good_text_is_read),
        cmocka_unit_test(bad_text_is_refused_with_its_place),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(nodes_know_line_column_and_quotes),
        cmocka_unit_test(documents_are_told_apart_and_empty_ones_left_out),
        cmocka_unit_test(ceilings_are_errors),
        cmocka_unit_test(errors_hold_no_value_of_the_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
