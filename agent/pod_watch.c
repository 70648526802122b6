/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pod_watch.h"

#include "agent/kube_watch.h"
#include "lib/base/encode.h"
#include "lib/base/hash.h"

struct known_pod {
    char *key; /* NAMESPACE/NAME */
    char *value;
    bool seen; /* in the list that the watch is in */
    UT_hash_handle hh;
};

struct pod_watch {
    struct kube_watch *watch;
    void (*asked)(void *arg, const char *ns, const char *name);
    void *arg;
    struct known_pod *pods; /* the watch's thread's own */
};

const char *refresh_annotation(const struct tree *object)
{
    const struct tree *notes = tree_get(tree_get(object, "metadata"), "annotations");
    const char *value = tree_get_text(notes, REFRESH_ANNOTATION);

    return value ? value : "";
}

static void drop(struct pod_watch *w, struct known_pod *p)
{
    HASH_DEL(w->pods, p);
    free(p->key);
    free(p->value);
    free(p);
}

static void look(struct pod_watch *w, const struct tree *object, bool deleted)
{
    const char *ns = kube_meta(object, "namespace");
    const char *name = kube_meta(object, "name");
    const char *value = refresh_annotation(object);
    autofree char *key = str_printf("%s/%s", ns ? ns : "", name ? name : "");
    struct known_pod *p = NULL;

    HASH_FIND_STR(w->pods, key, p);
    if (deleted) {
        if (p)
            drop(w, p);
        return;
    }
    if (!p) {
        p = xcalloc(1, sizeof(*p));
        p->key = take(key);
        p->value = xstrdup(value);
        HASH_ADD_KEYPTR(hh, w->pods, p->key, strlen(p->key), p);
    }
    p->seen = true;
    if (strcmp(p->value, value) == 0)
        return;
    free(p->value);
    p->value = xstrdup(value);
    if (*value && ns && name)
        w->asked(w->arg, ns, name);
}

static void mark(struct pod_watch *w, bool sweep)
{
    struct known_pod *p;
    struct known_pod *next;

    HASH_ITER(hh, w->pods, p, next)
    {
        if (sweep && !p->seen)
            drop(w, p);
        else if (!sweep)
            p->seen = false;
    }
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
    free(watch);
}
