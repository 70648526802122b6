/* SPDX-License-Identifier: Apache-2.0
 *
 * The supervisor over processes that are none: when they are started again, which of them hang, and
 * what its health page may be asked while it ends.
 */
/* WRAP: posix_spawn waitpid kill clock_mono_ms rpc_probe_begin rpc_probe_end */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/net/rpc_probe.h"
#include "providers/workers.h"
#include "tests/check.h"

enum { FIRST_PID = 1 << 22, PIDS = 64 }; /* above what the kernel gives: nobody's */

static atomic_bool none_can_be_made;
static atomic_int tried;
static atomic_bool ended[PIDS];
static atomic_int killed; /* by SIGKILL */
static atomic_int_fast64_t jump_ms;
static atomic_bool is_asleep; /* the worker of "file" */
static atomic_int asked;

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
    killed += sig == SIGKILL;
    ended[pid - FIRST_PID] = true;
    return 0;
}

int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);

int64_t __wrap_clock_mono_ms(void)
{
    return __real_clock_mono_ms() + jump_ms;
}

enum { PROBE_OF_FILE = 1 << 20, PROBE_OF_VAULT };

int __wrap_rpc_probe_begin(const char *path);
bool __wrap_rpc_probe_end(int fd);

int __wrap_rpc_probe_begin(const char *path)
{
    asked++;
    return strcmp(path, "/run/p/file.sock") == 0 ? PROBE_OF_FILE : PROBE_OF_VAULT;
}

bool __wrap_rpc_probe_end(int fd)
{
    return fd != PROBE_OF_FILE || !is_asleep;
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

static void begin_with(struct run *r, const char *stores, int64_t timeout_ms)
{
    *r = (struct run){ .workers.lock = PTHREAD_MUTEX_INITIALIZER,
                       .workers.folder = "/run/p",
                       .workers.timeout_ms = timeout_ms,
                       .stores = stores };
    tried = killed = asked = 0;
    assert_int_equal(pthread_create(&r->thread, NULL, supervise, r), 0);
}

static void begin(struct run *r, const char *stores)
{
    begin_with(r, stores, 0);
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

/* --- workers that hang --------------------------------------------------------------------------
 */

enum { TIMEOUT_MS = 400000, PROBE_MS = TIMEOUT_MS / WORKER_PROBES };

/* Lets that much time go by at once; returns when each worker was asked again. */
static void jump(struct run *r, int64_t ms)
{
    int want = asked + (int)r->workers.count;
    int64_t until;

    jump_ms += ms;
    (void)pthread_kill(r->thread, SIGCHLD);
    until = clock_mono_ms() + 20000;
    while (asked < want) {
        if (clock_mono_ms() > until)
            fail_msg("asked %d times instead of %d", asked, want);
        clock_sleep_ms(1);
    }
}

static void one_that_does_not_answer_is_told_of_and_then_replaced(void **state)
{
    struct run r;

    (void)state;
    begin_with(&r, "file,vault", TIMEOUT_MS);
    wait_until_told(&r, "worker_up{store=\"vault\"} 1");
    for (int i = 0; i < 2 * WORKER_PROBES; i++)
        jump(&r, PROBE_MS);
    assert_true(workers_healthy(&r.workers, NULL));
    is_asleep = true;
    for (int i = 1; i < WORKER_PROBES; i++) {
        autofree char *line =
            str_printf("worker file does not answer (asked %d times; killed after 4)", i);

        jump(&r, PROBE_MS);
        assert_true(told(&r, line));
        assert_int_equal(killed, 0);
    }
    jump(&r, PROBE_MS);
    assert_int_equal(killed, 1);
    is_asleep = false;
    (void)pthread_kill(r.thread, SIGCHLD);
    wait_until_told(&r, "worker_restarts_total{store=\"file\"} 1");
    wait_until_told(&r, "worker_up{store=\"file\"} 1");
    assert_true(workers_healthy(&r.workers, NULL));
    assert_true(told(&r, "worker_restarts_total{store=\"vault\"} 0"));
    end(&r);
    assert_int_equal(killed, 1);
    workers_done(&r.workers);
}

static void one_that_answers_again_or_over_a_jump_of_the_clock_is_left_alone(void **state)
{
    struct run r;

    (void)state;
    begin_with(&r, "file", TIMEOUT_MS);
    wait_until_told(&r, "worker_up{store=\"file\"} 1");
    jump(&r, PROBE_MS);
    for (int i = 0; i < WORKER_PROBES; i++) {
        is_asleep = true;
        jump(&r, 100 * TIMEOUT_MS);
        assert_true(told(&r, "worker file does not answer (asked 1 times"));
        is_asleep = false;
        jump(&r, PROBE_MS);
        assert_true(workers_healthy(&r.workers, NULL));
    }
    end(&r);
    assert_int_equal(killed, 0);
    assert_int_equal(tried, 1);
    workers_done(&r.workers);
}

static void none_is_asked_where_no_time_is_set(void **state)
{
    struct run r;

    (void)state;
    begin(&r, "file");
    wait_until_told(&r, "worker_up{store=\"file\"} 1");
    jump_ms += TIMEOUT_MS;
    (void)pthread_kill(r.thread, SIGCHLD);
    end(&r);
    assert_int_equal(asked, 0);
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
        cmocka_unit_test(one_that_does_not_answer_is_told_of_and_then_replaced),
        cmocka_unit_test(one_that_answers_again_or_over_a_jump_of_the_clock_is_left_alone),
        cmocka_unit_test(none_is_asked_where_no_time_is_set),
        cmocka_unit_test(a_list_of_stores_that_makes_no_sense_is_refused),
    };
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGCHLD);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
