/* SPDX-License-Identifier: Apache-2.0
 *
 * kube_api.h - one call to the API server: who we are, how fast we may ask, what its answers mean.
 * Does not know any kind of object, nor when to ask again.
 */
#ifndef LOCKET_AGENT_KUBE_API_H
#define LOCKET_AGENT_KUBE_API_H

#include "agent/kube_config.h"
#include "lib/base/cancel.h"
#include "lib/base/metrics.h"
#include "lib/base/tree.h"

#define KUBE_TYPE_APPLY "application/apply-patch+yaml" /* JSON is YAML */
#define KUBE_TYPE_MERGE "application/merge-patch+json"
#define KUBE_TYPE_STRATEGIC "application/strategic-merge-patch+json"
#define KUBE_TYPE_JSON_PATCH "application/json-patch+json"
#define KUBE_TYPE_JSON "application/json"
#define KUBE_ACCEPT_METADATA                                                                       \
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"                                \
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

enum {
    KUBE_CALL_MS = 15000,     /* of a call that sets no time of its own */
    KUBE_REPLY_MAX = 4 << 20, /* an object has 1.5 MiB at most, a page of a list what we asked */
    KUBE_QPS = 20,            /* our own limit, and how many may come at once after a pause */
    KUBE_BURST = 40,
};

struct kube_api;

/* What is counted of it; NULL metrics: nothing. */
struct kube_api_metrics {
    struct metrics *metrics;
    size_t requests; /* row with labels method, code */
    size_t throttled_seconds;
};

/* A client. Takes the config over. Any number of threads. Ownership: kube_api_free. */
struct kube_api *kube_api_new(struct kube_config *config, const struct kube_api_metrics *metrics);
void kube_api_free(struct kube_api *api);

struct kube_request {
    const char *method;
    const char *path;          /* from '/', with its query */
    const char *accept;        /* NULL: JSON */
    const char *type;          /* of the body */
    const struct strbuf *body; /* NULL: none */
    int64_t timeout_ms;        /* 0: KUBE_CALL_MS */
    struct cancel *cancel;
    bool sensitive; /* body or answer has secret bytes: the server's own words are kept out of
                       errors, and no buffer of the connection keeps them */
    struct tree **refusal; /* NULL: not wanted; else the Status of an answer that is no success, the
                              caller's by tree_free. What it says may quote the body. */
    int (*sink)(void *arg, const void *bytes, size_t len, struct error *err); /* as in http.h */
    void *sink_arg;
};

/* Asks and waits: first for our own rate limit. A token that was refused is read again, once.
 * *ret (may be NULL): the answer's value tree, the caller's by tree_free; NULL with a sink.
 * Errors  by status and reason of the answer: INVALID_ARGUMENT (400, 422), UNAUTHENTICATED,
 *         PERMISSION_DENIED, NOT_FOUND (404 with a Status), ALREADY_EXISTS, ABORTED (409:
 *         conflict), OUT_OF_RANGE (410: start anew), UNAVAILABLE (429 and 5xx, with
 *         retry_after_ms; a 404 of somebody else; a token that cannot be read), UNIMPLEMENTED
 *         (405, 415); those of the connection. The text names method and path without query. */
must_check int kube_call(struct kube_api *api, const struct kube_request *request,
                         struct tree **ret, struct error *err);

/* The same for a GET. */
must_check int kube_get(struct kube_api *api, const char *path, struct cancel *cancel,
                        struct tree **ret, struct error *err);

/* When did the server last answer at all, as clock_mono_ms(); 0: never. */
int64_t kube_api_answered_ms(struct kube_api *api);

/* The error of a Status object (an answer that failed, an ERROR of a watch). Returns -1. */
int kube_status_error(const struct tree *status, long http_status, struct error *err);

/* metadata.name and so on; NULL when absent. Borrowed. */
const char *kube_meta(const struct tree *object, const char *field);

#endif
