/* SPDX-License-Identifier: Apache-2.0
 *
 * taint.h - takes the start-up taint <driver name>/agent-not-ready from this node, so that pods
 * with volumes are not sent to it before kubelet knows the driver. Does not know how one gets
 * registered.
 */
#ifndef LOCKET_AGENT_TAINT_H
#define LOCKET_AGENT_TAINT_H

#include "agent/kube_api.h"

struct taint;

/* Does nothing until taint_remove. Never fails. Ownership: taint_free (waits for a call that is
 * under way: it is cancelled). */
struct taint *taint_new(struct kube_api *api, const char *node_name, const char *driver_name);
void taint_free(struct taint *taint);

/* Kubelet has confirmed the driver: the taint goes, on a thread of its own; tried again after 1 s,
 * 2 s and so on up to 60 s, for as long as it is refused. One GET of the node when there is no
 * taint, a PATCH that holds only for the list that was seen when there is one. Never blocks. */
void taint_remove(struct taint *taint);

/* The JSON patch that removes all taints of this key from a node as it was read; each is tested to
 * be the one that was seen. False: it has none. */
bool taint_patch(const struct tree *node, const char *key, struct strbuf *out);

#endif
