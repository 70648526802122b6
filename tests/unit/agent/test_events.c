/* SPDX-License-Identifier: Apache-2.0
 *
 * Events on their way: what is dropped of too many.
 */
#include "agent/agent_metrics.h"
#include "agent/events.h"
#include "tests/check.h"

static const struct event plain = {
    .reason = EVENT_ROTATED,
    .ns = "shop",
    .name = "web-0",
    .uid = "u1",
    .text = "rotated",
};

struct world {
    struct metrics *metrics;
    struct kube_api *api;
    struct events *events;
};

/* An API server that is not there: what is put waits. */
static void begin(struct world *w)
{
    struct kube_config config = { .server = xstrdup("http://127.0.0.1:1") };
    struct events_metrics counted;

    w->metrics = metrics_new(agent_metric_rows, AM_COUNT);
    counted = (struct events_metrics){ w->metrics, AM_EVENTS };
    w->api = kube_api_new(&config, NULL);
    w->events = events_new(w->api, "n1", &counted);
}

static void end(struct world *w)
{
    events_free(w->events);
    kube_api_free(w->api);
    metrics_free(w->metrics);
}

static double counted(const struct world *w, const char *result)
{
    return metrics_value(w->metrics, AM_EVENTS, &result);
}

static void a_pod_that_has_too_many_is_limited_and_others_are_not(void **state)
{
    struct event other = plain;
    struct world w;

    (void)state;
    begin(&w);
    for (size_t i = 0; i < EVENTS_POD_BURST + 7; i++)
        events_put(w.events, &plain);
    assert_int_equal(counted(&w, "limited"), 7);
    other.uid = "u2";
    events_put(w.events, &other);
    assert_int_equal(counted(&w, "limited"), 7);
    end(&w);
}

static void what_does_not_fit_the_queue_is_dropped_and_counted(void **state)
{
    struct world w;
    size_t over = 30;

    (void)state;
    begin(&w);
    for (size_t i = 0; i < EVENTS_QUEUE_MAX + over; i++) {
        autofree char *uid = str_printf("u%zu", i / EVENTS_POD_BURST);
        struct event event = plain;

        event.uid = uid;
        events_put(w.events, &event);
    }
    assert_true(counted(&w, "dropped") >= (double)over - 1); /* one is on its way */
    end(&w);
}

static void nobody_is_told_where_there_are_no_events(void **state)
{
    (void)state;
    events_put(NULL, &plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_that_has_too_many_is_limited_and_others_are_not),
        cmocka_unit_test(what_does_not_fit_the_queue_is_dropped_and_counted),
        cmocka_unit_test(nobody_is_told_where_there_are_no_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
