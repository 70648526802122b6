/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict JSON: what is taken, what is refused and where, and what is written.
 */
#include "lib/base/json.h"
#include "tests/check.h"

static int parse(const char *text, struct tree **ret, struct error *err)
{
    return json_parse(text, strlen(text), ret, err);
}

static const struct {
    const char *says;
    const char *text;
    const char *written;
} goods[] = {
    { "null alone", "null", "null" },
    { "white space around and within", " \t\r\n[ true , false ]\n", "[true,false]" },
    { "an integer that a double cannot hold", "9007199254740993", "9007199254740993" },
    { "numbers stay as written", "[-0,1.50,1E+2,1e-7,0]", "[-0,1.50,1E+2,1e-7,0]" },
    { "keys are written sorted", "{\"b\":1,\"a\":{\"d\":[],\"c\":{}}}",
      "{\"a\":{\"c\":{},\"d\":[]},\"b\":1}" },
    { "keys that differ by case", "{\"a\":1,\"A\":2}", "{\"A\":2,\"a\":1}" },
    { "the same key in two maps", "[{\"a\":1},{\"a\":1}]", "[{\"a\":1},{\"a\":1}]" },
    { "an empty key", "{\"\":\"\"}", "{\"\":\"\"}" },
    { "escapes are resolved", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
      "\"\\\"\\\\/\\b\\f\\n\\r\\tA\"" },
    { "a surrogate pair", "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"" },
    { "an escaped control character", "\"\\u0001\"", "\"\\u0001\"" },
    { "what Go escapes", "\"<a&b>\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\"",
      "\"\\u003ca\\u0026b\\u003e\\u2028\\u2029\xe2\x80\xaa\"" },
};

static void good_text_is_read_and_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(goods); i++) {
        struct tree *t autotree = NULL;
        struct strbuf out CLEANUP(strbuf_done) = { 0 };
        struct error err = { 0 };

        if (parse(goods[i].text, &t, &err) < 0)
            fail_msg("%s: %s", goods[i].says, err.msg);
        json_write(&out, t);
        if (strcmp(strbuf_text(&out), goods[i].written) != 0)
            fail_msg("%s: %s", goods[i].says, strbuf_text(&out));
    }
}

static const struct {
    const char *says;
    const char *text;
    const char *told; /* end of the message */
} bads[] = {
    { "nothing", "", "line 1 column 1: the text ends too early" },
    { "two values", "1 2", "line 1 column 3: more text after the value" },
    { "an end of a map without one", "{}}", "line 1 column 3: more text after the value" },
    { "a comma too many", "[1,]", "line 1 column 4: a value is expected" },
    { "a comma too few", "[1 2]", "line 1 column 4: ',' or the end of a list or map is expected" },
    { "a list that ends as a map", "[1}",
      "line 1 column 3: ',' or the end of a list or map is expected" },
    { "a key without quotes", "{a:1}", "line 1 column 2: a string is expected" },
    { "a key without a value", "{\"a\"}", "line 1 column 5: ':' is expected after a key" },
    { "text that ends in a map", "{\"a\":", "line 1 column 6: the text ends too early" },
    { "a word of other languages", "\n nil", "line 2 column 2: a value is expected" },
    { "half a word", "tru", "line 1 column 1: a value is expected" },
    { "NaN", "NaN", "column 1: a value is expected" },
    { "a plus sign", "+1", "column 1: a value is expected" },
    { "a leading zero", "01", "column 2: more text after the value" },
    { "a minus alone", "-", "column 2: a value is expected" },
    { "a point without digits", "1.", "column 3: digits are expected after the point" },
    { "a point at first", ".5", "column 1: a value is expected" },
    { "an exponent without digits", "1e+", "column 4: digits are expected in the exponent" },
    { "a hex number", "0x1", "column 2: more text after the value" },
    { "a string that does not end", "\"ab", "column 4: a string that does not end" },
    { "a string that ends in an escape", "\"ab\\", "column 5: an unknown escape" },
    { "an unknown escape", "\"\\x\"", "column 4: an unknown escape" },
    { "three hex digits", "\"\\u12g4\"", "column 4: a \\u escape needs four hex digits" },
    { "an escape at the end of the text", "\"\\u12", "a \\u escape needs four hex digits" },
    { "an escaped NUL", "\"x\\u0000y\"",
      "\\u0000 inside a string: a file or variable cannot carry it as text" },
    { "a lone low surrogate", "\"\\udc00\"", "a lone low surrogate" },
    { "a lone high surrogate", "\"\\ud800\"", "a lone high surrogate" },
    { "two high surrogates", "\"\\ud800\\ud800\"", "a lone high surrogate" },
    { "a high surrogate and half a text", "\"\\ud800\\u", "a lone high surrogate" },
    { "a line break inside a string", "\"a\nb\"", "a control character inside a string" },
    { "bytes that are no UTF-8", "[\n\"a\xff\"]", "line 2 column 3: a byte that is not UTF-8" },
    { "an encoded surrogate", "\"\xed\xa0\x80\"", "a byte that is not UTF-8" },
    { "a byte order mark", "\xef\xbb\xbf{}", "column 1: a value is expected" },
    { "a key twice", "{\"a\":1,\n \"b\":2,\n \"a\":3}",
      "line 3 column 6: a key that stands twice in one map" },
    { "a key twice, spelt in two ways", "{\"a\":1,\"\\u0061\":2}",
      "a key that stands twice in one map" },
    { "a key twice, deep within", "[[{\"x\":{\"a\":1,\"a\":1}}]]",
      "a key that stands twice in one map" },
    { "a comment", "[1] // one", "more text after the value" },
};

static void bad_text_is_refused_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bads); i++) {
        struct tree *t autotree = NULL;
        struct error err = { 0 };

        if (parse(bads[i].text, &t, &err) == 0)
            fail_msg("%s: was taken", bads[i].says);
        if (t || err.code != CODE_INVALID_ARGUMENT || !str_ends(err.msg, bads[i].told))
            fail_msg("%s: %s", bads[i].says, err.msg);
    }
}

static void a_nul_byte_is_refused(void **state)
{
    static const char *const texts[] = { "1\0", "\"a\0b\"", "\0" };
    static const size_t lens[] = { 2, 5, 1 };
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct tree *t autotree = NULL;

        assert_int_equal(json_parse(texts[i], lens[i], &t, &err), -1);
    }
}

static void text_is_read_up_to_its_length(void **state)
{
    struct tree *t autotree = NULL;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(json_parse("[12]34", 4, &t, &err), 0);
    assert_int_equal(tree_count(t), 1);
    tree_free(take(t));
    assert_int_equal(json_parse("true", 3, &t, &err), -1);
}

static void nodes_know_line_and_column(void **state)
{
    struct tree *t autotree = NULL;
    const struct tree *c;

    (void)state;
    assert_int_equal(parse("{\n  \"a\": [1,\n  \"x\"],\n\"b\": true}", &t, NULL), 0);
    assert_int_equal(t->line, 1);
    assert_int_equal(t->column, 1);
    c = tree_get(t, "a");
    assert_int_equal(c->line, 2);
    assert_int_equal(c->column, 8);
    assert_int_equal(c->child->next->line, 3);
    assert_int_equal(c->child->next->column, 3);
    c = tree_get(t, "b");
    assert_int_equal(c->kind, TREE_BOOL);
    assert_true(c->truth);
    assert_int_equal(c->line, 4);
    assert_int_equal(c->column, 6);
}

static char *repeat(const char *open, const char *middle, const char *close, size_t times)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };

    for (size_t i = 0; i < times; i++)
        strbuf_add_text(&text, open);
    strbuf_add_text(&text, middle);
    for (size_t i = 0; i < times; i++)
        strbuf_add_text(&text, close);
    return strbuf_take(&text);
}

static void ceilings_are_errors(void **state)
{
    static const struct {
        const char *says;
        const char *open, *middle, *close;
        size_t most;
        enum code code;
        const char *told;
    } rows[] = {
        { "lists in lists", "[", "", "]", JSON_DEPTH_MAX, CODE_INVALID_ARGUMENT, "deeper than 64" },
        { "maps in maps", "{\"a\":", "1", "}", JSON_DEPTH_MAX, CODE_INVALID_ARGUMENT,
          "deeper than 64" },
        { "digits", "1", "", "", JSON_NUMBER_MAX, CODE_INVALID_ARGUMENT,
          "a number of more than 63 characters" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t extra = 0; extra < 2; extra++) {
            autofree char *text =
                repeat(rows[i].open, rows[i].middle, rows[i].close, rows[i].most + extra);
            struct tree *t autotree = NULL;
            struct error err = { 0 };
            int result = parse(text, &t, &err);

            if (result != (extra ? -1 : 0))
                fail_msg("%s: %zu more than allowed gave %d", rows[i].says, extra, result);
            if (extra && (err.code != rows[i].code || !str_ends(err.msg, rows[i].told)))
                fail_msg("%s: %s", rows[i].says, err.msg);
        }
    }
}

static void sizes_are_errors(void **state)
{
    size_t big = JSON_BYTES_MAX + 1;
    autofree char *blank = xmalloc(big);
    autofree char *list = xmalloc(JSON_VALUES_MAX * 2 + 1);
    struct tree *t autotree = NULL;
    struct error err = { 0 };

    (void)state;
    memset(blank, ' ', big);
    blank[0] = '1';
    assert_int_equal(json_parse(blank, big, &t, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_int_equal(json_parse(blank, big - 1, &t, &err), 0);
    tree_free(take(t));
    for (size_t i = 0; i < JSON_VALUES_MAX; i++)
        memcpy(list + i * 2, i ? ",1" : "[1", 2);
    list[JSON_VALUES_MAX * 2] = ']';
    assert_int_equal(json_parse(list, JSON_VALUES_MAX * 2 + 1, &t, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "more than 500000 values"));
}

static void a_nodes_text_has_its_length(void **state)
{
    struct tree *t autotree = NULL;

    (void)state;
    assert_int_equal(parse("[\"\xc3\xa4\\n\", 10.0]", &t, NULL), 0);
    assert_int_equal(t->child->text_len, 3);
    assert_int_equal(t->child->next->text_len, 4);
    assert_string_equal(t->child->next->text, "10.0");
}

/* An error must not repeat what was parsed: it may be a secret. */
static void errors_hold_nothing_of_the_text(void **state)
{
    static const char *const texts[] = { "{\"hunter2\":1,\"hunter2\":2}", "[hunter2]", "\"hunter2",
                                         "\"hunter2\\q\"", "\"a\"hunter2" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct tree *t autotree = NULL;
        struct error err = { 0 };

        assert_int_equal(parse(texts[i], &t, &err), -1);
        assert_null(strstr(err.msg, "hunter"));
    }
}

static void numbers_that_json_lacks_become_strings(void **state)
{
    static const struct {
        const char *number;
        const char *written;
    } rows[] = {
        { "12", "12" },         { "-1.5e+10", "-1.5e+10" }, { "0", "0" },
        { "-0.5", "-0.5" },     { "1E9", "1E9" },           { "0x1f", "\"0x1f\"" },
        { "0o17", "\"0o17\"" }, { "007", "\"007\"" },       { "+1", "\"+1\"" },
        { ".5", "\".5\"" },     { "1.", "\"1.\"" },         { ".inf", "\".inf\"" },
        { "1.e3", "\"1.e3\"" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tree *t autotree = tree_new(TREE_NUMBER, rows[i].number, strlen(rows[i].number));
        struct strbuf out CLEANUP(strbuf_done) = { 0 };

        json_write(&out, t);
        assert_string_equal(strbuf_text(&out), rows[i].written);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_text_is_read_and_written),
        cmocka_unit_test(bad_text_is_refused_with_its_place),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(text_is_read_up_to_its_length),
        cmocka_unit_test(nodes_know_line_and_column),
        cmocka_unit_test(ceilings_are_errors),
        cmocka_unit_test(sizes_are_errors),
        cmocka_unit_test(a_nodes_text_has_its_length),
        cmocka_unit_test(errors_hold_nothing_of_the_text),
        cmocka_unit_test(numbers_that_json_lacks_become_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
