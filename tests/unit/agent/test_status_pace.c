/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status_pace.h"
#include "tests/check.h"

static struct error failure(enum code code, int64_t retry_after_ms)
{
    struct error err = { 0 };

    (void)error_set(&err, code, "no");
    err.retry_after_ms = retry_after_ms;
    return err;
}

static void what_is_written_is_written_again_in_ten_minutes_but_not_all_at_once(void **state)
{
    int64_t least = INT64_MAX;
    int64_t most = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct status_pace pace = { 0 };
        int64_t ms = status_pace_written(&pace, 1);

        assert_in_range(ms, 450000, 750000);
        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
    }
    assert_true(most - least > 200000);
}

static void failures_are_tried_again_at_a_pace(void **state)
{
    static const struct {
        const char *says;
        enum code code;
        int failures; /* before this one */
        size_t failing;
        int64_t retry_after_ms;
        int64_t least_ms;
        int64_t most_ms;
    } rows[] = {
        { "a first failure", CODE_UNAVAILABLE, 0, 1, 0, 750, 1250 },
        { "a second one", CODE_UNAVAILABLE, 1, 1, 0, 1500, 2500 },
        { "one after ten minutes of a server away", CODE_UNAVAILABLE, 150, 1, 0, 2250, 3750 },
        { "the same with twenty objects", CODE_DEADLINE_EXCEEDED, 150, 20, 0, 3000, 5000 },
        { "the same with a hundred", CODE_UNAVAILABLE, 150, 100, 0, 15000, 25000 },
        { "the same with a thousand", CODE_UNAVAILABLE, 150, 1000, 0, 45000, 75000 },
        { "a refusal that lasts", CODE_PERMISSION_DENIED, 150, 1, 0, 45000, 75000 },
        { "a policy that denies", CODE_INVALID_ARGUMENT, 5, 1, 0, 24000, 40000 },
        { "as the server says", CODE_UNAVAILABLE, 0, 1, 7000, 7000, 8750 },
        { "as it says, although it failed often", CODE_UNAVAILABLE, 50, 9, 2000, 2000, 2500 },
        { "as it says, a minute at most", CODE_UNAVAILABLE, 0, 1, 3600000, 60000, 75000 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int turn = 0; turn < 100; turn++) {
            struct status_pace pace = { .failures = rows[i].failures };
            struct error err = failure(rows[i].code, rows[i].retry_after_ms);
            int64_t ms = status_pace_failed(&pace, &err, rows[i].failing, 1);

            if (ms < rows[i].least_ms || ms > rows[i].most_ms)
                fail_msg("%s: %lld ms", rows[i].says, (long long)ms);
        }
}

static void a_success_begins_the_count_anew(void **state)
{
    struct status_pace pace = { .failures = 40 };
    struct error err = failure(CODE_UNAVAILABLE, 0);

    (void)state;
    (void)status_pace_written(&pace, 1);
    assert_in_range(status_pace_failed(&pace, &err, 1, 1), 750, 1250);
}

/* A change, a lost object, a server that is back: each is a reason to write at once. */
static void no_reason_is_one_to_ask_before_the_server_said(void **state)
{
    struct status_pace pace = { 0 };
    struct error told = failure(CODE_UNAVAILABLE, 3000);
    struct error away = failure(CODE_UNAVAILABLE, 0);

    (void)state;
    assert_int_equal(status_pace_soonest(&pace, 0, 1000), 0);
    (void)status_pace_failed(&pace, &told, 1, 1000);
    assert_int_equal(status_pace_soonest(&pace, 0, 1000), 3000);
    assert_int_equal(status_pace_soonest(&pace, 500, 3500), 500);
    assert_int_equal(status_pace_soonest(&pace, 4000, 1000), 4000);
    assert_int_equal(status_pace_soonest(&pace, 0, 4000), 0);
    (void)status_pace_failed(&pace, &away, 1, 2000);
    assert_int_equal(status_pace_soonest(&pace, 0, 2000), 0);
}

static void what_somebody_deletes_is_made_again_at_once(void **state)
{
    struct status_pace pace = { 0 };

    (void)state;
    assert_int_equal(status_pace_lost(&pace, 1000), 0); /* of an agent before this one */
    (void)status_pace_written(&pace, 1000);
    assert_int_equal(status_pace_lost(&pace, 2000), 0);
    (void)status_pace_written(&pace, 2000);
    assert_int_equal(status_pace_lost(&pace, 2000 + STATUS_LOST_SOON_MS), 0);
}

/* A collector that removes each at once, for an hour. */
static void what_is_deleted_whenever_it_is_made_is_made_rarely(void **state)
{
    struct status_pace pace = { 0 };
    int64_t now = 1000;
    int first_seconds = 0;
    int all = 0;

    (void)state;
    while (now < 3600 * 1000) {
        (void)status_pace_written(&pace, now);
        all++;
        first_seconds += now < 11 * 1000;
        now += 20;
        now += status_pace_lost(&pace, now);
    }
    assert_in_range(first_seconds, 3, 6);
    assert_in_range(all, 45, 90);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_written_again_in_ten_minutes_but_not_all_at_once),
        cmocka_unit_test(failures_are_tried_again_at_a_pace),
        cmocka_unit_test(a_success_begins_the_count_anew),
        cmocka_unit_test(no_reason_is_one_to_ask_before_the_server_said),
        cmocka_unit_test(what_somebody_deletes_is_made_again_at_once),
        cmocka_unit_test(what_is_deleted_whenever_it_is_made_is_made_rarely),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
