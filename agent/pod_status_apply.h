/* SPDX-License-Identifier: Apache-2.0
 *
 * pod_status_apply.h - writes one SecretProviderClassPodStatus to the API server.
 * Does not know when, nor what it says (pod_status_object.h).
 */
#ifndef LOCKET_AGENT_POD_STATUS_APPLY_H
#define LOCKET_AGENT_POD_STATUS_APPLY_H

#include "agent/kube_api.h"

/* A piece of work, with copies of all it needs. */
struct pod_status_write {
    struct kube_api *api;
    struct cancel *cancel;
    const char *node_label; /* borrowed */
    struct strbuf body;
    char *path;
    char *pod_name;
    char *pod_uid;
    bool looked; /* whose the object was before us is known */
};

/* Frees what it holds. */
void pod_status_write_done(struct pod_status_write *write);

/* Applies the object by force. Before the first time looks whose it is: one that is left of an
 * earlier pod of the same name (a StatefulSet's) would be collected with its owner, so that one
 * goes, under a test of resourceVersion. Errors: those of kube_call. */
must_check int pod_status_apply(const struct pod_status_write *write, struct error *err);

#endif
