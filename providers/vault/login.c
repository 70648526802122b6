/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/number.h"
#include "providers/vault/vault.h"

enum { LEASE_MAX_S = 10 * 365 * 24 * 3600 };

static void add_member(struct strbuf *out, const char *key, const char *value)
{
    strbuf_add_text(out, out->len ? "," : "{");
    json_add_text(out, key, strlen(key));
    strbuf_add_char(out, ':');
    json_add_text(out, value, strlen(value));
}

/* A token that a header cannot carry would split the request. */
static bool is_printable(const char *text)
{
    for (; *text; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return false;
    return true;
}

static int read_auth(const struct vault_session *s, const struct http_reply *reply,
                     struct lease *ret, struct error *err)
{
    struct tree *t autotree = NULL;
    const struct tree *auth;
    const struct tree *lease;
    const char *token;
    int64_t seconds = 0;

    if (json_parse(reply->body.len ? (const char *)reply->body.bytes : "", reply->body.len, &t,
                   err) < 0) {
        if (err)
            err->code = CODE_UNAVAILABLE; /* whoever answered, it was not the store */
        return error_within(err, "the answer to the login");
    }
    vault_note_request(s, t);
    auth = tree_get(t, "auth");
    token = tree_get_text(auth, "client_token");
    if (!token || !*token || !is_printable(token))
        return error_set(err, CODE_UNAVAILABLE, "the answer to the login holds no token");
    lease = tree_get(auth, "lease_duration");
    if (!lease || lease->kind != TREE_NUMBER ||
        number_parse(lease->text, 0, LEASE_MAX_S, &seconds, NULL) < 0)
        seconds = 0;
    ret->bytes = secret_copy(token, strlen(token));
    ret->lease_ms = seconds * 1000;
    return 0;
}

/* The pod's token: kubelet's, else one that is minted. Ownership: the caller wipes. */
static int take_jwt(const struct vault_session *s, char **ret, struct error *err)
{
    const struct vault_identity *id = s->id;
    struct lease_got minted CLEANUP(lease_got_done) = { 0 };
    struct mint_wish wish = {
        .pod_ns = id->pod_ns,
        .pod_name = id->pod_name,
        .pod_uid = id->pod_uid,
        .service_account = id->service_account,
        .audience = id->audience,
        .left_ms = s->deadline_ms - clock_mono_ms(),
        .cancel = s->req->cancel,
    };

    if (id->jwt) {
        *ret = xstrdup(id->jwt);
        return 0;
    }
    if (mint_token(s->vault->minter, &wish, &minted, err) < 0)
        return -1;
    *ret = xstrndup((const char *)minted.bytes.bytes, minted.bytes.len);
    return 0;
}

/* kubernetes and jwt mounts take the same body; AppRole its own. */
static int log_in_once(const struct vault_session *s, struct lease *ret, struct error *err)
{
    const struct vault_identity *id = s->id;
    struct strbuf text CLEANUP(strbuf_done) = { .sensitive = true };
    struct secret body CLEANUP(secret_done) = { 0 };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    autofree char *path = str_printf("/v1/auth/%s/login", vault_auth_mount(s));
    struct vault_call call = { .method = "POST", .path = path, .body = &body };
    char *jwt autowipe = NULL;

    if (id->role_id) {
        add_member(&text, "role_id", id->role_id);
        add_member(&text, "secret_id", id->secret_id ? id->secret_id : "");
    } else {
        if (take_jwt(s, &jwt, err) < 0)
            return -1;
        add_member(&text, "jwt", jwt);
        add_member(&text, "role", id->role);
    }
    strbuf_add_char(&text, '}');
    body = strbuf_take_secret(&text);
    if (vault_request(s, &call, &reply, err) < 0)
        return error_within(err, "failed to login");
    if (reply.status < 200 || reply.status >= 300) {
        (void)vault_refused(&call, &reply, err);
        if (err && reply.status == 400) /* jwt mounts say so of a token that they do not believe */
            err->code = CODE_PERMISSION_DENIED;
        return error_within(err,
                            "failed to login: role \"%.64s\", namespace \"%.64s\", service account "
                            "%.64s/%.64s, audience \"%.64s\"",
                            id->role, id->ns, id->pod_ns, id->service_account, id->audience);
    }
    return read_auth(s, &reply, ret, err);
}

static int log_in(void *arg, struct lease *ret, struct error *err)
{
    const struct vault_session *s = arg;
    int result = log_in_once(s, ret, err);

    s->req->how->logins += result == 0;
    s->req->how->logins_failed += result < 0;
    return result;
}

static const char *or_none(const char *text)
{
    return text ? text : "";
}

/* Everything that decides whom a token speaks for, and which server is believed. The jwt itself is
 * not part of it where the pod is named: kubelet renews it all the time. Made at once: text that
 * grows would leave a secret id behind. */
static char *identity_text(const struct vault_identity *id)
{
    const struct http_tls *tls = &id->tls;
    bool named = *id->pod_uid != '\0';

    return str_printf("%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%d\n%s",
                      id->base, or_none(id->unix_socket), id->ns, id->role, id->mount, id->audience,
                      id->pod_uid, id->pod_ns, id->service_account, or_none(id->role_id),
                      or_none(id->secret_id), or_none(tls->ca_file), or_none(tls->ca_folder),
                      or_none(tls->server_name), or_none(tls->cert_file), or_none(tls->key_file),
                      tls->skip_verify, named ? "" : or_none(id->jwt));
}

char *vault_lease_identity(const struct vault_session *s, const char *call)
{
    char *identity autowipe = identity_text(s->id);

    return str_printf("%s\n%s\n%s\n%s", identity, s->id->static_token ? s->id->static_token : "",
                      s->req->volume_id, call);
}

int vault_token(const struct vault_session *s, struct lease_got *ret, struct error *err)
{
    char *identity autowipe = identity_text(s->id);
    struct lease_wish wish = { .identity = identity, .obtain = log_in, .arg = (void *)s };

    if (!s->id->static_token)
        return lease_cache_get(s->vault->tokens, &wish, ret, err);
    if (!is_printable(s->id->static_token))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "the token of nodePublishSecretRef holds characters that no token has");
    *ret = (struct lease_got){
        .bytes = secret_copy(s->id->static_token, strlen(s->id->static_token)),
        .renew_at_ms = INT64_MAX,
        .expires_at_ms = INT64_MAX,
    };
    return 0;
}

void vault_token_refused(const struct vault_session *s)
{
    char *identity autowipe = identity_text(s->id);

    lease_cache_drop(s->vault->tokens, identity);
}
