/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/class_store.h"

#include "agent/class_stamp.h"
#include "agent/kube_api.h"
#include "agent/pod_watch.h"
#include "lib/base/hash.h"

struct stored_class {
    char *key; /* NAMESPACE/NAME */
    char *ns;
    char *name;
    struct class *class; /* NULL: it cannot be read */
    struct error err;    /* why */
    char *asked;         /* the value of REFRESH_ANNOTATION */
    bool awaited;        /* nothing is known of it yet, and somebody waits */
    uint64_t round;      /* of the list that it was seen in, or after; 0: in none yet */
    UT_hash_handle hh;
};

struct wanted_ns {
    char *ns;
    uint64_t round; /* lists that had begun before it was wanted do not cover it */
    bool listed;    /* one that does has ended: what is not known is not there */
    uint64_t epoch; /* lists that have ended, and classes that have gone */
    UT_hash_handle hh;
};

void class_store_init(struct class_store *store)
{
    *store = (struct class_store){ 0 };
    (void)pthread_mutex_init(&store->lock, NULL);
}

static void stored_free(struct stored_class *s)
{
    class_free(s->class);
    free(s->key);
    free(s->ns);
    free(s->name);
    free(s->asked);
    free(s);
}

/* Caller holds the lock. */
static void drop(struct class_store *store, struct stored_class *s)
{
    HASH_DEL(store->classes, s);
    stored_free(s);
}

void class_store_done(struct class_store *store)
{
    struct stored_class *s;
    struct stored_class *next;
    struct wanted_ns *w;
    struct wanted_ns *after;

    HASH_ITER(hh, store->classes, s, next)
    {
        drop(store, s);
    }
    HASH_ITER(hh, store->wanted, w, after)
    {
        HASH_DEL(store->wanted, w);
        free(w->ns);
        free(w);
    }
    (void)pthread_mutex_destroy(&store->lock);
}

/* Caller holds the lock. */
static void drop_namespace(struct class_store *store, const char *ns)
{
    struct stored_class *s;
    struct stored_class *next;

    HASH_ITER(hh, store->classes, s, next)
    {
        if (strcmp(s->ns, ns) == 0)
            drop(store, s);
    }
}

void class_store_want(struct class_store *store, const char *ns, bool wanted)
{
    struct wanted_ns *w = NULL;

    (void)pthread_mutex_lock(&store->lock);
    HASH_FIND_STR(store->wanted, ns, w);
    if (wanted && !w) {
        w = xcalloc(1, sizeof(*w));
        w->ns = xstrdup(ns);
        w->round = store->round;
        HASH_ADD_KEYPTR(hh, store->wanted, w->ns, strlen(w->ns), w);
    } else if (!wanted && w) {
        HASH_DEL(store->wanted, w);
        free(w->ns);
        free(w);
        drop_namespace(store, ns);
    }
    (void)pthread_mutex_unlock(&store->lock);
}

uint64_t class_store_begin(struct class_store *store)
{
    uint64_t round;

    (void)pthread_mutex_lock(&store->lock);
    round = ++store->round;
    (void)pthread_mutex_unlock(&store->lock);
    return round;
}

/* Caller holds the lock. */
static struct stored_class *find(struct class_store *store, const char *ns, const char *name)
{
    autofree char *key = str_printf("%s/%s", ns, name);
    struct stored_class *s = NULL;

    HASH_FIND_STR(store->classes, key, s);
    return s;
}

/* Caller holds the lock. */
static struct stored_class *make(struct class_store *store, const char *ns, const char *name)
{
    struct stored_class *s = xcalloc(1, sizeof(*s));

    s->key = str_printf("%s/%s", ns, name);
    s->ns = xstrdup(ns);
    s->name = xstrdup(name);
    HASH_ADD_KEYPTR(hh, store->classes, s->key, strlen(s->key), s);
    return s;
}

/* Takes what the object says over. */
static enum class_change fill(struct stored_class *s, const struct tree *object)
{
    const char *asked = refresh_annotation(object);
    bool is_asked = *asked && s->asked && strcmp(asked, s->asked) != 0;

    struct class *class = NULL;
    struct error err = { 0 };
    bool same;

    if (class_read(object, &class, &err) == 0)
        class_set_stamp(class, class_stamp(class, kube_meta(object, "uid")));
    same = s->class && class ? class_same(s->class, class) &&
                                   strcmp(s->class->stamp, class->stamp) == 0
                             : !s->class && !class;
    class_free(s->class);
    s->class = class;
    s->err = err;
    free(s->asked);
    s->asked = xstrdup(asked);
    if (is_asked)
        return CLASS_ASKED;
    if (s->awaited) {
        s->awaited = false;
        return CLASS_AWAITED;
    }
    return same ? CLASS_AS_BEFORE : CLASS_EDITED;
}

enum class_change class_store_see(struct class_store *store, const struct tree *object,
                                  uint64_t round)
{
    const char *ns = class_ns_of(object);
    const char *name = class_name_of(object);
    struct wanted_ns *w = NULL;
    struct stored_class *s;
    enum class_change change = CLASS_AS_BEFORE;
    bool is_news = false;

    (void)pthread_mutex_lock(&store->lock);
    HASH_FIND_STR(store->wanted, ns, w);
    if (w) {
        s = find(store, ns, name);
        is_news = s || w->listed;
        s = s ? s : make(store, ns, name);
        if (s->round < round) /* another watch of it may be in a later one */
            s->round = round;
        change = fill(s, object);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return is_news ? change : CLASS_AS_BEFORE;
}

/* Caller holds the lock. */
static struct class_epoch epoch_of(struct class_store *store, const char *ns)
{
    struct wanted_ns *w = NULL;

    HASH_FIND_STR(store->wanted, ns, w);
    return w ? (struct class_epoch){ w->epoch, w->listed } : (struct class_epoch){ 0 };
}

/* Caller holds the lock. */
static bool is_listed(struct class_store *store, const char *ns)
{
    return epoch_of(store, ns).listed;
}

struct class_epoch class_store_epoch(struct class_store *store, const char *ns)
{
    struct class_epoch epoch;

    (void)pthread_mutex_lock(&store->lock);
    epoch = epoch_of(store, ns);
    (void)pthread_mutex_unlock(&store->lock);
    return epoch;
}

enum class_added class_store_add(struct class_store *store, const struct tree *object,
                                 uint64_t epoch)
{
    const char *ns = class_ns_of(object);
    const char *name = class_name_of(object);
    struct stored_class *s;
    enum class_added added = CLASS_KEPT;

    if (!ns || !name)
        return CLASS_KEPT;
    (void)pthread_mutex_lock(&store->lock);
    s = find(store, ns, name);
    if (!s || s->awaited) {
        if (epoch_of(store, ns).number != epoch)
            added = CLASS_TOO_OLD;
        else {
            added = s ? CLASS_HAILED : CLASS_KEPT;
            (void)fill(s ? s : make(store, ns, name), object);
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
    return added;
}

bool class_store_await(struct class_store *store, const char *ns, const char *name)
{
    struct stored_class *s;
    bool is_known;

    (void)pthread_mutex_lock(&store->lock);
    s = find(store, ns, name);
    is_known = s ? !s->awaited : is_listed(store, ns);
    if (!s && !is_known)
        make(store, ns, name)->awaited = true;
    (void)pthread_mutex_unlock(&store->lock);
    return is_known;
}

bool class_store_next_awaited(struct class_store *store, char **ret_ns, char **ret_name)
{
    struct stored_class *s;

    (void)pthread_mutex_lock(&store->lock);
    for (s = store->classes; s && !s->awaited;)
        s = s->hh.next;
    if (s) {
        *ret_ns = xstrdup(s->ns);
        *ret_name = xstrdup(s->name);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return s != NULL;
}

bool class_store_drop_awaited(struct class_store *store, const char *ns, const char *name)
{
    struct stored_class *s;
    bool was_awaited;

    (void)pthread_mutex_lock(&store->lock);
    s = find(store, ns, name);
    was_awaited = s && s->awaited;
    if (was_awaited)
        drop(store, s);
    (void)pthread_mutex_unlock(&store->lock);
    return was_awaited;
}

bool class_store_remove(struct class_store *store, const char *ns, const char *name)
{
    struct stored_class *s;
    struct wanted_ns *w = NULL;

    (void)pthread_mutex_lock(&store->lock);
    HASH_FIND_STR(store->wanted, ns, w);
    if (w)
        w->epoch++;
    s = find(store, ns, name);
    if (s)
        drop(store, s);
    (void)pthread_mutex_unlock(&store->lock);
    return s != NULL;
}

/* Caller holds the lock. */
static bool is_gone(struct class_store *store, const struct stored_class *s, uint64_t round)
{
    return s->awaited ? is_listed(store, s->ns) : s->round < round;
}

/* From now on, what is not known of these namespaces is not there. */
static void end_list(struct class_store *store, const char *ns, uint64_t round)
{
    (void)pthread_mutex_lock(&store->lock);
    for (struct wanted_ns *w = store->wanted; w; w = w->hh.next)
        if (w->round < round && (!*ns || strcmp(w->ns, ns) == 0)) {
            w->listed = true;
            w->epoch++;
        }
    (void)pthread_mutex_unlock(&store->lock);
}

/* One that the list lacked, moved out; NULL: there is none any more. */
static struct stored_class *next_gone(struct class_store *store, const char *ns, uint64_t round)
{
    struct stored_class *s;

    (void)pthread_mutex_lock(&store->lock);
    for (s = store->classes; s; s = s->hh.next)
        if ((!*ns || strcmp(s->ns, ns) == 0) && is_gone(store, s, round))
            break;
    if (s)
        HASH_DEL(store->classes, s);
    (void)pthread_mutex_unlock(&store->lock);
    return s;
}

void class_store_sweep(struct class_store *store, const char *ns, uint64_t round,
                       class_store_gone *gone, void *arg)
{
    struct stored_class *s;

    end_list(store, ns, round);
    while ((s = next_gone(store, ns, round))) {
        gone(arg, s->ns, s->name, s->awaited ? CLASS_AWAITED : CLASS_EDITED);
        stored_free(s);
    }
}

int class_store_get(struct class_store *store, const char *ns, const char *name, bool *ret_known,
                    struct class **ret, struct error *err)
{
    struct stored_class *s;
    int result = 0;

    (void)pthread_mutex_lock(&store->lock);
    s = find(store, ns, name);
    *ret_known = s && !s->awaited;
    if (s && s->class)
        *ret = class_dup(s->class);
    else if (*ret_known) {
        (void)error_copy(err, &s->err);
        result = error_within(err, "failed to get secretproviderclass %s/%s, error", ns, name);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return result;
}
