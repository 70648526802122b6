/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pod_watch.h"

#include <pthread.h>

#include "agent/kube_watch.h"
#include "lib/base/encode.h"
#include "lib/base/hash.h"

/* Of a static pod's picture in the cluster: the uid by which kubelet knows it. */
#define MIRROR_ANNOTATION "kubernetes.io/config.mirror"

struct known_pod {
    char *key; /* NAMESPACE/NAME */
    char *uid;
    char *value; /* of REFRESH_ANNOTATION */
    struct kube_owners owners;
    bool seen; /* in the list that the watch is in */
    UT_hash_handle hh;
};

struct pod_watch {
    struct kube_watch *watch;
    void (*asked)(void *arg, const char *ns, const char *name);
    void *arg;
    pthread_mutex_t lock;
    struct known_pod *pods; /* guarded by lock; written by the watch's thread alone */
};

const char *refresh_annotation(const struct tree *object)
{
    const struct tree *notes = tree_get(tree_get(object, "metadata"), "annotations");
    const char *value = tree_get_text(notes, REFRESH_ANNOTATION);

    return value ? value : "";
}

/* Caller holds the lock. */
static void drop(struct pod_watch *w, struct known_pod *p)
{
    HASH_DEL(w->pods, p);
    free(p->key);
    free(p->uid);
    free(p->value);
    kube_owners_done(&p->owners);
    free(p);
}

/* Caller holds the lock. */
static struct known_pod *find(struct pod_watch *w, const char *ns, const char *name)
{
    autofree char *key = str_printf("%s/%s", ns ? ns : "", name ? name : "");
    struct known_pod *p = NULL;

    HASH_FIND_STR(w->pods, key, p);
    return p;
}

/* Caller holds the lock. */
static struct known_pod *make(struct pod_watch *w, const char *ns, const char *name)
{
    struct known_pod *p = xcalloc(1, sizeof(*p));

    p->key = str_printf("%s/%s", ns ? ns : "", name ? name : "");
    HASH_ADD_KEYPTR(hh, w->pods, p->key, strlen(p->key), p);
    return p;
}

/* Takes what the object says over. True: its annotation has another value than it had. Caller holds
 * the lock. */
static bool fill(struct known_pod *p, const struct tree *object)
{
    const char *uid = kube_meta(object, "uid");
    const char *notes_uid =
        tree_get_text(tree_get(tree_get(object, "metadata"), "annotations"), MIRROR_ANNOTATION);
    const char *value = refresh_annotation(object);
    bool asked = p->value && *value && strcmp(p->value, value) != 0;

    p->seen = true;
    kube_owners_done(&p->owners);
    p->owners = kube_owners_of(object);
    free(p->uid);
    p->uid = xstrdup(notes_uid ? notes_uid : uid ? uid : "");
    free(p->value);
    p->value = xstrdup(value);
    return asked;
}

static void look(struct pod_watch *w, const struct tree *object, bool deleted)
{
    const char *ns = kube_meta(object, "namespace");
    const char *name = kube_meta(object, "name");
    struct known_pod *p;
    bool asked = false;

    (void)pthread_mutex_lock(&w->lock);
    p = find(w, ns, name);
    if (deleted && p)
        drop(w, p);
    else if (!deleted)
        asked = fill(p ? p : make(w, ns, name), object);
    (void)pthread_mutex_unlock(&w->lock);
    if (asked && ns && name)
        w->asked(w->arg, ns, name);
}

static void mark(struct pod_watch *w, bool sweep)
{
    struct known_pod *p;
    struct known_pod *next;

    (void)pthread_mutex_lock(&w->lock);
    HASH_ITER(hh, w->pods, p, next)
    {
        if (sweep && !p->seen)
            drop(w, p);
        else if (!sweep)
            p->seen = false;
    }
    (void)pthread_mutex_unlock(&w->lock);
}

bool pod_watch_owners(struct pod_watch *watch, const char *ns, const char *name, const char *uid,
                      struct kube_owners *ret)
{
    const struct known_pod *p;
    bool found;

    (void)pthread_mutex_lock(&watch->lock);
    p = find(watch, ns, name);
    found = p && strcmp(p->uid, uid) == 0;
    if (found)
        *ret = kube_owners_copy(&p->owners);
    (void)pthread_mutex_unlock(&watch->lock);
    return found;
}

static void on_event(void *arg, enum kube_event event, const struct tree *object)
{
    if (object)
        look(arg, object, event == KUBE_DELETED);
    else
        mark(arg, event == KUBE_END);
}

struct pod_watch *pod_watch_new(struct kube_api *api, const char *node_name,
                                void (*asked)(void *arg, const char *ns, const char *name),
                                void *arg)
{
    struct pod_watch *w = xcalloc(1, sizeof(*w));
    struct strbuf query autostrbuf = { 0 };
    struct kube_watch_config config = {
        .api = api, .path = "/api/v1/pods", .metadata_only = true, .event = on_event, .arg = w
    };

    strbuf_add_text(&query, "fieldSelector=spec.nodeName%3D");
    url_encode(&query, node_name, false);
    config.query = strbuf_text(&query);
    w->asked = asked;
    w->arg = arg;
    (void)pthread_mutex_init(&w->lock, NULL);
    w->watch = kube_watch_start(&config);
    return w;
}

void pod_watch_free(struct pod_watch *watch)
{
    if (!watch)
        return;
    kube_watch_stop(watch->watch);
    while (watch->pods)
        drop(watch, watch->pods);
    (void)pthread_mutex_destroy(&watch->lock);
    free(watch);
}
