/* SPDX-License-Identifier: Apache-2.0 */
/* WRAP: clock_gettime pthread_cond_clockwait */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>

#include "lib/base/clock.h"
#include "lib/net/work.h"
#include "tests/check.h"
#include "tests/slept.h"

enum { PATIENCE_MS = 5000 };

static int counter;

static int count_now(void)
{
    return __atomic_load_n(&counter, __ATOMIC_ACQUIRE);
}

static void add_one(void *arg)
{
    (void)arg;
    (void)__atomic_add_fetch(&counter, 1, __ATOMIC_ACQ_REL);
}

static void wait_for_count(int want)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;

    while (count_now() != want && clock_mono_ms() < until)
        clock_sleep_ms(1);
    assert_int_equal(count_now(), want);
}

static int gate;

static void wait_at_gate(void *arg)
{
    add_one(arg);
    while (!__atomic_load_n(&gate, __ATOMIC_ACQUIRE))
        clock_sleep_ms(1);
}

static int reset(void **state)
{
    (void)state;
    counter = 0;
    gate = 0;
    return 0;
}

static struct work_pool *pool_of(size_t threads, size_t queue)
{
    struct work_pool_config config = {
        .name = "test", .threads_max = threads, .queue_max = queue, .idle_ms = 20
    };

    return work_pool_new(&config);
}

static void every_job_runs_once(void **state)
{
    struct work_pool *pool = pool_of(4, 1000);

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(work_submit(pool, add_one, NULL, NULL), 0);
    work_pool_free(pool);
    assert_int_equal(count_now(), 1000);
}

static void a_full_queue_refuses_and_says_so(void **state)
{
    struct work_pool *pool = pool_of(2, 3);
    struct error err = { 0 };

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(work_submit(pool, wait_at_gate, NULL, NULL), 0);
    wait_for_count(2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(work_submit(pool, add_one, NULL, NULL), 0);
    assert_int_equal(work_submit(pool, add_one, NULL, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "test queue is full"));
    assert_int_equal(work_pool_busy(pool), 5);
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    work_pool_free(pool);
    assert_int_equal(count_now(), 5);
}

static void threads_just_made_count_as_free(void **state)
{
    struct work_pool *pool = pool_of(3, 0);

    (void)state;
    for (int i = 0; i < 3; i++) /* at once: no thread had the time to wait for a job yet */
        assert_int_equal(work_submit(pool, wait_at_gate, NULL, NULL), 0);
    assert_int_equal(work_submit(pool, add_one, NULL, NULL), -1);
    assert_int_equal(work_pool_busy(pool), 3);
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    work_pool_free(pool);
    assert_int_equal(count_now(), 3);
}

static void note_signals(void *arg)
{
    (void)pthread_sigmask(SIG_BLOCK, NULL, arg);
}

static void threads_take_no_signals(void **state)
{
    struct work_pool *pool = pool_of(1, 1);
    sigset_t mask;

    (void)state;
    (void)sigemptyset(&mask);
    assert_int_equal(work_submit(pool, note_signals, &mask, NULL), 0);
    work_pool_free(pool);
    assert_int_equal(sigismember(&mask, SIGTERM) + sigismember(&mask, SIGHUP), 2);
}

static size_t threads_of_process(void)
{
    DIR *dir = opendir("/proc/self/task");
    size_t count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count - 2; /* . and .. */
}

static void idle_threads_leave_and_come_back(void **state)
{
    size_t before = threads_of_process(); /* one of an earlier pool may still be on its way out */
    struct work_pool *pool = pool_of(4, 10);
    int64_t until = clock_mono_ms() + PATIENCE_MS;

    (void)state;
    assert_int_equal(work_submit(pool, add_one, NULL, NULL), 0);
    wait_for_count(1);
    while (threads_of_process() > before && clock_mono_ms() < until)
        clock_sleep_ms(5);
    assert_true(threads_of_process() <= before);
    assert_int_equal(work_pool_busy(pool), 0);
    assert_int_equal(work_submit(pool, add_one, NULL, NULL), 0);
    wait_for_count(2);
    work_pool_free(pool);
}

/* --- the due-queue ------------------------------------------------------------------------------
 */

struct thing {
    struct due_item item;
    int number;
};

static int order[64];

static void note_due(void *arg, struct due_item *item)
{
    (void)arg;
    order[count_now()] = ((struct thing *)item)->number;
    add_one(NULL);
}

static void things_come_due_in_the_order_of_their_times(void **state)
{
    static const int offsets_ms[] = { 50, 10, 40, 20, 30, 0, 60 };
    static const int wants[] = { 5, 1, 3, 4, 2, 0, 6 };
    struct thing things[COUNT_OF(offsets_ms)] = { 0 };
    struct due_queue *q = due_queue_new(note_due, NULL);
    int64_t now = clock_mono_ms() + 20;

    (void)state;
    for (int i = 0; i < (int)COUNT_OF(offsets_ms); i++) {
        things[i].number = i;
        due_queue_set(q, &things[i].item, now + offsets_ms[i]);
    }
    wait_for_count(COUNT_OF(wants));
    for (size_t i = 0; i < COUNT_OF(wants); i++)
        assert_int_equal(order[i], wants[i]);
    due_queue_free(q);
}

static void a_removed_thing_never_comes_due(void **state)
{
    struct thing kept = { .number = 1 };
    struct thing removed = { .number = 2 };
    struct due_queue *q = due_queue_new(note_due, NULL);

    (void)state;
    due_queue_set(q, &removed.item, clock_mono_ms() + 20);
    due_queue_set(q, &kept.item, clock_mono_ms() + 40);
    due_queue_remove(q, &removed.item);
    assert_int_equal(due_queue_left_ms(q, &removed.item), -1);
    wait_for_count(1);
    clock_sleep_ms(30);
    assert_int_equal(count_now(), 1);
    assert_int_equal(order[0], 1);
    due_queue_free(q);
}

static void at_gate_when_due(void *arg, struct due_item *item)
{
    (void)item;
    wait_at_gate(arg);
    clock_sleep_ms(30);
    add_one(NULL);
}

static void open_gate(void *arg)
{
    (void)arg;
    clock_sleep_ms(20);
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
}

static void removing_waits_for_the_call_that_runs(void **state)
{
    struct work_pool *pool = pool_of(1, 1);
    struct thing t = { .number = 1 };
    struct due_queue *q = due_queue_new(at_gate_when_due, NULL);

    (void)state;
    due_queue_set(q, &t.item, clock_mono_ms());
    wait_for_count(1);
    assert_int_equal(work_submit(pool, open_gate, NULL, NULL), 0);
    due_queue_remove(q, &t.item);
    assert_int_equal(count_now(), 2); /* the call came to its end */
    due_queue_free(q);
    work_pool_free(pool);
}

static void set_again(void *arg, struct due_item *item)
{
    struct due_queue **q = arg;

    add_one(NULL);
    if (count_now() < 5)
        due_queue_set(*q, item, clock_mono_ms() + 2);
}

static void a_thing_may_set_itself_again_when_due(void **state)
{
    struct due_queue *q = NULL;
    struct thing t = { 0 };

    (void)state;
    q = due_queue_new(set_again, &q);
    due_queue_set(q, &t.item, clock_mono_ms());
    wait_for_count(5);
    due_queue_free(q);
}

static void hastening_only_makes_it_earlier(void **state)
{
    struct thing t = { .number = 7 };
    struct due_queue *q = due_queue_new(note_due, NULL);

    (void)state;
    due_queue_set(q, &t.item, clock_mono_ms() + 100000);
    due_queue_hasten(q, &t.item, clock_mono_ms() + 200000);
    assert_in_range(due_queue_left_ms(q, &t.item), 90000, 100000);
    due_queue_hasten(q, &t.item, clock_mono_ms());
    wait_for_count(1);
    due_queue_free(q);
}

static void many_things_set_and_removed_keep_the_order(void **state)
{
    static struct thing things[2000];
    struct due_queue *q = due_queue_new(note_due, NULL);
    int64_t far = clock_mono_ms() + 1000000;

    (void)state;
    memset(things, 0, sizeof(things));
    for (int i = 0; i < 2000; i++)
        due_queue_set(q, &things[i].item, far + (i * 7919) % 2000);
    for (int i = 0; i < 2000; i += 3)
        due_queue_remove(q, &things[i].item);
    for (int i = 0; i < 2000; i++)
        assert_true((due_queue_left_ms(q, &things[i].item) >= 0) == (i % 3 != 0));
    assert_int_equal(count_now(), 0);
    due_queue_free(q);
}

static int64_t longest_ms; /* that somebody wished to wait; 0: nobody looks */

int __real_pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *lock, clockid_t clock,
                                  const struct timespec *until);
int __wrap_pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *lock, clockid_t clock,
                                  const struct timespec *until);
int __wrap_pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *lock, clockid_t clock,
                                  const struct timespec *until)
{
    int64_t longest = __atomic_load_n(&longest_ms, __ATOMIC_ACQUIRE);
    struct timespec soon;
    int64_t left_ms;

    if (!longest)
        return __real_pthread_cond_clockwait(cond, lock, clock, until);
    (void)__real_clock_gettime(clock, &soon);
    left_ms = (until->tv_sec - soon.tv_sec) * MS_PER_S;
    if (left_ms > longest)
        __atomic_store_n(&longest_ms, left_ms, __ATOMIC_RELEASE);
    soon.tv_sec += (soon.tv_nsec + 5000000) / 1000000000;
    soon.tv_nsec = (soon.tv_nsec + 5000000) % 1000000000;
    return __real_pthread_cond_clockwait(cond, lock, clock, &soon);
}

static void what_came_due_while_the_machine_slept_is_soon_told(void **state)
{
    struct thing t = { .number = 1 };
    struct due_queue *q;

    (void)state;
    __atomic_store_n(&longest_ms, 1, __ATOMIC_RELEASE);
    q = due_queue_new(note_due, NULL);
    due_queue_set(q, &t.item, clock_mono_ms() + (int64_t)10 * 60 * MS_PER_S);
    clock_sleep_ms(20);
    assert_int_equal(count_now(), 0);
    slept_add(11 * 60);
    wait_for_count(1);
    due_queue_free(q);
    assert_in_range(__atomic_load_n(&longest_ms, __ATOMIC_ACQUIRE), MS_PER_S, DUE_LOOK_MS);
    __atomic_store_n(&longest_ms, 0, __ATOMIC_RELEASE);
}

#define FRESH(test_) cmocka_unit_test_setup(test_, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(every_job_runs_once),
        FRESH(a_full_queue_refuses_and_says_so),
        FRESH(threads_just_made_count_as_free),
        FRESH(threads_take_no_signals),
        FRESH(idle_threads_leave_and_come_back),
        FRESH(things_come_due_in_the_order_of_their_times),
        FRESH(a_removed_thing_never_comes_due),
        FRESH(removing_waits_for_the_call_that_runs),
        FRESH(a_thing_may_set_itself_again_when_due),
        FRESH(hastening_only_makes_it_earlier),
        FRESH(many_things_set_and_removed_keep_the_order),
        FRESH(what_came_due_while_the_machine_slept_is_soon_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
