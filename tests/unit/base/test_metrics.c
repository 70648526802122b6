/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics: what is counted, what is written, and that Prometheus' own checker reads it.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "lib/base/metrics.h"
#include "tests/check.h"

static const double bounds[] = { 0.1, 1, 2500000 };

static const struct metric_row rows[] = {
    { .name = "done_total", .kind = METRIC_COUNTER, .help = "Work done.", .labels = { "a", "b" } },
    { .name = "level", .kind = METRIC_GAUGE, .help = "How high it stands." },
    { .name = "took_seconds",
      .kind = METRIC_HISTOGRAM,
      .help = "How long it took.",
      .labels = { "kind" },
      .buckets = bounds,
      .bucket_count = COUNT_OF(bounds) },
    { .name = "bare_seconds",
      .kind = METRIC_HISTOGRAM,
      .help = "The same without labels.",
      .buckets = bounds,
      .bucket_count = 1 },
};

enum { DONE, LEVEL, TOOK, BARE };

#define VALUES(...)                                                                                \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void metrics_free_at(struct metrics **slot)
{
    metrics_free(*slot);
}

#define autometrics CLEANUP(metrics_free_at)

static void without_labels_zero_is_shown_from_the_start(void **state)
{
    struct metrics *m autometrics = metrics_new(rows, COUNT_OF(rows));
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    (void)state;
    metrics_write(m, &out);
    assert_string_equal(strbuf_text(&out), "# HELP level How high it stands.\n"
                                           "# TYPE level gauge\n"
                                           "level 0\n"
                                           "# HELP bare_seconds The same without labels.\n"
                                           "# TYPE bare_seconds histogram\n"
                                           "bare_seconds_bucket{le=\"0.1\"} 0\n"
                                           "bare_seconds_bucket{le=\"+Inf\"} 0\n"
                                           "bare_seconds_sum 0\n"
                                           "bare_seconds_count 0\n");
}

static void fill(struct metrics *m)
{
    metrics_add(m, DONE, VALUES("z", "1"), 1);
    metrics_add(m, DONE, VALUES("y", "2"), 2);
    metrics_add(m, DONE, VALUES("z", "1"), 0.5);
    metrics_add(m, DONE, VALUES("a\"b\\c\nd", NULL), 1);
    metrics_add(m, DONE, VALUES("\xff\xc3\xa4", "x"), 1);
    metrics_set(m, LEVEL, NULL, 7);
    metrics_set(m, LEVEL, NULL, -3);
    metrics_observe(m, TOOK, VALUES("x"), 0.1);
    metrics_observe(m, TOOK, VALUES("x"), 0.25);
    metrics_observe(m, TOOK, VALUES("x"), 3e6);
}

static void series_are_sorted_escaped_and_cumulative(void **state)
{
    struct metrics *m autometrics = metrics_new(rows, BARE);
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    (void)state;
    fill(m);
    metrics_write(m, &out);
    assert_string_equal(strbuf_text(&out), "# HELP done_total Work done.\n"
                                           "# TYPE done_total counter\n"
                                           "done_total{a=\"a\\\"b\\\\c\\nd\",b=\"\"} 1\n"
                                           "done_total{a=\"y\",b=\"2\"} 2\n"
                                           "done_total{a=\"z\",b=\"1\"} 1.5\n"
                                           "done_total{a=\"\xef\xbf\xbd\xc3\xa4\",b=\"x\"} 1\n"
                                           "# HELP level How high it stands.\n"
                                           "# TYPE level gauge\n"
                                           "level -3\n"
                                           "# HELP took_seconds How long it took.\n"
                                           "# TYPE took_seconds histogram\n"
                                           "took_seconds_bucket{kind=\"x\",le=\"0.1\"} 1\n"
                                           "took_seconds_bucket{kind=\"x\",le=\"1\"} 2\n"
                                           "took_seconds_bucket{kind=\"x\",le=\"2500000\"} 2\n"
                                           "took_seconds_bucket{kind=\"x\",le=\"+Inf\"} 3\n"
                                           "took_seconds_sum{kind=\"x\"} 3000000.3500000001\n"
                                           "took_seconds_count{kind=\"x\"} 3\n");
}

static void units_are_spelled_out_where_that_is_wished_for(void **state)
{
    static const struct metric_row short_rows[] = {
        { .name = "age_sec",
          .spelled = "age_seconds",
          .kind = METRIC_GAUGE,
          .help = "Its age.",
          .labels = { "of" } },
        { .name = "work_sec",
          .spelled = "work_seconds",
          .kind = METRIC_HISTOGRAM,
          .help = "Its work.",
          .buckets = bounds,
          .bucket_count = 1 },
        { .name = "level", .kind = METRIC_GAUGE, .help = "How high it stands." },
    };
    struct metrics *m autometrics = metrics_new(short_rows, COUNT_OF(short_rows));
    struct strbuf before CLEANUP(strbuf_done) = { 0 };
    struct strbuf after CLEANUP(strbuf_done) = { 0 };

    (void)state;
    metrics_set(m, 0, VALUES("x"), 2);
    metrics_observe(m, 1, NULL, 0.1);
    metrics_write(m, &before);
    assert_non_null(strstr(strbuf_text(&before), "age_sec{of=\"x\"} 2\n"));
    assert_null(strstr(strbuf_text(&before), "seconds"));
    metrics_spell_units(m);
    metrics_write(m, &after);
    assert_string_equal(strbuf_text(&after), "# HELP age_seconds Its age.\n"
                                             "# TYPE age_seconds gauge\n"
                                             "age_seconds{of=\"x\"} 2\n"
                                             "# HELP work_seconds Its work.\n"
                                             "# TYPE work_seconds histogram\n"
                                             "work_seconds_bucket{le=\"0.1\"} 1\n"
                                             "work_seconds_bucket{le=\"+Inf\"} 1\n"
                                             "work_seconds_sum 0.10000000000000001\n"
                                             "work_seconds_count 1\n"
                                             "# HELP level How high it stands.\n"
                                             "# TYPE level gauge\n"
                                             "level 0\n");
}

static void values_can_be_asked(void **state)
{
    struct metrics *m autometrics = metrics_new(rows, COUNT_OF(rows));

    (void)state;
    fill(m);
    assert_true(metrics_value(m, DONE, VALUES("z", "1")) == 1.5);
    assert_true(metrics_value(m, DONE, VALUES("never", "seen")) == 0);
    assert_true(metrics_value(m, LEVEL, NULL) == -3);
    assert_true(metrics_value(m, TOOK, VALUES("x")) == 3);
    metrics_clear(m, DONE);
    assert_true(metrics_value(m, DONE, VALUES("z", "1")) == 0);
    assert_true(metrics_value(m, LEVEL, NULL) == -3);
    metrics_free(NULL);
}

static void series_above_the_ceiling_are_counted_as_other(void **state)
{
    struct metrics *m autometrics = metrics_new(rows, COUNT_OF(rows));

    (void)state;
    for (int i = 0; i < METRIC_SERIES_MAX + 5; i++) {
        autofree char *name = str_printf("%d", i);

        metrics_add(m, DONE, VALUES(name, "x"), 1);
    }
    metrics_add(m, DONE, VALUES("0", "x"), 1);
    assert_true(metrics_value(m, DONE, VALUES("0", "x")) == 2);
    assert_true(metrics_value(m, DONE, VALUES("1000", "x")) == 0);
    assert_true(metrics_value(m, DONE, VALUES("other", "other")) == 5);
}

enum { ROUNDS = 2000, THREADS = 4 };

static void *count_up(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        metrics_add(arg, DONE, VALUES("t", "t"), 1);
        metrics_observe(arg, TOOK, VALUES("t"), 1);
    }
    return NULL;
}

static void threads_lose_no_count(void **state)
{
    struct metrics *m autometrics = metrics_new(rows, COUNT_OF(rows));
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, m), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(metrics_value(m, DONE, VALUES("t", "t")) == ROUNDS * THREADS);
    assert_true(metrics_value(m, TOOK, VALUES("t")) == ROUNDS * THREADS);
}

static void promtool_reads_the_text(void **state)
{
    struct metrics *m autometrics = metrics_new(rows, COUNT_OF(rows));
    struct strbuf out CLEANUP(strbuf_done) = { 0 };
    int ends[2];
    int status = 0;
    pid_t child;

    (void)state;
    fill(m);
    metrics_write(m, &out);
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        (void)dup2(ends[0], STDIN_FILENO);
        (void)close(ends[1]);
        (void)execlp("promtool", "promtool", "check", "metrics", (char *)NULL);
        _exit(127);
    }
    (void)close(ends[0]);
    (void)!write(ends[1], out.text, out.len); /* less than a pipe holds */
    (void)close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WEXITSTATUS(status) == 127) {
        print_message("promtool is not installed\n");
        skip();
    }
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_labels_zero_is_shown_from_the_start),
        cmocka_unit_test(series_are_sorted_escaped_and_cumulative),
        cmocka_unit_test(units_are_spelled_out_where_that_is_wished_for),
        cmocka_unit_test(values_can_be_asked),
        cmocka_unit_test(series_above_the_ceiling_are_counted_as_other),
        cmocka_unit_test(threads_lose_no_count),
        cmocka_unit_test(promtool_reads_the_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
