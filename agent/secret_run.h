/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_run.h - the files of a volume become one Secret, now. Does not know when, nor what is done
 * about a failure.
 */
#ifndef LOCKET_AGENT_SECRET_RUN_H
#define LOCKET_AGENT_SECRET_RUN_H

#include "agent/audit.h"
#include "agent/pod_watch.h"
#include "agent/secret_apply.h"
#include "lib/model/class.h"
#include "locket/cluster.pb-c.h"

/* Everything is borrowed. */
struct secret_run {
    struct kube_api *api;
    struct cancel *cancel;
    struct pod_watch *pods;
    struct audit *audit;         /* NULL: none */
    const struct chain_key *key; /* digests the content; NULL: it is not */
    const char *pod_name;
    const char *pod_uid;
    const struct class *class;
    const Locket__Cluster__V1__SyncRequest *files;
};

/* Takes the class's secretObject at this place from the files to the API server, owned by the pod's
 * owners; by the pod itself when it has none. What is sent to the API server, also where no answer
 * came or an owner failed, and what is denied, is a line of the audit. Blocks for some calls.
 * Errors: with *ret INVALID those of secret_object_check and secret_data_make, or a file that is
 * not there; else those of secret_apply; FAILED_PRECONDITION while the pod is not known. */
must_check int secret_run(const struct secret_run *run, size_t place, enum secret_result *ret,
                          struct error *err);

#endif
