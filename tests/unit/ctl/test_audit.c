/* SPDX-License-Identifier: Apache-2.0
 *
 * locketctl audit: which line of a damaged chain is the first that is wrong, and why.
 */
#include <unistd.h>

#include "ctl/ctl.h"
#include "lib/base/crypto_chain.h"
#include "lib/base/json.h"
#include "tests/check.h"

enum { LINES = 6, LINES_MAX = 16, WORDS_MAX = 16 };

static char folder[] = "/tmp/locket-audit-XXXXXX";
static char *file;
static char *key_file;
static char *other_key_file;

/* --- a chain in a file --- */

/* Lines with their line breaks, to be damaged before they are written. */
struct text {
    char *lines[LINES_MAX];
    size_t count;
    struct chain_head head;
};

static void text_done(struct text *t)
{
    while (t->count)
        free(t->lines[--t->count]);
}

static void add(struct text *t, const struct chain_key *key, const char *members)
{
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    assert_true(t->count < LINES_MAX);
    assert_int_equal(chain_add(&t->head, key, members, &out, &t->head, NULL), 0);
    t->lines[t->count++] = strbuf_take(&out);
}

static struct text chain_of(const struct chain_key *key, size_t lines)
{
    struct text t = { 0 };

    add(&t, key, "\"event\":\"start\"");
    while (t.count < lines)
        add(&t, key, "\"event\":\"publish\",\"pod\":\"web\"");
    return t;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void write_text(const char *path, const struct text *t)
{
    struct strbuf all CLEANUP(strbuf_done) = { 0 };

    for (size_t i = 0; i < t->count; i++)
        strbuf_add_text(&all, t->lines[i]);
    write_file(path, strbuf_text(&all));
}

static void insert(struct text *t, size_t at, char *line)
{
    assert_true(t->count < LINES_MAX);
    memmove(&t->lines[at + 1], &t->lines[at], (t->count - at) * sizeof(t->lines[0]));
    t->lines[at] = line;
    t->count++;
}

static void drop(struct text *t, size_t at)
{
    free(t->lines[at]);
    t->count--;
    memmove(&t->lines[at], &t->lines[at + 1], (t->count - at) * sizeof(t->lines[0]));
}

static int make(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    file = str_printf("%s/audit.log", folder);
    key_file = str_printf("%s/key", folder);
    other_key_file = str_printf("%s/other", folder);
    write_file(key_file, "0123456789abcdef0123456789abcdef");
    write_file(other_key_file, "another key of thirty-two bytes!!");
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    (void)unlink(file);
    (void)unlink(key_file);
    (void)unlink(other_key_file);
    free(file);
    free(key_file);
    free(other_key_file);
    return rmdir(folder);
}

static struct chain_key key_of(const char *path)
{
    struct chain_key key = { 0 };

    assert_int_equal(chain_key_read(path, &key, NULL), 0);
    return key;
}

/* --- running the command --- */

static struct {
    enum ctl_exit exit;
    char *out;
    char *err;
} ran;

static int forget_run(void **state)
{
    (void)state;
    free(ran.out);
    free(ran.err);
    ran.out = ran.err = NULL;
    return 0;
}

/* locketctl audit and these words, up to a NULL. */
static void run(const char *input, const char *const *words)
{
    char *argv[WORDS_MAX] = { (char *)"locketctl", (char *)"audit" };
    int argc = 2;
    size_t out_len = 0;
    size_t err_len = 0;
    struct ctl ctl = { .in = fmemopen((char *)(*input ? input : "\n"), *input ? strlen(input) : 1,
                                      "r") };

    (void)forget_run(NULL);
    while (words[argc - 2] && argc < WORDS_MAX - 1) {
        argv[argc] = (char *)words[argc - 2];
        argc++;
    }
    ctl.out = open_memstream(&ran.out, &out_len);
    ctl.err = open_memstream(&ran.err, &err_len);
    ran.exit = ctl_run(&ctl, argc, argv);
    (void)fclose(ctl.in);
    (void)fclose(ctl.out);
    (void)fclose(ctl.err);
}

#define RUN(input_, ...) run(input_, (const char *const[]){ __VA_ARGS__, NULL })

static void has(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text ? text : "");
}

/* --- what is whole --- */

static void a_whole_chain_is_told_with_its_head(void **state)
{
    struct text t CLEANUP(text_done) = { 0 };
    autofree char *head = NULL;

    (void)state;
    t = chain_of(NULL, LINES);
    add(&t, NULL, "\"event\":\"dropped\",\"count\":7");
    add(&t, NULL, "\"event\":\"start\"");
    add(&t, NULL, "\"event\":\"dropped\",\"count\":5");
    write_text(file, &t);
    RUN("", "verify", file);
    assert_string_equal(ran.err, "");
    assert_int_equal(ran.exit, CTL_DONE);
    head = str_printf("head\t%s\n", t.head.hash);
    has(ran.out, "lines\t9, number 1 to 9\n");
    has(ran.out, "begins after\tnothing\n");
    has(ran.out, head);
    has(ran.out, "key\tnone: who may write the file can make it anew\n");
    has(ran.out, "starts\t2\n");
    has(ran.out, "dropped\t12\n");
}

static void rotated_files_are_one_chain_in_their_order(void **state)
{
    struct text old CLEANUP(text_done) = { 0 };
    struct text new CLEANUP(text_done) = { 0 };
    autofree char *first = str_printf("%s.1", file);
    autofree char *after = NULL;

    (void)state;
    old = chain_of(NULL, LINES);
    new.head = old.head;
    add(&new, NULL, "\"event\":\"publish\"");
    write_text(first, &old);
    write_text(file, &new);
    RUN("", "verify", first, file);
    assert_int_equal(ran.exit, CTL_DONE);
    has(ran.out, "lines\t7, number 1 to 7\n");
    RUN("", "verify", file);
    assert_int_equal(ran.exit, CTL_DONE);
    after = str_printf("begins after\t%s\n", old.head.hash);
    has(ran.out, after);
    RUN("", "verify", file, first);
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.err, "audit.log.1:1: begins a new chain");
    assert_int_equal(unlink(first), 0);
}

static void standard_input_and_other_programs_lines_are_read_where_asked_for(void **state)
{
    struct text t CLEANUP(text_done) = { 0 };
    struct strbuf all CLEANUP(strbuf_done) = { 0 };

    (void)state;
    t = chain_of(NULL, LINES);
    for (size_t i = 0; i < t.count; i++)
        strbuf_printf(&all, "I1124 a log line\n\n%s", t.lines[i]);
    RUN(all.text, "verify", "-");
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.err, "DATA_LOSS: standard input:1: is no line of an audit chain\n");
    RUN(all.text, "verify", "-", "--mixed");
    assert_int_equal(ran.exit, CTL_DONE);
    has(ran.out, "lines\t6, ");
    has(ran.out, "other lines\t12\n");
}

/* --- what is not --- */

static void change(struct text *t)
{
    *strstr(t->lines[2], "web") = 'W';
}

static void change_last(struct text *t)
{
    *strstr(t->lines[LINES - 1], "web") = 'W';
}

static void take_out(struct text *t)
{
    drop(t, 2);
}

static void swap(struct text *t)
{
    char *kept = t->lines[2];

    t->lines[2] = t->lines[3];
    t->lines[3] = kept;
}

static void repeat(struct text *t)
{
    insert(t, 3, xstrdup(t->lines[2]));
}

/* As one who has no key needs none: a line made anew in place of another. */
static void make_anew(struct text *t)
{
    struct chain_line before = { 0 };
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    assert_int_equal(chain_line_read(t->lines[1], strlen(t->lines[1]) - 1, &before, NULL), 0);
    assert_int_equal(chain_add(&before.self, NULL, "\"event\":\"x\"", &out, &before.self, NULL), 0);
    free(t->lines[2]);
    t->lines[2] = strbuf_take(&out);
}

static void tear(struct text *t)
{
    t->lines[LINES - 1][20] = '\0';
}

static void new_chain(struct text *t)
{
    t->head = (struct chain_head){ 0 };
    add(t, NULL, "\"event\":\"start\"");
}

static void strange(struct text *t)
{
    insert(t, 4, xstrdup("{\"event\":\"publish\"}\n"));
}

static void too_long(struct text *t)
{
    char *line = xmalloc(CHAIN_LINE_MAX + 100);

    memset(line, 'a', CHAIN_LINE_MAX + 98);
    memcpy(line + CHAIN_LINE_MAX + 98, "\n", 2);
    insert(t, 4, line);
}

static void no_json(struct text *t)
{
    add(t, NULL, "\"event\":\"publish\",\"event\":\"start\"");
}

static void at_odds(struct text *t)
{
    t->head = (struct chain_head){ .seq = (int64_t)t->count };
    add(t, NULL, "\"event\":\"start\"");
}

static void the_first_bad_line_is_named_with_what_is_wrong(void **state)
{
    static const struct {
        void (*damage)(struct text *t);
        const char *says;
    } rows[] = {
        { change, ":3: was changed after it was written" },
        { change_last, ":6: was changed after it was written" },
        { take_out, ":3: has number 4 after 2: 1 missing" },
        { swap, ":3: has number 4 after 2: 1 missing" },
        { repeat, ":4: has number 3 after 3: out of order, or put in" },
        { make_anew, ":4: does not hold on to the line before it" },
        { tear, ":6: has no end: it is being written, or was torn" },
        { new_chain, ":7: begins a new chain: nothing ties it to the lines before it" },
        { strange, ":5: is no line of an audit chain" },
        { too_long, ":5: has more than 65536 bytes" },
        { no_json, ":7: is no JSON: " },
        { at_odds, ":7: is at odds with itself" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct text t = chain_of(NULL, LINES);
        autofree char *says = str_printf("locketctl: DATA_LOSS: %s%s", file, rows[i].says);

        rows[i].damage(&t);
        write_text(file, &t);
        text_done(&t);
        RUN("", "verify", file);
        if (ran.exit != CTL_FAILED || !strstr(ran.err, says))
            fail_msg("row %zu ended with %d: %s", i, (int)ran.exit, ran.err);
        assert_string_equal(ran.out, "");
    }
}

static void lines_cut_off_at_the_end_show_by_a_head_that_was_noted(void **state)
{
    struct text t CLEANUP(text_done) = { 0 };
    autofree char *shortened = NULL;

    (void)state;
    t = chain_of(NULL, LINES);
    shortened = xstrndup(t.head.hash, 13);
    write_text(file, &t);
    RUN("", "verify", file, "--head", t.head.hash);
    assert_int_equal(ran.exit, CTL_DONE);
    RUN("", "verify", file, "--head", shortened);
    assert_int_equal(ran.exit, CTL_DONE);
    drop(&t, LINES - 1);
    write_text(file, &t);
    RUN("", "verify", file);
    assert_int_equal(ran.exit, CTL_DONE); /* alone, the file cannot show it */
    RUN("", "verify", file, "--head", t.head.hash);
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.err, "DATA_LOSS: no line has the hash ");
    RUN("", "verify", file, "--head", "abc");
    assert_int_equal(ran.exit, CTL_USAGE);
}

static void a_file_without_a_chain_is_no_success(void **state)
{
    (void)state;
    write_file(file, "");
    RUN("", "verify", file);
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.err, "DATA_LOSS: there is no line of an audit chain\n");
    RUN("", "verify", "/nowhere/at/all");
    has(ran.err, "NOT_FOUND: open /nowhere/at/all");
}

/* --- keys --- */

static void a_keyed_chain_needs_its_keys_and_takes_no_line_without_one(void **state)
{
    struct chain_key key CLEANUP(chain_key_done) = key_of(key_file);
    struct chain_key other CLEANUP(chain_key_done) = key_of(other_key_file);
    struct text t CLEANUP(text_done) = { 0 };
    autofree char *needs = str_printf("%s:1: was written with key %s: give --key", file, key.id);
    autofree char *needs_other = str_printf("%s:7: was written with key %s", file, other.id);

    (void)state;
    t = chain_of(&key, LINES);
    write_text(file, &t);
    RUN("", "verify", file, "--key", key_file);
    assert_int_equal(ran.exit, CTL_DONE);
    has(ran.out, "key\tyes\n");
    RUN("", "verify", file);
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.err, needs);
    RUN("", "verify", file, "--key", other_key_file);
    has(ran.err, needs);
    add(&t, &other, "\"event\":\"start\""); /* the key was replaced */
    write_text(file, &t);
    RUN("", "verify", file, "--key", key_file);
    has(ran.err, needs_other);
    RUN("", "verify", file, "--key", key_file, "--key", other_key_file);
    assert_int_equal(ran.exit, CTL_DONE);
    add(&t, NULL, "\"event\":\"publish\"");
    write_text(file, &t);
    RUN("", "verify", file, "--key", key_file, "--key", other_key_file);
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.err, ":8: has no key: without one anybody can make such a line");
}

static void who_has_not_the_key_cannot_change_a_line(void **state)
{
    struct chain_key key CLEANUP(chain_key_done) = key_of(key_file);
    struct chain_key forged CLEANUP(chain_key_done) = key_of(other_key_file);
    struct text t CLEANUP(text_done) = { 0 };

    (void)state;
    memcpy(forged.id, key.id, sizeof(forged.id));
    t = chain_of(&forged, LINES);
    write_text(file, &t);
    RUN("", "verify", file, "--key", key_file);
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.err, "audit.log:1: was changed after it was written");
}

static void a_value_is_compared_by_its_digest(void **state)
{
    struct chain_key key CLEANUP(chain_key_done) = key_of(key_file);
    char digest[CHAIN_HASH_TEXT];
    autofree char *line = NULL;

    (void)state;
    assert_int_equal(chain_digest(&key, "s3cret", 6, digest, NULL), 0);
    line = str_printf("%s\n", digest);
    RUN("s3cret", "digest", "-", "--key", key_file);
    assert_string_equal(ran.out, line);
    write_file(file, "s3cret");
    RUN("", "digest", file, "--key", key_file);
    assert_string_equal(ran.out, line);
    RUN("", "digest", file);
    assert_int_equal(ran.exit, CTL_USAGE);
    RUN("", "digest", file, "--key", "/nowhere/at/all");
    has(ran.err, "NOT_FOUND: open /nowhere/at/all");
}

static void what_a_secret_holds_is_compared_by_the_digest_that_is_noted_on_it(void **state)
{
    static const char data[] = "{\"k\":\"dmFsdWU=\"}";
    struct chain_key key CLEANUP(chain_key_done) = key_of(key_file);
    char digest[CHAIN_HASH_TEXT];
    autofree char *line = NULL;
    autofree char *with_break = str_printf("%s\n", data);

    (void)state;
    assert_int_equal(chain_digest_contents(&key, data, strlen(data), digest, NULL), 0);
    line = str_printf("%s:%s\n", key.id, digest);
    RUN(data, "contents", "-", "--key", key_file);
    assert_string_equal(ran.out, line);
    RUN(with_break, "contents", "-", "--key", key_file);
    assert_string_equal(ran.out, line);
    RUN(data, "contents", "-", "--key", other_key_file);
    assert_string_not_equal(ran.out, line);
    RUN(data, "contents", "-");
    assert_int_equal(ran.exit, CTL_USAGE);
    RUN("", "contents", "/nowhere/at/all", "--key", key_file);
    has(ran.err, "NOT_FOUND: open /nowhere/at/all");
}

/* --- JSON --- */

static void the_answer_is_json_where_asked_for_good_or_bad(void **state)
{
    struct text t CLEANUP(text_done) = { 0 };
    struct tree *good autotree = NULL;
    struct tree *bad autotree = NULL;

    (void)state;
    t = chain_of(NULL, LINES);
    write_text(file, &t);
    RUN("", "verify", file, "-o", "json");
    assert_int_equal(json_parse(ran.out, strlen(ran.out), &good, NULL), 0);
    assert_true(tree_get(good, "whole")->truth);
    assert_string_equal(tree_get(good, "last")->text, "6");
    assert_string_equal(tree_get_text(good, "head"), t.head.hash);
    assert_null(tree_get(good, "error"));
    change(&t);
    write_text(file, &t);
    RUN("", "verify", file, "-o", "json");
    assert_int_equal(ran.exit, CTL_FAILED);
    assert_int_equal(json_parse(ran.out, strlen(ran.out), &bad, NULL), 0);
    assert_false(tree_get(bad, "whole")->truth);
    assert_string_equal(tree_get_text(bad, "bad_file"), file);
    assert_string_equal(tree_get(bad, "bad_line")->text, "3");
    has(tree_get_text(bad, "error"), "was changed");
}

static void wrong_words_are_a_mistake_of_the_command_line(void **state)
{
    (void)state;
    RUN("", "verify");
    assert_int_equal(ran.exit, CTL_USAGE);
    RUN("", "check", file);
    assert_int_equal(ran.exit, CTL_USAGE);
    has(ran.err, "locketctl: audit: takes verify, digest or contents, not \"check\"");
}

#define TEST(name_) cmocka_unit_test_teardown(name_, forget_run)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_whole_chain_is_told_with_its_head),
        TEST(rotated_files_are_one_chain_in_their_order),
        TEST(standard_input_and_other_programs_lines_are_read_where_asked_for),
        TEST(the_first_bad_line_is_named_with_what_is_wrong),
        TEST(lines_cut_off_at_the_end_show_by_a_head_that_was_noted),
        TEST(a_file_without_a_chain_is_no_success),
        TEST(a_keyed_chain_needs_its_keys_and_takes_no_line_without_one),
        TEST(who_has_not_the_key_cannot_change_a_line),
        TEST(a_value_is_compared_by_its_digest),
        TEST(what_a_secret_holds_is_compared_by_the_digest_that_is_noted_on_it),
        TEST(the_answer_is_json_where_asked_for_good_or_bad),
        TEST(wrong_words_are_a_mistake_of_the_command_line),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
