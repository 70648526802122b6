/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_sync.h"

#include <pthread.h>

#include "agent/secret_event.h"
#include "agent/secret_leavers.h"
#include "agent/secret_run.h"
#include "agent/secret_standing.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/net/work.h"

#define OS_TYPE "linux"

enum { QUEUE_MAX = 20000 /* each volume at most once, and its files */ };

struct row {
    struct secret_sync *sync;
    struct due_item due;
    char *volume_id;
    char *ns;
    char *pod_name;
    char *pod_uid;
    char *class_name;
    int64_t changed_at_unix_ms;
    struct secret_standings standings;
    uint64_t turn; /* of what is wished for: another generation, another class */
    bool queued;   /* for its files to be asked for */
    int refs;      /* the table's, and that of a job */
    UT_hash_handle hh;
};

struct secret_sync {
    struct secret_sync_config config;
    struct due_queue *due;
    struct work_pool *pool; /* one thread: of one Secret one is written at a time */
    struct secret_leavers *leavers;
    struct cancel cancel;
    pthread_mutex_t lock;
    struct row *rows; /* guarded by lock, and what they hold but the texts, which stay */
    bool ended;       /* guarded by lock: nothing is begun any more */

    /* The pool's thread's own. */
    int64_t unanswered_ms; /* the last call that the API server did not answer; 0: none */
    int64_t probed_ms;
};

/* --- memory ---------------------------------------------------------------------------------- */

/* Caller holds the lock. */
static void unref(struct row *r)
{
    if (--r->refs)
        return;
    secret_standings_done(&r->standings);
    free(r->volume_id);
    free(r->ns);
    free(r->pod_name);
    free(r->pod_uid);
    free(r->class_name);
    free(r);
}

/* Caller holds the lock. */
static struct row *find(struct secret_sync *s, const char *volume_id)
{
    struct row *r = NULL;

    HASH_FIND_STR(s->rows, volume_id, r);
    return r;
}

/* Another thing is wished for. Caller holds the lock. */
static void forgive(struct row *r)
{
    r->turn++;
    secret_standings_forgive(&r->standings);
}

/* Caller holds the lock. */
static void arm(struct row *r, int64_t in_ms, bool only_sooner)
{
    if (r->sync->ended)
        return;
    if (only_sooner)
        due_queue_hasten(r->sync->due, &r->due, clock_mono_ms() + in_ms);
    else
        due_queue_set(r->sync->due, &r->due, clock_mono_ms() + in_ms);
}

static int64_t jittered(int64_t ms)
{
    return ms + clock_jitter_ms(ms, 25);
}

/* --- asking for files --------------------------------------------------------------------------
 */

/* Is a Secret of this volume to be left alone now? *soonest: lowered to when it is not. Takes the
 * lock. */
static bool is_held_back(struct row *r, const char *secret, int64_t *soonest)
{
    int64_t now = clock_mono_ms();
    int64_t until;

    (void)pthread_mutex_lock(&r->sync->lock);
    until = secret_standing_of(&r->standings, secret)->not_before_ms;
    (void)pthread_mutex_unlock(&r->sync->lock);
    if (until <= now)
        return false;
    if (until - now < *soonest)
        *soonest = until - now;
    return true;
}

/* Asks for the files of all Secrets that are not held back. Milliseconds to the next look; -1:
 * there is nothing to look after. */
static int64_t ask(struct row *r, const struct class *class)
{
    const struct secret_objects *objects = &class->secret_objects;
    int64_t soonest = SECRET_DENIED_MAX_MS;
    autofree const char **paths = NULL;
    size_t count = 0;

    for (size_t i = 0; i < objects->count; i++) {
        const struct secret_object *o = &objects->list[i];

        if (is_held_back(r, o->name, &soonest))
            continue;
        paths = xrealloc(paths, (count + o->key_count + 1) * sizeof(*paths));
        for (size_t k = 0; k < o->key_count; k++)
            paths[count++] = o->keys[k].object_name;
        soonest = SECRET_ASK_AGAIN_MS < soonest ? SECRET_ASK_AGAIN_MS : soonest;
    }
    if (paths)
        driver_line_want_files(r->sync->config.line, r->volume_id, paths, count);
    return objects->count ? soonest : -1;
}

/* Has the API server not answered since? Then one at a time tries whether it does, so that nobody
 * waits long for its return, and its return is no rush. */
static bool is_away(struct secret_sync *s)
{
    int64_t now = clock_mono_ms();

    if (!s->unanswered_ms || kube_api_answered_ms(s->config.api) > s->unanswered_ms)
        return false;
    if (now - s->probed_ms < SECRET_PROBE_MS)
        return true;
    s->probed_ms = now;
    return false;
}

/* The class as the watches brought it: no call is made for it. Of one that is gone nothing is
 * wished, and nothing taken away. */
static bool find_class(struct row *r, struct class **ret)
{
    bool known = false;
    struct error err = { 0 };

    return class_cache_peek(r->sync->config.classes, r->ns, r->class_name, &known, ret, &err) ==
               0 &&
           known;
}

static int64_t look_after(struct row *r)
{
    struct class *class autoclass = NULL;

    if (is_away(r->sync))
        return SECRET_RETRY_MS;
    return find_class(r, &class) ? ask(r, class) : jittered(SECRET_CLASS_MS);
}

static void run_look(void *arg)
{
    struct row *r = arg;
    struct secret_sync *s = r->sync;
    int64_t next;

    (void)pthread_mutex_lock(&s->lock);
    r->queued = false;
    (void)pthread_mutex_unlock(&s->lock);
    next = look_after(r);
    (void)pthread_mutex_lock(&s->lock);
    if (next >= 0 && find(s, r->volume_id) == r && !r->queued)
        arm(r, next, true);
    unref(r);
    (void)pthread_mutex_unlock(&s->lock);
}

/* The due-queue's: hands it to the pool. */
static void on_due(void *arg, struct due_item *item)
{
    struct secret_sync *s = arg;
    struct row *r = (struct row *)((char *)item - offsetof(struct row, due));

    (void)pthread_mutex_lock(&s->lock);
    if (!s->ended && !r->queued && work_submit(s->pool, run_look, r, NULL) == 0) {
        r->queued = true;
        r->refs++;
    } else if (!r->queued)
        arm(r, SECRET_RETRY_MS, false);
    (void)pthread_mutex_unlock(&s->lock);
}

/* --- files that came ---------------------------------------------------------------------------
 */

struct delivery {
    struct secret_sync *sync;
    const Locket__Cluster__V1__SyncRequest *files;
    void (*done)(void *arg);
    void *arg;
};

static void count(const struct secret_sync *s, const struct class *class, enum secret_result result,
                  int64_t started_us)
{
    const struct secret_sync_config *c = &s->config;
    const char *label[] = { secret_result_name(result) };
    const char *upstream[] = { class->provider, OS_TYPE };
    const char *os[] = { OS_TYPE };

    metrics_add(c->metrics, c->results, label, 1);
    if (result == SECRET_APPLIED)
        metrics_add(c->metrics, c->written, upstream, 1);
    if (result == SECRET_APPLIED || result == SECRET_FAILED || result == SECRET_DENIED)
        metrics_observe(c->metrics, c->seconds, os, (double)(clock_mono_us() - started_us) / 1e6);
}

/* One Secret's turn of a delivery. */
struct turn {
    struct row *row;
    const struct class *class;
    uint64_t number; /* the row's when the delivery began */
};

/* Milliseconds until it is looked after again. */
static int64_t settle(const struct turn *turn, const struct secret_object *object,
                      enum secret_result result, const struct error *err)
{
    struct row *r = turn->row;
    struct secret_event event = { .result = result,
                                  .ns = r->ns,
                                  .pod_name = r->pod_name,
                                  .pod_uid = r->pod_uid,
                                  .class_name = r->class_name,
                                  .secret = object->name,
                                  .err = err->code ? err : NULL };
    const struct secret_sync *s = r->sync;
    struct secret_try try = { .result = result,
                              .err = err,
                              .check_ms = s->config.check_ms,
                              .unanswered =
                                  s->unanswered_ms > kube_api_answered_ms(s->config.api) };
    int64_t ms;
    bool news;

    (void)pthread_mutex_lock(&r->sync->lock);
    try.is_past = r->turn != turn->number;
    ms = secret_standing_settle(secret_standing_of(&r->standings, object->name), &try, &news);
    (void)pthread_mutex_unlock(&r->sync->lock);
    if (news)
        secret_event(r->sync->config.sinks.events, &event);
    return ms;
}

static int sync_one(const struct turn *turn, size_t place,
                    const Locket__Cluster__V1__SyncRequest *files, enum secret_result *ret,
                    struct error *err)
{
    struct row *r = turn->row;
    struct secret_run run = { .api = r->sync->config.api,
                              .cancel = &r->sync->cancel,
                              .pods = r->sync->config.pods,
                              .audit = r->sync->config.sinks.audit,
                              .key = r->sync->config.key,
                              .pod_name = r->pod_name,
                              .pod_uid = r->pod_uid,
                              .class = turn->class,
                              .files = files };

    *ret = SECRET_FAILED;
    (void)pthread_mutex_lock(&r->sync->lock); /* it may be made anew: then it has no owner yet */
    secret_standing_of(&r->standings, turn->class->secret_objects.list[place].name)->owned = false;
    (void)pthread_mutex_unlock(&r->sync->lock);
    if (*files->error)
        return error_set(err, CODE_INTERNAL, "%s", files->error);
    return secret_run(&run, place, ret, err);
}

/* Did the failure come of a server that answered nothing since? */
static bool is_unanswered(struct secret_sync *s, int64_t started_ms, const struct error *err)
{
    return (err->code == CODE_UNAVAILABLE || err->code == CODE_DEADLINE_EXCEEDED) &&
           kube_api_answered_ms(s->config.api) < started_ms;
}

/* Milliseconds until any of the Secrets is looked after again. */
static int64_t sync_all(const struct turn *turn, const Locket__Cluster__V1__SyncRequest *files)
{
    const struct secret_objects *objects = &turn->class->secret_objects;
    int64_t soonest = SECRET_DENIED_MAX_MS;

    for (size_t i = 0; i < objects->count; i++) {
        const struct secret_object *object = &objects->list[i];
        int64_t started = clock_mono_us();
        enum secret_result result;
        struct error err = { 0 };
        int64_t ms;

        if (is_held_back(turn->row, object->name, &soonest))
            continue;
        (void)!sync_one(turn, i, files, &result, &err);
        if (is_unanswered(turn->row->sync, started / 1000, &err))
            turn->row->sync->unanswered_ms = clock_mono_ms();
        count(turn->row->sync, turn->class, result, started);
        ms = settle(turn, object, result, &err);
        if (ms < soonest)
            soonest = ms;
    }
    return soonest;
}

static void deliver(struct secret_sync *s, struct row *r, uint64_t number,
                    const Locket__Cluster__V1__SyncRequest *files)
{
    struct class *class autoclass = NULL;
    struct turn turn = { .row = r, .number = number };
    int64_t ms = SECRET_CLASS_MS;

    if (find_class(r, &class)) {
        turn.class = class;
        ms = sync_all(&turn, files);
    }
    (void)pthread_mutex_lock(&s->lock);
    if (find(s, r->volume_id) == r && !r->queued && !(class && !class->secret_objects.count))
        arm(r, ms, false);
    (void)pthread_mutex_unlock(&s->lock);
}

static void run_delivery(void *arg)
{
    struct delivery *d = arg;
    struct secret_sync *s = d->sync;
    struct row *r;
    uint64_t number;

    (void)pthread_mutex_lock(&s->lock);
    r = find(s, d->files->volume_id);
    if (r)
        r->refs++;
    number = r ? r->turn : 0;
    (void)pthread_mutex_unlock(&s->lock);
    if (r) {
        deliver(s, r, number, d->files);
        (void)pthread_mutex_lock(&s->lock);
        unref(r);
        (void)pthread_mutex_unlock(&s->lock);
    }
    d->done(d->arg);
    free(d);
}

int secret_sync_take(struct secret_sync *sync, const Locket__Cluster__V1__SyncRequest *files,
                     void (*done)(void *arg), void *arg, struct error *err)
{
    struct delivery *d;
    int result = -1;

    if (!sync)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "this agent syncs no Secrets: it runs without --sync-secrets");
    d = xmalloc(sizeof(*d));
    *d = (struct delivery){ sync, files, done, arg };
    (void)pthread_mutex_lock(&sync->lock);
    if (sync->ended)
        (void)error_set(err, CODE_UNAVAILABLE, "the agent is stopping");
    else
        result = work_submit(sync->pool, run_delivery, d, err);
    (void)pthread_mutex_unlock(&sync->lock);
    if (result < 0)
        free(d);
    return result;
}

/* --- volumes ---------------------------------------------------------------------------------- */

/* Caller holds the lock. */
static struct row *add(struct secret_sync *s, const struct synced_volume *v)
{
    struct row *r = xcalloc(1, sizeof(*r));

    r->sync = s;
    r->refs = 1;
    r->volume_id = xstrdup(v->volume_id);
    r->ns = xstrdup(v->ns);
    r->pod_name = xstrdup(v->pod_name);
    r->pod_uid = xstrdup(v->pod_uid);
    r->class_name = xstrdup(v->class_name);
    HASH_ADD_KEYPTR(hh, s->rows, r->volume_id, strlen(r->volume_id), r);
    return r;
}

void secret_sync_set(struct secret_sync *sync, const struct synced_volume *volume)
{
    struct row *r;

    if (!sync)
        return;
    (void)pthread_mutex_lock(&sync->lock);
    r = find(sync, volume->volume_id);
    if (!r)
        r = add(sync, volume);
    if (r->changed_at_unix_ms != volume->changed_at_unix_ms) {
        r->changed_at_unix_ms = volume->changed_at_unix_ms;
        forgive(r);
        arm(r, 0, false);
    }
    (void)pthread_mutex_unlock(&sync->lock);
}

static void leave(struct secret_sync *s, struct row *r)
{
    due_queue_remove(s->due, &r->due); /* with no lock: it waits for on_due */
    (void)pthread_mutex_lock(&s->lock);
    unref(r);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Who was here before us may have died between a Secret and its owners; and what we began may have
 * failed there. r: what we know of the volume; NULL: nothing. Caller holds the lock. */
static void look_after_left(struct secret_sync *s, const struct synced_volume *v,
                            const struct row *r)
{
    struct secret_leaver leaver = { v->ns, v->pod_name, v->pod_uid, v->class_name, NULL };

    if (r)
        leaver = (struct secret_leaver){ r->ns, r->pod_name, r->pod_uid, r->class_name, NULL };
    if (!*leaver.ns || !*leaver.pod_name || !*leaver.pod_uid || !*leaver.class_name)
        return; /* adopted of another driver, and never ours */
    if (!r || !r->standings.count)
        secret_leavers_add(s->leavers, &leaver);
    for (size_t i = 0; r && i < r->standings.count; i++) {
        leaver.secret = r->standings.list[i].secret;
        if (!r->standings.list[i].owned && *leaver.secret)
            secret_leavers_add(s->leavers, &leaver);
    }
}

void secret_sync_remove(struct secret_sync *sync, const struct synced_volume *volume)
{
    struct row *r;

    if (!sync)
        return;
    (void)pthread_mutex_lock(&sync->lock);
    r = find(sync, volume->volume_id);
    if (r)
        HASH_DEL(sync->rows, r);
    look_after_left(sync, volume, r);
    (void)pthread_mutex_unlock(&sync->lock);
    if (r)
        leave(sync, r);
}

void secret_sync_class(struct secret_sync *sync, const char *ns, const char *name)
{
    if (!sync)
        return;
    (void)pthread_mutex_lock(&sync->lock);
    for (struct row *r = sync->rows; r; r = r->hh.next)
        if (strcmp(r->ns, ns) == 0 && strcmp(r->class_name, name) == 0) {
            forgive(r);
            arm(r, 0, false);
        }
    (void)pthread_mutex_unlock(&sync->lock);
}

size_t secret_sync_behind(struct secret_sync *sync)
{
    size_t count = 0;

    if (!sync)
        return 0;
    (void)pthread_mutex_lock(&sync->lock);
    for (const struct row *r = sync->rows; r; r = r->hh.next)
        count += secret_standings_behind(&r->standings);
    (void)pthread_mutex_unlock(&sync->lock);
    return count;
}

/* --- begin and end -----------------------------------------------------------------------------
 */

struct secret_sync *secret_sync_new(const struct secret_sync_config *config)
{
    struct work_pool_config pool = { .name = "secrets", .threads_max = 1, .queue_max = QUEUE_MAX };
    struct secret_sync *s = xcalloc(1, sizeof(*s));

    s->config = *config;
    cancel_init(&s->cancel);
    (void)pthread_mutex_init(&s->lock, NULL);
    s->pool = work_pool_new(&pool);
    s->due = due_queue_new(on_due, s);
    s->leavers = secret_leavers_new(config->api, config->classes);
    return s;
}

void secret_sync_end(struct secret_sync *sync)
{
    bool ended;

    if (!sync)
        return;
    (void)pthread_mutex_lock(&sync->lock);
    ended = sync->ended;
    sync->ended = true;
    (void)pthread_mutex_unlock(&sync->lock);
    if (ended)
        return;
    cancel_raise(&sync->cancel);
    work_pool_free(sync->pool);
    secret_leavers_end(sync->leavers);
}

void secret_sync_free(struct secret_sync *sync)
{
    struct row *r;

    if (!sync)
        return;
    secret_sync_end(sync);
    secret_leavers_free(sync->leavers);
    due_queue_free(sync->due);
    while ((r = sync->rows)) {
        HASH_DEL(sync->rows, r);
        unref(r);
    }
    cancel_done(&sync->cancel);
    (void)pthread_mutex_destroy(&sync->lock);
    free(sync);
}
