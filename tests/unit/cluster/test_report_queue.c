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
    char target[16]; /* of the last one taken */
    bool resent;
    size_t taken;
} w = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int send(void *arg, const Locket__Cluster__V1__ReportRequest *report, struct error *err)
{
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
    (void)pthread_mutex_unlock(&w.lock);
    return takes ? 0 : error_set(err, CODE_UNAVAILABLE, "away");
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

/* The newest report of a volume is the one that is sent; that one of those before it was told again
 * (so that its class is to be looked at) is not lost with them. */
static void the_last_report_goes_with_what_was_asked_by_those_before(void **state)
{
    struct report_queue *q = report_queue_new(send, NULL);
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
    (void)pthread_mutex_lock(&w.lock);
    w.takes = true;
    (void)pthread_mutex_unlock(&w.lock);
    wait_for(&w.taken, 1);
    report_queue_free(q);
    assert_int_equal(w.taken, 1);
    assert_string_equal(w.target, "three");
    assert_true(w.resent);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_report_goes_with_what_was_asked_by_those_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
