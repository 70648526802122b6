/* SPDX-License-Identifier: Apache-2.0
 *
 * kube_watch.h - a collection of objects as it is now and as it changes: list, watch, and all that
 * can go wrong with them. A thread of its own. Does not know any kind of object; keeps none.
 */
#ifndef LOCKET_AGENT_KUBE_WATCH_H
#define LOCKET_AGENT_KUBE_WATCH_H

#include "agent/kube_api.h"

enum {
    KUBE_EVENT_MAX = 4 << 20, /* bytes of one event: etcd refuses objects over 1.5 MiB */
    KUBE_PAGE = 500,          /* objects of a list's page, where lists are not streamed; halved
                                 while they are so large that a page is none that we take */
};

/* What happened. Between BEGIN and END come all objects there are, in no order; what was not among
 * them is gone. A BEGIN may come without its END: another follows. After END: each change. */
enum kube_event { KUBE_BEGIN, KUBE_OBJECT, KUBE_DELETED, KUBE_END };

struct kube_watch_config {
    struct kube_api *api;
    const char *path;   /* of the collection, such as /api/v1/pods; copied */
    const char *query;  /* percent-encoded selectors, such as labelSelector=a%3Db; NULL: all */
    bool metadata_only; /* PartialObjectMetadata instead of whole objects */
    /* Called on the watch's thread; object (NULL for BEGIN and END) is borrowed and has a name. May
     * block. */
    void (*event)(void *arg, enum kube_event event, const struct tree *object);
    /* On the same thread, when it works again after it did not: the server is back. NULL: nobody
     * wants to know. */
    void (*back)(void *arg);
    void *arg;
};

struct kube_watch;

/* Starts it. Streams the list where the server does, else pages; resumes at the last version seen;
 * starts anew after 410 and ends of the stream that tell so; waits from half a second to three,
 * jittered, after failures (or as long as the server says). Ownership: kube_watch_stop. */
struct kube_watch *kube_watch_start(const struct kube_watch_config *config);

/* Lets it begin to end, and does not wait: for who holds what an event needs. Events may come until
 * kube_watch_stop returns. */
void kube_watch_end(struct kube_watch *watch);

/* Ends it: no event comes any more when this returns. Waits for one that is being told. NULL
 * is fine. */
void kube_watch_stop(struct kube_watch *watch);

/* Has a whole list arrived since the start? */
bool kube_watch_is_synced(struct kube_watch *watch);

/* Why does it not work now? False with *ret untouched: it does. */
bool kube_watch_failure(struct kube_watch *watch, struct error *ret);

#endif
