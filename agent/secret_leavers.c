/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_leavers.h"

#include <pthread.h>

#include "agent/kube_retry.h"
#include "agent/secret_orphan.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/net/work.h"

struct row {
    struct secret_leavers *all;
    struct due_item due;
    char *key; /* namespace, class and Secret: of many pods that left it is looked at for one */
    char *ns;
    char *pod_name;
    char *pod_uid;
    char *class_name;
    char *secret; /* NULL: each that the class names */
    char *seen;   /* its version at the last look; NULL: there was none */
    int failures; /* in a row; the pool's thread's own, like seen */
    bool again;   /* guarded by lock: another pod of it left since */
    UT_hash_handle hh;
};

struct secret_leavers {
    struct kube_api *api;
    struct class_cache *classes;
    struct due_queue *due;
    struct work_pool *pool; /* one thread */
    struct cancel cancel;
    pthread_mutex_t lock;
    struct row *rows; /* guarded by lock */
    bool ended;       /* guarded by lock: nothing is begun any more */
};

/* --- memory ---------------------------------------------------------------------------------- */

static struct row *row_new(struct secret_leavers *all, const struct secret_leaver *leaver)
{
    struct row *r = xcalloc(1, sizeof(*r));

    r->all = all;
    r->ns = xstrdup(leaver->ns);
    r->pod_name = xstrdup(leaver->pod_name);
    r->pod_uid = xstrdup(leaver->pod_uid);
    r->class_name = xstrdup(leaver->class_name);
    r->secret = leaver->secret ? xstrdup(leaver->secret) : NULL;
    r->key = str_printf("%s/%s/%s", r->ns, r->class_name, r->secret ? r->secret : "");
    return r;
}

static void row_free(struct row *r)
{
    free(r->key);
    free(r->ns);
    free(r->pod_name);
    free(r->pod_uid);
    free(r->class_name);
    free(r->secret);
    free(r->seen);
    free(r);
}

static void arm(struct row *r, int64_t in_ms)
{
    due_queue_set(r->all->due, &r->due, clock_mono_ms() + in_ms);
}

/* There is nothing to do for it any more: takes it out and frees it, unless it is to be looked at
 * for another pod. On the pool's thread. */
static void end(struct row *r)
{
    struct secret_leavers *all = r->all;
    bool again;

    free(take(r->seen));
    r->failures = 0;
    (void)pthread_mutex_lock(&all->lock);
    again = r->again;
    r->again = false;
    if (again)
        arm(r, 0);
    else
        HASH_DEL(all->rows, r);
    (void)pthread_mutex_unlock(&all->lock);
    if (again)
        return;
    due_queue_remove(all->due, &r->due); /* with no lock: it waits for on_due */
    row_free(r);
}

/* --- looking ---------------------------------------------------------------------------------- */

static bool is_final(const struct error *err)
{
    return err->code == CODE_PERMISSION_DENIED || err->code == CODE_INVALID_ARGUMENT ||
           err->code == CODE_UNIMPLEMENTED;
}

static void again(struct row *r, const struct error *err)
{
    int64_t own_ms = kube_backoff_ms(SECRET_LEAVER_MS, SECRET_LEAVER_MAX_MS, ++r->failures);

    arm(r, kube_retry_ms(own_ms, err));
}

/* Of a class that is gone nobody knows the Secrets any more. */
static void look_at_class(struct row *r)
{
    struct secret_leaver leaver = { r->ns, r->pod_name, r->pod_uid, r->class_name, NULL };
    struct class *class autoclass = NULL;
    struct error err = { 0 };

    if (class_cache_get(r->all->classes, r->ns, r->class_name, &class, &err) < 0 &&
        code_is_maybe(err.code)) {
        again(r, &err);
        return;
    }
    for (size_t i = 0; class && i < class->secret_objects.count; i++) {
        leaver.secret = class->secret_objects.list[i].name;
        if (*leaver.secret)
            secret_leavers_add(r->all, &leaver);
    }
    end(r);
}

static void look_at_secret(struct row *r)
{
    const struct secret_orphan orphan = { .api = r->all->api,
                                          .cancel = &r->all->cancel,
                                          .ns = r->ns,
                                          .secret = r->secret,
                                          .class_name = r->class_name,
                                          .pod_name = r->pod_name,
                                          .pod_uid = r->pod_uid,
                                          .seen = r->seen };
    autofree char *seen = NULL;
    struct error err = { 0 };

    if (secret_orphan_look(&orphan, &seen, &err) == 0) {
        r->failures = 0;
        free(r->seen);
        r->seen = take(seen);
        if (r->seen)
            arm(r, SECRET_ORPHAN_MS);
        else
            end(r);
    } else if (is_final(&err)) {
        log_failure(LOG_WARN, "whether a pod left a Secret without an owner cannot be told",
                    KEY_SECRET, r->secret, &err);
        end(r);
    } else
        again(r, &err);
}

static void run(void *arg)
{
    struct row *r = arg;

    if (cancel_is_raised(&r->all->cancel))
        return; /* each would wait for a server that may be away */
    if (r->secret)
        look_at_secret(r);
    else
        look_at_class(r);
}

/* The due-queue's: hands it to the pool. */
static void on_due(void *arg, struct due_item *item)
{
    struct secret_leavers *all = arg;
    struct row *r = (struct row *)((char *)item - offsetof(struct row, due));

    (void)pthread_mutex_lock(&all->lock);
    if (!all->ended && work_submit(all->pool, run, r, NULL) < 0)
        arm(r, SECRET_LEAVER_MS);
    (void)pthread_mutex_unlock(&all->lock);
}

/* --- all -------------------------------------------------------------------------------------- */

/* Takes the row over when it is one more. False: there is no room. Caller holds the lock. */
static bool put(struct secret_leavers *all, struct row **row)
{
    struct row *there = NULL;

    HASH_FIND_STR(all->rows, (*row)->key, there);
    if (there) {
        there->again = true;
        return true;
    }
    if (HASH_COUNT(all->rows) >= SECRET_LEAVERS_MAX)
        return false;
    HASH_ADD_KEYPTR(hh, all->rows, (*row)->key, strlen((*row)->key), *row);
    arm(take(*row), 0);
    return true;
}

void secret_leavers_add(struct secret_leavers *leavers, const struct secret_leaver *leaver)
{
    struct row *r = row_new(leavers, leaver);
    bool room;

    (void)pthread_mutex_lock(&leavers->lock);
    room = leavers->ended || put(leavers, &r);
    (void)pthread_mutex_unlock(&leavers->lock);
    if (!room)
        log_event(LOG_WARN, "too many pods left at once: a Secret of one may stay without an owner",
                  WITH_TEXT(KEY_POD, leaver->pod_name), WITH_TEXT(KEY_CLASS, leaver->class_name));
    if (r)
        row_free(r);
}

size_t secret_leavers_count(struct secret_leavers *leavers)
{
    size_t count;

    (void)pthread_mutex_lock(&leavers->lock);
    count = HASH_COUNT(leavers->rows);
    (void)pthread_mutex_unlock(&leavers->lock);
    return count;
}

struct secret_leavers *secret_leavers_new(struct kube_api *api, struct class_cache *classes)
{
    const struct work_pool_config pool = { .name = "leavers",
                                           .threads_max = 1,
                                           .queue_max = SECRET_LEAVERS_MAX };
    struct secret_leavers *all = xcalloc(1, sizeof(*all));

    all->api = api;
    all->classes = classes;
    cancel_init(&all->cancel);
    (void)pthread_mutex_init(&all->lock, NULL);
    all->pool = work_pool_new(&pool);
    all->due = due_queue_new(on_due, all);
    return all;
}

void secret_leavers_end(struct secret_leavers *leavers)
{
    bool ended;

    (void)pthread_mutex_lock(&leavers->lock);
    ended = leavers->ended;
    leavers->ended = true;
    (void)pthread_mutex_unlock(&leavers->lock);
    if (ended)
        return;
    cancel_raise(&leavers->cancel);
    work_pool_free(leavers->pool);
}

void secret_leavers_free(struct secret_leavers *leavers)
{
    struct row *r;
    struct row *after;

    secret_leavers_end(leavers);
    due_queue_free(leavers->due);
    HASH_ITER(hh, leavers->rows, r, after)
    {
        HASH_DEL(leavers->rows, r);
        row_free(r);
    }
    cancel_done(&leavers->cancel);
    (void)pthread_mutex_destroy(&leavers->lock);
    free(leavers);
}
