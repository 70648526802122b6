/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/mint.h"

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/fs.h"
#include "lib/base/json.h"
#include "lib/base/redact.h"
#include "lib/net/http.h"

enum { OWN_TOKEN_MAX = 64 << 10, WORDS_MAX = 200, HEADERS = 3 };

struct minter {
    char *server; /* without a '/' at its end */
    char *token_file;
    char *ca_file;
    struct http_client *http;
    struct lease_cache *kept; /* by pod, account and audience */
};

/* --- where the API server is -------------------------------------------------------------------
 */

static int find_server(const char *flag, char **ret, struct error *err)
{
    if (!*flag)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "--mint-tokens: this is no pod of a cluster; name --mint-api-server");
    if (!str_starts(flag, "https://") || strpbrk(flag, " @?#\r\n"))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--mint-api-server \"%.100s\" must be https://HOST:PORT", flag);
    *ret = xstrndup(flag, str_ends(flag, "/") ? strlen(flag) - 1 : strlen(flag));
    return 0;
}

int minter_new(const struct provider_config *config, struct minter **ret, struct error *err)
{
    struct minter *m;
    char *server = NULL;

    *ret = NULL;
    if (!config->mint_tokens)
        return 0;
    if (find_server(config->mint_api_server, &server, err) < 0)
        return -1;
    m = xcalloc(1, sizeof(*m));
    m->server = server;
    m->token_file = str_printf("%s/token", config->mint_token_folder);
    m->ca_file = str_printf("%s/ca.crt", config->mint_token_folder);
    m->http = http_client_new();
    m->kept = lease_cache_new(MINT_KEPT_MAX);
    *ret = m;
    return 0;
}

void minter_free(struct minter *m)
{
    if (!m)
        return;
    lease_cache_free(m->kept);
    http_client_free(m->http);
    free(m->server);
    free(m->token_file);
    free(m->ca_file);
    free(m);
}

/* --- asking ------------------------------------------------------------------------------------
 */

struct minting {
    struct minter *minter;
    const struct mint_wish *wish;
};

static void add_text(struct strbuf *out, const char *before, const char *text)
{
    strbuf_add_text(out, before);
    json_add_text(out, text, strlen(text));
}

static void write_request(const struct mint_wish *w, struct strbuf *out)
{
    strbuf_add_text(out, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\","
                         "\"spec\":{");
    add_text(out, "\"audiences\":[", w->audience);
    add_text(out,
             "],\"boundObjectRef\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":", w->pod_name);
    add_text(out, ",\"uid\":", w->pod_uid);
    strbuf_printf(out, "},\"expirationSeconds\":%d}}", MINT_LIFE_S);
}

static char *url_of(const struct minter *m, const struct mint_wish *w)
{
    struct strbuf url autostrbuf = { 0 };

    strbuf_printf(&url, "%s/api/v1/namespaces/", m->server);
    url_encode(&url, w->pod_ns, false);
    strbuf_add_text(&url, "/serviceaccounts/");
    url_encode(&url, w->service_account, false);
    strbuf_add_text(&url, "/token");
    return strbuf_take(&url);
}

static int ask(const struct minting *job, const char *own, struct http_reply *ret,
               struct error *err)
{
    const struct mint_wish *w = job->wish;
    autofree char *url = url_of(job->minter, w);
    struct strbuf who autostrbuf = { .sensitive = true };
    struct strbuf text autostrbuf = { 0 };
    const char *headers[HEADERS] = { "Content-Type: application/json", "Accept: application/json" };
    struct secret body;

    strbuf_printf(&who, "Authorization: Bearer %s", own);
    headers[HEADERS - 1] = strbuf_text(&who);
    write_request(w, &text);
    body = (struct secret){ (uint8_t *)text.text, text.len }; /* borrowed */
    return http_call(job->minter->http,
                     &(struct http_request){
                         .method = "POST",
                         .url = url,
                         .headers = headers,
                         .header_count = HEADERS,
                         .body = &body,
                         .tls = { .ca_file = job->minter->ca_file },
                         .timeout_ms = w->left_ms < MINT_CALL_MS ? w->left_ms : MINT_CALL_MS,
                         .reply_bytes_max = MINT_REPLY_MAX,
                         .forgets = true,
                         .allow_link_local = true, /* the cluster says where its server is */
                         .cancel = w->cancel,
                     },
                     ret, err);
}

/* --- the answer --------------------------------------------------------------------------------
 */

static enum code code_of(long status)
{
    switch (status) {
    case 401:
        return CODE_UNAUTHENTICATED;
    case 403:
    case 422: /* a policy's no */
        return CODE_PERMISSION_DENIED;
    case 404:
    case 409:
        return CODE_NOT_FOUND;
    default:
        return CODE_UNAVAILABLE;
    }
}

/* The server's own words name objects and policies. Who is in between may quote what it was sent.
 */
static void add_words(const struct http_reply *reply, const char *own, struct strbuf *out)
{
    struct tree *t autotree = NULL;
    const char *words;
    struct redaction r;

    if (json_parse(reply->body.len ? (const char *)reply->body.bytes : "", reply->body.len, &t,
                   NULL) < 0)
        return;
    words = tree_get_text(t, "message");
    if (!words)
        return;
    /* More than is said: cut after it is redacted, so that nothing is left of a token at the cut.
     */
    strbuf_printf(out, ": %.*s", 2 * WORDS_MAX, words);
    r = redaction_of(out->text);
    redaction_value(&r, own, strlen(own));
    redaction_shapes(&r);
    redaction_apply(&r);
}

static int refused(const struct mint_wish *w, const struct http_reply *reply, const char *own,
                   struct error *err)
{
    struct strbuf words autostrbuf = { .ceiling = ERROR_TEXT_MAX };

    add_words(reply, own, &words);
    (void)error_set(err, code_of(reply->status),
                    "no token could be minted for service account %.63s/%.253s, audience "
                    "\"%.64s\": %ld%.*s%s",
                    w->pod_ns, w->service_account, w->audience, reply->status, WORDS_MAX,
                    strbuf_text(&words),
                    reply->status == 403 ? " (is components/minting applied?)" : "");
    if (err)
        err->retry_after_ms = reply->retry_after_ms;
    return -1;
}

static bool is_token(const char *text)
{
    for (const char *c = text; c && *c; c++)
        if (*c <= 0x20 || *c >= 0x7f)
            return false;
    return text && *text;
}

static int read_token(const struct http_reply *reply, struct lease *ret, struct error *err)
{
    struct tree *t autotree = NULL;
    const struct tree *status;
    const int64_t most_ms = INT64_C(1000) * MINT_LIFE_S;
    int64_t ends_ms = 0;

    if (json_parse(reply->body.len ? (const char *)reply->body.bytes : "", reply->body.len, &t,
                   err) < 0) {
        if (err)
            err->code = CODE_UNAVAILABLE;
        return error_within(err, "the answer to a TokenRequest");
    }
    status = tree_get(t, "status");
    if (!is_token(tree_get_text(status, "token")) ||
        !tree_get_text(status, "expirationTimestamp") ||
        stamp_parse(tree_get_text(status, "expirationTimestamp"), &ends_ms, NULL) < 0)
        return error_set(err, CODE_UNAVAILABLE, "the answer to a TokenRequest holds no token");
    ret->bytes =
        secret_copy(tree_get_text(status, "token"), strlen(tree_get_text(status, "token")));
    ret->lease_ms = ends_ms - clock_unix_ms();
    if (ret->lease_ms > most_ms) /* clocks differ; ours is not asked for more */
        ret->lease_ms = most_ms;
    if (ret->lease_ms <= 0)
        ret->lease_ms = LEASE_NONE;
    return 0;
}

static int obtain(void *arg, struct lease *ret, struct error *err)
{
    const struct minting *job = arg;
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    char *own autowipe = NULL;

    if (fs_read_text(job->minter->token_file, OWN_TOKEN_MAX, &own, err) < 0)
        return error_within(err, "--mint-token-folder");
    if (!is_token(own))
        return error_set(err, CODE_FAILED_PRECONDITION, "%s holds no token",
                         job->minter->token_file);
    if (ask(job, own, &reply, err) < 0)
        return -1;
    if (reply.status / 100 != 2)
        return refused(job->wish, &reply, own, err);
    return read_token(&reply, ret, err);
}

int mint_token(struct minter *m, const struct mint_wish *w, struct lease_got *ret,
               struct error *err)
{
    struct minting job = { m, w };
    autofree char *identity = str_printf("%s\n%s\n%s\n%s\n%s", w->pod_ns, w->pod_name, w->pod_uid,
                                         w->service_account, w->audience);
    struct lease_wish wish = { .identity = identity, .obtain = obtain, .arg = &job };

    if (!*w->pod_ns || !*w->pod_name || !*w->pod_uid || !*w->service_account)
        return error_set(
            err, CODE_INVALID_ARGUMENT,
            "a token cannot be minted for a pod that is not named: set podInfoOnMount: "
            "true in the CSIDriver object");
    if (strlen(w->audience) > MINT_AUDIENCE_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT, "the audience has more than %d characters",
                         MINT_AUDIENCE_MAX);
    if (w->left_ms <= 0)
        return error_set(err, CODE_DEADLINE_EXCEEDED, "no time is left to mint a token");
    return lease_cache_get(m->kept, &wish, ret, err);
}
