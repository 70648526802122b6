/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/note.h"

#include <stdlib.h>

#include "lib/base/clock.h"

static void send(struct lifecycle *app, const struct volume_note *note)
{
    app->cluster->ops->note(app->cluster, note);
}

static struct volume_note note_of(const struct record *r, enum note_kind kind)
{
    return (struct volume_note){
        .kind = kind,
        .is_news = true,
        .volume_id = r->volume_id,
        .pod_ns = r->pod_ns,
        .pod_name = r->pod_name,
        .pod_uid = r->pod_uid,
        .service_account = r->service_account,
        .class_name = r->class_name,
        .provider = r->provider,
        .generation = r->generation,
    };
}

/* --- what was accessed -------------------------------------------------------------------------
 */

static int by_id(const void *a, const void *b)
{
    const struct object_version *x = a;
    const struct object_version *y = b;

    return strcmp(x->id, y->id);
}

/* The version of an id among those sorted by it; NULL: there is none. */
static const char *version_of(const struct object_version *sorted, size_t count, const char *id)
{
    struct object_version key = { .id = (char *)id };
    const struct object_version *found =
        count ? bsearch(&key, sorted, count, sizeof(*sorted), by_id) : NULL;

    return found ? found->version : NULL;
}

/* Versions and files of a volume, those of the same name together: both are sorted by it.
 * Ownership: the caller frees the array, what it points to is borrowed. */
static struct note_object *objects_of(struct operation *op, size_t *ret_count)
{
    const struct record *r = &op->volume->record;
    struct note_object *all;
    size_t count = 0;
    size_t v = 0;
    size_t f = 0;

    fileset_sort(&op->files);
    all = xcalloc(r->version_count + op->files.count + 1, sizeof(*all));
    while (v < r->version_count || f < op->files.count) {
        const struct object_version *version = v < r->version_count ? &r->versions[v] : NULL;
        const struct file *file = f < op->files.count ? &op->files.files[f] : NULL;
        int order = !file ? -1 : !version ? 1 : strcmp(version->id, file->path);
        struct note_object *o = &all[count++];

        if (order <= 0) {
            o->id = version->id;
            o->version = version->version;
            o->before = version_of(op->before, op->before_count, version->id);
            v++;
        }
        if (order >= 0) {
            o->path = file->path;
            o->bytes = (int64_t)file->contents.len;
            f++;
        }
    }
    *ret_count = count;
    return all;
}

static void send_access(struct operation *op, struct volume_note *note)
{
    autofree struct note_object *objects = NULL;

    note->store = op->told.how.store;
    note->auth_method = op->told.how.auth_method;
    note->role = op->told.how.role;
    note->request = op->told.how.request;
    note->peer = op->told.peer;
    if (!note->err) {
        objects = objects_of(op, &note->object_count);
        note->objects = objects;
    }
    send(op->app, note);
}

/* --- accesses ----------------------------------------------------------------------------------
 */

void note_publish(struct operation *op, const struct publish_request *req, bool repair,
                  const struct error *err, int64_t took_ms)
{
    struct volume_note note = note_of(&op->volume->record, repair ? NOTE_REPAIRED : NOTE_PUBLISHED);

    note.is_news = false; /* kubelet tells the pod of a publish that failed */
    note.volume_id = req->volume_id;
    note.pod_ns = publish_request_get(req, CONTEXT_POD_NAMESPACE);
    note.pod_name = publish_request_get(req, CONTEXT_POD_NAME);
    note.pod_uid = publish_request_get(req, CONTEXT_POD_UID);
    note.service_account = publish_request_get(req, CONTEXT_SERVICE_ACCOUNT);
    note.class_name = publish_request_get(req, CONTEXT_CLASS);
    note.credential = op->credentials.id;
    note.err = err;
    note.took_ms = took_ms;
    note.changed = op->changed;
    send_access(op, &note);
}

void note_refresh(struct operation *op, const struct refresh_before *before,
                  const struct error *err, int64_t took_ms)
{
    struct volume_note note = note_of(&op->volume->record, NOTE_REFRESHED);

    note.is_news = err ? !before->failed || before->class_edited : op->changed || before->failed;
    if (err && err->code == CODE_CANCELLED) /* we are stopping */
        note.is_news = false;
    note.credential = op->credentials.id;
    note.err = err;
    note.took_ms = took_ms;
    note.changed = op->changed;
    note.failed_before = before->failed;
    note.class_edited = before->class_edited;
    send_access(op, &note);
}

void note_unpublish(struct lifecycle *app, const struct volume *v, const struct error *err,
                    int64_t took_ms)
{
    struct volume_note note = note_of(&v->record, NOTE_UNPUBLISHED);
    autofree struct note_object *objects = xcalloc(v->record.version_count + 1, sizeof(*objects));

    for (size_t i = 0; i < v->record.version_count; i++)
        objects[i] = (struct note_object){ .id = v->record.versions[i].id,
                                           .version = v->record.versions[i].version };
    note.objects = objects;
    note.object_count = err ? 0 : v->record.version_count;
    note.is_news = false;
    note.err = err;
    note.took_ms = took_ms;
    send(app, &note);
}

void note_unpublish_unknown(struct lifecycle *app, const char *volume_id, const char *target,
                            const struct error *err, int64_t took_ms)
{
    autofree char *pod_uid = target_pod_uid(&app->root, target);
    const struct volume_note note = {
        .kind = NOTE_UNPUBLISHED,
        .volume_id = volume_id,
        .pod_uid = pod_uid,
        .err = err,
        .took_ms = took_ms,
    };

    send(app, &note);
}

void note_refused(struct lifecycle *app, const struct volume *v, const struct error *err)
{
    struct volume_note note = note_of(&v->record, NOTE_CREDENTIALS_REFUSED);

    note.err = err;
    send(app, &note);
}

/* --- what is no access -------------------------------------------------------------------------
 */

void note_stale(struct lifecycle *app, const struct volume *v, int64_t good_unix_ms)
{
    struct volume_note note = note_of(&v->record, NOTE_STALE);

    note.err = v->failures ? &v->last_error : NULL;
    note.waiting = v->waiting;
    note.at_unix_ms = good_unix_ms;
    send(app, &note);
}

void note_republish_off(struct lifecycle *app, const struct volume *v)
{
    struct volume_note note = note_of(&v->record, NOTE_REPUBLISH_OFF);

    if (!v->record.had_tokens)
        return;
    note.at_unix_ms = v->credentials.expires_at_unix_ms;
    send(app, &note);
}

static void republish_off_one(void *arg, struct volume *v)
{
    pthread_mutex_lock(&v->lock);
    if (v->record.phase == RECORD_PUBLISHED && v->state != VOLUME_LEAVING)
        note_republish_off(arg, v);
    pthread_mutex_unlock(&v->lock);
}

void note_republish_off_all(struct lifecycle *app)
{
    volume_table_each(app->volumes, republish_off_one, app);
}

struct peer {
    struct lifecycle *app;
    const char *provider;
    uid_t uid;
};

static void peer_changed_one(void *arg, struct volume *v)
{
    const struct peer *p = arg;
    struct volume_note note;

    pthread_mutex_lock(&v->lock);
    note = note_of(&v->record, NOTE_PEER_CHANGED);
    note.peer_uid = (int64_t)p->uid;
    if (v->record.phase == RECORD_PUBLISHED && v->state != VOLUME_LEAVING &&
        str_same(v->record.provider, p->provider))
        send(p->app, &note);
    pthread_mutex_unlock(&v->lock);
}

void note_peer_changed(void *arg, const char *provider, uid_t uid)
{
    struct peer peer = { arg, provider, uid };

    volume_table_each(peer.app->volumes, peer_changed_one, &peer);
}
