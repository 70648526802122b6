/* SPDX-License-Identifier: Apache-2.0
 *
 * The supervisor over processes that are none: when they are started again, and what its health
 * page may be asked while it ends.
 */
/* WRAP: posix_spawn waitpid kill */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "providers/workers.h"
#include "tests/check.h"

enum { FIRST_PID = 1 << 22, PIDS = 64 }; /* above what the kernel gives: nobody's */

static atomic_bool none_can_be_made;
static atomic_int tried;
static atomic_bool ended[PIDS];

/* The rest of what it is given does not matter. */
int __wrap_posix_spawn(pid_t *pid, ...);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
int __wrap_kill(pid_t pid, int sig);

int __wrap_posix_spawn(pid_t *pid, ...)
{
    int at = tried++;

    if (none_can_be_made)
        return EAGAIN;
    assert_true(at < PIDS);
    ended[at] = false;
    *pid = FIRST_PID + at;
    return 0;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    (void)options;
    *status = 0;
    return ended[pid - FIRST_PID] ? pid : 0;
}

int __wrap_kill(pid_t pid, int sig)
{
    (void)sig;
    ended[pid - FIRST_PID] = true;
    return 0;
}

/* One run of the supervisor, on a thread of its own, which alone gets its signals. */
struct run {
    struct workers workers;
    pthread_t thread;
    const char *stores;
    int result;
    struct error err;
};

static void *supervise(void *arg)
{
    static char *argv[] = { (char *)"locket-provider", NULL };
    struct run *r = arg;

    r->result = workers_run(&r->workers, r->stores, argv, &r->err);
    return NULL;
}

static void begin(struct run *r, const char *stores)
{
    *r = (struct run){ .workers.lock = PTHREAD_MUTEX_INITIALIZER, .stores = stores };
    tried = 0;
    assert_int_equal(pthread_create(&r->thread, NULL, supervise, r), 0);
}

static void end(struct run *r)
{
    (void)pthread_kill(r->thread, SIGTERM);
    assert_int_equal(pthread_join(r->thread, NULL), 0);
}

static bool told(struct run *r, const char *text)
{
    struct strbuf why autostrbuf = { 0 };
    struct strbuf metrics autostrbuf = { 0 };

    (void)workers_healthy(&r->workers, &why);
    workers_metrics(&r->workers, &metrics);
    return strstr(strbuf_text(&why), text) || strstr(strbuf_text(&metrics), text);
}

static void wait_until_told(struct run *r, const char *text)
{
    int64_t until = clock_mono_ms() + 20000;

    while (!told(r, text)) {
        if (clock_mono_ms() > until)
            fail_msg("never told: %s", text);
        clock_sleep_ms(1);
    }
}

static void a_process_that_cannot_be_made_is_tried_less_and_less(void **state)
{
    struct run r;

    (void)state;
    none_can_be_made = true;
    begin(&r, "file");
    clock_sleep_ms(1000); /* at 0, 100, 300 and 700 ms */
    assert_in_range(tried, 1, 8);
    assert_true(told(&r, "worker file is not running (0 restarts)"));
    none_can_be_made = false;
    (void)pthread_kill(r.thread, SIGCHLD); /* what wakes it changes nothing */
    wait_until_told(&r, "worker_up{store=\"file\"} 1");
    end(&r);
    workers_done(&r.workers);
}

static void what_is_asked_while_it_ends_is_answered(void **state)
{
    struct run r;

    (void)state;
    begin(&r, "file,vault");
    wait_until_told(&r, "worker_up{store=\"file\"} 1");
    wait_until_told(&r, "worker_up{store=\"vault\"} 1");
    (void)pthread_kill(r.thread, SIGTERM);
    wait_until_told(&r, "worker vault is not running (0 restarts)");
    assert_int_equal(pthread_join(r.thread, NULL), 0);
    assert_int_equal(r.result, 0);
    assert_true(told(&r, "worker file is not running"));
    workers_done(&r.workers);
}

static const struct {
    const char *stores;
    const char *words;
} refused[] = {
    { "", "--stores is empty" },
    { "file,other", "\"other\" is no store of ours" },
    { "vault,file,vault", "\"vault\" is named twice" },
};

static void a_list_of_stores_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct run r;

        begin(&r, refused[i].stores);
        end(&r);
        assert_int_equal(r.result, -1);
        assert_int_equal(tried, 0);
        if (!strstr(r.err.msg, refused[i].words))
            fail_msg("%s: %s", refused[i].stores, r.err.msg);
        workers_done(&r.workers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_cannot_be_made_is_tried_less_and_less),
        cmocka_unit_test(what_is_asked_while_it_ends_is_answered),
        cmocka_unit_test(a_list_of_stores_that_makes_no_sense_is_refused),
    };
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGCHLD);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
