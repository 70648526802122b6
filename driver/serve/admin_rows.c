/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/admin_rows.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "driver/volume/rotation.h"

typedef Locket__Admin__V1__Volume Volume;
typedef Locket__Admin__V1__Provider Provider;

struct rows {
    struct lifecycle *app;
    Volume **rows;
    size_t count;
    size_t room;
};

static char *copy_of(const char *text)
{
    return xstrdup(text ? text : "");
}

static void copy_versions(Volume *row, const struct record *r)
{
    row->n_objects = r->version_count;
    row->objects = xcalloc(r->version_count, sizeof(Locket__Admin__V1__ObjectVersion *));
    for (size_t i = 0; i < r->version_count; i++) {
        row->objects[i] = xmalloc(sizeof(Locket__Admin__V1__ObjectVersion));
        locket__admin__v1__object_version__init(row->objects[i]);
        row->objects[i]->id = xstrdup(r->versions[i].id);
        row->objects[i]->version = xstrdup(r->versions[i].version);
    }
}

static void copy_texts(Volume *row, const struct volume *v)
{
    const struct record *r = &v->record;

    row->volume_id = copy_of(v->id);
    row->target = copy_of(r->target);
    row->pod_namespace = copy_of(r->pod_ns);
    row->pod_name = copy_of(r->pod_name);
    row->pod_uid = copy_of(r->pod_uid);
    row->service_account = copy_of(r->service_account);
    row->class_name = copy_of(r->class_name);
    row->provider = copy_of(r->provider);
    row->state = copy_of(volume_state_name(v->state));
    row->phase = copy_of(r->phase == RECORD_PUBLISHED ? "published" : "publishing");
    row->mode = copy_of(r->writing                     ? "writing"
                        : r->adopted && !r->generation ? "adopted"
                                                       : "returning");
    row->last_error = copy_of(v->last_error.msg);
    row->last_error_code = copy_of(v->last_error.code ? code_name(v->last_error.code) : "");
    row->last_error_reason = copy_of(v->last_error.reason);
}

/* Caller holds the volume's lock. */
static Volume *row_of(struct lifecycle *app, const struct volume *v)
{
    Volume *row = xmalloc(sizeof(*row));
    const struct record *r = &v->record;

    locket__admin__v1__volume__init(row);
    copy_texts(row, v);
    copy_versions(row, r);
    row->generation = (uint64_t)r->generation;
    row->fetched_at_unix_ms = v->fetched_at_unix_ms;
    row->changed_at_unix_ms = r->changed_at_unix_ms;
    row->failures = v->failures;
    row->next_due_ms = v->waiting ? -1 : due_queue_left_ms(app->due, &v->refresh.item);
    row->interval_ms = rotation_interval_ms(app, v);
    row->tmpfs_size_bytes = r->size_bytes;
    row->waiting_for_credentials = v->waiting;
    row->expires_at_unix_ms = v->expires_at_unix_ms;
    row->own_versions = v->own_versions;
    row->stale = rotation_is_stale(app, v);
    return row;
}

static void add_row(void *arg, struct volume *v)
{
    struct rows *all = arg;

    if (all->count == all->room) {
        all->room = all->room ? all->room * 2 : 64;
        all->rows = xrealloc(all->rows, all->room * sizeof(Volume *));
    }
    pthread_mutex_lock(&v->lock);
    all->rows[all->count++] = row_of(all->app, v);
    pthread_mutex_unlock(&v->lock);
}

static int by_pod(const void *a, const void *b)
{
    const Volume *left = *(Volume *const *)a;
    const Volume *right = *(Volume *const *)b;
    int order = strcmp(left->pod_namespace, right->pod_namespace);

    if (!order)
        order = strcmp(left->pod_name, right->pod_name);
    return order ? order : strcmp(left->volume_id, right->volume_id);
}

/* Without the volume's lock: only what is a tmpfs is asked, and a tmpfs answers at once. */
static int64_t used_bytes(const char *target)
{
    autoclose int fd = open(target, O_PATH | O_NOFOLLOW | O_CLOEXEC | O_DIRECTORY);
    struct statfs fs;

    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
        return 0;
    return (int64_t)(fs.f_blocks - fs.f_bfree) * (int64_t)fs.f_bsize;
}

Volume **admin_volumes(struct lifecycle *app, size_t *ret_count)
{
    struct rows all = { .app = app };

    volume_table_each(app->volumes, add_row, &all);
    for (size_t i = 0; i < all.count; i++)
        all.rows[i]->tmpfs_used_bytes = used_bytes(all.rows[i]->target);
    if (all.count)
        qsort(all.rows, all.count, sizeof(Volume *), by_pod);
    *ret_count = all.count;
    return all.rows;
}

void admin_volumes_free(Volume **rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        locket__admin__v1__volume__free_unpacked(rows[i], NULL);
    free(rows);
}

struct provider_rows {
    Provider **rows;
    size_t count;
};

static void add_provider(void *arg, const struct source_status *status)
{
    struct provider_rows *all = arg;
    Provider *row = xmalloc(sizeof(*row));

    locket__admin__v1__provider__init(row);
    row->name = xstrdup(status->provider);
    row->socket = xstrdup(status->socket);
    row->peer_uid = status->peer_uid;
    row->inflight = (int64_t)status->inflight;
    row->connected = status->connected;
    all->rows = xrealloc(all->rows, (all->count + 1) * sizeof(Provider *));
    all->rows[all->count++] = row;
}

Provider **admin_providers(struct lifecycle *app, size_t *ret_count)
{
    struct provider_rows all = { 0 };

    app->source->ops->each(app->source, add_provider, &all);
    *ret_count = all.count;
    return all.rows;
}

void admin_providers_free(Provider **rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        locket__admin__v1__provider__free_unpacked(rows[i], NULL);
    free(rows);
}
