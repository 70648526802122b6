/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_orphan.h - one look at a Secret that a pod may have left without an owner. Where it has
 * none, the pod becomes its owner: with the pod it goes. Does not know when that is done.
 */
#ifndef LOCKET_AGENT_SECRET_ORPHAN_H
#define LOCKET_AGENT_SECRET_ORPHAN_H

#include "agent/kube_api.h"

struct secret_orphan { /* everything is borrowed */
    struct kube_api *api;
    struct cancel *cancel;
    const char *ns;
    const char *secret;
    const char *class_name;
    const char *pod_name;
    const char *pod_uid;
    const char *seen; /* its version at an earlier look; NULL: this is the first */
};

/* Looks. An orphan that is as it was at the last look gets the pod as its owner: whoever is just
 * giving it others would have done so by now. *ret_seen: one is there and is to be looked at again
 * after a while, the caller's to free; NULL: there is nothing to do any more. Blocks for two calls
 * at most. Errors: those of kube_call; ABORTED: it was changed meanwhile, look again. */
must_check int secret_orphan_look(const struct secret_orphan *orphan, char **ret_seen,
                                  struct error *err);

#endif
