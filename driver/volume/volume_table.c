/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/volume_table.h"

#include "lib/base/hash.h"

struct row {
    struct volume *volume;
    char *target; /* a copy: the record's may be looked at only under the volume's lock */
    UT_hash_handle by_id;
    UT_hash_handle by_target;
};

struct volume_table {
    struct lifecycle *app;
    pthread_mutex_t lock; /* before any volume's lock; never held during I/O */
    struct row *ids;      /* guarded by lock */
    struct row *targets;  /* guarded by lock: the same rows */
};

struct volume_table *volume_table_new(struct lifecycle *app)
{
    struct volume_table *t = xcalloc(1, sizeof(*t));

    t->app = app;
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

static struct row *find_id(struct volume_table *t, const char *id)
{
    struct row *row = NULL;

    HASH_FIND(by_id, t->ids, id, strlen(id), row);
    return row;
}

static struct row *find_target(struct volume_table *t, const char *target)
{
    struct row *row = NULL;

    HASH_FIND(by_target, t->targets, target, strlen(target), row);
    return row;
}

static void insert(struct volume_table *t, struct volume *v)
{
    struct row *row = xcalloc(1, sizeof(*row));

    row->volume = v;
    row->target = xstrdup(v->record.target);
    HASH_ADD_KEYPTR(by_id, t->ids, v->id, strlen(v->id), row);
    HASH_ADD_KEYPTR(by_target, t->targets, row->target, strlen(row->target), row);
}

static void drop(struct volume_table *t, struct row *row)
{
    HASH_DELETE(by_id, t->ids, row);
    HASH_DELETE(by_target, t->targets, row);
    free(row->target);
    free(row);
}

void volume_table_free(struct volume_table *t)
{
    struct row *row;
    struct row *next;

    if (!t)
        return;
    HASH_ITER(by_id, t->ids, row, next)
    {
        struct volume *v = row->volume;

        drop(t, row);
        volume_unref(v);
    }
    pthread_mutex_destroy(&t->lock);
    free(t);
}

struct volume *volume_table_get(struct volume_table *t, const char *id)
{
    struct row *row;
    struct volume *v = NULL;

    pthread_mutex_lock(&t->lock);
    row = find_id(t, id);
    if (row)
        v = volume_ref(row->volume);
    pthread_mutex_unlock(&t->lock);
    return v;
}

static int claim_known(struct row *row, const struct publish_request *req, struct cancel *work,
                       struct volume **ret, struct error *err)
{
    if (strcmp(row->target, req->target) != 0)
        return error_set(err, CODE_ALREADY_EXISTS,
                         "volume %.100s is published at another target_path already: unpublish it "
                         "there first",
                         req->volume_id);
    if (volume_begin(row->volume, work, err) < 0)
        return -1;
    *ret = volume_ref(row->volume);
    return 0;
}

static int claim_new(struct volume_table *t, const struct publish_request *req, struct cancel *work,
                     struct volume **ret, struct error *err)
{
    struct row *other = find_target(t, req->target);
    struct volume *v;

    if (other)
        return error_set(err, CODE_ALREADY_EXISTS,
                         "target_path %.200s holds volume %.100s already: unpublish it first",
                         req->target, other->volume->id);
    if (HASH_CNT(by_id, t->ids) >= VOLUMES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "more than %d volumes on this node",
                         VOLUMES_MAX);
    v = volume_new(t->app, req->volume_id, req->target);
    v->work = work;
    insert(t, v);
    *ret = volume_ref(v);
    return 0;
}

int volume_table_claim(struct volume_table *t, const struct publish_request *req,
                       struct cancel *work, struct volume **ret, bool *ret_new, struct error *err)
{
    struct row *row;
    int result;

    pthread_mutex_lock(&t->lock);
    row = find_id(t, req->volume_id);
    result = row ? claim_known(row, req, work, ret, err) : claim_new(t, req, work, ret, err);
    pthread_mutex_unlock(&t->lock);
    *ret_new = !row;
    return result;
}

int volume_table_add(struct volume_table *t, struct volume *v, struct error *err)
{
    int result = 0;

    pthread_mutex_lock(&t->lock);
    if (find_id(t, v->id) || find_target(t, v->record.target))
        result = error_set(err, CODE_ALREADY_EXISTS, "volume %.100s or its target is known already",
                           v->id);
    else
        insert(t, v);
    pthread_mutex_unlock(&t->lock);
    return result;
}

void volume_table_remove(struct volume_table *t, struct volume *v)
{
    struct row *row;

    pthread_mutex_lock(&t->lock);
    row = find_id(t, v->id);
    if (row && row->volume == v)
        drop(t, row);
    else
        row = NULL;
    pthread_mutex_unlock(&t->lock);
    if (row)
        volume_unref(v);
}

void volume_table_each(struct volume_table *t, void (*say)(void *arg, struct volume *v), void *arg)
{
    autofree struct volume **all = NULL;
    size_t count = 0;
    size_t i = 0;

    pthread_mutex_lock(&t->lock);
    count = HASH_CNT(by_id, t->ids);
    all = xcalloc(count, sizeof(struct volume *));
    for (struct row *row = t->ids; row; row = row->by_id.next)
        all[i++] = volume_ref(row->volume);
    pthread_mutex_unlock(&t->lock);
    for (i = 0; i < count; i++) {
        say(arg, all[i]);
        volume_unref(all[i]);
    }
}

size_t volume_table_count(struct volume_table *t)
{
    size_t count;

    pthread_mutex_lock(&t->lock);
    count = HASH_CNT(by_id, t->ids);
    pthread_mutex_unlock(&t->lock);
    return count;
}
