/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/class_cache.h"

#include <pthread.h>

#include "agent/kube_watch.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"

enum { ASKED_MAX = 5 }; /* calls for a class that a watch overtakes */

/* One watch: of a namespace, or (ns "") of the cluster. */
struct scope {
    struct class_cache *cache;
    struct scope *next; /* of those that end */
    const char *version;
    char *ns;
    struct kube_watch *watch;
    uint64_t round; /* the watch's thread's own: the list that it is in */
};

/* A namespace that somebody asked for. */
struct place {
    char *ns;
    size_t volumes;
    int64_t idle_ms;     /* since when it has none, as clock_mono_ms() */
    struct scope *scope; /* NULL: the cluster's watch covers it */
    UT_hash_handle hh;
};

struct class_cache {
    struct class_cache_config config;
    struct cancel cancel;     /* of calls for one class */
    struct class_store store; /* has a lock of its own, below the one here */
    pthread_mutex_t lock;     /* scopes and places; never held by a watch's thread */
    struct place *places;     /* guarded by lock */
    size_t place_count;       /* guarded by lock */
    struct scope *cluster;    /* guarded by lock; NULL: namespaces one by one */
    struct scope *ending;     /* guarded by lock; nobody waits for them */
};

/* --- what watches tell -------------------------------------------------------------------------
 */

static void forget_one(void *arg, const char *ns, const char *name, enum class_change change)
{
    const struct class_cache *cache = arg;

    cache->config.changed(cache->config.arg, ns, name, change);
}

static void on_event(void *arg, enum kube_event event, const struct tree *object)
{
    struct scope *s = arg;
    struct class_cache *cache = s->cache;
    const char *ns = class_ns_of(object);
    const char *name = class_name_of(object);
    enum class_change change = CLASS_AS_BEFORE;

    switch (event) {
    case KUBE_BEGIN:
        s->round = class_store_begin(&cache->store);
        return;
    case KUBE_END:
        class_store_sweep(&cache->store, s->ns, s->round, forget_one, cache);
        return;
    case KUBE_OBJECT:
        if (ns && name)
            change = class_store_see(&cache->store, object, s->round);
        break;
    case KUBE_DELETED:
        if (ns && name && class_store_remove(&cache->store, ns, name))
            change = CLASS_EDITED;
        break;
    }
    if (change != CLASS_AS_BEFORE)
        cache->config.changed(cache->config.arg, ns, name, change);
}

/* --- what is watched ---------------------------------------------------------------------------
 */

static char *collection(const char *version, const char *ns)
{
    struct strbuf path autostrbuf = { 0 };

    strbuf_printf(&path, "/apis/" CLASS_GROUP "/%s", version);
    if (*ns) {
        strbuf_add_text(&path, "/namespaces/");
        url_encode(&path, ns, false);
    }
    strbuf_add_text(&path, "/secretproviderclasses");
    return strbuf_take(&path);
}

/* Caller holds the lock. */
static struct scope *scope_start(struct class_cache *cache, const char *ns)
{
    struct scope *s = xcalloc(1, sizeof(*s));
    autofree char *path = collection(group_version_get(cache->config.version), ns);
    struct kube_watch_config watch = {
        .api = cache->config.api, .path = path, .event = on_event, .arg = s
    };

    s->cache = cache;
    s->version = group_version_get(cache->config.version);
    s->ns = xstrdup(ns);
    s->watch = kube_watch_start(&watch);
    return s;
}

/* It ends in its own time: whoever holds the lock does not wait. Caller holds the lock. */
static void scope_end(struct class_cache *cache, struct scope *s)
{
    if (!s)
        return;
    kube_watch_end(s->watch);
    s->next = cache->ending;
    cache->ending = s;
}

/* Waits for those that end. Caller holds no lock. */
static void reap(struct class_cache *cache)
{
    struct scope *s;
    struct scope *next;

    (void)pthread_mutex_lock(&cache->lock);
    s = take(cache->ending);
    (void)pthread_mutex_unlock(&cache->lock);
    for (; s; s = next) {
        next = s->next;
        kube_watch_stop(s->watch);
        free(s->ns);
        free(s);
    }
}

/* One watch for all: the store keeps of them what was asked for. Caller holds the lock. */
static void widen(struct class_cache *cache)
{
    cache->cluster = scope_start(cache, "");
    for (struct place *p = cache->places; p; p = p->hh.next)
        scope_end(cache, take(p->scope));
    log_event(LOG_INFO, "classes of the whole cluster are watched",
              WITH_NUMBER(KEY_COUNT, (int64_t)cache->place_count));
}

/* Caller holds the lock. */
static void narrow(struct class_cache *cache)
{
    for (struct place *p = cache->places; p; p = p->hh.next)
        p->scope = scope_start(cache, p->ns);
    scope_end(cache, take(cache->cluster));
}

/* Begins a watch anew that was begun for another version than the server has. Caller holds the
 * lock.
 */
static void correct(struct class_cache *cache, struct scope **slot)
{
    struct scope *s = *slot;

    if (!s || strcmp(s->version, group_version_get(cache->config.version)) == 0)
        return;
    *slot = scope_start(cache, s->ns);
    scope_end(cache, s);
}

/* Caller holds the lock. */
static struct place *place_of(struct class_cache *cache, const char *ns)
{
    struct place *p = NULL;

    HASH_FIND_STR(cache->places, ns, p);
    if (p)
        return p;
    p = xcalloc(1, sizeof(*p));
    p->ns = xstrdup(ns);
    p->idle_ms = clock_mono_ms();
    HASH_ADD_KEYPTR(hh, cache->places, p->ns, strlen(p->ns), p);
    cache->place_count++;
    class_store_want(&cache->store, ns, true);
    if (!cache->cluster && cache->place_count > CLASS_WATCHES_MAX)
        widen(cache);
    else if (!cache->cluster)
        p->scope = scope_start(cache, ns);
    return p;
}

/* Caller holds the lock. */
static void place_free(struct class_cache *cache, struct place *p)
{
    scope_end(cache, p->scope);
    class_store_want(&cache->store, p->ns, false);
    HASH_DEL(cache->places, p);
    cache->place_count--;
    free(p->ns);
    free(p);
}

void class_cache_hold(struct class_cache *cache, const char *ns)
{
    group_version_learn(cache->config.version);
    (void)pthread_mutex_lock(&cache->lock);
    place_of(cache, ns)->volumes++;
    (void)pthread_mutex_unlock(&cache->lock);
}

void class_cache_release(struct class_cache *cache, const char *ns)
{
    struct place *p;

    (void)pthread_mutex_lock(&cache->lock);
    p = place_of(cache, ns);
    if (p->volumes)
        p->volumes--;
    p->idle_ms = clock_mono_ms();
    (void)pthread_mutex_unlock(&cache->lock);
}

void class_cache_await(struct class_cache *cache, const char *ns, const char *name)
{
    if (class_store_await(&cache->store, ns, name))
        cache->config.changed(cache->config.arg, ns, name, CLASS_AWAITED);
}

static void close_up(struct class_cache *cache)
{
    int64_t now = clock_mono_ms();
    struct place *p;
    struct place *next;

    group_version_learn(cache->config.version);
    (void)pthread_mutex_lock(&cache->lock);
    HASH_ITER(hh, cache->places, p, next)
    {
        correct(cache, &p->scope);
        if (!p->volumes && now - p->idle_ms > CLASS_LINGER_MS)
            place_free(cache, p);
    }
    correct(cache, &cache->cluster);
    if (cache->cluster && cache->place_count <= CLASS_WATCHES_MAX / 2)
        narrow(cache);
    (void)pthread_mutex_unlock(&cache->lock);
    reap(cache);
}

size_t class_cache_watches(struct class_cache *cache)
{
    size_t count;

    (void)pthread_mutex_lock(&cache->lock);
    count = cache->cluster ? 1 : cache->place_count;
    (void)pthread_mutex_unlock(&cache->lock);
    return count;
}

bool class_cache_failure(struct class_cache *cache, struct error *ret)
{
    bool failed;

    (void)pthread_mutex_lock(&cache->lock);
    failed = cache->cluster && kube_watch_failure(cache->cluster->watch, ret);
    for (struct place *p = cache->places; p && !failed; p = p->hh.next)
        failed = p->scope && kube_watch_failure(p->scope->watch, ret);
    (void)pthread_mutex_unlock(&cache->lock);
    return failed;
}

/* --- asking ------------------------------------------------------------------------------------
 */

int class_cache_peek(struct class_cache *cache, const char *ns, const char *name, bool *ret_known,
                     struct class **ret, struct error *err)
{
    return class_store_get(&cache->store, ns, name, ret_known, ret, err);
}

/* Caller holds no lock. */
static char *object_path(struct class_cache *cache, const char *ns, const char *name)
{
    struct strbuf path autostrbuf = { 0 };
    autofree char *base = NULL;

    group_version_learn(cache->config.version);
    (void)pthread_mutex_lock(&cache->lock);
    place_of(cache, ns)->idle_ms = clock_mono_ms();
    base = collection(group_version_get(cache->config.version), ns);
    (void)pthread_mutex_unlock(&cache->lock);
    strbuf_add_text(&path, base);
    strbuf_add_char(&path, '/');
    url_encode(&path, name, false);
    return strbuf_take(&path);
}

/* Asks for one object. As long as no list has ended the server may answer from its own cache, since
 * a watch has begun and brings what is newer; but "not found", and what a list lacked, has to be
 * the truth: the class may be a moment old, or the cache behind. */
static int ask(struct class_cache *cache, const char *path, bool listed, struct tree **ret,
               struct error *err)
{
    autofree char *cached = str_printf("%s?resourceVersion=0", path);
    struct error mine = { .code = CODE_NOT_FOUND };

    if (!listed && kube_get(cache->config.api, cached, &cache->cancel, ret, &mine) == 0)
        return 0;
    if (mine.code != CODE_NOT_FOUND)
        return error_copy(err, &mine);
    return kube_get(cache->config.api, path, &cache->cancel, ret, err);
}

/* Asks until what was answered is not overtaken by what a watch told meanwhile. */
static int ask_until_kept(struct class_cache *cache, const char *ns, const char *name,
                          struct error *err)
{
    for (int i = 0; i < ASKED_MAX; i++) {
        struct class_epoch epoch = class_store_epoch(&cache->store, ns);
        autofree char *path = object_path(cache, ns, name);
        struct tree *object autotree = NULL;
        enum class_added added;

        if (ask(cache, path, epoch.listed, &object, err) < 0)
            return -1;
        added = class_store_add(&cache->store, object, epoch.number);
        if (added == CLASS_HAILED)
            cache->config.changed(cache->config.arg, ns, name, CLASS_AWAITED);
        if (added != CLASS_TOO_OLD)
            return 0;
    }
    return error_set(
        err, CODE_UNAVAILABLE,
        "classes of its namespace keep going while it is read: it is to be asked for again");
}

/* Asks for one object and keeps it. */
static int fetch(struct class_cache *cache, const char *ns, const char *name, struct error *err)
{
    struct error mine = { 0 };

    if (ask_until_kept(cache, ns, name, &mine) == 0)
        return 0;
    if (mine.code == CODE_NOT_FOUND)
        return class_not_found(ns, name, err);
    if (!code_is_maybe(mine.code) || mine.code == CODE_CANCELLED)
        mine.code = CODE_UNAVAILABLE; /* a role or token that is not right yet: come again */
    (void)error_copy(err, &mine);
    return error_within(err, "failed to get secretproviderclass %s/%s, error", ns, name);
}

int class_cache_get(struct class_cache *cache, const char *ns, const char *name, struct class **ret,
                    struct error *err)
{
    bool known = false;

    if (class_store_get(&cache->store, ns, name, &known, ret, err) < 0)
        return -1;
    if (known)
        return 0;
    if (fetch(cache, ns, name, err) < 0 ||
        class_store_get(&cache->store, ns, name, &known, ret, err) < 0)
        return -1;
    return known ? 0 : class_not_found(ns, name, err); /* deleted meanwhile */
}

/* Classes that are waited for, of namespaces that came while the cluster's list was under way. */
static void ask_for_awaited(struct class_cache *cache)
{
    struct error err = { 0 };
    bool asked = true;

    while (asked) {
        autofree char *ns = NULL;
        autofree char *name = NULL;

        asked = class_store_next_awaited(&cache->store, &ns, &name) &&
                (fetch(cache, ns, name, &err) == 0 || err.code == CODE_NOT_FOUND);
        if (asked && class_store_drop_awaited(&cache->store, ns, name))
            cache->config.changed(cache->config.arg, ns, name, CLASS_AWAITED);
    }
}

void class_cache_tidy(struct class_cache *cache)
{
    close_up(cache);
    ask_for_awaited(cache);
}

struct class_cache *class_cache_new(const struct class_cache_config *config)
{
    struct class_cache *cache = xcalloc(1, sizeof(*cache));

    cache->config = *config;
    cancel_init(&cache->cancel);
    class_store_init(&cache->store);
    (void)pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void class_cache_end(struct class_cache *cache)
{
    cancel_raise(&cache->cancel);
}

void class_cache_free(struct class_cache *cache)
{
    struct place *p;
    struct place *next;

    if (!cache)
        return;
    HASH_ITER(hh, cache->places, p, next)
    {
        place_free(cache, p);
    }
    scope_end(cache, take(cache->cluster));
    reap(cache);
    class_store_done(&cache->store);
    cancel_done(&cache->cancel);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}
