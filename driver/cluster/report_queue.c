/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/cluster/report_queue.h"

#include <pthread.h>

#include "lib/base/cancel.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"

typedef Locket__Cluster__V1__ReportRequest Report;

struct waiting {
    Report *report; /* volume_id is the key */
    UT_hash_handle hh;
};

struct report_queue {
    report_send *send;
    void *arg;
    struct cluster_metrics metrics;
    pthread_t thread;
    struct cancel cancel;
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct waiting *waiting; /* guarded by lock; in the order they came */
    bool ended;              /* guarded by lock */
};

static char *copy(const char *text)
{
    return xstrdup(text ? text : "");
}

static Report *report_new(const struct volume_report *v)
{
    Report *r = xmalloc(sizeof(*r));

    locket__cluster__v1__report_request__init(r);
    r->volume_id = copy(v->volume_id);
    r->pod_namespace = copy(v->pod_ns);
    r->pod_name = copy(v->pod_name);
    r->pod_uid = copy(v->pod_uid);
    r->class_name = copy(v->class_name);
    r->target = copy(v->target);
    r->error = copy(v->err ? v->err->msg : NULL);
    r->mounted = v->mounted;
    r->changed_at_unix_ms = v->changed_at_unix_ms;
    r->taken_over = v->taken_over;
    r->resent = v->resent;
    r->objects = xcalloc(v->version_count + 1, sizeof(*r->objects));
    for (size_t i = 0; i < v->version_count; i++) {
        r->objects[i] = xmalloc(sizeof(**r->objects));
        locket__cluster__v1__object__init(r->objects[i]);
        r->objects[i]->id = copy(v->versions[i].id);
        r->objects[i]->version = copy(v->versions[i].version);
    }
    r->n_objects = v->version_count;
    return r;
}

static void report_free(Report *r)
{
    locket__cluster__v1__report_request__free_unpacked(r, NULL);
}

static void drop(struct report_queue *q, Report *report)
{
    report_free(report);
    if (q->metrics.metrics)
        metrics_add(q->metrics.metrics, q->metrics.reports_dropped, NULL, 1);
}

/* Puts a report behind the others, unless (only_if_none) a newer one of its volume waits. Takes it
 * over. Caller holds the lock. */
static void put(struct report_queue *q, Report *report, bool only_if_none)
{
    struct waiting *w = NULL;

    HASH_FIND_STR(q->waiting, report->volume_id, w);
    if (!w && HASH_COUNT(q->waiting) >= REPORT_QUEUE_MAX) {
        drop(q, report);
        return;
    }
    if (w && only_if_none) {
        w->report->resent = w->report->resent || report->resent;
        report_free(report);
        return;
    }
    if (w) {
        report->resent = report->resent || w->report->resent;
        HASH_DEL(q->waiting, w);
        report_free(w->report);
        free(w);
    }
    w = xcalloc(1, sizeof(*w));
    w->report = report;
    HASH_ADD_KEYPTR(hh, q->waiting, report->volume_id, strlen(report->volume_id), w);
    (void)pthread_cond_signal(&q->came);
}

/* The oldest, moved out; waits for one. NULL: the queue ends. */
static Report *next(struct report_queue *q)
{
    struct waiting *w;
    Report *report = NULL;

    (void)pthread_mutex_lock(&q->lock);
    while (!q->waiting && !q->ended)
        (void)pthread_cond_wait(&q->came, &q->lock);
    w = q->ended ? NULL : q->waiting;
    if (w) {
        HASH_DEL(q->waiting, w);
        report = w->report;
        free(w);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return report;
}

static void put_back(struct report_queue *q, Report *report)
{
    (void)pthread_mutex_lock(&q->lock);
    put(q, report, true);
    (void)pthread_mutex_unlock(&q->lock);
}

static void *run(void *arg)
{
    struct report_queue *q = arg;
    int64_t pause_ms = REPORT_RETRY_MS;
    Report *report;

    while ((report = next(q))) {
        struct error err = { 0 };

        if (q->send(q->arg, report, &err) == 0) {
            pause_ms = REPORT_RETRY_MS;
            report_free(report);
        } else if (!code_is_maybe(err.code)) {
            log_failure(LOG_WARN, "a report was refused", KEY_VOLUME, report->volume_id, &err);
            drop(q, report);
        } else {
            put_back(q, report);
            (void)cancel_sleep_ms(&q->cancel, pause_ms + clock_jitter_ms(pause_ms, 25));
            pause_ms = pause_ms * 2 < REPORT_RETRY_MAX_MS ? pause_ms * 2 : REPORT_RETRY_MAX_MS;
        }
    }
    return NULL;
}

struct report_queue *report_queue_new(report_send *send, void *arg,
                                      const struct cluster_metrics *metrics)
{
    struct report_queue *q = xcalloc(1, sizeof(*q));

    q->send = send;
    q->arg = arg;
    q->metrics = *metrics;
    cancel_init(&q->cancel);
    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_cond_init(&q->came, NULL);
    if (pthread_create(&q->thread, NULL, run, q) != 0)
        abort();
    return q;
}

void report_queue_free(struct report_queue *queue)
{
    struct waiting *w;
    struct waiting *after;

    if (!queue)
        return;
    (void)pthread_mutex_lock(&queue->lock);
    queue->ended = true;
    (void)pthread_cond_signal(&queue->came);
    (void)pthread_mutex_unlock(&queue->lock);
    cancel_raise(&queue->cancel);
    (void)pthread_join(queue->thread, NULL);
    HASH_ITER(hh, queue->waiting, w, after)
    {
        HASH_DEL(queue->waiting, w);
        report_free(w->report);
        free(w);
    }
    (void)pthread_cond_destroy(&queue->came);
    (void)pthread_mutex_destroy(&queue->lock);
    cancel_done(&queue->cancel);
    free(queue);
}

void report_queue_put(struct report_queue *queue, const struct volume_report *report)
{
    Report *copied = report_new(report);

    (void)pthread_mutex_lock(&queue->lock);
    put(queue, copied, false);
    (void)pthread_mutex_unlock(&queue->lock);
}

size_t report_queue_count(struct report_queue *queue)
{
    size_t count;

    (void)pthread_mutex_lock(&queue->lock);
    count = HASH_COUNT(queue->waiting);
    (void)pthread_mutex_unlock(&queue->lock);
    return count;
}
