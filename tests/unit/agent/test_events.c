/* SPDX-License-Identifier: Apache-2.0
 *
 * Events on their way: whom one that cannot be told holds up, and what is dropped of too many.
 */
/* WRAP: clock_gettime */
#include <pthread.h>

#include "agent/agent_metrics.h"
#include "agent/events.h"
#include "tests/fakes/kube_fake.h"
#include "tests/slept.h"

enum { PATIENCE_MS = 20000 };

static const struct event plain = {
    .reason = EVENT_ROTATED,
    .ns = "shop",
    .name = "web-0",
    .uid = "u1",
    .text = "rotated",
};

struct world {
    struct kube_fake fake;
    struct metrics *metrics;
    struct kube_api *api;
    struct events *events;
};

static void begin(struct world *w)
{
    struct events_metrics counted;

    kube_fake_start(&w->fake, NULL);
    w->metrics = metrics_new(agent_metric_rows, AM_COUNT);
    counted = (struct events_metrics){ w->metrics, AM_EVENTS };
    w->api = kube_fake_client(&w->fake, NULL);
    w->events = events_new(w->api, "n1", &counted);
}

static void end(struct world *w)
{
    events_free(w->events);
    kube_api_free(w->api);
    metrics_free(w->metrics);
    kube_fake_stop(&w->fake);
}

static double counted(const struct world *w, const char *result)
{
    return metrics_value(w->metrics, AM_EVENTS, &result);
}

/* --- what the API server has of a namespace ----------------------------------------------------
 */

/* ns NULL: of all. */
static void fail_calls(const struct world *w, const char *ns, const char *kind)
{
    autofree char *of = ns ? str_printf("\"ns\":\"%s\",", ns) : xstrdup("");
    autofree char *fault = str_printf("{\"on\":\"create\",%s\"kind\":\"%s\",\"times\":100000,"
                                      "\"seconds\":3}",
                                      of, kind);

    kube_fake_tell(&w->fake, fault, "fault/events");
}

static void heal(const struct world *w)
{
    kube_fake_tell(&w->fake, NULL, "heal/events");
}

/* Pod i of a namespace has one. */
static void put(const struct world *w, const char *ns, size_t i)
{
    autofree char *pod = str_printf("pod-%03zu", i);
    autofree char *uid = str_printf("%s-%zu", ns, i);
    struct event event = plain;

    event.ns = ns;
    event.name = pod;
    event.uid = uid;
    events_put(w->events, &event);
}

static size_t told(const struct world *w, const char *ns)
{
    autofree char *truth = kube_fake_ask(&w->fake, "truth/events", NULL);
    size_t count = 0;

    for (const char *line = truth; *line; line += strcspn(line, "\n") + 1)
        count += str_starts(line, ns) && line[strlen(ns)] == '/';
    return count;
}

static void wait_until_told(const struct world *w, const char *ns, size_t count)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;

    while (told(w, ns) < count && clock_mono_ms() < until)
        clock_sleep_ms(20);
    assert_int_equal(told(w, ns), count);
}

/* Pods by name are told in the order of their objects' versions. */
static void expect_order(const struct world *w, const char *ns)
{
    autofree char *truth = kube_fake_ask(&w->fake, "truth/events", NULL);
    long before = 0;
    char *rest = truth;
    char *line;

    while ((line = strsep(&rest, "\n"))) {
        long version = *line ? strtol(strchr(line, '=') + 1, NULL, 10) : 0;

        if (!str_starts(line, ns))
            continue;
        assert_true(version > before);
        before = version;
    }
    assert_true(before > 0);
}

/* How often it was asked to make one; ns NULL: in any namespace. */
static size_t tries(const struct world *w, const char *ns)
{
    autofree char *text = str_printf("POST /api/v1/namespaces/%s", ns ? ns : "");

    return kube_fake_asked(&w->fake, text);
}

static void wait_for_try(const struct world *w)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;

    while (!tries(w, NULL) && clock_mono_ms() < until)
        clock_sleep_ms(5);
    assert_true(tries(w, NULL));
}

/* From the first try in one namespace to the next one in the other, as the server saw them. */
static int64_t pause_ms(const struct world *w, const char *from, const char *to)
{
    autofree char *first = str_printf("POST /api/v1/namespaces/%s/", from);
    autofree char *then = str_printf("POST /api/v1/namespaces/%s/", to);
    autofree char *log = kube_fake_ask(&w->fake, "log", NULL);
    int64_t began = -1;
    char *rest = log;
    char *line;

    while ((line = strsep(&rest, "\n"))) {
        int64_t at = strtol(line, NULL, 10);

        if (began >= 0 && strstr(line, then))
            return at - began;
        if (began < 0 && strstr(line, first))
            began = at;
    }
    fail_msg("%s: no try after one of %s", to, from);
    return 0;
}

static void wait_for_count(const struct world *w, const char *result, size_t count)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;

    while (counted(w, result) < (double)count && clock_mono_ms() < until)
        clock_sleep_ms(5);
    assert_int_equal(counted(w, result), count);
}

/* --- what cannot be told -----------------------------------------------------------------------
 */

static const char *const troubles_of_one[] = { "s500", "s429", "s504", "later" };

/* Each trouble has a namespace of its name. */
static void a_namespace_whose_events_fail_holds_up_no_other(void **state)
{
    enum { EACH = 3, BADS = COUNT_OF(troubles_of_one) };
    struct world w;
    int64_t began;

    (void)state;
    begin(&w);
    began = clock_mono_ms();
    for (size_t bad = 0; bad < BADS; bad++)
        fail_calls(&w, troubles_of_one[bad], troubles_of_one[bad]);
    for (size_t i = 0; i < (BADS + 1) * EACH; i++)
        put(&w, i < BADS * EACH ? troubles_of_one[i / EACH] : "good", i);
    wait_until_told(&w, "good", EACH);
    assert_in_range(clock_mono_ms() - began, (EACH - 1) * EVENTS_PACE_MS, PATIENCE_MS / 2);
    for (size_t bad = 0; bad < BADS; bad++) {
        assert_int_equal(told(&w, troubles_of_one[bad]), 0);
        assert_in_range(tries(&w, troubles_of_one[bad]), 1, 3);
    }
    heal(&w);
    for (size_t bad = 0; bad < BADS; bad++) {
        wait_until_told(&w, troubles_of_one[bad], EACH);
        expect_order(&w, troubles_of_one[bad]);
    }
    wait_for_count(&w, "written", (BADS + 1) * EACH);
    assert_int_equal(counted(&w, "failed"), 0);
    end(&w);
}

static const char *const troubles_of_all[] = { "vanish", "s401", "html502", "busy" };

static void a_server_that_takes_none_is_left_alone_for_all(void **state)
{
    static const char *const namespaces[] = { "a", "b", "c", "d", "e", "f" };
    struct world w[COUNT_OF(troubles_of_all)];

    (void)state;
    for (size_t row = 0; row < COUNT_OF(w); row++)
        begin(&w[row]);
    for (size_t row = 0; row < COUNT_OF(w); row++) {
        fail_calls(&w[row], NULL, troubles_of_all[row]);
        for (size_t i = 0; i < COUNT_OF(namespaces); i++)
            put(&w[row], namespaces[i], 0);
    }
    clock_sleep_ms(COUNT_OF(namespaces) * EVENTS_PACE_MS);
    for (size_t row = 0; row < COUNT_OF(w); row++) {
        if (tries(&w[row], NULL) > 3)
            fail_msg("%s: %zu tries", troubles_of_all[row], tries(&w[row], NULL));
        heal(&w[row]);
    }
    for (size_t row = 0; row < COUNT_OF(w); row++) {
        for (size_t i = 0; i < COUNT_OF(namespaces); i++)
            wait_until_told(&w[row], namespaces[i], 1);
        end(&w[row]);
    }
}

static const struct {
    const char *kind; /* both with "Retry-After: 3", where our own first wait is at most 1.25 s */
    bool all_wait;    /* nobody looked at the Event, or somebody did */
} waits[] = { { "busy", true }, { "later", false } };

static void a_server_that_says_when_is_not_asked_before(void **state)
{
    struct world w[COUNT_OF(waits)];

    (void)state;
    for (size_t row = 0; row < COUNT_OF(w); row++) {
        begin(&w[row]);
        fail_calls(&w[row], "bad", waits[row].kind);
        put(&w[row], "bad", 0);
        put(&w[row], "good", 0);
        wait_for_try(&w[row]);
        heal(&w[row]);
    }
    for (size_t row = 0; row < COUNT_OF(w); row++) {
        wait_until_told(&w[row], "good", 1);
        wait_until_told(&w[row], "bad", 1);
        assert_true(pause_ms(&w[row], "bad", "bad") >= 2990);
        assert_int_equal(pause_ms(&w[row], "bad", "good") >= 2990, waits[row].all_wait);
        end(&w[row]);
    }
}

static void one_that_could_not_be_told_for_an_hour_is_dropped(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    fail_calls(&w, "bad", "s500");
    put(&w, "bad", 0);
    put(&w, "bad", 1);
    wait_for_try(&w);
    slept_add(EVENTS_OLD_MS / MS_PER_S);
    put(&w, "bad", 2);
    wait_for_count(&w, "failed", 2);
    heal(&w);
    wait_until_told(&w, "bad", 1);
    end(&w);
}

static void a_machine_that_has_slept_makes_none_wait(void **state)
{
    struct world w;

    (void)state;
    slept_add(86400);
    begin(&w);
    for (size_t i = 0; i < 3; i++)
        put(&w, "good", i);
    wait_until_told(&w, "good", 3);
    end(&w);
}

static void the_end_waits_for_none(void **state)
{
    struct world w;
    int64_t began;

    (void)state;
    begin(&w);
    fail_calls(&w, NULL, "busy");
    put(&w, "bad", 0);
    put(&w, "good", 0);
    wait_for_try(&w);
    began = clock_mono_ms();
    events_free(w.events);
    w.events = NULL;
    assert_true(clock_mono_ms() - began < 2500);
    assert_int_equal(counted(&w, "failed"), 2);
    end(&w);
}

/* --- too many ---------------------------------------------------------------------------------
 */

static void a_pod_that_has_too_many_is_limited_and_others_are_not(void **state)
{
    struct event other = plain;
    struct world w;

    (void)state;
    begin(&w);
    fail_calls(&w, NULL, "vanish");
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
    fail_calls(&w, NULL, "vanish");
    for (size_t i = 0; i < EVENTS_QUEUE_MAX + over; i++) {
        autofree char *uid = str_printf("u%zu", i / EVENTS_POD_BURST);
        struct event event = plain;

        event.uid = uid;
        events_put(w.events, &event);
    }
    assert_int_equal(counted(&w, "dropped"), over);
    end(&w);
}

static void a_namespace_that_fills_the_queue_leaves_room_for_others(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    fail_calls(&w, "bad", "s500");
    for (size_t i = 0; i < EVENTS_QUEUE_MAX; i++)
        put(&w, "bad", i);
    assert_int_equal(counted(&w, "dropped"), 0);
    put(&w, "good", 0);
    put(&w, "good", 1);
    assert_int_equal(counted(&w, "dropped"), 2);
    put(&w, "bad", EVENTS_QUEUE_MAX);
    assert_int_equal(counted(&w, "dropped"), 3);
    wait_until_told(&w, "good", 2);
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
        cmocka_unit_test(a_namespace_whose_events_fail_holds_up_no_other),
        cmocka_unit_test(a_server_that_takes_none_is_left_alone_for_all),
        cmocka_unit_test(a_server_that_says_when_is_not_asked_before),
        cmocka_unit_test(one_that_could_not_be_told_for_an_hour_is_dropped),
        cmocka_unit_test(a_machine_that_has_slept_makes_none_wait),
        cmocka_unit_test(the_end_waits_for_none),
        cmocka_unit_test(a_pod_that_has_too_many_is_limited_and_others_are_not),
        cmocka_unit_test(what_does_not_fit_the_queue_is_dropped_and_counted),
        cmocka_unit_test(a_namespace_that_fills_the_queue_leaves_room_for_others),
        cmocka_unit_test(nobody_is_told_where_there_are_no_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
