/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/audit.h"

#include <inttypes.h>
#include <pthread.h>

#include "agent/audit_line.h"
#include "agent/audit_sink.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/work.h"

enum {
    WAIT_MS = 500,   /* for a reader of standard output, before the sink counts as failing */
    RETRY_MS = 1000, /* between two tries of a sink that fails */
    LAST_RETRY_MS = 50,
    QUEUE_BYTES_FULL = AUDIT_QUEUE_BYTES_MAX / 4 * 3,
};

struct audit {
    char *path; /* set once, like all above the lock */
    char *cluster;
    char *node;
    struct chain_key key;
    bool keyed;
    bool value_digests;
    size_t queue_max;
    struct audit_metrics metrics;
    struct audit_sink *sink; /* the writer's alone */
    struct work_pool *pool;  /* one thread: the writer */

    pthread_mutex_t lock;
    pthread_cond_t ending;  /* give_up_ms was set */
    struct audit_view view; /* guarded by lock, like all below */
    size_t queued_bytes;
    int64_t untold;     /* dropped since the last line that told of it */
    int64_t give_up_ms; /* monotonic: no more tries from then on; 0: go on for ever */
};

/* A line that waits for the writer. */
struct job {
    struct audit *audit;
    char *members;
    size_t len;
};

/* --- counting --- */

static void gauge(const struct audit *a, size_t row, double value)
{
    if (a->metrics.metrics)
        metrics_set(a->metrics.metrics, row, NULL, value);
}

static void count(const struct audit *a, size_t row, double amount)
{
    if (a->metrics.metrics)
        metrics_add(a->metrics.metrics, row, NULL, amount);
}

static void was_dropped(struct audit *a, int64_t accesses)
{
    pthread_mutex_lock(&a->lock);
    a->view.dropped += accesses;
    a->untold += accesses;
    pthread_mutex_unlock(&a->lock);
    count(a, a->metrics.dropped, (double)accesses);
}

static void was_written(struct audit *a, const struct chain_head *head)
{
    bool again;

    pthread_mutex_lock(&a->lock);
    again = a->view.failing;
    a->view.head = *head;
    a->view.written++;
    a->view.failing = false;
    pthread_mutex_unlock(&a->lock);
    count(a, a->metrics.written, 1);
    gauge(a, a->metrics.failing, 0);
    gauge(a, a->metrics.seq, (double)head->seq);
    gauge(a, a->metrics.head, chain_head_number(head));
    if (again)
        log_event(LOG_WARN, "audit is written again", WITH_TEXT(KEY_PATH, a->path));
}

static void has_failed(struct audit *a, const struct error *err)
{
    bool first;

    pthread_mutex_lock(&a->lock);
    first = !a->view.failing;
    a->view.failing = true;
    a->view.failure = *err;
    pthread_mutex_unlock(&a->lock);
    gauge(a, a->metrics.failing, 1);
    if (first)
        log_failure(LOG_ERROR, "audit is not written", KEY_PATH, a->path, err);
}

/* --- the writer --- */

static bool is_time_up(struct audit *a)
{
    bool up;

    pthread_mutex_lock(&a->lock);
    up = a->give_up_ms && clock_mono_ms() >= a->give_up_ms;
    pthread_mutex_unlock(&a->lock);
    return up;
}

/* Waits for the next try; at the end of all these come often, for a short while. */
static void wait_for_try(struct audit *a)
{
    int64_t until_ms = clock_mono_ms() + RETRY_MS;
    struct timespec until = clock_mono_until(until_ms);
    bool ending;

    pthread_mutex_lock(&a->lock);
    while (!a->give_up_ms && clock_mono_ms() < until_ms)
        (void)pthread_cond_clockwait(&a->ending, &a->lock, CLOCK_MONOTONIC, &until);
    ending = a->give_up_ms != 0;
    pthread_mutex_unlock(&a->lock);
    if (ending)
        clock_sleep_ms(LAST_RETRY_MS);
}

/* Writes a line however long it takes. False: it was given up, and so will be all after it: the
 * sink may hold a piece of it. Only the writer changes the head, so it reads it without the lock.
 */
static bool write_line(struct audit *a, const char *members)
{
    struct strbuf line CLEANUP(strbuf_done) = { 0 };
    struct chain_head next;
    struct error err = { 0 };
    bool written = false;

    if (is_time_up(a))
        return false;
    if (chain_add(&a->view.head, a->keyed ? &a->key : NULL, members, &line, &next, &err) < 0) {
        has_failed(a, &err);
        return false;
    }
    while (!written && !is_time_up(a)) {
        int64_t begin_us = clock_mono_us();

        written = audit_sink_write(a->sink, &line, WAIT_MS, &err) == 0;
        if (!written) {
            has_failed(a, &err);
            wait_for_try(a);
        }
        count(a, a->metrics.blocked_seconds, (double)(clock_mono_us() - begin_us) / 1e6);
    }
    if (written)
        was_written(a, &next);
    return written;
}

/* A line for what was dropped since the last one, so that the chain itself tells of it. */
static void tell_dropped(struct audit *a)
{
    struct strbuf members CLEANUP(strbuf_done) = { 0 };
    int64_t untold;

    pthread_mutex_lock(&a->lock);
    untold = a->untold;
    pthread_mutex_unlock(&a->lock);
    if (!untold)
        return;
    audit_line_begin(&(struct audit_place){ a->cluster, a->node }, "dropped", &members);
    strbuf_printf(&members, ",\"count\":%" PRId64, untold);
    if (!write_line(a, members.text))
        return;
    pthread_mutex_lock(&a->lock);
    a->untold -= untold;
    pthread_mutex_unlock(&a->lock);
}

static void job_run(void *arg)
{
    struct job *job = arg;
    struct audit *a = job->audit;
    size_t queued;

    tell_dropped(a);
    if (!write_line(a, job->members))
        was_dropped(a, 1);
    pthread_mutex_lock(&a->lock);
    a->queued_bytes -= job->len;
    queued = --a->view.queued;
    pthread_mutex_unlock(&a->lock);
    gauge(a, a->metrics.queued, (double)queued);
    free(job->members);
    free(job);
}

/* --- the queue --- */

/* Takes a place in the queue. */
static bool reserve(struct audit *a, size_t len)
{
    bool room;
    size_t queued;

    pthread_mutex_lock(&a->lock);
    room = a->view.queued < a->queue_max && a->queued_bytes + len <= AUDIT_QUEUE_BYTES_MAX;
    if (room) {
        a->view.queued++;
        a->queued_bytes += len;
    }
    queued = a->view.queued;
    pthread_mutex_unlock(&a->lock);
    gauge(a, a->metrics.queued, (double)queued);
    return room;
}

static void give_back(struct audit *a, size_t len)
{
    pthread_mutex_lock(&a->lock);
    a->view.queued--;
    a->queued_bytes -= len;
    pthread_mutex_unlock(&a->lock);
}

/* Takes the members over. */
static void enqueue(struct audit *a, struct strbuf *members)
{
    struct job *job = xcalloc(1, sizeof(*job));
    size_t len = members->len; /* before it is taken: initializers have no order */

    *job = (struct job){ .audit = a, .len = len, .members = strbuf_take(members) };
    if (reserve(a, job->len)) {
        if (work_submit(a->pool, job_run, job, NULL) == 0)
            return;
        give_back(a, job->len);
    }
    was_dropped(a, 1);
    free(job->members);
    free(job);
}

void audit_add(struct audit *audit, const struct audit_entry *entry)
{
    struct strbuf members CLEANUP(strbuf_done) = { 0 };

    if (!audit)
        return;
    audit_line_write(&(struct audit_place){ audit->cluster, audit->node }, entry,
                     audit->value_digests ? &audit->key : NULL, &members);
    enqueue(audit, &members);
}

void audit_lost(struct audit *audit, int64_t accesses)
{
    if (audit && accesses > 0)
        was_dropped(audit, accesses);
}

bool audit_is_full(struct audit *audit)
{
    bool full;

    if (!audit)
        return false;
    pthread_mutex_lock(&audit->lock);
    full = audit->view.failing || audit->view.queued >= audit->queue_max - audit->queue_max / 4 ||
           audit->queued_bytes >= QUEUE_BYTES_FULL;
    pthread_mutex_unlock(&audit->lock);
    return full;
}

struct audit_view audit_view_of(struct audit *audit)
{
    struct audit_view view = { 0 };

    if (!audit)
        return view;
    pthread_mutex_lock(&audit->lock);
    view = audit->view;
    pthread_mutex_unlock(&audit->lock);
    return view;
}

/* --- beginning and end --- */

/* Goes on where the sink's last line ends. A last line that is none of a chain is left as it is:
 * the chain begins anew after it, and `locketctl audit verify` names the place. */
static int go_on(struct audit *a, struct error *err)
{
    struct strbuf last CLEANUP(strbuf_done) = { 0 };
    struct strbuf members CLEANUP(strbuf_done) = { 0 };
    struct chain_line line;
    size_t cut = 0;

    if (audit_sink_last(a->sink, &last, &cut, err) < 0)
        return -1;
    if (last.len && chain_line_read(last.text, last.len, &line, NULL) == 0)
        a->view.head = line.self;
    audit_line_begin(&(struct audit_place){ a->cluster, a->node }, "start", &members);
    strbuf_printf(&members, ",\"version\":\"%s\"", LOCKET_VERSION);
    if (cut)
        strbuf_printf(&members, ",\"cut_bytes\":%zu", cut);
    enqueue(a, &members);
    return 0;
}

static void stop_line(struct audit *a)
{
    struct strbuf members CLEANUP(strbuf_done) = { 0 };

    audit_line_begin(&(struct audit_place){ a->cluster, a->node }, "stop", &members);
    enqueue(a, &members);
}

static void dispose(struct audit *a)
{
    work_pool_free(a->pool);
    audit_sink_free(a->sink);
    chain_key_done(&a->key);
    pthread_cond_destroy(&a->ending);
    pthread_mutex_destroy(&a->lock);
    free(a->path);
    free(a->cluster);
    free(a->node);
    free(a);
}

static struct audit *make(const struct audit_config *config)
{
    struct audit *a = xcalloc(1, sizeof(*a));

    a->path = xstrdup(config->path);
    a->cluster = xstrdup(config->cluster ? config->cluster : "");
    a->node = xstrdup(config->node ? config->node : "");
    a->value_digests = config->value_digests;
    a->queue_max = config->queue_max ? config->queue_max : AUDIT_QUEUE_MAX;
    a->metrics = config->metrics;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->ending, NULL);
    a->pool = work_pool_new(
        &(struct work_pool_config){ .name = "audit", .threads_max = 1, .queue_max = a->queue_max });
    return a;
}

static int open_all(struct audit *a, const struct audit_config *config, struct error *err)
{
    struct audit_sink_config sink = {
        .path = config->path,
        .rotate_bytes = config->rotate_bytes,
        .rotated = config->rotated ? config->rotated : AUDIT_ROTATED,
    };

    if (config->value_digests && !config->key_file)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "digests of values need a key: without one they could be guessed");
    if (config->key_file && chain_key_read(config->key_file, &a->key, err) < 0)
        return error_within(err, "the key");
    a->keyed = config->key_file != NULL;
    if (audit_sink_open(&sink, &a->sink, err) < 0)
        return -1;
    return go_on(a, err);
}

int audit_new(const struct audit_config *config, struct audit **ret, struct error *err)
{
    struct audit *a = make(config);

    if (open_all(a, config, err) < 0) {
        dispose(a);
        return error_within(err, "audit");
    }
    *ret = a;
    return 0;
}

void audit_free(struct audit *audit)
{
    if (!audit)
        return;
    stop_line(audit);
    pthread_mutex_lock(&audit->lock);
    audit->give_up_ms = clock_mono_ms() + AUDIT_DRAIN_MS;
    (void)pthread_cond_broadcast(&audit->ending);
    pthread_mutex_unlock(&audit->lock);
    dispose(audit);
}
