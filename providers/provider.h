/* SPDX-License-Identifier: Apache-2.0
 *
 * provider.h - seam `provider`: one store. Does not know gRPC nor the wire's JSON (request.h).
 */
#ifndef LOCKET_PROVIDERS_PROVIDER_H
#define LOCKET_PROVIDERS_PROVIDER_H

#include "lib/base/cancel.h"
#include "lib/model/fetch_how.h"
#include "lib/model/fileset.h"
#include "lib/model/pairs.h"

struct provider;
struct provider_config;

/* One pod's wish, checked. Everything is borrowed for the length of the call. */
struct fetch_request {
    struct pairs params;  /* class parameters and kubelet's context, without tokens */
    struct pairs tokens;  /* service account tokens by audience */
    struct pairs secrets; /* nodePublishSecretRef */
    mode_t default_mode;
    const char *volume_id; /* "" when the caller did not say */
    int64_t left_ms;       /* until the caller's deadline */
    struct cancel *cancel;
    struct fetch_how *how; /* filled by the store as far as it came, also when it fails */
};

/* Contract (tests/contract/test_provider.c): any thread, several fetches at a time. */
struct provider_ops {
    const char *name; /* spec.provider of a SecretProviderClass */
    /* Adds every file and version the request asks for to ret, or fails having added none; within
     * left_ms. Errors never contain a token, a secret or a piece of the store's reply. */
    int (*fetch)(struct provider *self, const struct fetch_request *req, struct fileset *ret,
                 struct error *err);
    /* The volume is gone: what was kept for it may go. */
    void (*release)(struct provider *self, const char *volume_id);
    /* Frees self and all it owns. */
    void (*free)(struct provider *self);
};

struct provider { /* first member of every provider's own struct */
    const struct provider_ops *ops;
};

/* The context keys of a request. */
#define POD_NAME "csi.storage.k8s.io/pod.name"
#define POD_NAMESPACE "csi.storage.k8s.io/pod.namespace"
#define POD_UID "csi.storage.k8s.io/pod.uid"
#define SERVICE_ACCOUNT "csi.storage.k8s.io/serviceAccount.name"
#define CLASS_NAME "secretProviderClass"
#define TOKENS "csi.storage.k8s.io/serviceAccount.tokens"

/* A parameter or context value; "" when absent. */
const char *fetch_request_get(const struct fetch_request *req, const char *key);

/* One object of the `objects` parameter, as most stores spell them. */
struct object {
    const char *name;     /* objectName */
    mode_t mode;          /* filePermission, or the request's default */
    const char *encoding; /* "" when absent */
    const struct tree *node;
};

struct tree;

/* Parses the `objects` parameter: a YAML list of maps; each name is a checked path, all differ.
 * *ret_tree owns the texts. Errors: INVALID_ARGUMENT, upstream's texts. Ownership: free(*ret) and
 * tree_free(*ret_tree). */
must_check int objects_read(const struct fetch_request *req, struct tree **ret_tree,
                            struct object **ret, size_t *ret_count, struct error *err);

/* Bytes as the object's encoding says: utf-8 (as they are), base64, hex; without case. */
must_check int object_decode(const struct object *object, struct secret *bytes, struct error *err);

/* A version of content that tells nothing of it: HMAC under the provider's key of name and bytes.
 * Ownership: the caller frees. */
must_check int object_version_make(const struct secret *key, const char *config,
                                   const struct secret *bytes, char **ret, struct error *err);

/* The stores that are built in; rows of registry.c. */
struct provider_row {
    const char *name;
    int (*make)(const struct provider_config *config, struct provider **ret, struct error *err);
    bool network; /* is the store reached over a network? Its process has TCP and DNS then */
};
extern const struct provider_row provider_rows[];
extern const size_t provider_row_count;

/* Makes a store from the flags, which outlive it. Ownership: ops->free. */
must_check int provider_file_new(const struct provider_config *config, struct provider **ret,
                                 struct error *err);
must_check int provider_vault_new(const struct provider_config *config, struct provider **ret,
                                  struct error *err);

#endif
