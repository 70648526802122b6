/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/credentials.h"

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"
#include "lib/base/redact.h"

void credentials_done(struct credentials *c)
{
    sealed_done(&c->tokens);
    sealed_done(&c->secrets);
    c->refusal = NULL;
    c->expires_at_unix_ms = 0;
    c->id[0] = '\0';
}

/* One claim of a token against what kubelet said of the pod. A claim that is absent says nothing:
 * the store is the judge of what a token must carry. */
static int claim_matches(const char *what, const char *claim, const char *want,
                         const char *audience, struct error *err)
{
    if (!claim || !want || !*want || strcmp(claim, want) == 0)
        return 0;
    error_set(err, CODE_PERMISSION_DENIED,
              "the service account token for audience \"%.100s\" belongs to another %s than the "
              "pod that asks: check CSIDriver podInfoOnMount",
              audience, what);
    return error_reason(err, "TokenMismatch");
}

static int claims_check(const struct tree *claims, const char *audience,
                        const struct token_owner *owner, struct error *err)
{
    const struct tree *kubernetes = tree_get(claims, "kubernetes.io");
    const struct tree *pod = tree_get(kubernetes, "pod");
    const struct tree *account = tree_get(kubernetes, "serviceaccount");

    if (claim_matches("namespace", tree_get_text(kubernetes, "namespace"), owner->ns, audience,
                      err) < 0 ||
        claim_matches("pod", tree_get_text(pod, "uid"), owner->pod_uid, audience, err) < 0)
        return -1;
    return claim_matches("service account", tree_get_text(account, "name"), owner->service_account,
                         audience, err);
}

/* What is kept of a request's tokens beside themselves. */
struct token_facts {
    const char *refusal;        /* why they do not count; NULL: they do */
    int64_t expires_at_unix_ms; /* the first; 0: none expires */
    char id[CREDENTIAL_ID_MAX];
};

/* The first token's. It is text from outside: only what can be an id is taken. */
static void keep_id(const struct tree *claims, struct token_facts *facts)
{
    const char *id = tree_get_text(claims, "jti");
    size_t len = id ? strlen(id) : 0;

    if (*facts->id || !len || len >= sizeof(facts->id) ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != len)
        return;
    memcpy(facts->id, id, len + 1);
}

/* The claims of a JWT: the middle of its three parts. Something else than a JWT has none to check;
 * whether it is any good is the store's to say. */
static int token_check(const char *token, const char *audience, const struct token_owner *owner,
                       struct token_facts *facts, struct error *err)
{
    const char *start = strchr(token, '.');
    const char *end = start ? strchr(start + 1, '.') : NULL;
    struct secret payload CLEANUP(secret_done) = { 0 };
    struct tree *claims autotree = NULL;

    if (!end ||
        base64_decode(BASE64_URL_RAW, start + 1, (size_t)(end - start - 1), &payload, NULL) < 0)
        return 0;
    if (json_parse((const char *)payload.bytes, payload.len, &claims, NULL) < 0)
        return 0;
    keep_id(claims, facts);
    return claims_check(claims, audience, owner, err);
}

static int tokens_check(const struct tree *tokens, const struct token_owner *owner,
                        struct token_facts *facts, struct error *err)
{
    if (tokens->kind != TREE_MAP || tree_count(tokens) > TOKENS_AUDIENCES_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "%s must be a JSON map of at most %d audiences", CONTEXT_TOKENS,
                         TOKENS_AUDIENCES_MAX);
    for (const struct tree *t = tokens->child; t; t = t->next) {
        const char *token = tree_get_text(t, "token");
        const char *expires = tree_get_text(t, "expirationTimestamp");
        int64_t at = 0;

        if (!token)
            return error_set(err, CODE_INVALID_ARGUMENT, "%s has no token for audience \"%.100s\"",
                             CONTEXT_TOKENS, t->key);
        if (expires && stamp_parse(expires, &at, err) < 0)
            return error_within(err, "%s", CONTEXT_TOKENS);
        if (token_check(token, t->key, owner, facts, err) < 0)
            return -1;
        if (at && (!facts->expires_at_unix_ms || at < facts->expires_at_unix_ms))
            facts->expires_at_unix_ms = at;
    }
    return 0;
}

/* The request's tokens as far as they count: *ret holds JSON, which is empty when there are none.
 */
static int trusted_tokens(const struct publish_request *req, struct token_trust *trust,
                          struct strbuf *ret, struct token_facts *facts, struct error *err)
{
    struct token_owner owner = {
        .ns = publish_request_get(req, CONTEXT_POD_NAMESPACE),
        .pod_uid = publish_request_get(req, CONTEXT_POD_UID),
        .service_account = publish_request_get(req, CONTEXT_SERVICE_ACCOUNT),
    };
    struct tree *tokens autotree = NULL;
    size_t len = req->tokens ? strlen(req->tokens) : 0;

    if (len > TOKENS_BYTES_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT, "%s has more than %d bytes", CONTEXT_TOKENS,
                         TOKENS_BYTES_MAX);
    facts->refusal = len ? token_trust_refusal(trust, req->tokens_in_secrets) : NULL;
    if (!len || facts->refusal)
        return 0;
    if (json_parse(req->tokens, len, &tokens, err) < 0)
        return error_within(err, "%s", CONTEXT_TOKENS);
    if (tokens_check(tokens, &owner, facts, err) < 0)
        return -1;
    if (!token_trust_drop(trust, tokens))
        strbuf_add(ret, req->tokens, len);
    else if (tokens->child)
        json_write(ret, tokens);
    return 0;
}

int credentials_take(struct credentials *c, const struct publish_request *req,
                     struct token_trust *trust, struct error *err)
{
    struct strbuf tokens CLEANUP(strbuf_done) = { .sensitive = true };
    struct strbuf secrets CLEANUP(strbuf_done) = { .sensitive = true };
    struct token_facts facts = { 0 };

    if (trusted_tokens(req, trust, &tokens, &facts, err) < 0)
        return -1;
    sealed_set(&c->tokens, strbuf_text(&tokens), tokens.len);
    if (req->secrets.count)
        pairs_json(&req->secrets, &secrets);
    sealed_set(&c->secrets, strbuf_text(&secrets), secrets.len);
    c->refusal = facts.refusal;
    c->expires_at_unix_ms = facts.expires_at_unix_ms;
    memcpy(c->id, facts.id, sizeof(c->id));
    return 0;
}

bool credentials_same(const struct credentials *c, const struct publish_request *req)
{
    struct strbuf secrets CLEANUP(strbuf_done) = { .sensitive = true };

    if (!sealed_holds(&c->tokens, req->tokens, req->tokens ? strlen(req->tokens) : 0))
        return false;
    if (req->secrets.count)
        pairs_json(&req->secrets, &secrets);
    return sealed_holds(&c->secrets, strbuf_text(&secrets), secrets.len);
}

void credentials_copy(struct credentials *dst, const struct credentials *src)
{
    struct secret tokens CLEANUP(secret_done) = sealed_open(&src->tokens);
    struct secret secrets CLEANUP(secret_done) = sealed_open(&src->secrets);

    sealed_set(&dst->tokens, tokens.bytes, tokens.len);
    sealed_set(&dst->secrets, secrets.bytes, secrets.len);
    dst->refusal = src->refusal;
    dst->expires_at_unix_ms = src->expires_at_unix_ms;
    memcpy(dst->id, src->id, sizeof(dst->id));
}

size_t credentials_bytes(const struct credentials *c)
{
    return c->tokens.len + c->secrets.len;
}

bool credentials_has_tokens(const struct credentials *c)
{
    return c->tokens.len > 0;
}

bool credentials_has_secrets(const struct credentials *c)
{
    return c->secrets.len > 0;
}

bool credentials_are_fresh(const struct credentials *c, int64_t now_unix_ms)
{
    return c->tokens.len &&
           (!c->expires_at_unix_ms || now_unix_ms + CREDENTIAL_SLACK_MS < c->expires_at_unix_ms);
}

static bool is_listed(const char *audience, const char *const *audiences, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(audience, audiences[i]) == 0)
            return true;
    return false;
}

int credentials_tokens(const struct credentials *c, const char *const *audiences, size_t count,
                       struct strbuf *out, struct error *err)
{
    struct secret plain CLEANUP(secret_done) = sealed_open(&c->tokens);
    struct tree *tokens autotree = NULL;

    if (!plain.len)
        return 0;
    if (!audiences) {
        strbuf_add(out, plain.bytes, plain.len);
        return 0;
    }
    if (json_parse((const char *)plain.bytes, plain.len, &tokens, err) < 0)
        return -1;
    for (struct tree **slot = &tokens->child; *slot;) {
        struct tree *t = *slot;

        if (is_listed(t->key, audiences, count)) {
            slot = &t->next;
            continue;
        }
        *slot = t->next;
        t->next = NULL;
        tree_free(t);
    }
    json_write(out, tokens);
    return 0;
}

void credentials_secrets(const struct credentials *c, struct strbuf *out)
{
    struct secret plain CLEANUP(secret_done) = sealed_open(&c->secrets);

    if (plain.len)
        strbuf_add(out, plain.bytes, plain.len);
    else
        strbuf_add_text(out, "null");
}

/* Calls back with every text value of a sealed JSON document, at any depth. */
static void redact_values(const struct tree *t, struct redaction *r)
{
    for (; t; t = t->next) {
        if (t->text)
            redaction_value(r, t->text, t->text_len);
        redact_values(t->child, r);
    }
}

static void redact_sealed(const struct sealed *s, struct redaction *r)
{
    struct secret plain CLEANUP(secret_done) = sealed_open(s);
    struct tree *values autotree = NULL;

    if (plain.len && json_parse((const char *)plain.bytes, plain.len, &values, NULL) == 0)
        redact_values(values, r);
}

void credentials_redact(const struct credentials *c, char *text)
{
    struct redaction r = redaction_of(text);

    if (c) {
        redact_sealed(&c->tokens, &r);
        redact_sealed(&c->secrets, &r);
    }
    redaction_shapes(&r);
    redaction_apply(&r);
}
