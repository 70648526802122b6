/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events.h"

#include <pthread.h>

#include "agent/event_send.h"
#include "agent/kube_retry.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/net/work.h"

enum {
    RETRY_MS = 1000, /* after the first failure; doubled up to */
    RETRY_MAX_MS = 30000,
};

/* How many Events a pod may still have. */
struct allowance {
    char *uid;
    int64_t spent_until_ms; /* monotonic: when all of them will be there again */
    UT_hash_handle hh;
};

struct events {
    struct kube_api *api;
    char *node;
    struct events_metrics metrics;
    struct work_pool *pool; /* one thread: Events keep their order */
    struct cancel cancel;
    bool failing; /* the thread's own: said once */
    pthread_mutex_t lock;
    struct allowance *allowances; /* guarded by lock */
};

/* One on its way. */
struct job {
    struct events *events;
    struct event event; /* its texts are copies */
    int64_t put_ms;     /* monotonic */
    char when[CLOCK_STAMP_MAX];
};

static void count(const struct events *e, const char *result)
{
    if (e->metrics.metrics)
        metrics_add(e->metrics.metrics, e->metrics.total, &result, 1);
}

/* --- sending -----------------------------------------------------------------------------------
 */

/* One that the server forgot between two calls is made anew; a token may be replaced. */
static bool may_work_later(const struct job *j, const struct error *err)
{
    bool maybe =
        code_is_maybe(err->code) || err->code == CODE_UNAUTHENTICATED || err->code == CODE_INTERNAL;

    return maybe && clock_mono_ms() - j->put_ms < EVENTS_OLD_MS;
}

/* Tries until it is told, or nobody will ever take it. */
static int insist(struct job *j, struct error *err)
{
    struct event_send send = { j->events->api, &j->events->cancel, &j->event, j->events->node,
                               j->when };
    int failures = 0;

    while (event_send(&send, err) < 0) {
        int64_t own_ms = kube_backoff_ms(RETRY_MS, RETRY_MAX_MS, ++failures);

        if (!may_work_later(j, err))
            return -1;
        if (!cancel_sleep_ms(&j->events->cancel, kube_retry_ms(own_ms, err)))
            return error_set(err, CODE_CANCELLED, "the agent is stopping");
    }
    return 0;
}

static void job_free(struct job *j)
{
    free((char *)j->event.ns);
    free((char *)j->event.name);
    free((char *)j->event.uid);
    free((char *)j->event.text);
    free((char *)j->event.series);
    free((char *)j->event.note);
    free(j);
}

static void job_run(void *arg)
{
    struct job *j = arg;
    struct events *e = j->events;
    struct error err = { 0 };
    bool failed = cancel_is_raised(&e->cancel) || insist(j, &err) < 0;

    count(e, failed ? "failed" : "written");
    if (failed && err.code && err.code != CODE_CANCELLED && !e->failing)
        log_failure(LOG_WARN, "an Event was refused", KEY_POD, j->event.name, &err);
    e->failing = failed;
    job_free(j);
    (void)cancel_sleep_ms(&e->cancel, EVENTS_PACE_MS);
}

/* --- who may have one --------------------------------------------------------------------------
 */

/* Forgets pods that have all of theirs again. Caller holds the lock. */
static void forget_rested(struct events *e, int64_t now)
{
    struct allowance *a;
    struct allowance *after;

    HASH_ITER(hh, e->allowances, a, after)
    {
        if (a->spent_until_ms > now)
            continue;
        HASH_DEL(e->allowances, a);
        free(a->uid);
        free(a);
    }
}

/* Caller holds the lock. NULL: too many pods have spent some; the queue's bound is left. */
static struct allowance *allowance_of(struct events *e, const char *uid, int64_t now)
{
    struct allowance *a = NULL;

    HASH_FIND_STR(e->allowances, uid, a);
    if (a)
        return a;
    if (HASH_COUNT(e->allowances) >= EVENTS_PODS_MAX)
        forget_rested(e, now);
    if (HASH_COUNT(e->allowances) >= EVENTS_PODS_MAX)
        return NULL;
    a = xcalloc(1, sizeof(*a));
    a->uid = xstrdup(uid);
    HASH_ADD_KEYPTR(hh, e->allowances, a->uid, strlen(a->uid), a);
    return a;
}

static bool spend(struct events *e, const char *uid)
{
    int64_t now = clock_mono_ms();
    struct allowance *a;
    bool may;

    (void)pthread_mutex_lock(&e->lock);
    a = allowance_of(e, uid, now);
    if (a && a->spent_until_ms < now)
        a->spent_until_ms = now;
    may = !a || a->spent_until_ms - now <= (int64_t)EVENTS_POD_REFILL_MS * (EVENTS_POD_BURST - 1);
    if (a && may)
        a->spent_until_ms += EVENTS_POD_REFILL_MS;
    (void)pthread_mutex_unlock(&e->lock);
    return may;
}

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

void events_put(struct events *events, const struct event *event)
{
    struct job *j;

    if (!events)
        return;
    if (!spend(events, event->uid)) {
        count(events, "limited");
        return;
    }
    j = xcalloc(1, sizeof(*j));
    j->events = events;
    j->put_ms = clock_mono_ms();
    j->event = (struct event){
        .reason = event->reason,
        .ns = copy(event->ns),
        .name = copy(event->name),
        .uid = copy(event->uid),
        .text = copy(event->text),
        .series = copy(event->series),
        .note = copy(event->note),
    };
    stamp_format(clock_unix_ms(), j->when);
    if (work_submit(events->pool, job_run, j, NULL) == 0)
        return;
    count(events, "dropped");
    job_free(j);
}

/* --- begin and end -----------------------------------------------------------------------------
 */

struct events *events_new(struct kube_api *api, const char *node_name,
                          const struct events_metrics *metrics)
{
    struct work_pool_config pool = { .name = "events",
                                     .threads_max = 1,
                                     .queue_max = EVENTS_QUEUE_MAX };
    struct events *e = xcalloc(1, sizeof(*e));

    e->api = api;
    e->node = xstrdup(node_name);
    if (metrics)
        e->metrics = *metrics;
    cancel_init(&e->cancel);
    (void)pthread_mutex_init(&e->lock, NULL);
    e->pool = work_pool_new(&pool);
    return e;
}

void events_free(struct events *events)
{
    if (!events)
        return;
    cancel_raise(&events->cancel);
    work_pool_free(events->pool);
    forget_rested(events, INT64_MAX);
    cancel_done(&events->cancel);
    (void)pthread_mutex_destroy(&events->lock);
    free(events->node);
    free(events);
}
