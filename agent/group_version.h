/* SPDX-License-Identifier: Apache-2.0
 *
 * group_version.h - which version of secrets-store.csi.x-k8s.io the server has: v1, or v1alpha1
 * where the definitions are those of the years before. Does not know what is read or written in it.
 */
#ifndef LOCKET_AGENT_GROUP_VERSION_H
#define LOCKET_AGENT_GROUP_VERSION_H

#include "agent/kube_api.h"

#define CLASS_GROUP "secrets-store.csi.x-k8s.io"

enum {
    GROUP_VERSION_CALL_MS = 5000,   /* reports wait for the answer */
    GROUP_VERSION_PAUSE_MS = 10000, /* after a question that was not answered */
};

struct group_version;

/* Asks nothing yet. Ownership: group_version_free; borrows api. */
struct group_version *group_version_new(struct kube_api *api);
void group_version_free(struct group_version *gv);

/* Whoever waits for an answer waits no more, and nothing is asked from now on. Any thread. */
void group_version_end(struct group_version *gv);

/* Asks the server, unless it has answered before, or did not a moment ago. Blocks on a call. */
void group_version_learn(struct group_version *gv);

/* "v1" (also until it is known) or "v1alpha1". Static text. Never blocks. */
const char *group_version_get(struct group_version *gv);

#endif
