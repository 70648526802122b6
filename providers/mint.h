/* SPDX-License-Identifier: Apache-2.0
 *
 * mint.h - tokens of pods that kubelet did not send: asked of the API server, each bound to its pod
 * and for ten minutes, with an account of our own (--mint-tokens). Does not know what a token is
 * for.
 */
#ifndef LOCKET_PROVIDERS_MINT_H
#define LOCKET_PROVIDERS_MINT_H

#include "lib/base/cancel.h"
#include "providers/config.h"
#include "providers/lease_cache.h"

enum {
    MINT_LIFE_S = 600, /* the least that the API server takes; the most that our role may ask for */
    MINT_REPLY_MAX = 256 << 10,
    MINT_CALL_MS = 10000,
    MINT_KEPT_MAX = 1000,    /* tokens; the longest unused goes first */
    MINT_AUDIENCE_MAX = 512, /* characters */
};

struct minter;

/* A minter, or NULL in *ret where --mint-tokens is off. The token of our own account and the CA are
 * read of the folder at each call: kubelet renews them. Ownership: minter_free (NULL is fine).
 * Errors: INVALID_ARGUMENT for a server that is no https URL; FAILED_PRECONDITION when none is
 * named and we are in no cluster. */
must_check int minter_new(const struct provider_config *config, struct minter **ret,
                          struct error *err);
void minter_free(struct minter *minter);

/* For whom, all borrowed. */
struct mint_wish {
    const char *pod_ns;
    const char *pod_name;
    const char *pod_uid;
    const char *service_account;
    const char *audience;
    int64_t left_ms;
    struct cancel *cancel;
};

/* A token of the pod's account for the audience: kept, sealed, until two thirds of its life have
 * gone. Blocks for a call of the API server when there is none. Any thread. Ownership:
 * lease_got_done. Errors  INVALID_ARGUMENT when the request does not name its pod;
 * PERMISSION_DENIED (403: is the role there?), NOT_FOUND (404, 409: pod or account are gone or
 * others), UNAVAILABLE (the server, or an answer that is none); those of the connection. None has a
 * token in it. */
must_check int mint_token(struct minter *minter, const struct mint_wish *wish,
                          struct lease_got *ret, struct error *err);

#endif
