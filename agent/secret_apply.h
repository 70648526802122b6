/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_apply.h - brings one Secret of the API server to what it is to be, and gives it its
 * owners. Does not know when, nor where its content comes from.
 */
#ifndef LOCKET_AGENT_SECRET_APPLY_H
#define LOCKET_AGENT_SECRET_APPLY_H

#include "agent/kube_api.h"
#include "agent/kube_owner.h"
#include "agent/secret_object.h"

struct secret_write { /* everything is borrowed */
    struct kube_api *api;
    struct cancel *cancel;
    struct secret_wish wish;
    const struct kube_owners *owners;
    bool *sent; /* set once content is sent to the API server, whatever becomes of it; NULL: nobody
                   wants to know */
};

/* What became of it, as the metrics name it. */
enum secret_result {
    SECRET_FAILED, /* nobody could be asked, or the answer says "later" */
    SECRET_APPLIED,
    SECRET_KEPT,    /* it was as wished */
    SECRET_YIELDED, /* another node's content is newer */
    SECRET_REFUSED, /* by us: it is somebody else's, or of another type */
    SECRET_DENIED,  /* by the API server: a policy, a role, a rule of Kubernetes */
    SECRET_INVALID, /* what the class or the provider gave is no Secret; nobody was asked */
};

/* "applied", "kept", ... */
const char *secret_result_name(enum secret_result result);

/* Looks, decides (secret_judge), applies without force unless the only others who wrote these
 * fields are the old driver's, and adds owners that are missing, each by a patch of its own. Two
 * nodes at once are kept apart by the object's version. Blocks: two calls where nothing is to be
 * done, four or five else. Any result but FAILED, REFUSED and DENIED: 0. Errors  with *ret FAILED:
 * those of the connection, ABORTED (try again); REFUSED: FAILED_PRECONDITION, saying what to do;
 * DENIED: by the answer, in the server's own words with every trace of the content blanked. */
must_check int secret_apply(const struct secret_write *w, enum secret_result *ret,
                            struct error *err);

#endif
