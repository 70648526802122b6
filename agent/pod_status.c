/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pod_status.h"

#include <pthread.h>

#include "agent/kube_watch.h"
#include "agent/pod_status_apply.h"
#include "agent/pod_status_object.h"
#include "agent/status_pace.h"
#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/net/work.h"

#define GROUP_PATH "/apis/secrets-store.csi.x-k8s.io/v1"
#define PLURAL "secretproviderclasspodstatuses"

enum {
    THREADS = 2,
    QUEUE_MAX = 20000, /* each of them at most once: twice the volumes that a node may have */
    BACK_SPREAD_MS = 1000,
};

/* One object, and the volumes that it tells of. */
struct status {
    struct pod_status *ps;
    struct due_item due;
    char *key; /* NAMESPACE/NAME */
    char *ns;
    char *name;
    char *pod_name;
    char *pod_uid;
    char *class_name;
    struct entry *entries; /* sorted by target; the first is the one upstream's fields tell of */
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

/* One volume. */
struct entry {
    char *volume_id;
    char *target;
    struct object_version *objects;
    size_t object_count;
    uint64_t told; /* the round in which the driver told of it last */
    struct status *status;
    struct entry *next; /* of the same status */
    UT_hash_handle hh;
};

struct pod_status {
    struct kube_api *api;
    struct pod_status_metrics metrics;
    char *node_label;
    struct due_queue *due;
    struct work_pool *pool;
    struct kube_watch *watch;
    struct cancel cancel;
    pthread_mutex_t lock;
    struct status *statuses; /* guarded by lock, as all below and what they hold */
    struct entry *entries;
    uint64_t round;   /* one for each driver that came */
    int64_t round_ms; /* when the last one came */
    bool plain;       /* the CRD is the old driver's: it has no field for a second target */
};

/* --- memory ------------------------------------------------------------------------------------
 */

static void entry_free(struct entry *e)
{
    object_versions_free(e->objects, e->object_count);
    free(e->volume_id);
    free(e->target);
    free(e);
}

/* Caller holds the lock. */
static void status_unref(struct status *s)
{
    if (--s->refs)
        return;
    free(s->key);
    free(s->ns);
    free(s->name);
    free(s->pod_name);
    free(s->pod_uid);
    free(s->class_name);
    free(s);
}

/* --- what an object says -----------------------------------------------------------------------
 */

static int by_id_and_version(const void *a, const void *b)
{
    const struct object_version *x = a;
    const struct object_version *y = b;
    int order = strcmp(x->id, y->id);

    return order ? order : strcmp(x->version, y->version);
}

/* The union of all volumes' objects by id: pointers into the entries. Caller holds the lock. */
static struct object_version *union_of(const struct status *s, size_t *ret_count)
{
    size_t most = 0;
    size_t count = 0;
    struct object_version *all;

    for (const struct entry *e = s->entries; e; e = e->next)
        most += e->object_count;
    all = xcalloc(most + 1, sizeof(*all));
    most = 0;
    for (const struct entry *e = s->entries; e; e = e->next)
        for (size_t i = 0; i < e->object_count; i++)
            all[most++] = e->objects[i];
    qsort(all, most, sizeof(*all), by_id_and_version);
    for (size_t i = 0; i < most; i++)
        if (!count || strcmp(all[count - 1].id, all[i].id) != 0)
            all[count++] = all[i];
    *ret_count = count;
    return all;
}

/* What is to be written. Caller holds the lock. */
static void write_body(const struct status *s, struct strbuf *out)
{
    size_t count = 0;
    size_t others = 0;
    autofree struct object_version *objects = union_of(s, &count);
    autofree const char **targets = NULL;
    struct pod_status_facts facts = {
        .ns = s->ns,
        .name = s->name,
        .node_label = s->ps->node_label,
        .pod_name = s->pod_name,
        .pod_uid = s->pod_uid,
        .class_name = s->class_name,
        .target = s->entries->target,
        .objects = objects,
        .object_count = count,
    };

    for (const struct entry *e = s->entries->next; e && !s->ps->plain; e = e->next) {
        targets = xrealloc(targets, (others + 1) * sizeof(*targets));
        targets[others++] = e->target;
    }
    facts.other_targets = targets;
    facts.other_target_count = others;
    pod_status_write(&facts, out);
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
    int64_t ms = err->code ? status_pace_failed(&s->pace, err, count_failing(s->ps))
                           : status_pace_written(&s->pace, now);

    if (s->changed || is_undeclared(s->ps, err))
        return 0;
    if (s->lost && !err->code)
        ms = status_pace_lost(&s->pace, now);
    return ms;
}

static void settle(struct status *s, const struct pod_status_write *w, const struct error *err)
{
    const char *label[] = { err->code ? "failed" : "applied" };

    if (err->code && !s->pace.failures)
        log_failure(LOG_WARN, "pod status not written: tried again until it is", KEY_POD,
                    s->pod_name, err);
    if (s->ps->metrics.metrics)
        metrics_add(s->ps->metrics.metrics, s->ps->metrics.applied, label, 1);
    s->busy = false;
    s->looked = !err->code && !s->lost;
    s->is_applied = s->looked && sha256(w->body.text, w->body.len, s->applied, NULL) == 0;
    if (s->entries)
        due_queue_set(s->ps->due, &s->due, clock_mono_ms() + next_ms(s, err));
}

/* False: its volumes left while it waited. */
static bool prepare(struct status *s, struct pod_status_write *ret)
{
    if (!s->entries)
        return false;
    s->changed = s->lost = false;
    write_body(s, &ret->body);
    ret->path = str_printf(GROUP_PATH "/namespaces/%s/" PLURAL "/%s", s->ns, s->name);
    ret->pod_name = xstrdup(s->pod_name);
    ret->pod_uid = xstrdup(s->pod_uid);
    ret->looked = s->looked;
    return true;
}

static void run_job(void *arg)
{
    struct status *s = arg;
    struct pod_status *ps = s->ps;
    struct pod_status_write write CLEANUP(pod_status_write_done) = { .api = ps->api,
                                                                     .node_label = ps->node_label,
                                                                     .cancel = &ps->cancel };
    struct error err = { 0 };
    bool wanted;

    (void)pthread_mutex_lock(&ps->lock);
    wanted = prepare(s, &write);
    (void)pthread_mutex_unlock(&ps->lock);
    if (wanted)
        (void)!pod_status_apply(&write, &err);
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

/* Caller holds the lock. */
static void touch(struct status *s, int64_t in_ms)
{
    if (s->busy)
        s->changed = true;
    else
        due_queue_hasten(s->ps->due, &s->due, clock_mono_ms() + in_ms);
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
            touch(s, BACK_SPREAD_MS + clock_jitter_ms(BACK_SPREAD_MS, 100) / 2);
        }
    (void)pthread_mutex_unlock(&ps->lock);
}

/* --- volumes -----------------------------------------------------------------------------------
 */

/* Caller holds the lock. */
static struct status *status_of(struct pod_status *ps, const struct pod_volume *v)
{
    autofree char *name = NULL;
    struct status *s;

    if (pod_status_name(v->pod_name, v->ns, v->class_name, &name, NULL) < 0)
        return NULL;
    s = find_status(ps, v->ns, name);
    if (s)
        return s;
    s = xcalloc(1, sizeof(*s));
    s->ps = ps;
    s->refs = 1;
    s->key = str_printf("%s/%s", v->ns, name);
    s->ns = xstrdup(v->ns);
    s->name = take(name);
    s->pod_name = xstrdup(v->pod_name);
    s->pod_uid = xstrdup(v->pod_uid);
    s->class_name = xstrdup(v->class_name);
    HASH_ADD_KEYPTR(hh, ps->statuses, s->key, strlen(s->key), s);
    return s;
}

/* The pod of this name may be another one now. Caller holds the lock. */
static void set_pod(struct status *s, const char *uid)
{
    if (strcmp(s->pod_uid, uid) == 0)
        return;
    free(s->pod_uid);
    s->pod_uid = xstrdup(uid);
    s->looked = s->is_applied = false;
}

/* In the order of targets. Caller holds the lock. */
static struct entry *entry_add(struct status *s, const struct pod_volume *v)
{
    struct entry *e = xcalloc(1, sizeof(*e));
    struct entry **at = &s->entries;

    e->volume_id = xstrdup(v->volume_id);
    e->target = xstrdup(v->target);
    e->status = s;
    while (*at && strcmp((*at)->target, e->target) < 0)
        at = &(*at)->next;
    e->next = *at;
    *at = e;
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
    write_body(s, &body);
    return sha256(body.text, body.len, digest, NULL) == 0 &&
           memcmp(digest, s->applied, sizeof(digest)) == 0;
}

bool pod_status_set(struct pod_status *ps, const struct pod_volume *volume)
{
    struct entry *e = NULL;
    struct status *s;
    bool is_new;

    (void)pthread_mutex_lock(&ps->lock);
    HASH_FIND_STR(ps->entries, volume->volume_id, e);
    s = e ? e->status : status_of(ps, volume);
    is_new = !e && s;
    if (is_new)
        e = entry_add(s, volume);
    if (s) {
        set_pod(s, volume->pod_uid);
        object_versions_free(e->objects, e->object_count);
        e->objects = object_versions_copy(volume->objects, volume->object_count);
        e->object_count = volume->object_count;
        e->told = ps->round;
        if (!is_same(s) || s->busy)
            touch(s, 0);
    }
    (void)pthread_mutex_unlock(&ps->lock);
    return is_new;
}

/* Takes the volume out. The status that nobody is left of, out of the table; NULL: others are.
 * Caller holds the lock. */
static struct status *leave(struct pod_status *ps, struct entry *e)
{
    struct status *s = e->status;
    struct entry **at = &s->entries;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    HASH_DEL(ps->entries, e);
    entry_free(e);
    if (s->entries) {
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
static bool remove_unlocking(struct pod_status *ps, struct entry *e, char **ret_ns)
{
    struct status *s = NULL;

    if (e) {
        *ret_ns = xstrdup(e->status->ns);
        s = leave(ps, e);
    }
    (void)pthread_mutex_unlock(&ps->lock);
    if (s)
        status_end(ps, s);
    return e != NULL;
}

bool pod_status_remove(struct pod_status *ps, const char *volume_id, char **ret_ns)
{
    struct entry *e = NULL;

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

bool pod_status_take_untold(struct pod_status *ps, char **ret_ns)
{
    struct entry *e = NULL;

    (void)pthread_mutex_lock(&ps->lock);
    if (clock_mono_ms() - ps->round_ms >= POD_STATUS_TOLD_MS)
        for (e = ps->entries; e && e->told == ps->round;)
            e = e->hh.next;
    return remove_unlocking(ps, e, ret_ns);
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

static void start_watch(struct pod_status *ps)
{
    struct strbuf query autostrbuf = { 0 };
    autofree char *selector = str_printf("%s=%s", POD_STATUS_NODE_LABEL, ps->node_label);
    struct kube_watch_config config = {
        .api = ps->api,
        .path = GROUP_PATH "/" PLURAL,
        .metadata_only = true,
        .event = on_event,
        .back = on_back,
        .arg = ps,
    };

    strbuf_add_text(&query, "labelSelector=");
    url_encode(&query, selector, false);
    config.query = strbuf_text(&query);
    ps->watch = kube_watch_start(&config);
}

int pod_status_new(struct kube_api *api, const char *node_name,
                   const struct pod_status_metrics *metrics, struct pod_status **ret,
                   struct error *err)
{
    struct work_pool_config pool = { .name = "status",
                                     .threads_max = THREADS,
                                     .queue_max = QUEUE_MAX };
    autofree char *label = NULL;
    struct pod_status *ps;

    if (pod_status_node_label(node_name, &label, err) < 0)
        return -1;
    ps = xcalloc(1, sizeof(*ps));
    ps->api = api;
    if (metrics)
        ps->metrics = *metrics;
    ps->node_label = take(label);
    cancel_init(&ps->cancel);
    (void)pthread_mutex_init(&ps->lock, NULL);
    ps->pool = work_pool_new(&pool);
    ps->due = due_queue_new(on_due, ps);
    start_watch(ps);
    *ret = ps;
    return 0;
}

void pod_status_free(struct pod_status *ps)
{
    struct status *s;

    if (!ps)
        return;
    cancel_raise(&ps->cancel);
    kube_watch_stop(ps->watch);
    while (ps->entries) {
        s = leave(ps, ps->entries);
        if (s)
            status_end(ps, s);
    }
    due_queue_free(ps->due);
    work_pool_free(ps->pool);
    cancel_done(&ps->cancel);
    (void)pthread_mutex_destroy(&ps->lock);
    free(ps->node_label);
    free(ps);
}
