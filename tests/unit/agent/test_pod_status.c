/* SPDX-License-Identifier: Apache-2.0
 *
 * The statuses of many volumes while their writers run: the end in the midst of it, and volumes
 * that a driver which came anew does not tell of; and time that goes by.
 */
/* WRAP: pod_status_look pod_status_apply kube_watch_start kube_watch_stop */
/* WRAP: group_version_learn group_version_get clock_mono_ms pthread_cond_clockwait */
#include <stdatomic.h>

#include "agent/kube_watch.h"
#include "agent/pod_status.h"
#include "agent/pod_status_apply.h"
#include "agent/status_pace.h"
#include "lib/base/clock.h"
#include "tests/check.h"

enum { VOLUMES = 200, WAIT_MS = 10000, LOOK_MS = 5 };

static struct {
    atomic_int applied;
    atomic_llong ahead_ms; /* of the real clock */
} fake;

int __wrap_pod_status_look(const struct pod_status_write *write, bool *ret_found,
                           struct object_list *ret, struct error *err);
int __wrap_pod_status_look(const struct pod_status_write *write, bool *ret_found,
                           struct object_list *ret, struct error *err)
{
    (void)write;
    (void)ret;
    (void)err;
    *ret_found = false;
    return 0;
}

int __wrap_pod_status_apply(const struct pod_status_write *write, struct error *err);
int __wrap_pod_status_apply(const struct pod_status_write *write, struct error *err)
{
    (void)write;
    (void)err;
    atomic_fetch_add(&fake.applied, 1);
    return 0;
}

struct kube_watch *__wrap_kube_watch_start(const struct kube_watch_config *config);
struct kube_watch *__wrap_kube_watch_start(const struct kube_watch_config *config)
{
    (void)config;
    return (struct kube_watch *)&fake;
}

void __wrap_kube_watch_stop(struct kube_watch *watch);
void __wrap_kube_watch_stop(struct kube_watch *watch)
{
    (void)watch;
}

void __wrap_group_version_learn(struct group_version *gv);
void __wrap_group_version_learn(struct group_version *gv)
{
    (void)gv;
}

const char *__wrap_group_version_get(struct group_version *gv);
const char *__wrap_group_version_get(struct group_version *gv)
{
    (void)gv;
    return "v1";
}

int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void)
{
    return __real_clock_mono_ms() + atomic_load(&fake.ahead_ms);
}

/* Whoever waits for a time looks at the clock again soon: it may have jumped. */
int __real_pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *lock, clockid_t clock,
                                  const struct timespec *until);
int __wrap_pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *lock, clockid_t clock,
                                  const struct timespec *until);
int __wrap_pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *lock, clockid_t clock,
                                  const struct timespec *until)
{
    struct timespec soon = clock_mono_until(__real_clock_mono_ms() + LOOK_MS);

    (void)until;
    return __real_pthread_cond_clockwait(cond, lock, clock, &soon);
}

static struct pod_status *begin(void)
{
    const struct pod_status_config config = { .node_name = "n1" };
    struct pod_status *ps = NULL;

    atomic_store(&fake.applied, 0);
    assert_int_equal(pod_status_new(&config, &ps, NULL), 0);
    return ps;
}

/* Volume i of a pod of its own. */
static bool tell(struct pod_status *ps, int i)
{
    struct object_version object = { (char *)"db", (char *)"v1" };
    autofree char *id = str_printf("csi-%d", i);
    autofree char *pod = str_printf("web-%d", i);
    const struct pod_volume v = { .volume_id = id,
                                  .ns = "shop",
                                  .pod_name = pod,
                                  .pod_uid = pod,
                                  .class_name = "app",
                                  .target = "/t",
                                  .objects = &object,
                                  .object_count = 1 };

    return pod_status_set(ps, &v);
}

static void all_volumes_are_written_and_none_twice(void **state)
{
    struct pod_status *ps = begin();
    int64_t end = clock_mono_ms() + WAIT_MS;

    (void)state;
    for (int i = 0; i < VOLUMES; i++)
        assert_true(tell(ps, i));
    while (pod_status_behind(ps) && clock_mono_ms() < end)
        clock_sleep_ms(1);
    for (int i = 0; i < VOLUMES; i++)
        assert_false(tell(ps, i));
    assert_int_equal(pod_status_volumes(ps), VOLUMES);
    assert_int_equal(atomic_load(&fake.applied), VOLUMES);
    pod_status_free(ps);
}

static void wait_for_writes(int wanted)
{
    int64_t end = __real_clock_mono_ms() + WAIT_MS;

    while (atomic_load(&fake.applied) < wanted && __real_clock_mono_ms() < end)
        clock_sleep_ms(1);
}

/* And not all at once. */
static void what_is_unchanged_is_written_again_after_ten_minutes(void **state)
{
    struct pod_status *ps = begin();

    (void)state;
    for (int i = 0; i < VOLUMES; i++)
        assert_true(tell(ps, i));
    wait_for_writes(VOLUMES);
    atomic_fetch_add(&fake.ahead_ms, STATUS_AGAIN_MS / 2);
    clock_sleep_ms(100);
    assert_int_equal(atomic_load(&fake.applied), VOLUMES);
    atomic_fetch_add(&fake.ahead_ms, STATUS_AGAIN_MS / 2);
    clock_sleep_ms(100);
    assert_in_range(atomic_load(&fake.applied), VOLUMES + 1, 2 * VOLUMES - 1);
    atomic_fetch_add(&fake.ahead_ms, STATUS_AGAIN_MS / 3);
    wait_for_writes(2 * VOLUMES);
    assert_int_equal(atomic_load(&fake.applied), 2 * VOLUMES);
    pod_status_free(ps);
}

/* Its threads are in the midst of what it frees: the sanitizers tell. */
static void it_ends_while_statuses_are_written(void **state)
{
    (void)state;
    for (int turn = 0; turn < 10; turn++) {
        struct pod_status *ps = begin();
        int64_t end = clock_mono_ms() + WAIT_MS;

        for (int i = 0; i < VOLUMES; i++)
            assert_true(tell(ps, i));
        while (!atomic_load(&fake.applied) && clock_mono_ms() < end)
            clock_sleep_ms(1);
        pod_status_free(ps);
        assert_true(atomic_load(&fake.applied) > 0);
    }
}

static void what_a_driver_that_came_anew_does_not_tell_of_is_given_up_after_a_while(void **state)
{
    struct pod_status *ps = begin();
    struct pod_untold untold = { 0 };

    (void)state;
    assert_true(tell(ps, 1));
    assert_true(tell(ps, 2));
    pod_status_expect_all(ps);
    assert_false(tell(ps, 1));
    assert_false(pod_status_take_untold(ps, &untold));
    atomic_fetch_add(&fake.ahead_ms, POD_STATUS_TOLD_MS + 1);
    assert_true(pod_status_take_untold(ps, &untold));
    assert_string_equal(untold.volume_id, "csi-2");
    assert_string_equal(untold.ns, "shop");
    free(untold.volume_id);
    free(untold.ns);
    assert_false(pod_status_take_untold(ps, &untold));
    assert_int_equal(pod_status_volumes(ps), 1);
    pod_status_free(ps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_volumes_are_written_and_none_twice),
        cmocka_unit_test(what_is_unchanged_is_written_again_after_ten_minutes),
        cmocka_unit_test(it_ends_while_statuses_are_written),
        cmocka_unit_test(what_a_driver_that_came_anew_does_not_tell_of_is_given_up_after_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
