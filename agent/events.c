/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events.h"

#include <pthread.h>
#include <utlist.h>

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

/* Until when something is left alone, after so many failures in a row. */
struct rest {
    int failures;
    int64_t until_ms; /* monotonic */
};

/* One on its way. */
struct job {
    struct event event; /* its texts are copies */
    int64_t put_ms;     /* monotonic */
    char when[CLOCK_STAMP_MAX];
    struct job *prev;
    struct job *next;
};

/* Those of one namespace, in their order. Never without any; the thread alone takes the first. */
struct lane {
    char *path; /* where they are */
    struct job *jobs;
    size_t count;
    struct rest rest;
    UT_hash_handle hh;
};

struct events {
    struct kube_api *api;
    char *node;
    struct events_metrics metrics;
    struct work_pool *pool; /* one thread, while any wait */
    struct cancel cancel;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* one was put, or the agent is stopping */
    struct lane *lanes;     /* guarded by lock, as all below */
    size_t count;           /* in all lanes */
    struct rest rest;       /* of the server */
    bool running;           /* the thread looks after the lanes */
    bool failing;           /* said once */
    struct allowance *allowances;
};

static void count(const struct events *e, const char *result)
{
    if (e->metrics.metrics)
        metrics_add(e->metrics.metrics, e->metrics.total, &result, 1);
}

/* --- what waits --------------------------------------------------------------------------------
 */

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

/* Caller holds the lock. The lane goes with its last one. */
static void finish(struct events *e, struct lane *l, struct job *j, const char *result)
{
    DL_DELETE(l->jobs, j);
    l->count--;
    e->count--;
    job_free(j);
    count(e, result);
    if (l->jobs)
        return;
    HASH_DEL(e->lanes, l);
    free(l->path);
    free(l);
}

/* Whose turn is first; NULL: nothing waits. Caller holds the lock. */
static struct lane *first_lane(const struct events *e)
{
    struct lane *first = e->lanes;

    for (struct lane *l = e->lanes; l; l = l->hh.next)
        if (l->rest.until_ms < first->rest.until_ms)
            first = l;
    return first;
}

/* Waits for its turn, too. NULL: nothing waits any more, or the agent is stopping. Caller holds the
 * lock. */
static struct lane *next_lane(struct events *e)
{
    struct lane *l;

    while ((l = first_lane(e)) && !cancel_is_raised(&e->cancel)) {
        const struct rest *longer = l->rest.until_ms > e->rest.until_ms ? &l->rest : &e->rest;
        struct timespec until = clock_mono_until(longer->until_ms);

        if (longer->until_ms <= clock_mono_ms())
            return l;
        (void)pthread_cond_clockwait(&e->changed, &e->lock, CLOCK_MONOTONIC, &until);
    }
    return NULL;
}

/* --- sending -----------------------------------------------------------------------------------
 */

/* One that the server forgot between two calls is made anew; a token may be replaced. */
static bool may_work_later(const struct error *err)
{
    return code_is_maybe(err->code) || err->code == CODE_UNAUTHENTICATED ||
           err->code == CODE_INTERNAL;
}

static void rest_for(struct rest *rest, int64_t ms)
{
    *rest = (struct rest){ .until_ms = clock_mono_ms() + ms };
}

static void rest_longer(struct rest *rest, const struct error *err)
{
    int64_t own_ms = kube_backoff_ms(RETRY_MS, RETRY_MAX_MS, ++rest->failures);

    rest->until_ms = clock_mono_ms() + kube_retry_ms(own_ms, err);
}

/* Its first one is tried again. Caller holds the lock. */
static void put_off(struct events *e, struct lane *l, bool spoke, const struct error *err)
{
    struct rest *whose = spoke ? &l->rest : &e->rest;

    if (!whose->failures)
        log_failure(LOG_WARN, "an Event could not be told: tried again, for an hour at most",
                    KEY_POD, l->jobs->event.name, err);
    rest_longer(&l->rest, err);
    if (spoke)
        rest_for(&e->rest, EVENTS_PACE_MS);
    else
        rest_longer(&e->rest, err);
}

/* Its first one was told, or nobody will ever take it. Caller holds the lock. */
static void settle(struct events *e, struct lane *l, const struct error *err)
{
    if (err->code && !e->failing)
        log_failure(LOG_WARN, "an Event was refused", KEY_POD, l->jobs->event.name, err);
    e->failing = err->code != CODE_OK;
    rest_for(&l->rest, 0);
    rest_for(&e->rest, EVENTS_PACE_MS);
    finish(e, l, l->jobs, err->code ? "failed" : "written");
}

/* Caller holds the lock, which is let go of meanwhile. */
static void try_first(struct events *e, struct lane *l)
{
    struct job *j = l->jobs;
    struct event_send send = { e->api, &e->cancel, &j->event, e->node, j->when, false };
    struct error err = { 0 };

    (void)pthread_mutex_unlock(&e->lock);
    (void)!event_send(&send, &err);
    (void)pthread_mutex_lock(&e->lock);
    if (cancel_is_raised(&e->cancel) && err.code)
        return; /* events_free has them all */
    if (may_work_later(&err))
        put_off(e, l, send.spoke, &err);
    else
        settle(e, l, &err);
}

/* The thread, as long as any wait. */
static void run(void *arg)
{
    struct events *e = arg;
    struct lane *l;

    (void)pthread_mutex_lock(&e->lock);
    while ((l = next_lane(e)))
        if (clock_mono_ms() - l->jobs->put_ms < EVENTS_OLD_MS)
            try_first(e, l);
        else
            finish(e, l, l->jobs, "failed");
    e->running = false;
    (void)pthread_mutex_unlock(&e->lock);
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

/* Caller holds the lock. */
static bool spend(struct events *e, const char *uid)
{
    int64_t now = clock_mono_ms();
    struct allowance *a = allowance_of(e, uid, now);
    bool may;

    if (a && a->spent_until_ms < now)
        a->spent_until_ms = now;
    may = !a || a->spent_until_ms - now <= (int64_t)EVENTS_POD_REFILL_MS * (EVENTS_POD_BURST - 1);
    if (a && may)
        a->spent_until_ms += EVENTS_POD_REFILL_MS;
    return may;
}

/* --- putting -----------------------------------------------------------------------------------
 */

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static struct job *job_new(const struct event *event)
{
    struct job *j = xcalloc(1, sizeof(*j));

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
    return j;
}

/* For one more of a lane of so many. False: no other has more, and would still. Caller holds the
 * lock. */
static bool make_room(struct events *e, size_t mine)
{
    struct lane *most = NULL;
    size_t count = mine + 1;

    if (e->count < EVENTS_QUEUE_MAX)
        return true;
    for (struct lane *l = e->lanes; l; l = l->hh.next)
        if (l->count > count) {
            most = l;
            count = l->count;
        }
    if (!most)
        return false;
    finish(e, most, most->jobs->prev, "dropped"); /* of two at least: not the one under way */
    return true;
}

/* False: there is no thread. Caller holds the lock. */
static bool keep_running(struct events *e)
{
    e->running = e->running || work_submit(e->pool, run, e, NULL) == 0;
    (void)pthread_cond_signal(&e->changed);
    return e->running;
}

/* Takes the path over. Caller holds the lock. */
static struct lane *lane_new(struct events *e, char *path)
{
    struct lane *l = xcalloc(1, sizeof(*l));

    l->path = path;
    rest_for(&l->rest, 0);
    HASH_ADD_KEYPTR(hh, e->lanes, l->path, strlen(l->path), l);
    return l;
}

/* NULL; or why not. Caller holds the lock. */
static const char *put(struct events *e, const struct event *event)
{
    autofree char *path = event_object_path(event);
    struct lane *l = NULL;
    struct job *j;

    if (!spend(e, event->uid))
        return "limited";
    HASH_FIND_STR(e->lanes, path, l);
    if (!make_room(e, l ? l->count : 0) || !keep_running(e))
        return "dropped";
    if (!l)
        l = lane_new(e, take(path));
    j = job_new(event);
    DL_APPEND(l->jobs, j);
    l->count++;
    e->count++;
    return NULL;
}

void events_put(struct events *events, const struct event *event)
{
    const char *why_not;

    if (!events)
        return;
    (void)pthread_mutex_lock(&events->lock);
    why_not = put(events, event);
    (void)pthread_mutex_unlock(&events->lock);
    if (why_not)
        count(events, why_not);
}

/* --- begin and end -----------------------------------------------------------------------------
 */

struct events *events_new(struct kube_api *api, const char *node_name,
                          const struct events_metrics *metrics)
{
    struct work_pool_config pool = { .name = "events", .threads_max = 1, .queue_max = 1 };
    struct events *e = xcalloc(1, sizeof(*e));

    e->api = api;
    e->node = xstrdup(node_name);
    if (metrics)
        e->metrics = *metrics;
    cancel_init(&e->cancel);
    (void)pthread_mutex_init(&e->lock, NULL);
    (void)pthread_cond_init(&e->changed, NULL);
    e->pool = work_pool_new(&pool);
    return e;
}

void events_free(struct events *events)
{
    if (!events)
        return;
    cancel_raise(&events->cancel);
    (void)pthread_mutex_lock(&events->lock);
    (void)pthread_cond_signal(&events->changed);
    (void)pthread_mutex_unlock(&events->lock);
    work_pool_free(events->pool);
    while (events->lanes)
        finish(events, events->lanes, events->lanes->jobs, "failed");
    forget_rested(events, INT64_MAX);
    cancel_done(&events->cancel);
    (void)pthread_cond_destroy(&events->changed);
    (void)pthread_mutex_destroy(&events->lock);
    free(events->node);
    free(events);
}
