/* SPDX-License-Identifier: Apache-2.0
 *
 * The cancel flag: who is told, how often, and that nobody is told after leaving.
 */
#include "lib/base/cancel.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "tests/check.h"

static void count(void *arg)
{
    ++*(int *)arg;
}

static void every_watcher_is_told_once(void **state)
{
    struct cancel c CLEANUP(cancel_done);
    int told[3] = { 0 };
    struct cancel_watch watches[3];

    (void)state;
    cancel_init(&c);
    for (size_t i = 0; i < COUNT_OF(told); i++) {
        watches[i] = (struct cancel_watch){ .raised = count, .arg = &told[i] };
        cancel_watch(&c, &watches[i]);
    }
    cancel_unwatch(&c, &watches[1]);
    assert_false(cancel_is_raised(&c));
    cancel_raise(&c);
    cancel_raise(&c);
    assert_true(cancel_is_raised(&c));
    assert_int_equal(told[0], 1);
    assert_int_equal(told[1], 0);
    assert_int_equal(told[2], 1);
    cancel_unwatch(&c, &watches[1]); /* again is fine */
    cancel_unwatch(&c, &watches[0]);
    cancel_unwatch(&c, &watches[2]);
}

static void who_comes_late_is_told_at_once(void **state)
{
    struct cancel c CLEANUP(cancel_done);
    int told = 0;
    struct cancel_watch watch = { .raised = count, .arg = &told };

    (void)state;
    cancel_init(&c);
    cancel_raise(&c);
    cancel_watch(&c, &watch);
    assert_int_equal(told, 1);
    cancel_raise(&c);
    assert_int_equal(told, 1);
    cancel_unwatch(&c, &watch);
}

static void no_flag_is_never_raised(void **state)
{
    int told = 0;
    struct cancel_watch watch = { .raised = count, .arg = &told };

    (void)state;
    assert_false(cancel_is_raised(NULL));
    cancel_watch(NULL, &watch);
    cancel_unwatch(NULL, &watch);
    assert_int_equal(told, 0);
}

static void be_slow(void *arg)
{
    __atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    clock_sleep_ms(50);
    __atomic_store_n((int *)arg, 2, __ATOMIC_SEQ_CST);
}

static void *raise_it(void *arg)
{
    cancel_raise(arg);
    return NULL;
}

static void unwatching_waits_for_a_telling_under_way(void **state)
{
    struct cancel c CLEANUP(cancel_done);
    int told = 0;
    struct cancel_watch watch = { .raised = be_slow, .arg = &told };
    int64_t until = clock_mono_ms() + 5000;
    pthread_t raiser;

    (void)state;
    cancel_init(&c);
    cancel_watch(&c, &watch);
    assert_int_equal(pthread_create(&raiser, NULL, raise_it, &c), 0);
    while (!__atomic_load_n(&told, __ATOMIC_SEQ_CST) && clock_mono_ms() < until)
        clock_sleep_ms(1);
    cancel_unwatch(&c, &watch);
    assert_int_equal(__atomic_load_n(&told, __ATOMIC_SEQ_CST), 2);
    assert_int_equal(pthread_join(raiser, NULL), 0);
}

static void a_sleep_ends_with_its_time_or_the_raising(void **state)
{
    struct cancel c CLEANUP(cancel_done);
    int64_t began = clock_mono_ms();
    pthread_t raiser;

    (void)state;
    cancel_init(&c);
    assert_true(cancel_sleep_ms(&c, 5));
    assert_true(cancel_sleep_ms(NULL, 5));
    assert_true(clock_mono_ms() - began >= 10);
    assert_int_equal(pthread_create(&raiser, NULL, raise_it, &c), 0);
    assert_false(cancel_sleep_ms(&c, 60000)); /* raised before or meanwhile */
    assert_int_equal(pthread_join(raiser, NULL), 0);
    assert_false(cancel_sleep_ms(&c, 60000));
    assert_true(clock_mono_ms() - began < 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_watcher_is_told_once),
        cmocka_unit_test(who_comes_late_is_told_at_once),
        cmocka_unit_test(no_flag_is_never_raised),
        cmocka_unit_test(a_sleep_ends_with_its_time_or_the_raising),
        cmocka_unit_test(unwatching_waits_for_a_telling_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
