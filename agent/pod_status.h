/* SPDX-License-Identifier: Apache-2.0
 *
 * pod_status.h - keeps a SecretProviderClassPodStatus for each pod and class of this node: written
 * when what it says changes, every ten minutes, and when somebody deleted it. Output only: nothing
 * in the objects is ever read back as a path or an identity; of one that was there before us the
 * versions are shown on. Their end is the garbage collector's.
 */
#ifndef LOCKET_AGENT_POD_STATUS_H
#define LOCKET_AGENT_POD_STATUS_H

#include "agent/group_version.h"
#include "lib/model/fileset.h"

enum { POD_STATUS_TOLD_MS = 30000 };

struct pod_status;

/* A volume that has files; everything is borrowed. */
struct pod_volume {
    const char *volume_id;
    const char *ns;
    const char *pod_name;
    const char *pod_uid;
    const char *class_name;
    const char *target;
    const struct object_version *objects;
    size_t object_count;
    bool taken_over; /* the content was there before us: what an object of this pod says of it is
                        shown until it changes, since controllers restart what has changed */
};

struct pod_status_metrics {
    struct metrics *metrics;
    size_t applied; /* row with label result */
};

/* Who is spoken to, and as what; borrowed for as long as it lives. */
struct pod_status_config {
    struct kube_api *api;
    struct group_version *version;
    const char *node_name; /* for the call */
    struct pod_status_metrics metrics;
};

/* Starts its threads; a watch of this node's objects with the first volume.
 * Ownership: pod_status_free, which waits for what is being written. */
must_check int pod_status_new(const struct pod_status_config *config, struct pod_status **ret,
                              struct error *err);
void pod_status_free(struct pod_status *ps);

/* A volume as it is now. True: it was not known. Never blocks. */
bool pod_status_set(struct pod_status *ps, const struct pod_volume *volume);

/* It is unpublished. *ret_ns: its namespace, the caller's; true when it was known. Never blocks. */
bool pod_status_remove(struct pod_status *ps, const char *volume_id, char **ret_ns);

/* A driver has come that will tell of all its volumes within POD_STATUS_TOLD_MS: those it does not
 * tell of are no more. Never blocks. */
void pod_status_expect_all(struct pod_status *ps);

/* One of those; the texts are the caller's. */
struct pod_untold {
    char *volume_id;
    char *ns;
};

/* Takes one of those out. False: there is none. Never blocks. */
bool pod_status_take_untold(struct pod_status *ps, struct pod_untold *ret);

/* Volumes known, and objects that are not written as they should be. */
size_t pod_status_volumes(struct pod_status *ps);
size_t pod_status_behind(struct pod_status *ps);

#endif
