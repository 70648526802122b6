/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/workers.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/base/sandbox.h"
#include "lib/net/rpc_probe.h"
#include "providers/provider.h"

extern char **environ;

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 30000,
    STABLE_MS = 60000, /* a worker that ran this long starts with the first back-off again */
    STOP_MS = 10000,
    TICK_MS = 100,
};

static bool is_built_in(const char *store)
{
    for (size_t i = 0; i < provider_row_count; i++)
        if (strcmp(provider_rows[i].name, store) == 0)
            return true;
    return false;
}

static bool is_named(const struct workers *w, const char *store)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->rows[i].store, store) == 0)
            return true;
    return false;
}

/* Caller holds the lock. */
static int read_stores(struct workers *w, const char *stores, struct error *err)
{
    autofree char *list = xstrdup(stores);
    char *rest = NULL;

    for (char *s = strtok_r(list, ",", &rest); s; s = strtok_r(NULL, ",", &rest)) {
        if (!is_built_in(s))
            return error_set(err, CODE_INVALID_ARGUMENT, "--stores: \"%.32s\" is no store of ours",
                             s);
        if (is_named(w, s)) /* two would take each other's socket */
            return error_set(err, CODE_INVALID_ARGUMENT, "--stores: \"%.32s\" is named twice", s);
        if (w->count == WORKERS_MAX)
            return error_set(err, CODE_INVALID_ARGUMENT, "--stores: more than %d", WORKERS_MAX);
        w->rows[w->count++] = (struct worker){ .store = xstrdup(s) };
    }
    if (!w->count)
        return error_set(err, CODE_INVALID_ARGUMENT, "--stores is empty");
    return 0;
}

char *worker_socket(const char *folder, const char *store)
{
    return str_printf("%s/%s.sock", folder, store);
}

static int64_t probe_ms(const struct workers *w)
{
    return w->timeout_ms / WORKER_PROBES;
}

/* The next process, or none: what was asked of the one before counts no more. */
static void set_pid(struct workers *w, struct worker *row, pid_t pid)
{
    if (row->is_probed)
        (void)rpc_probe_end(row->probe);
    row->is_probed = false;
    row->probe_at_ms = clock_mono_ms() + probe_ms(w);
    pthread_mutex_lock(&w->lock);
    row->pid = pid;
    row->unheeded = 0;
    pthread_mutex_unlock(&w->lock);
}

/* Puts the next start off: twice as long as the last time, unless it ran for long. */
static void back_off(struct worker *row)
{
    int64_t now = clock_mono_ms();
    bool first = !row->backoff_ms || now - row->started_ms > STABLE_MS;

    row->backoff_ms = first ? BACKOFF_FIRST_MS : row->backoff_ms * 2;
    if (row->backoff_ms > BACKOFF_MAX_MS)
        row->backoff_ms = BACKOFF_MAX_MS;
    row->start_at_ms = now + row->backoff_ms;
}

/* posix_spawn and nothing else: gRPC's state does not survive a fork. */
static void start(struct workers *w, struct worker *row)
{
    autofree char *flag = str_printf("--worker=%s", row->store);
    size_t count = 0;
    autofree char **argv = NULL;
    posix_spawnattr_t attr;
    sigset_t none;
    pid_t pid = 0;
    int failed;

    while (w->argv[count])
        count++;
    argv = xcalloc(count + 2, sizeof(*argv));
    memcpy(argv, w->argv, count * sizeof(*argv));
    argv[count] = flag;
    (void)sigemptyset(&none);
    (void)posix_spawnattr_init(&attr);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    row->started_ms = clock_mono_ms();
    failed = posix_spawn(&pid, "/proc/self/exe", NULL, &attr, argv, environ);
    (void)posix_spawnattr_destroy(&attr);
    if (failed) {
        back_off(row);
        log_event(LOG_ERROR, "worker cannot be started: it is tried again",
                  WITH_TEXT(KEY_STORE, row->store), WITH_TEXT(KEY_ERROR, strerrordesc_np(failed)));
        return;
    }
    set_pid(w, row, pid);
    log_event(LOG_INFO, "worker started", WITH_TEXT(KEY_STORE, row->store),
              WITH_NUMBER(KEY_PID, pid));
}

static void start_due(struct workers *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!w->rows[i].pid && w->rows[i].start_at_ms <= clock_mono_ms())
            start(w, &w->rows[i]);
}

/* --- workers that hang --------------------------------------------------------------------------
 */

static void kill_hung(const struct workers *w, const struct worker *row)
{
    log_event(LOG_ERROR, "worker does not answer: it is killed", WITH_TEXT(KEY_STORE, row->store),
              WITH_NUMBER(KEY_PID, row->pid), WITH_NUMBER(KEY_TOOK_MS, w->timeout_ms));
    (void)kill(row->pid, SIGKILL);
}

/* Each probe has a whole interval for its answer, and probes are counted, not time: a node that was
 * suspended, or a supervisor that stood still, costs a worker one of them. */
static void end_probe(struct workers *w, struct worker *row)
{
    bool is_awake = rpc_probe_end(row->probe);

    row->is_probed = false;
    pthread_mutex_lock(&w->lock);
    row->unheeded = is_awake ? 0 : row->unheeded + 1;
    pthread_mutex_unlock(&w->lock);
    if (row->unheeded && row->unheeded % WORKER_PROBES == 0)
        kill_hung(w, row);
}

static void probe(struct workers *w, struct worker *row)
{
    autofree char *path = worker_socket(w->folder, row->store);

    row->probe_at_ms = clock_mono_ms() + probe_ms(w);
    if (row->is_probed)
        end_probe(w, row);
    row->probe = rpc_probe_begin(path);
    row->is_probed = true;
}

static void probe_due(struct workers *w)
{
    for (size_t i = 0; w->timeout_ms && i < w->count; i++)
        if (w->rows[i].pid && w->rows[i].probe_at_ms <= clock_mono_ms())
            probe(w, &w->rows[i]);
}

/* --- workers that ended -------------------------------------------------------------------------
 */

static void ended(struct workers *w, struct worker *row, int status)
{
    pthread_mutex_lock(&w->lock);
    row->restarts++;
    pthread_mutex_unlock(&w->lock);
    back_off(row);
    log_event(LOG_ERROR, "worker ended: it is started again", WITH_TEXT(KEY_STORE, row->store),
              WITH_NUMBER(KEY_CODE, WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status)));
}

static size_t reap(struct workers *w, bool restart)
{
    size_t running = 0;

    for (size_t i = 0; i < w->count; i++) {
        struct worker *row = &w->rows[i];
        int status = 0;

        if (row->pid && waitpid(row->pid, &status, WNOHANG) == row->pid) {
            set_pid(w, row, 0);
            if (restart)
                ended(w, row, status);
        }
        running += row->pid != 0;
    }
    return running;
}

static void stop_all(struct workers *w)
{
    int64_t until = clock_mono_ms() + STOP_MS;

    for (size_t i = 0; i < w->count; i++)
        if (w->rows[i].pid)
            (void)kill(w->rows[i].pid, SIGTERM);
    while (reap(w, false) && clock_mono_ms() < until)
        clock_sleep_ms(TICK_MS / 5);
    for (size_t i = 0; i < w->count; i++)
        if (w->rows[i].pid) {
            (void)kill(w->rows[i].pid, SIGKILL);
            (void)waitpid(w->rows[i].pid, NULL, 0);
            set_pid(w, &w->rows[i], 0);
        }
}

/* Milliseconds until something is to be started or asked; a long sleep when nothing is. */
static int64_t next_ms(const struct workers *w)
{
    int64_t least = 60000;

    for (size_t i = 0; i < w->count; i++) {
        const struct worker *row = &w->rows[i];
        int64_t left = (row->pid ? row->probe_at_ms : row->start_at_ms) - clock_mono_ms();

        if ((!row->pid || w->timeout_ms) && left < least)
            least = left < 1 ? 1 : left;
    }
    return least;
}

int workers_run(struct workers *w, const char *stores, char **argv, struct error *err)
{
    sigset_t set;
    int got = 0;
    int read;

    w->argv = argv;
    pthread_mutex_lock(&w->lock);
    read = read_stores(w, stores, err);
    pthread_mutex_unlock(&w->lock);
    if (read < 0)
        return -1;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SANDBOX_SIGNAL);
    while (got != SIGTERM && got != SIGINT) {
        struct timespec wait;

        start_due(w);
        probe_due(w);
        wait = duration_timespec(next_ms(w));
        got = sigtimedwait(&set, NULL, &wait);
        (void)sandbox_log_refusals();
        (void)reap(w, got != SIGTERM && got != SIGINT);
    }
    stop_all(w);
    return 0;
}

void workers_done(struct workers *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->rows[i].store);
    w->count = 0;
}

bool workers_healthy(struct workers *w, struct strbuf *why)
{
    bool all = true;

    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->count; i++) {
        const struct worker *row = &w->rows[i];

        if (!row->pid)
            strbuf_printf(why, "worker %s is not running (%" PRId64 " restarts)\n", row->store,
                          row->restarts);
        else if (row->unheeded)
            strbuf_printf(why, "worker %s does not answer (asked %d times; killed after %d)\n",
                          row->store, row->unheeded, WORKER_PROBES);
        all = all && row->pid && !row->unheeded;
    }
    pthread_mutex_unlock(&w->lock);
    return all;
}

const struct metric_row worker_metric_rows[WM_COUNT] = {
    [WM_UP] = { .name = "locket_provider_worker_up",
                .kind = METRIC_GAUGE,
                .help = "Is the store's process running?",
                .labels = { "store" } },
    [WM_RESTARTS] = { .name = "locket_provider_worker_restarts_total",
                      .kind = METRIC_COUNTER,
                      .help = "Times it was started again.",
                      .labels = { "store" } },
};

/* A registry of the moment: what is counted is counted in the rows. */
void workers_metrics(struct workers *w, struct strbuf *out)
{
    struct metrics *m = metrics_new(worker_metric_rows, WM_COUNT);

    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->count; i++) {
        const char *store[] = { w->rows[i].store };

        metrics_set(m, WM_UP, store, w->rows[i].pid != 0);
        metrics_set(m, WM_RESTARTS, store, (double)w->rows[i].restarts);
    }
    pthread_mutex_unlock(&w->lock);
    metrics_write(m, out);
    metrics_free(m);
}
