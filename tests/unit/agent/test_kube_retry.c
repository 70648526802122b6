/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kube_retry.h"
#include "tests/check.h"

static void a_pause_doubles_up_to_its_most(void **state)
{
    static const int64_t want_ms[] = { 500, 500, 1000, 2000, 3000, 3000 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(want_ms); i++)
        assert_int_equal(kube_backoff_ms(500, 3000, (int)i), want_ms[i]);
    assert_int_equal(kube_backoff_ms(500, 3000, 1 << 30), 3000);
}

static void many_do_not_call_at_once_and_nobody_before_the_server_said(void **state)
{
    static const struct {
        const char *says;
        int64_t own_ms;
        int64_t told_ms;
        int64_t least_ms;
        int64_t most_ms;
    } rows[] = {
        { "nothing was said", 4000, 0, 3000, 5000 },
        { "more was said than we would wait", 1000, 8000, 8000, 10000 },
        { "about as much", 4000, 3900, 3900, 5000 },
        { "less", 4000, 1000, 3000, 5000 },
        { "a day: nobody is believed that long", 1000, 86400000, 60000, 75000 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err = { .code = CODE_UNAVAILABLE, .retry_after_ms = rows[i].told_ms };
        int64_t least = INT64_MAX;
        int64_t most = 0;

        for (int turn = 0; turn < 1000; turn++) {
            int64_t ms = kube_retry_ms(rows[i].own_ms, &err);

            least = ms < least ? ms : least;
            most = ms > most ? ms : most;
        }
        if (least < rows[i].least_ms || most > rows[i].most_ms || most - least < 200)
            fail_msg("%s: %lld to %lld ms", rows[i].says, (long long)least, (long long)most);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_doubles_up_to_its_most),
        cmocka_unit_test(many_do_not_call_at_once_and_nobody_before_the_server_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
