/* SPDX-License-Identifier: Apache-2.0
 *
 * pod_status_apply.h - writes one SecretProviderClassPodStatus to the API server.
 * Does not know when, nor what it says (pod_status_object.h).
 */
#ifndef LOCKET_AGENT_POD_STATUS_APPLY_H
#define LOCKET_AGENT_POD_STATUS_APPLY_H

#include "agent/pod_status_row.h"

enum { POD_STATUS_SHOWN_MAX = 2 * FILESET_FILES_MAX };

/* A piece of work, with copies of all it needs. */
struct pod_status_write {
    struct kube_api *api;
    struct cancel *cancel;
    const char *node_label; /* borrowed */
    const char *version;    /* of the group; static text */
    struct strbuf body;
    char *path;
    char *pod_name;
    char *pod_uid;
    bool looked; /* whose the object was before us is known */
};

/* Frees what it holds. */
void pod_status_write_done(struct pod_status_write *write);

/* Looks whose the object is that is there. One of an earlier pod of the same name (a StatefulSet's)
 * would be collected with its owner, so that one goes, under a test of resourceVersion. Of one of
 * this pod *ret_found tells, and *ret gets what it says: at most POD_STATUS_SHOWN_MAX objects.
 * Ownership: object_list_done. Errors: those of kube_call. */
must_check int pod_status_look(const struct pod_status_write *write, bool *ret_found,
                               struct object_list *ret, struct error *err);

/* Applies the object by force. Errors: those of kube_call. */
must_check int pod_status_apply(const struct pod_status_write *write, struct error *err);

#endif
