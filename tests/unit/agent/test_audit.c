/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's chain holds over restarts, rotations, full queues and sinks that fail.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agent/audit.h"
#include "lib/base/clock.h"
#include "lib/base/number.h"
#include "tests/unit/agent/audit_world.h"

enum { WAIT_MS = 10000 };

static void what_cannot_be_kept_to_is_refused_at_the_start(void **state)
{
    const struct {
        struct audit_config config;
        const char *says;
    } rows[] = {
        { { .path = file, .value_digests = true }, "audit: digests of values need a key" },
        { { .path = file, .key_file = "/nowhere/at/all" }, "audit: the key: open /nowhere/at" },
        { { .path = "/nowhere/at/all" }, "audit: open /nowhere/at/all: No such file" },
        { { .path = "/dev/null" }, "/dev/null is not a regular file" },
        { { .path = file, .rotated = 1000 }, "1 to 100 old files may be kept" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct audit *a = NULL;
        struct error err = { 0 };

        if (audit_new(&rows[i].config, &a, &err) == 0 || !strstr(err.msg, rows[i].says))
            fail_msg("row %zu: %s", i, err.msg);
        assert_null(a);
    }
}

/* --- the chain over time --- */

static void the_chain_goes_on_after_a_restart(void **state)
{
    struct chain c;

    (void)state;
    put(key_file, key_text);
    for (int i = 0; i < 3; i++) {
        struct audit *a = begin(&(struct audit_config){ .key_file = key_file });

        audit_add(a, &access_of_web);
        audit_free(a);
    }
    struct chain_key key CLEANUP(chain_key_done) = { 0 };

    assert_int_equal(chain_key_read(key_file, &key, NULL), 0);
    c = read_file(file, &key);
    assert_int_equal(c.head.seq, 9);
    assert_int_equal(of_event(&c, "start"), 3);
    assert_int_equal(of_event(&c, "rotate"), 3);
    assert_int_equal(of_event(&c, "stop"), 3);
    has_text(first_of(&c, "start"), "version", LOCKET_VERSION);
    tree_free(c.lines);
}

static void a_line_torn_by_a_crash_is_cut_off_and_told(void **state)
{
    static const char *const torn[] = { "{\"audit\":1,\"seq\":3,\"ti", "{",
                                        "{\"audit\":1,\"seq\":" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(torn); i++) {
        struct chain c;
        autofree char *cut = str_printf("%zu", strlen(torn[i]));

        audit_free(begin(&(struct audit_config){ 0 }));
        put(file, torn[i]);
        audit_free(begin(&(struct audit_config){ 0 }));
        c = read_file(file, NULL);
        assert_int_equal(tree_count(c.lines), 4);
        has_number(c.lines->child->next->next, "cut_bytes", cut);
        tree_free(c.lines);
        assert_int_equal(unlink(file), 0);
    }
}

static void what_others_wrote_into_the_file_is_never_cut(void **state)
{
    static const char *const theirs[] = { "127.0.0.1 localhost", "a line\nand a half" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(theirs); i++) {
        autofree char *text = NULL;
        struct chain c;

        put(file, theirs[i]);
        audit_free(begin(&(struct audit_config){ 0 }));
        text = content(file);
        assert_memory_equal(text, theirs[i], strlen(theirs[i]));
        assert_int_equal(text[strlen(theirs[i])], '\n');
        c = read_chain(text + strlen(theirs[i]) + 1, NULL);
        assert_int_equal(c.head.seq, 2); /* a chain of its own */
        tree_free(c.lines);
        assert_int_equal(unlink(file), 0);
    }
}

static void two_at_once_do_not_write_one_file(void **state)
{
    struct audit *a = begin(&(struct audit_config){ 0 });
    struct audit *b = NULL;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(audit_new(&(struct audit_config){ .path = file }, &b, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    audit_free(a);
}

static int64_t written(struct audit *a)
{
    return audit_view_of(a).written;
}

static void wait_until(struct audit *a, int64_t lines)
{
    int64_t until_ms = clock_mono_ms() + WAIT_MS;

    while (written(a) < lines && clock_mono_ms() < until_ms)
        clock_sleep_ms(1);
    assert_true(written(a) >= lines);
}

static void the_chain_goes_on_over_rotated_files(void **state)
{
    struct audit *a =
        begin(&(struct audit_config){ .rotate_bytes = 4096, .rotated = 3, .queue_max = 1000 });
    struct strbuf all CLEANUP(strbuf_done) = { 0 };
    autofree char *fourth = str_printf("%s.4", file);
    struct stat st;
    struct chain c;

    (void)state;
    for (int i = 0; i < 100; i++)
        audit_add(a, &access_of_web);
    audit_free(a);
    for (int i = 3; i >= 0; i--) {
        autofree char *path = i ? str_printf("%s.%d", file, i) : xstrdup(file);
        autofree char *text = content(path);

        assert_true(strlen(text) < 4096 + 1024);
        strbuf_add_text(&all, text);
    }
    c = read_chain(all.text, NULL);
    assert_int_equal(c.head.seq, 102);
    assert_int_equal(stat(fourth, &st), -1);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    tree_free(c.lines);
}

static void a_crash_within_a_rotation_leaves_the_chain_whole(void **state)
{
    autofree char *first = str_printf("%s.1", file);
    struct chain old;
    struct chain c;

    (void)state;
    audit_free(begin(&(struct audit_config){ 0 }));
    assert_int_equal(rename(file, first), 0); /* and no new file was made, or an empty one */
    put(file, "");
    audit_free(begin(&(struct audit_config){ 0 }));
    old = read_file(first, NULL);
    c = read_file(file, NULL);
    assert_int_equal(c.head.seq, old.head.seq + 2);
    has_text(c.lines->child, "prev", old.head.hash);
    tree_free(old.lines);
    tree_free(c.lines);
}

/* Also where it fails in the midst, and is tried each second. */
static void a_rotation_that_ended_half_way_costs_no_old_file(void **state)
{
    static const char *const kept[] = { "", "one\n", "two\n", "three\n" };

    (void)state;
    for (int i = 2; i <= 3; i++) { /* PATH.1 is PATH.2 already, and PATH not yet PATH.1 */
        autofree char *path = str_printf("%s.%d", file, i);

        put(path, kept[i]);
    }
    put(file, kept[1]);
    audit_free(begin(&(struct audit_config){ .rotate_bytes = 4, .rotated = 4 }));
    for (int i = 2; i <= 3; i++) {
        autofree char *path = str_printf("%s.%d", file, i + 1);
        autofree char *text = content(path);

        assert_string_equal(text, kept[i]);
    }
}

static void a_file_that_was_moved_away_is_made_anew(void **state)
{
    autofree char *elsewhere = str_printf("%s.old", file);
    struct audit *a = begin(&(struct audit_config){ 0 });
    struct chain old;
    struct chain c;

    (void)state;
    wait_until(a, 1);
    assert_int_equal(rename(file, elsewhere), 0);
    audit_add(a, &access_of_web);
    audit_free(a);
    old = read_file(elsewhere, NULL);
    c = read_file(file, NULL);
    assert_int_equal(tree_count(old.lines), 1);
    assert_int_equal(tree_count(c.lines), 2);
    has_text(c.lines->child, "prev", old.head.hash);
    tree_free(old.lines);
    tree_free(c.lines);
}

/* --- sinks that fail, queues that are full --- */

enum { ROW_WRITTEN, ROW_DROPPED, ROW_BLOCKED, ROW_QUEUED, ROW_FAILING, ROW_SEQ, ROW_HEAD };

static const struct metric_row rows[] = {
    [ROW_WRITTEN] = { .name = "w", .help = "w", .kind = METRIC_COUNTER },
    [ROW_DROPPED] = { .name = "d", .help = "d", .kind = METRIC_COUNTER },
    [ROW_BLOCKED] = { .name = "b", .help = "b", .kind = METRIC_COUNTER },
    [ROW_QUEUED] = { .name = "q", .help = "q", .kind = METRIC_GAUGE },
    [ROW_FAILING] = { .name = "f", .help = "f", .kind = METRIC_GAUGE },
    [ROW_SEQ] = { .name = "s", .help = "s", .kind = METRIC_GAUGE },
    [ROW_HEAD] = { .name = "h", .help = "h", .kind = METRIC_GAUGE },
};

static struct audit_metrics metrics_of(struct metrics *m)
{
    return (struct audit_metrics){ m,          ROW_WRITTEN, ROW_DROPPED, ROW_BLOCKED,
                                   ROW_QUEUED, ROW_FAILING, ROW_SEQ,     ROW_HEAD };
}

/* Standard output as a pipe that nobody reads until the test does. */
static struct {
    int saved;
    int reader;
} out = { -1, -1 };

static int take_output(void **state)
{
    int ends[2];

    assert_int_equal(make_folder(state), 0);
    assert_int_equal(fflush(stdout), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    out.saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    assert_int_equal(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    assert_int_equal(close(ends[1]), 0);
    out.reader = ends[0];
    return 0;
}

/* From here on what is written is read; until its end, which comes with give_output_back. */
static void *read_output(void *arg)
{
    struct strbuf *got = arg;
    char piece[4096];
    ssize_t n;

    while ((n = read(out.reader, piece, sizeof(piece))) > 0)
        strbuf_add(got, piece, (size_t)n);
    return NULL;
}

static void give_output_back(void)
{
    if (out.saved >= 0) {
        (void)dup2(out.saved, STDOUT_FILENO);
        (void)close(out.saved);
    }
    out.saved = -1;
}

static int return_output(void **state)
{
    give_output_back();
    (void)close(out.reader);
    return remove_folder(state);
}

static void wait_until_full(struct audit *a, bool full)
{
    int64_t until_ms = clock_mono_ms() + WAIT_MS;

    while (audit_is_full(a) != full && clock_mono_ms() < until_ms)
        clock_sleep_ms(1);
    if (audit_is_full(a) != full) {
        give_output_back();
        fail_msg("the audit stays %s", full ? "open" : "full");
    }
}

/* What the chain's own lines say was dropped. */
static int64_t told_dropped(const struct chain *c)
{
    int64_t told = 0;

    for (const struct tree *t = c->lines->child; t; t = t->next) {
        int64_t count = 0;

        if (strcmp(tree_get_text(t, "event"), "dropped") != 0)
            continue;
        assert_int_equal(number_parse(tree_get(t, "count")->text, 1, INT64_MAX, &count, NULL), 0);
        told += count;
    }
    return told;
}

static void a_sink_that_nobody_reads_holds_up_nobody_and_the_chain_tells_the_loss(void **state)
{
    enum { QUEUE = 64, ADDED = 300 };
    struct metrics *m = metrics_new(rows, COUNT_OF(rows));
    struct strbuf got CLEANUP(strbuf_done) = { 0 };
    struct audit *a =
        begin(&(struct audit_config){ .path = "-", .queue_max = QUEUE, .metrics = metrics_of(m) });
    int64_t begin_ms = clock_mono_ms();
    int64_t took_ms;
    struct audit_view view;
    pthread_t reader;
    struct chain c;

    (void)state;
    for (int i = 0; i < ADDED; i++)
        audit_add(a, &access_of_web);
    took_ms = clock_mono_ms() - begin_ms;
    wait_until_full(a, true);
    view = audit_view_of(a);
    assert_int_equal(pthread_create(&reader, NULL, read_output, &got), 0);
    wait_until_full(a, false);
    audit_add(a, &access_of_web);
    audit_free(a);
    give_output_back();
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_true(took_ms < WAIT_MS / 2); /* nobody who adds waits for the sink */
    assert_true(view.dropped >= ADDED - QUEUE - 8 && view.dropped < ADDED);
    assert_true(view.queued <= QUEUE && view.queued > QUEUE - 8);
    c = read_chain(got.text, NULL);
    assert_int_equal(told_dropped(&c), view.dropped);
    assert_int_equal((int64_t)of_event(&c, "rotate"), ADDED + 1 - view.dropped);
    assert_int_equal(of_event(&c, "stop"), 1);
    assert_true(metrics_value(m, ROW_DROPPED, NULL) == (double)view.dropped);
    assert_true(metrics_value(m, ROW_WRITTEN, NULL) == (double)c.head.seq);
    assert_true(metrics_value(m, ROW_SEQ, NULL) == (double)c.head.seq);
    assert_true(metrics_value(m, ROW_HEAD, NULL) == chain_head_number(&c.head));
    assert_true(metrics_value(m, ROW_QUEUED, NULL) == 0);
    assert_true(metrics_value(m, ROW_FAILING, NULL) == 0);
    assert_true(metrics_value(m, ROW_BLOCKED, NULL) > 0);
    tree_free(c.lines);
    metrics_free(m);
}

/* The longest lines: their bytes are too many long before their number is. */
static void lines_that_wait_have_a_ceiling_in_bytes(void **state)
{
    enum { OBJECTS = 2000, MORE = 20 };
    struct audit *a = begin(&(struct audit_config){ .path = "-" });
    struct audit_object *many = xcalloc(OBJECTS, sizeof(*many));
    struct audit_entry entry = access_of_web;
    struct audit_view view;

    (void)state;
    for (size_t i = 0; i < OBJECTS; i++)
        many[i] = (struct audit_object){ .name = "an-object-of-a-class", .path = "its/file" };
    entry.objects = many;
    entry.object_count = OBJECTS;
    for (int i = 0; i < AUDIT_QUEUE_BYTES_MAX / CHAIN_LINE_MAX + MORE; i++)
        audit_add(a, &entry);
    view = audit_view_of(a);
    audit_free(a);
    give_output_back();
    free(many);
    assert_in_range(view.dropped, MORE / 2, MORE);
}

static void the_end_waits_a_bounded_time_for_a_sink_that_nobody_reads(void **state)
{
    struct audit *a = begin(&(struct audit_config){ .path = "-" });
    int64_t begin_ms;

    (void)state;
    for (int i = 0; i < 100; i++)
        audit_add(a, &access_of_web);
    wait_until_full(a, true);
    begin_ms = clock_mono_ms();
    audit_free(a);
    begin_ms = clock_mono_ms() - begin_ms;
    give_output_back();
    assert_true(begin_ms >= AUDIT_DRAIN_MS - 1000 && begin_ms < AUDIT_DRAIN_MS + 2000);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_closes_it_and_room_again_opens_it_without_a_gap(void **state)
{
    struct audit *a = begin(&(struct audit_config){ 0 });
    struct audit_view view;
    struct stat st;
    struct chain c;

    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    wait_until(a, 1);
    assert_int_equal(stat(file, &st), 0);
    assert_false(audit_is_full(a));
    limit_file_size((rlim_t)st.st_size + 100); /* in the middle of the next line */
    audit_add(a, &access_of_web);
    wait_until_full(a, true);
    view = audit_view_of(a);
    audit_add(a, &access_of_web);
    limit_file_size(RLIM_INFINITY);
    wait_until_full(a, false);
    audit_free(a);
    assert_true(view.failing);
    assert_non_null(strstr(view.failure.msg, "write "));
    assert_int_equal(view.head.seq, 1);
    c = read_file(file, NULL);
    assert_int_equal(of_event(&c, "rotate"), 2);
    assert_int_equal(c.head.seq, 4);
    tree_free(c.lines);
}

static void an_audit_that_is_off_takes_everything_and_is_never_full(void **state)
{
    (void)state;
    audit_add(NULL, &access_of_web);
    assert_false(audit_is_full(NULL));
    assert_int_equal(audit_view_of(NULL).head.seq, 0);
    audit_free(NULL);
}

enum { THREADS = 8, EACH = 100 };

static void *add_many(void *arg)
{
    for (int i = 0; i < EACH; i++)
        audit_add(arg, &access_of_web);
    return NULL;
}

static void many_threads_make_one_chain(void **state)
{
    struct audit *a = begin(&(struct audit_config){ 0 });
    pthread_t threads[THREADS];
    struct audit_view view;
    struct chain c;

    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, a), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    wait_until(a, THREADS * EACH + 1);
    view = audit_view_of(a);
    c = read_file(file, NULL);
    assert_string_equal(view.head.hash, c.head.hash);
    assert_int_equal(view.head.seq, THREADS * EACH + 1);
    assert_int_equal(view.dropped, 0);
    audit_free(a);
    tree_free(c.lines);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, make_folder, remove_folder)
#define TEST_OUTPUT(name_) cmocka_unit_test_setup_teardown(name_, take_output, return_output)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_kept_to_is_refused_at_the_start),
        TEST(the_chain_goes_on_after_a_restart),
        TEST(a_line_torn_by_a_crash_is_cut_off_and_told),
        TEST(what_others_wrote_into_the_file_is_never_cut),
        TEST(two_at_once_do_not_write_one_file),
        TEST(the_chain_goes_on_over_rotated_files),
        TEST(a_crash_within_a_rotation_leaves_the_chain_whole),
        TEST(a_rotation_that_ended_half_way_costs_no_old_file),
        TEST(a_file_that_was_moved_away_is_made_anew),
        TEST_OUTPUT(a_sink_that_nobody_reads_holds_up_nobody_and_the_chain_tells_the_loss),
        TEST_OUTPUT(lines_that_wait_have_a_ceiling_in_bytes),
        TEST_OUTPUT(the_end_waits_a_bounded_time_for_a_sink_that_nobody_reads),
        TEST(a_full_disk_closes_it_and_room_again_opens_it_without_a_gap),
        TEST(an_audit_that_is_off_takes_everything_and_is_never_full),
        TEST(many_threads_make_one_chain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
