/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/cluster_double.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/yaml.h"

enum { LOOK_MS = 5 };

struct cluster_double {
    struct cluster base;
    pthread_mutex_t lock;
    struct class **classes; /* guarded by lock, as all below */
    size_t class_count;
    struct reported *reports; /* the last of each volume */
    size_t report_count;
    struct error failure; /* code OK: none */
    size_t gets;
    size_t reported;
    struct sent_files sent;
    struct cluster_listener listener;
    struct noted noted[NOTE_PEER_CHANGED + 1];
    bool refuse;
    atomic_bool hang;
};

static char *copy(const char *text)
{
    return xstrdup(text ? text : "");
}

static void report_done(struct reported *r)
{
    free(r->volume_id);
    free(r->pod_ns);
    free(r->pod_name);
    free(r->pod_uid);
    free(r->class_name);
    free(r->target);
    for (size_t i = 0; i < r->version_count; i++) {
        free(r->versions[i].id);
        free(r->versions[i].version);
    }
    free(r->versions);
}

static struct reported report_copy(const struct volume_report *from)
{
    struct reported r = {
        .volume_id = copy(from->volume_id),
        .pod_ns = copy(from->pod_ns),
        .pod_name = copy(from->pod_name),
        .pod_uid = copy(from->pod_uid),
        .class_name = copy(from->class_name),
        .target = copy(from->target),
        .mounted = from->mounted,
        .taken_over = from->taken_over,
        .versions = xcalloc(from->version_count, sizeof(*from->versions)),
        .version_count = from->version_count,
    };

    for (size_t i = 0; i < from->version_count; i++) {
        r.versions[i].id = copy(from->versions[i].id);
        r.versions[i].version = copy(from->versions[i].version);
    }
    if (from->err)
        r.err = *from->err;
    return r;
}

/* The place of a class; class_count when it is not there. */
static size_t place_of(const struct cluster_double *d, const char *ns, const char *name)
{
    size_t i = 0;

    while (i < d->class_count &&
           (strcmp(d->classes[i]->ns, ns) != 0 || strcmp(d->classes[i]->name, name) != 0))
        i++;
    return i;
}

static int look_up(struct cluster_double *d, const char *ns, const char *name, struct class **ret,
                   struct error *err)
{
    size_t at = place_of(d, ns, name);

    d->gets++;
    if (d->failure.code)
        return error_copy(err, &d->failure);
    if (at < d->class_count) {
        *ret = class_dup(d->classes[at]);
        return 0;
    }
    (void)error_set(err, CODE_NOT_FOUND,
                    "failed to get secretproviderclass %s/%s, error: "
                    "secretproviderclasses.secrets-store.csi.x-k8s.io \"%s\" not found",
                    ns, name, name);
    return error_reason(err, "SecretProviderClassNotFound");
}

static int double_get_class(struct cluster *self, const char *ns, const char *name,
                            struct cancel *cancel, struct class **ret, struct error *err)
{
    struct cluster_double *d = (struct cluster_double *)self;
    int result;

    while (atomic_load(&d->hang) && !cancel_is_raised(cancel))
        clock_sleep_ms(LOOK_MS);
    if (cancel_is_raised(cancel))
        return error_set(err, CODE_CANCELLED, "cancelled");
    (void)pthread_mutex_lock(&d->lock);
    result = look_up(d, ns, name, ret, err);
    (void)pthread_mutex_unlock(&d->lock);
    return result;
}

static struct reported *find_report(struct cluster_double *d, const char *volume_id)
{
    for (size_t i = 0; i < d->report_count; i++)
        if (strcmp(d->reports[i].volume_id, volume_id) == 0)
            return &d->reports[i];
    return NULL;
}

static void double_report(struct cluster *self, const struct volume_report *report)
{
    struct cluster_double *d = (struct cluster_double *)self;
    struct reported r = report_copy(report);
    struct reported *old;

    (void)pthread_mutex_lock(&d->lock);
    d->reported++;
    old = find_report(d, r.volume_id);
    if (old) {
        report_done(old);
        *old = r;
    } else {
        d->reports = xrealloc(d->reports, (d->report_count + 1) * sizeof(*d->reports));
        d->reports[d->report_count++] = r;
    }
    (void)pthread_mutex_unlock(&d->lock);
}

static void keep_change(struct noted *n, const struct volume_note *note)
{
    for (size_t i = 0; i < note->object_count; i++) {
        const struct note_object *o = &note->objects[i];

        if (o->before && o->version && strcmp(o->before, o->version) != 0) {
            (void)snprintf(n->first_change, sizeof(n->first_change), "%s %s %s", o->id, o->before,
                           o->version);
            return;
        }
    }
}

static void double_note(struct cluster *self, const struct volume_note *note)
{
    struct cluster_double *d = (struct cluster_double *)self;
    struct noted *n = &d->noted[note->kind];

    (void)pthread_mutex_lock(&d->lock);
    n->count++;
    n->news += note->is_news;
    n->code = note->err ? note->err->code : CODE_OK;
    n->last = *note;
    n->last.volume_id = n->last.pod_ns = n->last.pod_name = n->last.pod_uid = NULL;
    n->last.credential = n->last.service_account = n->last.class_name = n->last.provider = NULL;
    (void)snprintf(n->pod_uid, sizeof(n->pod_uid), "%s", note->pod_uid ? note->pod_uid : "");
    (void)snprintf(n->how, sizeof(n->how), "%s|%s|%s|%s|%s", note->store ? note->store : "",
                   note->auth_method ? note->auth_method : "", note->role ? note->role : "",
                   note->request ? note->request : "", note->peer ? note->peer : "");
    n->last.store = n->last.auth_method = n->last.role = n->last.request = n->last.peer = NULL;
    n->last.objects = NULL;
    n->last.err = NULL;
    keep_change(n, note);
    (void)pthread_mutex_unlock(&d->lock);
}

static int double_admit(struct cluster *self, struct error *err)
{
    struct cluster_double *d = (struct cluster_double *)self;
    bool refuse;

    (void)pthread_mutex_lock(&d->lock);
    refuse = d->refuse;
    (void)pthread_mutex_unlock(&d->lock);
    return refuse ? error_set(err, CODE_UNAVAILABLE, "the audit is not written") : 0;
}

static void double_free(struct cluster *self)
{
    struct cluster_double *d = (struct cluster_double *)self;

    for (size_t i = 0; i < d->class_count; i++)
        class_free(d->classes[i]);
    for (size_t i = 0; i < d->report_count; i++)
        report_done(&d->reports[i]);
    free(d->classes);
    free(d->reports);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

static void double_listen(struct cluster *self, const struct cluster_listener *listener)
{
    struct cluster_double *d = (struct cluster_double *)self;

    (void)pthread_mutex_lock(&d->lock);
    d->listener = listener ? *listener : (struct cluster_listener){ 0 };
    (void)pthread_mutex_unlock(&d->lock);
}

static int double_send_files(struct cluster *self, const struct volume_files *files,
                             struct error *err)
{
    struct cluster_double *d = (struct cluster_double *)self;

    (void)err;
    (void)pthread_mutex_lock(&d->lock);
    d->sent.times++;
    d->sent.count = files->count;
    d->sent.err = files->err ? *files->err : (struct error){ 0 };
    (void)pthread_mutex_unlock(&d->lock);
    return 0;
}

static const struct cluster_ops double_ops = {
    .get_class = double_get_class,
    .report = double_report,
    .note = double_note,
    .admit = double_admit,
    .send_files = double_send_files,
    .listen = double_listen,
    .free = double_free,
};

struct cluster *cluster_double_new(void)
{
    struct cluster_double *d = xcalloc(1, sizeof(*d));

    d->base.ops = &double_ops;
    (void)pthread_mutex_init(&d->lock, NULL);
    return &d->base;
}

void cluster_double_put(struct cluster *self, const char *yaml)
{
    struct cluster_double *d = (struct cluster_double *)self;
    struct tree *t autotree = NULL;
    struct class *c = NULL;
    struct error err = { 0 };
    const char *stamp;
    size_t at;

    if (yaml_parse(yaml, strlen(yaml), &t, &err) < 0 || class_read(t, &c, &err) < 0) {
        (void)fprintf(stderr, "cluster_double_put: %s\n", err.msg);
        abort();
    }
    stamp = tree_get_text(tree_get(t, "metadata"), "uid");
    if (stamp)
        class_set_stamp(c, xstrdup(stamp));
    (void)pthread_mutex_lock(&d->lock);
    at = place_of(d, c->ns, c->name);
    if (at == d->class_count) {
        d->classes = xrealloc(d->classes, (d->class_count + 1) * sizeof(struct class *));
        d->class_count++;
    } else {
        class_free(d->classes[at]);
    }
    d->classes[at] = c;
    (void)pthread_mutex_unlock(&d->lock);
}

void cluster_double_remove(struct cluster *self, const char *ns, const char *name)
{
    struct cluster_double *d = (struct cluster_double *)self;
    size_t at;

    (void)pthread_mutex_lock(&d->lock);
    at = place_of(d, ns, name);
    if (at < d->class_count) {
        class_free(d->classes[at]);
        d->classes[at] = d->classes[--d->class_count];
    }
    (void)pthread_mutex_unlock(&d->lock);
}

void cluster_double_fail(struct cluster *self, const struct error *err)
{
    struct cluster_double *d = (struct cluster_double *)self;

    (void)pthread_mutex_lock(&d->lock);
    d->failure = err ? *err : (struct error){ 0 };
    (void)pthread_mutex_unlock(&d->lock);
}

void cluster_double_hang(struct cluster *self, bool hang)
{
    atomic_store(&((struct cluster_double *)self)->hang, hang);
}

size_t cluster_double_gets(struct cluster *self)
{
    struct cluster_double *d = (struct cluster_double *)self;
    size_t count;

    (void)pthread_mutex_lock(&d->lock);
    count = d->gets;
    (void)pthread_mutex_unlock(&d->lock);
    return count;
}

size_t cluster_double_reports(struct cluster *self)
{
    struct cluster_double *d = (struct cluster_double *)self;
    size_t count;

    (void)pthread_mutex_lock(&d->lock);
    count = d->reported;
    (void)pthread_mutex_unlock(&d->lock);
    return count;
}

const struct reported *cluster_double_last(struct cluster *self, const char *volume_id)
{
    struct cluster_double *d = (struct cluster_double *)self;
    const struct reported *r;

    (void)pthread_mutex_lock(&d->lock);
    r = find_report(d, volume_id);
    (void)pthread_mutex_unlock(&d->lock);
    return r;
}

struct noted cluster_double_noted(struct cluster *self, enum note_kind kind)
{
    struct cluster_double *d = (struct cluster_double *)self;
    struct noted n;

    (void)pthread_mutex_lock(&d->lock);
    n = d->noted[kind];
    (void)pthread_mutex_unlock(&d->lock);
    return n;
}

void cluster_double_refuse(struct cluster *self, bool refuse)
{
    struct cluster_double *d = (struct cluster_double *)self;

    (void)pthread_mutex_lock(&d->lock);
    d->refuse = refuse;
    (void)pthread_mutex_unlock(&d->lock);
}

struct sent_files cluster_double_sent(struct cluster *self)
{
    struct cluster_double *d = (struct cluster_double *)self;
    struct sent_files sent;

    (void)pthread_mutex_lock(&d->lock);
    sent = d->sent;
    (void)pthread_mutex_unlock(&d->lock);
    return sent;
}

void cluster_double_wish(struct cluster *self, const struct cluster_wish *wish)
{
    struct cluster_double *d = (struct cluster_double *)self;

    if (d->listener.wish)
        d->listener.wish(d->listener.arg, wish);
}

void cluster_double_is_new(struct cluster *self)
{
    struct cluster_double *d = (struct cluster_double *)self;

    if (d->listener.resend)
        d->listener.resend(d->listener.arg);
}
