/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/source_double.h"

#include <pthread.h>

#include "lib/base/clock.h"
#include "lib/model/pairs.h"

struct source_double {
    struct source base;
    pthread_mutex_t lock;
    struct pairs files; /* guarded by lock, like all below */
    const char *key;
    struct error err;
    bool hang;
    size_t fetches;
    struct source_told told;
};

static int double_find(struct source *self, const char *provider, struct error *err)
{
    (void)self;
    if (strcmp(provider, "nobody") != 0)
        return 0;
    return error_set(err, CODE_UNAVAILABLE, "provider not found: provider \"nobody\"");
}

static bool is_hanging(struct source_double *d)
{
    bool hang;

    pthread_mutex_lock(&d->lock);
    hang = d->hang;
    pthread_mutex_unlock(&d->lock);
    return hang;
}

static int add_all(const struct source_double *d, struct fileset *set, struct error *err)
{
    for (size_t i = 0; i < d->files.count; i++) {
        const struct pair *p = &d->files.items[i];
        autofree char *version = str_printf("%s%s", d->key, p->value);
        struct file_spec spec = { .path = p->key,
                                  .path_len = strlen(p->key),
                                  .object = p->key,
                                  .mode = 0644,
                                  .uid = FILE_OWNER_UNSET,
                                  .gid = (gid_t)FILE_OWNER_UNSET,
                                  .contents = secret_copy(p->value, strlen(p->value)) };

        if (fileset_add(set, &spec, err) < 0 || fileset_add_version(set, p->key, version, err) < 0)
            return -1;
    }
    return 0;
}

static int double_fetch(struct source *self, const struct source_request *req, struct fileset *ret,
                        struct error *err)
{
    struct source_double *d = (struct source_double *)self;
    struct fileset set CLEANUP(fileset_done) = { 0 };
    int result;

    while (is_hanging(d) && !cancel_is_raised(req->cancel))
        clock_sleep_ms(1);
    if (cancel_is_raised(req->cancel))
        return error_set(err, CODE_CANCELLED, "cancelled");
    pthread_mutex_lock(&d->lock);
    d->fetches++;
    if (req->told)
        *req->told = d->told;
    result = d->err.code ? error_copy(err, &d->err) : add_all(d, &set, err);
    pthread_mutex_unlock(&d->lock);
    if (result < 0)
        return -1;
    *ret = set;
    set = (struct fileset){ 0 };
    return 0;
}

static void double_release(struct source *self, const char *provider, const char *volume_id)
{
    (void)self;
    (void)provider;
    (void)volume_id;
}

static void double_each(struct source *self,
                        void (*say)(void *arg, const struct source_status *row), void *arg)
{
    (void)self;
    (void)say;
    (void)arg;
}

static void double_free(struct source *self)
{
    struct source_double *d = (struct source_double *)self;

    pairs_done(&d->files);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static const struct source_ops double_ops = {
    .find = double_find,
    .fetch = double_fetch,
    .release = double_release,
    .each = double_each,
    .free = double_free,
};

struct source *source_double_new(void)
{
    struct source_double *d = xcalloc(1, sizeof(*d));

    d->base.ops = &double_ops;
    d->key = "v-";
    pthread_mutex_init(&d->lock, NULL);
    return &d->base;
}

void source_double_put(struct source *self, const char *path, const char *text)
{
    struct source_double *d = (struct source_double *)self;

    pthread_mutex_lock(&d->lock);
    pairs_set(&d->files, path, text);
    pthread_mutex_unlock(&d->lock);
}

void source_double_key(struct source *self, const char *key)
{
    struct source_double *d = (struct source_double *)self;

    pthread_mutex_lock(&d->lock);
    d->key = key;
    pthread_mutex_unlock(&d->lock);
}

void source_double_fail(struct source *self, const struct error *err)
{
    struct source_double *d = (struct source_double *)self;

    pthread_mutex_lock(&d->lock);
    d->err = err ? *err : (struct error){ 0 };
    pthread_mutex_unlock(&d->lock);
}

void source_double_hang(struct source *self, bool hang)
{
    struct source_double *d = (struct source_double *)self;

    pthread_mutex_lock(&d->lock);
    d->hang = hang;
    pthread_mutex_unlock(&d->lock);
}

void source_double_tell(struct source *self, const struct source_told *told)
{
    struct source_double *d = (struct source_double *)self;

    pthread_mutex_lock(&d->lock);
    d->told = *told;
    pthread_mutex_unlock(&d->lock);
}

size_t source_double_fetches(struct source *self)
{
    struct source_double *d = (struct source_double *)self;
    size_t fetches;

    pthread_mutex_lock(&d->lock);
    fetches = d->fetches;
    pthread_mutex_unlock(&d->lock);
    return fetches;
}
