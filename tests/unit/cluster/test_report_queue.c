/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports on their way to somebody who does not take them yet.
 */
#include <pthread.h>

#include "driver/cluster/report_queue.h"
#include "lib/base/clock.h"
#include "tests/check.h"

enum { PATIENCE_MS = 20000 };

static struct {
    pthread_mutex_t lock;
    size_t tries; /* guarded by lock, as all below */
    bool takes;
    bool refuses;
    char target[16]; /* of the last one taken */
    bool resent;
    size_t taken;
} w = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int send(void *arg, const Locket__Cluster__V1__ReportRequest *report, struct error *err)
{
    enum code code;
    bool takes;

    (void)arg;
    (void)pthread_mutex_lock(&w.lock);
    w.tries++;
    takes = w.takes;
    if (takes) {
        w.taken++;
        w.resent = report->resent;
        (void)snprintf(w.target, sizeof(w.target), "%s", report->target);
    }
    code = w.refuses ? CODE_INVALID_ARGUMENT : CODE_UNAVAILABLE;
    (void)pthread_mutex_unlock(&w.lock);
    return takes ? 0 : error_set(err, code, "not taken");
}

static size_t read_locked(const size_t *value)
{
    size_t now;

    (void)pthread_mutex_lock(&w.lock);
    now = *value;
    (void)pthread_mutex_unlock(&w.lock);
    return now;
}

static void wait_for(const size_t *value, size_t least)
{
    int64_t end = clock_mono_ms() + PATIENCE_MS;

    while (read_locked(value) < least && clock_mono_ms() < end)
        clock_sleep_ms(5);
    assert_true(read_locked(value) >= least);
}

static void set(bool *flag, bool value)
{
    (void)pthread_mutex_lock(&w.lock);
    *flag = value;
    (void)pthread_mutex_unlock(&w.lock);
}

/* The newest report of a volume is the one that is sent; that one of those before it was told again
 * (so that its class is to be looked at) is not lost with them. */
static void the_last_report_goes_with_what_was_asked_by_those_before(void **state)
{
    struct report_queue *q = report_queue_new(send, NULL, &(struct cluster_metrics){ 0 });
    struct volume_report report = { .volume_id = "v", .target = "one", .mounted = true };

    (void)state;
    report.resent = true;
    report_queue_put(q, &report);
    wait_for(&w.tries, 1); /* refused: it waits again */
    report.resent = false;
    report.target = "two";
    report_queue_put(q, &report);
    report.target = "three";
    report_queue_put(q, &report);
    set(&w.takes, true);
    wait_for(&w.taken, 1);
    report_queue_free(q);
    assert_int_equal(w.taken, 1);
    assert_string_equal(w.target, "three");
    assert_true(w.resent);
}

static const struct metric_row row = { .name = "dropped_total",
                                       .kind = METRIC_COUNTER,
                                       .help = "Dropped." };

static void put_volume(struct report_queue *q, size_t i)
{
    autofree char *id = str_printf("v%zu", i);

    report_queue_put(q, &(struct volume_report){ .volume_id = id, .mounted = true });
}

static void wait_for_dropped(struct metrics *metrics, double count)
{
    int64_t end = clock_mono_ms() + PATIENCE_MS;

    while (metrics_value(metrics, 0, NULL) < count && clock_mono_ms() < end)
        clock_sleep_ms(5);
    assert_true(metrics_value(metrics, 0, NULL) == count);
}

/* One that is being tried has its place, and comes back to none when others took it. */
static void what_there_is_no_room_for_is_counted(void **state)
{
    const struct cluster_metrics counted = { metrics_new(&row, 1), 0 };
    struct report_queue *q;
    size_t over = 7;

    (void)state;
    set(&w.takes, false);
    q = report_queue_new(send, NULL, &counted);
    for (size_t i = 0; i < REPORT_QUEUE_MAX + over; i++)
        put_volume(q, i);
    wait_for_dropped(counted.metrics, (double)over);
    assert_in_range(report_queue_count(q), REPORT_QUEUE_MAX - 1, REPORT_QUEUE_MAX);
    put_volume(q, REPORT_QUEUE_MAX / 2); /* in the place of the one that waits */
    assert_true(metrics_value(counted.metrics, 0, NULL) == (double)over);
    report_queue_free(q);
    metrics_free(counted.metrics);
}

static void what_is_refused_is_counted(void **state)
{
    const struct cluster_metrics counted = { metrics_new(&row, 1), 0 };
    struct report_queue *q;

    (void)state;
    set(&w.takes, false);
    set(&w.refuses, true);
    q = report_queue_new(send, NULL, &counted);
    put_volume(q, 0);
    wait_for_dropped(counted.metrics, 1);
    report_queue_free(q);
    metrics_free(counted.metrics);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_report_goes_with_what_was_asked_by_those_before),
        cmocka_unit_test(what_there_is_no_room_for_is_counted),
        cmocka_unit_test(what_is_refused_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
