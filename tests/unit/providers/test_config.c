/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider's flags: what they are when nobody says, and what is refused before anything starts.
 */
#include "providers/config.h"
#include "tests/check.h"

static const struct {
    const char *flag;
    int64_t timeout_ms;
    const char *error; /* NULL: taken */
} timeouts[] = {
    { "--sandbox=off", 60000, NULL }, /* nobody says */
    { "--worker-timeout=0", 0, NULL },
    { "--worker-timeout=1s", 1000, NULL },
    { "--worker-timeout=1h30m", 5400000, NULL },
    { "--worker-timeout=999ms", 0, "--worker-timeout must be 0, or 1s or more" },
    { "--worker-timeout=-5s", 0, "--worker-timeout" },
};

static void the_time_that_a_worker_may_be_silent_is_a_second_or_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(timeouts); i++) {
        char *argv[] = { (char *)"locket-provider", (char *)timeouts[i].flag, NULL };
        struct provider_config config CLEANUP(provider_config_done) = { 0 };
        struct error err = { 0 };
        int result = provider_config_parse(2, argv, &config, &err);

        if (result != (timeouts[i].error ? -1 : 0) ||
            (timeouts[i].error && !strstr(err.msg, timeouts[i].error)))
            fail_msg("%s: %s", timeouts[i].flag, result < 0 ? err.msg : "taken");
        if (result == 0)
            assert_int_equal(config.worker_timeout_ms, timeouts[i].timeout_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_that_a_worker_may_be_silent_is_a_second_or_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
