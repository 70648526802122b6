/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags: spellings, sources, errors, --help.
 */
#include "lib/base/options.h"
#include "lib/base/strbuf.h"
#include "tests/check.h"

struct config {
    char *name;
    struct option_texts many;
    bool fast;
    int64_t count;
    int64_t wait_ms;
    int64_t size;
};

#define AT(member) offsetof(struct config, member)

static const struct option_row rows[] = {
    { "name", OPTION_TEXT, AT(name), "nobody", "NAME", "whom to greet" },
    { "many", OPTION_TEXTS, AT(many), "first", "TEXT", "more of them" },
    { "fast", OPTION_BOOL, AT(fast), "false", NULL, "without pauses" },
    { "count", OPTION_INT, AT(count), NULL, "N", "how often" },
    { "wait-time", OPTION_DURATION, AT(wait_ms), "2m", "DURATION", "how long" },
    { "size", OPTION_BYTES, AT(size), "4Mi", "BYTES", "how large" },
    { "v", OPTION_ACCEPTED, 0, NULL, "LEVEL", "this program logs by level names" },
    { "logtostderr", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, "it always does" },
    { "a-name-that-is-longer-than-the-left-column", OPTION_ACCEPTED, 0, NULL, "VALUE",
      "a text that is long enough to need a second line within the hundred columns that help "
      "keeps to, and then some" },
};

static const struct option_table table = {
    .program = "test",
    .summary = "A program for tests.",
    .rows = rows,
    .count = COUNT_OF(rows),
    .environment = true,
};

static void config_done(struct config *c)
{
    options_done(&table, c);
}

#define autoconfig CLEANUP(config_done)

struct words {
    char copy[512];
    char *argv[32];
    int argc;
};

/* "test" and the words of a line as main gets them. */
static void split(const char *line, struct words *w)
{
    char *rest = NULL;

    (void)snprintf(w->copy, sizeof(w->copy), "test %s", line);
    w->argc = 0;
    for (char *word = strtok_r(w->copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        w->argv[w->argc++] = word;
}

static int parse(const char *line, struct config *c, char ***ret_rest, struct error *err)
{
    static struct words w; /* what rest borrows from */

    split(line, &w);
    return options_parse(&table, w.argc, w.argv, c, ret_rest, err);
}

static void without_flags_defaults_hold(void **state)
{
    struct config c autoconfig = { 0 };

    (void)state;
    assert_int_equal(parse("", &c, NULL, NULL), 0);
    assert_string_equal(c.name, "nobody");
    assert_int_equal(c.many.count, 1);
    assert_string_equal(c.many.texts[0], "first");
    assert_false(c.fast);
    assert_int_equal(c.count, 0);
    assert_int_equal(c.wait_ms, 120000);
    assert_int_equal(c.size, 4 << 20);
}

static void flags_are_spelt_as_in_go(void **state)
{
    static const char *const lines[] = {
        "--name=x --fast --count=-3 --wait-time=1.5s --size=1k",
        "--name x --fast=true --count -3 --wait-time 1500ms --size 1000",
        "-name=x -fast -count=-3 -wait-time=1.5s -size=1k -v=5 -logtostderr",
        "-name x --fast=1 -count -3 -v 5 -wait-time 1500ms --logtostderr=false -size 1k",
        "--fast=false --name=y --fast=T --name=x --count=-3 --wait-time=1s500ms --size=1k",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct config c autoconfig = { 0 };
        struct error err = { 0 };

        if (parse(lines[i], &c, NULL, &err) < 0)
            fail_msg("%s: %s", lines[i], err.msg);
        if (strcmp(c.name, "x") != 0 || !c.fast || c.count != -3 || c.wait_ms != 1500 ||
            c.size != 1000)
            fail_msg("%s: gave other values", lines[i]);
    }
}

static void an_equals_sign_may_be_part_of_the_value(void **state)
{
    struct config c autoconfig = { 0 };

    (void)state;
    assert_int_equal(parse("--name=a=b --many= --many=c=d", &c, NULL, NULL), 0);
    assert_string_equal(c.name, "a=b");
    assert_int_equal(c.many.count, 2);
    assert_string_equal(c.many.texts[0], "");
    assert_string_equal(c.many.texts[1], "c=d");
}

static void a_boolean_does_not_eat_the_next_word(void **state)
{
    struct config c autoconfig = { 0 };
    autofree char **rest = NULL;

    (void)state;
    assert_int_equal(parse("--fast false --logtostderr x", &c, &rest, NULL), 0);
    assert_true(c.fast);
    assert_string_equal(rest[0], "false");
    assert_string_equal(rest[1], "x");
    assert_null(rest[2]);
}

static void other_words_are_kept_in_order_and_flags_end_at_two_dashes(void **state)
{
    struct config c autoconfig = { 0 };
    autofree char **rest = NULL;

    (void)state;
    assert_int_equal(parse("a --name=x - b -- --fast --", &c, &rest, NULL), 0);
    assert_string_equal(rest[0], "a");
    assert_string_equal(rest[1], "-");
    assert_string_equal(rest[2], "b");
    assert_string_equal(rest[3], "--fast");
    assert_string_equal(rest[4], "--");
    assert_null(rest[5]);
    assert_false(c.fast);
}

static const struct {
    const char *line;
    const char *told;
} bads[] = {
    { "--nmae=x", "unknown flag --nmae: see --help" },
    { "-nmae x", "unknown flag -nmae: see --help" },
    { "--nam=x", "unknown flag --nam: see --help" },
    { "--Name=x", "unknown flag --Name: see --help" },
    { "---name=x", "unknown flag ---name: see --help" },
    { "--=x", "unknown flag --: see --help" },
    { "--name", "--name needs a value: see --help" },
    { "-v", "--v needs a value: see --help" },
    { "--fast=maybe", "--fast: it must be true or false" },
    { "--fast=", "--fast: it must be true or false" },
    { "--count=1.5", "--count: it must be a whole number" },
    { "--count=", "--count: it must be a whole number" },
    { "--count=0x10", "--count: it must be a whole number" },
    { "--count=99999999999999999999", "--count: it must be a whole number" },
    { "--wait-time=5", "--wait-time: \"5\" is not a duration: write it like 90s, 2m30s or 1h" },
    { "--size=5x", "--size: \"5x\" is not a size: write it like 4194304, 500k, 64Mi or 1Gi" },
    { "word", "unexpected \"word\": see --help" },
};

static void errors_name_the_flag_and_what_it_wants(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bads); i++) {
        struct config c autoconfig = { 0 };
        struct error err = { 0 };

        if (parse(bads[i].line, &c, NULL, &err) == 0)
            fail_msg("%s: was taken", bads[i].line);
        assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
        assert_string_equal(err.msg, bads[i].told);
    }
}

static void a_flag_beats_the_environment_which_beats_the_default(void **state)
{
    struct config both autoconfig = { 0 };
    struct config one autoconfig = { 0 };

    (void)state;
    setenv("LOCKET_NAME", "from-environment", 1);
    setenv("LOCKET_MANY", "from-environment", 1);
    setenv("LOCKET_WAIT_TIME", "7s", 1);
    assert_int_equal(parse("--name=from-flag --many=a --many=b", &both, NULL, NULL), 0);
    assert_int_equal(parse("", &one, NULL, NULL), 0);
    unsetenv("LOCKET_NAME");
    unsetenv("LOCKET_MANY");
    unsetenv("LOCKET_WAIT_TIME");
    assert_string_equal(both.name, "from-flag");
    assert_int_equal(both.many.count, 2);
    assert_string_equal(both.many.texts[0], "a");
    assert_int_equal(both.wait_ms, 7000);
    assert_string_equal(one.name, "from-environment");
    assert_int_equal(one.many.count, 1);
    assert_string_equal(one.many.texts[0], "from-environment");
}

static void an_error_in_the_environment_names_the_variable(void **state)
{
    struct config c autoconfig = { 0 };
    struct error err = { 0 };
    int result;

    (void)state;
    setenv("LOCKET_WAIT_TIME", "soon", 1);
    result = parse("", &c, NULL, &err);
    unsetenv("LOCKET_WAIT_TIME");
    assert_int_equal(result, -1);
    assert_true(str_starts(err.msg, "LOCKET_WAIT_TIME: \"soon\" is not a duration"));
}

static void a_table_without_environment_reads_none(void **state)
{
    struct option_table closed = table;
    struct config c autoconfig = { 0 };
    struct words w;

    (void)state;
    closed.environment = false;
    split("", &w);
    setenv("LOCKET_NAME", "from-environment", 1);
    assert_int_equal(options_parse(&closed, w.argc, w.argv, &c, NULL, NULL), 0);
    unsetenv("LOCKET_NAME");
    assert_string_equal(c.name, "nobody");
}

static void a_default_that_cannot_be_read_is_an_error(void **state)
{
    static const struct option_row row = { "n", OPTION_INT, AT(count), "x", "N", "help" };
    static const struct option_table wrong = { .rows = &row, .count = 1 };
    struct config c = { 0 };
    struct error err = { 0 };
    struct words w;

    (void)state;
    split("", &w);
    assert_int_equal(options_parse(&wrong, w.argc, w.argv, &c, NULL, &err), -1);
    assert_string_equal(err.msg, "default of --n: it must be a whole number");
}

static void values_and_lists_have_ceilings(void **state)
{
    autofree char *value = xmalloc(OPTION_VALUE_MAX + 16);
    autofree char **argv = xcalloc(OPTION_TEXTS_MAX + 3, sizeof(*argv));
    char many[] = "--many=x";
    struct config c autoconfig = { 0 };
    struct config at autoconfig = { 0 };
    struct config over autoconfig = { 0 };
    struct error err = { 0 };

    (void)state;
    memset(value, 'x', OPTION_VALUE_MAX + 16);
    memcpy(value, "--name=", 7);
    value[7 + OPTION_VALUE_MAX + 1] = '\0';
    argv[1] = value;
    assert_int_equal(options_parse(&table, 2, argv, &c, NULL, &err), -1);
    assert_string_equal(err.msg, "--name: the value has more than 65536 bytes");
    value[7 + OPTION_VALUE_MAX] = '\0';
    assert_int_equal(options_parse(&table, 2, argv, &c, NULL, &err), 0);
    for (int i = 1; i <= OPTION_TEXTS_MAX + 1; i++)
        argv[i] = many;
    assert_int_equal(options_parse(&table, OPTION_TEXTS_MAX + 1, argv, &at, NULL, &err), 0);
    assert_int_equal(options_parse(&table, OPTION_TEXTS_MAX + 2, argv, &over, NULL, &err), -1);
    assert_string_equal(err.msg, "--many: given more than 256 times");
}

static const struct {
    const char *text;
    int64_t bytes; /* -1: must be refused */
} sizes[] = {
    { "0", 0 },
    { "4194304", 4194304 },
    { "500k", 500000 },
    { "2M", 2000000 },
    { "3G", 3000000000 },
    { "1Ki", 1024 },
    { "64Mi", 64 << 20 },
    { "1Gi", 1 << 30 },
    { "1Ti", 1LL << 40 },
    { "9223372036854775807", INT64_MAX },
    { "9223372036854775808", -1 },
    { "9007199254740992Ki", -1 },
    { "8388608Ti", -1 },
    { "", -1 },
    { "Mi", -1 },
    { "-1", -1 },
    { "+1", -1 },
    { " 1", -1 },
    { "1 Mi", -1 },
    { "1mi", -1 },
    { "1.5Gi", -1 },
    { "1MiB", -1 },
    { "0x10", -1 },
};

static void sizes_have_units(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        int64_t got = -1;

        if (bytes_parse(sizes[i].text, &got, NULL) < 0)
            got = -1;
        if (got != sizes[i].bytes)
            fail_msg("%s gave %lld", sizes[i].text, (long long)got);
    }
}

static void collect(void *arg, const char *name, const char *help)
{
    strbuf_printf(arg, "%s(%zu) ", name, strlen(help));
}

static void ignored_flags_are_told_and_only_they(void **state)
{
    struct strbuf told CLEANUP(strbuf_done) = { 0 };
    struct words w;

    (void)state;
    split("--name -v -v=5 -logtostderr x --nonsense --v 5 -- -v=6", &w);
    options_each_ignored(&table, w.argc, w.argv, collect, &told);
    assert_string_equal(strbuf_text(&told), "v(32) logtostderr(14) v(32) ");
}

static void help_is_asked_before_two_dashes(void **state)
{
    static const char *const asking[] = { "--help", "x -help", "--name -h" };
    static const char *const others[] = { "--name x -- --help", "", "help" };
    struct words w;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(asking); i++) {
        split(asking[i], &w);
        assert_true(options_asked_help(w.argc, w.argv));
        split(others[i], &w);
        assert_false(options_asked_help(w.argc, w.argv));
    }
}

/* What a call prints to standard output. Ownership: the caller frees. */
static char *printed(void (*print)(void))
{
    FILE *file = tmpfile();
    int kept = dup(STDOUT_FILENO);
    char *text = xcalloc(1, 16 << 10);

    (void)fflush(stdout);
    assert_true(file && dup2(fileno(file), STDOUT_FILENO) >= 0);
    print();
    (void)fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    (void)close(kept);
    rewind(file);
    (void)!fread(text, 1, (16 << 10) - 1, file);
    (void)fclose(file);
    return text;
}

static void print_help(void)
{
    options_print_help(&table, "test [flags]");
}

static void help_shows_every_flag_within_a_hundred_columns(void **state)
{
    autofree char *text = printed(print_help);

    (void)state;
    assert_true(str_starts(text, "A program for tests.\n\nUsage: test [flags]\n\nFlags (or "
                                 "LOCKET_NAME in the environment):\n"));
    assert_non_null(strstr(text, "\n  --wait-time DURATION                    "
                                 "how long (default 2m)\n"));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *flag = str_printf("\n  --%s", rows[i].name);

        assert_non_null(strstr(text, flag));
    }
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 100)
            fail_msg("%.*s", (int)strcspn(line, "\n"), line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_flags_defaults_hold),
        cmocka_unit_test(flags_are_spelt_as_in_go),
        cmocka_unit_test(an_equals_sign_may_be_part_of_the_value),
        cmocka_unit_test(a_boolean_does_not_eat_the_next_word),
        cmocka_unit_test(other_words_are_kept_in_order_and_flags_end_at_two_dashes),
        cmocka_unit_test(errors_name_the_flag_and_what_it_wants),
        cmocka_unit_test(a_flag_beats_the_environment_which_beats_the_default),
        cmocka_unit_test(an_error_in_the_environment_names_the_variable),
        cmocka_unit_test(a_table_without_environment_reads_none),
        cmocka_unit_test(a_default_that_cannot_be_read_is_an_error),
        cmocka_unit_test(values_and_lists_have_ceilings),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(ignored_flags_are_told_and_only_they),
        cmocka_unit_test(help_is_asked_before_two_dashes),
        cmocka_unit_test(help_shows_every_flag_within_a_hundred_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
