/* SPDX-License-Identifier: Apache-2.0
 *
 * pod_watch.h - the pods of this node, of which nothing but metadata is asked for: who wants to be
 * refreshed now, and whose they are. Does not know volumes.
 */
#ifndef LOCKET_AGENT_POD_WATCH_H
#define LOCKET_AGENT_POD_WATCH_H

#include "agent/kube_api.h"
#include "agent/kube_owner.h"

/* On a pod or a class: any new value refreshes at once; by convention the time of asking. */
#define REFRESH_ANNOTATION "locket.dev/refresh-at"

struct pod_watch;

/* Watches the pods of this node. asked is called on the watch's thread when the annotation of a pod
 * that was known gets another value; what it says at the first look is the past.
 * Ownership: pod_watch_free. */
struct pod_watch *pod_watch_new(struct kube_api *api, const char *node_name,
                                void (*asked)(void *arg, const char *ns, const char *name),
                                void *arg);
void pod_watch_free(struct pod_watch *watch);

/* The owners of a pod of this node: a copy, the caller's by kube_owners_done. False: the watch has
 * not brought a pod of this name and uid (yet). Any thread. */
bool pod_watch_owners(struct pod_watch *watch, const char *ns, const char *name, const char *uid,
                      struct kube_owners *ret);

/* The annotation's value; "" when absent. Borrowed. */
const char *refresh_annotation(const struct tree *object);

#endif
