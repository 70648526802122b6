/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pod_status.h"

#include <pthread.h>

#include "agent/kube_watch.h"
#include "agent/pod_status_apply.h"
#include "agent/pod_status_object.h"
#include "agent/pod_status_row.h"
#include "agent/status_pace.h"
#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/net/work.h"

#define GROUP_PATH "/apis/" CLASS_GROUP
#define PLURAL "secretproviderclasspodstatuses"

enum {
    THREADS = 2,
    QUEUE_MAX = 20000,     /* each of them at most once: twice the volumes that a node may have */
    BACK_SPREAD_MS = 1000, /* not all at once when the server is back */
};

/* One object, and when it is written. */
struct status {
    struct pod_status *ps;
    struct due_item due;
    char *key; /* NAMESPACE/NAME */
    struct status_row row;
    uint8_t applied[SHA256_BYTES]; /* digest of what was written last */
    bool is_applied;
    bool looked;  /* whose it was before us is known */
    bool busy;    /* a thread writes it */
    bool changed; /* meanwhile */
    bool lost;    /* meanwhile, by somebody who deleted it */
    bool seen;    /* in the list that the watch is in */
    struct status_pace pace;
    int refs; /* the table's, and that of a thread that writes it */
    UT_hash_handle hh;
};

struct pod_status {
    struct kube_api *api;
    struct pod_status_metrics metrics;
    char *node_label;
    struct due_queue *due;
    struct work_pool *pool;
    struct group_version *version;
    struct cancel cancel;
    pthread_mutex_t lock;
    struct kube_watch *watch;  /* guarded by lock; NULL: not begun yet */
    const char *watch_version; /* guarded by lock; of the group: what is watched */
    struct status *statuses;   /* guarded by lock, as all below and what they hold */
    struct row_entry *entries; /* by volume id */
    uint64_t round;            /* one for each driver that came */
    int64_t round_ms;          /* when the last one came */
    bool plain; /* the CRD is the old driver's: it has no field for a second target */
    bool ended; /* no watch is begun any more */
};

/* Caller holds the lock. */
static void status_unref(struct status *s)
{
    if (--s->refs)
        return;
    row_done(&s->row);
    free(s->key);
    free(s);
}

/* --- writing -----------------------------------------------------------------------------------
 */

/* Does the failure come of the old driver's CRD? Then not again. Caller holds the lock. */
static bool is_undeclared(struct pod_status *ps, const struct error *err)
{
    if (ps->plain || err->code != CODE_INVALID_ARGUMENT || !strstr(err->msg, "otherTargetPaths"))
        return false;
    ps->plain = true;
    return true;
}

/* Caller holds the lock. */
static size_t count_failing(const struct pod_status *ps)
{
    size_t count = 0;

    for (const struct status *s = ps->statuses; s; s = s->hh.next)
        count += s->pace.failures > 0;
    return count;
}

/* How long until it is written again. Caller holds the lock. */
static int64_t next_ms(struct status *s, const struct error *err)
{
    int64_t now = clock_mono_ms();
    int64_t ms = err->code ? status_pace_failed(&s->pace, err, count_failing(s->ps), now)
                           : status_pace_written(&s->pace, now);

    if (s->changed || is_undeclared(s->ps, err))
        return status_pace_soonest(&s->pace, 0, now);
    if (s->lost && !err->code)
        ms = status_pace_lost(&s->pace, now);
    return ms;
}

static void settle(struct status *s, const struct pod_status_write *w, const struct error *err)
{
    const char *label[] = { err->code ? "failed" : "applied" };

    if (err->code && !s->pace.failures)
        log_failure(LOG_WARN, "pod status not written: tried again until it is", KEY_POD,
                    s->row.pod_name, err);
    if (s->ps->metrics.metrics)
        metrics_add(s->ps->metrics.metrics, s->ps->metrics.applied, label, 1);
    s->busy = false;
    s->looked = !err->code && !s->lost;
    s->is_applied = s->looked && sha256(w->body.text, w->body.len, s->applied, NULL) == 0;
    if (s->row.entries)
        due_queue_set(s->ps->due, &s->due, clock_mono_ms() + next_ms(s, err));
}

/* Caller holds the lock. */
static void write_row(const struct status *s, const char *version, struct strbuf *out)
{
    struct status_dialect dialect = { version, s->ps->plain };

    row_write(&s->row, s->ps->node_label, &dialect, out);
}

/* False: its volumes left while it waited. */
static bool prepare(struct status *s, struct pod_status_write *ret)
{
    if (!s->row.entries)
        return false;
    s->lost = false;
    ret->version = group_version_get(s->ps->version);
    ret->path = str_printf(GROUP_PATH "/%s/namespaces/%s/" PLURAL "/%s", ret->version, s->row.ns,
                           s->row.name);
    ret->pod_name = xstrdup(s->row.pod_name);
    ret->pod_uid = xstrdup(s->row.pod_uid);
    ret->looked = s->looked;
    return true;
}

/* Whose it was; what it said is shown on, unless the pod is another one by now. */
static int look(struct status *s, const struct pod_status_write *w, struct error *err)
{
    struct object_list said CLEANUP(object_list_done) = { 0 };
    bool found = false;

    if (pod_status_look(w, &found, &said, err) < 0)
        return -1;
    (void)pthread_mutex_lock(&s->ps->lock);
    if (found && row_wants_shown(&s->row) && strcmp(s->row.pod_uid, w->pod_uid) == 0)
        row_show(&s->row, &said);
    (void)pthread_mutex_unlock(&s->ps->lock);
    return 0;
}

static int write_one(struct status *s, struct pod_status_write *w, struct error *err)
{
    struct pod_status *ps = s->ps;
    bool wanted;

    if (!w->looked && look(s, w, err) < 0)
        return -1;
    (void)pthread_mutex_lock(&ps->lock);
    wanted = s->row.entries != NULL;
    s->changed = false;
    if (wanted)
        write_row(s, w->version, &w->body);
    (void)pthread_mutex_unlock(&ps->lock);
    return wanted ? pod_status_apply(w, err) : 0;
}

/* Caller holds the lock. */
static void touch(struct status *s, int64_t in_ms)
{
    int64_t now = clock_mono_ms();

    if (s->busy)
        s->changed = true;
    else
        due_queue_hasten(s->ps->due, &s->due, now + status_pace_soonest(&s->pace, in_ms, now));
}

/* --- what somebody deleted ---------------------------------------------------------------------
 */

/* Caller holds the lock. */
static struct status *find_status(struct pod_status *ps, const char *ns, const char *name)
{
    autofree char *key = str_printf("%s/%s", ns, name);
    struct status *s = NULL;

    HASH_FIND_STR(ps->statuses, key, s);
    return s;
}

/* Not there now, which it was. Caller holds the lock. */
static void miss(struct status *s)
{
    if (s->busy)
        s->lost = true;
    if (!s->is_applied)
        return;
    s->is_applied = s->looked = false;
    if (!s->busy)
        due_queue_set(s->ps->due, &s->due,
                      clock_mono_ms() + status_pace_lost(&s->pace, clock_mono_ms()));
}

static void on_object(struct pod_status *ps, enum kube_event event, const struct tree *object)
{
    const char *ns = kube_meta(object, "namespace");
    const char *name = kube_meta(object, "name");
    struct status *s = ns && name ? find_status(ps, ns, name) : NULL;

    if (s && event == KUBE_OBJECT)
        s->seen = true;
    else if (s)
        miss(s);
}

static void on_event(void *arg, enum kube_event event, const struct tree *object)
{
    struct pod_status *ps = arg;

    (void)pthread_mutex_lock(&ps->lock);
    if (object)
        on_object(ps, event, object);
    for (struct status *s = object ? NULL : ps->statuses; s; s = s->hh.next) {
        if (event == KUBE_END && !s->seen && !s->busy)
            miss(s);
        s->seen = s->seen && event == KUBE_END;
    }
    (void)pthread_mutex_unlock(&ps->lock);
}

/* The server is back: what has waited the longer the longer it was away need not any more. */
static void on_back(void *arg)
{
    struct pod_status *ps = arg;

    (void)pthread_mutex_lock(&ps->lock);
    for (struct status *s = ps->statuses; s; s = s->hh.next)
        if (s->pace.failures && !s->busy) {
            s->pace.failures = 0;
            touch(s, (BACK_SPREAD_MS + clock_jitter_ms(BACK_SPREAD_MS, 100)) / 2);
        }
    (void)pthread_mutex_unlock(&ps->lock);
}

static struct kube_watch *start_watch(struct pod_status *ps, const char *version)
{
    struct strbuf query autostrbuf = { 0 };
    autofree char *selector = str_printf("%s=%s", POD_STATUS_NODE_LABEL, ps->node_label);
    autofree char *path = str_printf(GROUP_PATH "/%s/" PLURAL, version);
    struct kube_watch_config config = {
        .api = ps->api,
        .path = path,
        .metadata_only = true,
        .event = on_event,
        .back = on_back,
        .arg = ps,
    };

    strbuf_add_text(&query, "labelSelector=");
    url_encode(&query, selector, false);
    config.query = strbuf_text(&query);
    return kube_watch_start(&config);
}

/* Begins the watch; or anew, in the version that the server turned out to have. Caller holds no
 * lock: the server is asked for it once, and the watch before is waited for. */
static void keep_watch(struct pod_status *ps)
{
    struct kube_watch *before = NULL;
    const char *version;

    group_version_learn(ps->version);
    version = group_version_get(ps->version);
    (void)pthread_mutex_lock(&ps->lock);
    if (!ps->ended && (!ps->watch || strcmp(ps->watch_version, version) != 0)) {
        before = ps->watch;
        ps->watch = start_watch(ps, version);
        ps->watch_version = version;
    }
    (void)pthread_mutex_unlock(&ps->lock);
    kube_watch_stop(before);
}

/* --- work --------------------------------------------------------------------------------------
 */

static void run_job(void *arg)
{
    struct status *s = arg;
    struct pod_status *ps = s->ps;
    struct pod_status_write write CLEANUP(pod_status_write_done) = { .api = ps->api,
                                                                     .node_label = ps->node_label,
                                                                     .cancel = &ps->cancel };
    struct error err = { 0 };
    bool wanted;

    keep_watch(ps);
    (void)pthread_mutex_lock(&ps->lock);
    wanted = prepare(s, &write);
    (void)pthread_mutex_unlock(&ps->lock);
    if (wanted)
        (void)!write_one(s, &write, &err);
    (void)pthread_mutex_lock(&ps->lock);
    if (wanted)
        settle(s, &write, &err);
    status_unref(s);
    (void)pthread_mutex_unlock(&ps->lock);
}

/* The due-queue's: hands it to the pool. */
static void on_due(void *arg, struct due_item *item)
{
    struct pod_status *ps = arg;
    struct status *s = (struct status *)((char *)item - offsetof(struct status, due));

    (void)pthread_mutex_lock(&ps->lock);
    if (s->busy)
        s->changed = true;
    else if (work_submit(ps->pool, run_job, s, NULL) == 0) {
        s->busy = true;
        s->refs++;
    } else
        due_queue_set(ps->due, &s->due, clock_mono_ms() + STATUS_RETRY_MS);
    (void)pthread_mutex_unlock(&ps->lock);
}

/* --- volumes -----------------------------------------------------------------------------------
 */

/* Caller holds the lock. */
static struct status *status_of(struct pod_status *ps, const struct pod_volume *v)
{
    struct status_row row CLEANUP(row_done) = { 0 };
    struct status *s;

    if (row_init(&row, v, NULL) < 0)
        return NULL;
    s = find_status(ps, v->ns, row.name);
    if (s)
        return s;
    s = xcalloc(1, sizeof(*s));
    s->ps = ps;
    s->refs = 1;
    s->key = str_printf("%s/%s", v->ns, row.name);
    s->row = row;
    row = (struct status_row){ 0 };
    HASH_ADD_KEYPTR(hh, ps->statuses, s->key, strlen(s->key), s);
    return s;
}

/* Caller holds the lock. */
static struct row_entry *entry_add(struct status *s, const struct pod_volume *v)
{
    struct row_entry *e = row_add(&s->row, v);

    e->status = s;
    HASH_ADD_KEYPTR(hh, s->ps->entries, e->volume_id, strlen(e->volume_id), e);
    return e;
}

/* Would what is to be written be what was written last? Caller holds the lock. */
static bool is_same(const struct status *s)
{
    struct strbuf body autostrbuf = { 0 };
    uint8_t digest[SHA256_BYTES];

    if (!s->is_applied)
        return false;
    write_row(s, group_version_get(s->ps->version), &body);
    return sha256(body.text, body.len, digest, NULL) == 0 &&
           memcmp(digest, s->applied, sizeof(digest)) == 0;
}

/* What a volume holds now. Its pod may be another one of the same name, and its content may be of
 * before us: then whose the object is has to be looked at (again). Caller holds the lock. */
static void entry_set(struct status *s, struct row_entry *e, const struct pod_volume *v)
{
    if (row_set_pod(&s->row, v->pod_uid))
        s->looked = s->is_applied = false;
    row_set(&s->row, e, v);
    e->told = s->ps->round;
    if (row_wants_shown(&s->row) && !s->is_applied)
        s->looked = false;
    if (!is_same(s) || s->busy)
        touch(s, 0);
}

bool pod_status_set(struct pod_status *ps, const struct pod_volume *volume)
{
    struct row_entry *e = NULL;
    struct status *s;
    bool is_new;

    (void)pthread_mutex_lock(&ps->lock);
    HASH_FIND_STR(ps->entries, volume->volume_id, e);
    s = e ? e->status : status_of(ps, volume);
    is_new = !e && s;
    if (is_new)
        e = entry_add(s, volume);
    if (s)
        entry_set(s, e, volume);
    (void)pthread_mutex_unlock(&ps->lock);
    return is_new;
}

/* Takes the volume out. The status that nobody is left of, out of the table; NULL: others are.
 * Caller holds the lock. */
static struct status *leave(struct pod_status *ps, struct row_entry *e)
{
    struct status *s = e->status;

    HASH_DEL(ps->entries, e);
    row_remove(&s->row, e);
    if (s->row.entries) {
        touch(s, 0); /* it tells of one target less */
        return NULL;
    }
    HASH_DEL(ps->statuses, s);
    return s;
}

static void status_end(struct pod_status *ps, struct status *s)
{
    due_queue_remove(ps->due, &s->due); /* with no lock: it waits for on_due */
    (void)pthread_mutex_lock(&ps->lock);
    status_unref(s);
    (void)pthread_mutex_unlock(&ps->lock);
}

/* Takes the volume (NULL: there is none) out and unlocks. */
static bool remove_unlocking(struct pod_status *ps, struct row_entry *e, char **ret_ns)
{
    struct status *s = NULL;

    if (e) {
        *ret_ns = xstrdup(e->status->row.ns);
        s = leave(ps, e);
    }
    (void)pthread_mutex_unlock(&ps->lock);
    if (s)
        status_end(ps, s);
    return e != NULL;
}

bool pod_status_remove(struct pod_status *ps, const char *volume_id, char **ret_ns)
{
    struct row_entry *e = NULL;

    (void)pthread_mutex_lock(&ps->lock);
    HASH_FIND_STR(ps->entries, volume_id, e);
    return remove_unlocking(ps, e, ret_ns);
}

void pod_status_expect_all(struct pod_status *ps)
{
    (void)pthread_mutex_lock(&ps->lock);
    ps->round++;
    ps->round_ms = clock_mono_ms();
    (void)pthread_mutex_unlock(&ps->lock);
}

bool pod_status_take_untold(struct pod_status *ps, struct pod_untold *ret)
{
    struct row_entry *e = NULL;

    (void)pthread_mutex_lock(&ps->lock);
    if (clock_mono_ms() - ps->round_ms >= POD_STATUS_TOLD_MS)
        for (e = ps->entries; e && e->told == ps->round;)
            e = e->hh.next;
    if (e)
        ret->volume_id = xstrdup(e->volume_id);
    return remove_unlocking(ps, e, &ret->ns);
}

size_t pod_status_volumes(struct pod_status *ps)
{
    size_t count;

    (void)pthread_mutex_lock(&ps->lock);
    count = HASH_COUNT(ps->entries);
    (void)pthread_mutex_unlock(&ps->lock);
    return count;
}

size_t pod_status_behind(struct pod_status *ps)
{
    size_t count = 0;

    (void)pthread_mutex_lock(&ps->lock);
    for (const struct status *s = ps->statuses; s; s = s->hh.next)
        count += !s->is_applied;
    (void)pthread_mutex_unlock(&ps->lock);
    return count;
}

/* --- begin and end -----------------------------------------------------------------------------
 */

int pod_status_new(const struct pod_status_config *config, struct pod_status **ret,
                   struct error *err)
{
    struct work_pool_config pool = { .name = "status",
                                     .threads_max = THREADS,
                                     .queue_max = QUEUE_MAX };
    autofree char *label = NULL;
    struct pod_status *ps;

    if (pod_status_node_label(config->node_name, &label, err) < 0)
        return -1;
    ps = xcalloc(1, sizeof(*ps));
    ps->api = config->api;
    ps->version = config->version;
    ps->metrics = config->metrics;
    ps->node_label = take(label);
    cancel_init(&ps->cancel);
    (void)pthread_mutex_init(&ps->lock, NULL);
    ps->pool = work_pool_new(&pool);
    ps->due = due_queue_new(on_due, ps);
    *ret = ps;
    return 0;
}

/* Threads that write look at what it frees: so with the lock. False: there is none left. */
static bool drop_one(struct pod_status *ps)
{
    autofree char *ns = NULL;

    (void)pthread_mutex_lock(&ps->lock);
    return remove_unlocking(ps, ps->entries, &ns);
}

void pod_status_free(struct pod_status *ps)
{
    if (!ps)
        return;
    cancel_raise(&ps->cancel);
    (void)pthread_mutex_lock(&ps->lock);
    ps->ended = true;
    (void)pthread_mutex_unlock(&ps->lock);
    kube_watch_stop(ps->watch);
    while (drop_one(ps))
        ;
    due_queue_free(ps->due);
    work_pool_free(ps->pool);
    cancel_done(&ps->cancel);
    (void)pthread_mutex_destroy(&ps->lock);
    free(ps->node_label);
    free(ps);
}
