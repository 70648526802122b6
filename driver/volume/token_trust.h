/* SPDX-License-Identifier: Apache-2.0
 *
 * token_trust.h - who wrote the pod's names and tokens of a publish: kubelet, or whoever wrote the
 * pod. The cluster's CSIDriver object tells. Does not look into a token.
 */
#ifndef LOCKET_VOLUME_TOKEN_TRUST_H
#define LOCKET_VOLUME_TOKEN_TRUST_H

#include <pthread.h>

#include "driver/cluster/cluster.h"
#include "lib/base/metrics.h"
#include "lib/base/tree.h"

/* Any thread. While nothing is known of the object (no cluster, or it was not read yet) everything
 * is as kubelet is supposed to have written it. */
struct token_trust {
    pthread_mutex_t lock; /* leaf */
    struct metrics *metrics;
    struct csi_driver_facts facts; /* guarded by lock; its audiences are copies */
    bool known;                    /* guarded by lock */
};

/* Nothing is known yet. metrics: where what is dropped is counted. */
void token_trust_init(struct token_trust *trust, struct metrics *metrics);
void token_trust_done(struct token_trust *trust);

/* What the object says now. */
void token_trust_set(struct token_trust *trust, const struct csi_driver_facts *facts);

/* May a new volume be published? Without podInfoOnMount a pod's author writes the pod's name,
 * namespace and account himself: FAILED_PRECONDITION, with the line that is missing. */
must_check int token_trust_admit(struct token_trust *trust, struct error *err);

/* Why tokens of this place do not count: the request's secrets, or its volume_context; NULL: they
 * do. kubelet writes them to one of both and only with tokenRequests; in the other they are the
 * author's. Those that do not are counted. NULL trust: all do. Ownership: static text. */
const char *token_trust_refusal(struct token_trust *trust, bool in_secrets);

/* Takes the audiences that tokenRequests does not name out of a map of tokens, and counts them. The
 * number taken out. NULL trust: none. */
size_t token_trust_drop(struct token_trust *trust, struct tree *tokens);

/* Does rotation lack fresh tokens, since nothing republishes? */
bool token_trust_lacks_republish(struct token_trust *trust);

#endif
