/* SPDX-License-Identifier: Apache-2.0
 *
 * vault.h - what the files of the Vault and OpenBao store share: an identity (where, as whom),
 * calls, tokens. Private to providers/vault.
 */
#ifndef LOCKET_PROVIDERS_VAULT_VAULT_H
#define LOCKET_PROVIDERS_VAULT_VAULT_H

#include "lib/base/tree.h"
#include "lib/net/http.h"
#include "providers/config.h"
#include "providers/lease_cache.h"
#include "providers/mint.h"
#include "providers/provider.h"

struct vault {
    struct provider base;
    const struct provider_config *config;
    struct http_client *http;
    struct minter *minter;      /* NULL: off */
    struct lease_cache *tokens; /* by identity */
    struct lease_cache *leases; /* dynamic credentials, by volume and call */
};

/* Where a class's secrets are and who asks for them, of parameters over flags. Texts are borrowed
 * from request and config; base is owned. */
struct vault_identity {
    char *base;              /* URL without a trailing slash; http://localhost for a unix socket */
    const char *unix_socket; /* of unix:///path; NULL: none */
    const char *ns;          /* X-Vault-Namespace; "" for none */
    struct http_tls tls;
    const char *role;
    const char *mount; /* auth mount */
    const char *audience;
    const char *jwt;          /* NULL: none was sent for that audience, and it is to be minted */
    const char *static_token; /* of nodePublishSecretRef; NULL: none */
    const char *role_id;      /* AppRole, of nodePublishSecretRef; NULL: none */
    const char *secret_id;
    const char *pod_name;
    const char *pod_uid;
    const char *service_account;
    const char *pod_ns;
};

/* Reads and checks them, before any call. Ownership: vault_identity_done. INVALID_ARGUMENT naming
 * the parameter; FAILED_PRECONDITION when no token was sent for the audience and none is minted. */
must_check int vault_identity_read(const struct vault *vault, const struct fetch_request *req,
                                   struct vault_identity *ret, struct error *err);
void vault_identity_done(struct vault_identity *id);

/* One fetch in progress. */
struct vault_session {
    struct vault *vault;
    const struct fetch_request *req;
    const struct vault_identity *id;
    int64_t deadline_ms; /* monotonic */
};

/* One API call with Vault's headers, retried as its SDK does (connection errors, 412, 429, 5xx but
 * 501: up to 2 times, Retry-After honoured) within the deadline; at most one redirect, never to
 * plain HTTP from HTTPS. token may be NULL. *ret is a reply with any other status. Errors:
 * http.h's; RESOURCE_EXHAUSTED with retry_after_ms when 429 stays. */
struct vault_call {
    const char *method;
    const char *path; /* "/v1/..." with its query */
    const struct secret *token;
    const struct secret *body;
};
must_check int vault_request(const struct vault_session *s, const struct vault_call *call,
                             struct http_reply *ret, struct error *err);

/* Turns a reply that is no success into an error: code by status, Vault's own error texts (they
 * name rules, not values) shortened. Returns -1. */
int vault_refused(const struct vault_call *call, const struct http_reply *reply, struct error *err);

/* Tells how the session goes about it: where, as what. */
void vault_note_session(const struct vault_session *s);

/* Tells the id that Vault gave to a call, by its answer. */
void vault_note_request(const struct vault_session *s, const struct tree *reply);

/* Tells of a lease that was handed out. */
void vault_note_lease(const struct vault_session *s, const struct lease_got *got);

/* The auth mount that the session logs in at. Borrowed. */
const char *vault_auth_mount(const struct vault_session *s);

/* A token for the session's identity: cached while fresh, else a login (one at a time per
 * identity). A cached one that meets a 403 may have been revoked. Ownership: secret_done. */
must_check int vault_token(const struct vault_session *s, struct lease_got *ret, struct error *err);

/* Whose lease a call's answer is: the session's identity, its volume, and the call. Ownership: the
 * caller wipes. */
char *vault_lease_identity(const struct vault_session *s, const char *call);

/* Forgets the cached token: it was refused. */
void vault_token_refused(const struct vault_session *s);

/* The API path of a secretPath: "/v1/" in front, clean, query sorted. INVALID_ARGUMENT for "..".
 * Ownership: the caller frees. */
must_check int vault_path(const char *secret_path, char **ret, struct error *err);

/* The bytes of one object out of a reply's JSON. id_bytes gets what the version is made of. */
must_check int vault_extract(const struct tree *reply, const char *secret_path,
                             const char *secret_key, struct secret *ret, struct error *err);

#endif
