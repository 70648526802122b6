/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/redact.h"
#include "providers/vault/vault.h"

enum {
    TRIES = 3, /* the SDK's MaxRetries 2 */
    WAIT_FIRST_MS = 1000,
    WAIT_MORE_MS = 250,
    TRY_TIMEOUT_MS = 60000, /* the SDK's */
    HEADERS = 4,
    REASON_MAX = 200,
};

static int64_t left_of(const struct vault_session *s)
{
    return s->deadline_ms - clock_mono_ms();
}

static int once(const struct vault_session *s, const struct vault_call *call, const char *url,
                struct http_reply *ret, struct error *err)
{
    struct strbuf token CLEANUP(strbuf_done) = { .sensitive = true };
    autofree char *ns = str_printf("X-Vault-Namespace: %s", s->id->ns);
    const char *headers[HEADERS] = { "X-Vault-Request: true" };
    struct http_request request = {
        .method = call->method,
        .url = url,
        .unix_socket = s->id->unix_socket,
        .headers = headers,
        .header_count = 1,
        .body = call->body,
        .tls = s->id->tls,
        .forgets = true,
        .timeout_ms = left_of(s) < TRY_TIMEOUT_MS ? left_of(s) : TRY_TIMEOUT_MS,
        .cancel = s->req->cancel,
    };

    if (*s->id->ns)
        headers[request.header_count++] = ns;
    if (call->body)
        headers[request.header_count++] = "Content-Type: application/json";
    if (call->token) {
        strbuf_add_text(&token, "X-Vault-Token: ");
        strbuf_add(&token, call->token->bytes, call->token->len);
        headers[request.header_count++] = strbuf_text(&token);
    }
    if (request.timeout_ms <= 0)
        return error_set(err, CODE_DEADLINE_EXCEEDED, "%s %s: no time is left", call->method, url);
    s->req->how->calls++;
    return http_call(s->vault->http, &request, ret, err);
}

/* One redirect (to the active node of a cluster), never from HTTPS to plain HTTP. */
static int with_redirect(const struct vault_session *s, const struct vault_call *call,
                         const char *url, struct http_reply *ret, struct error *err)
{
    autofree char *location = NULL;

    if (once(s, call, url, ret, err) < 0)
        return -1;
    if ((ret->status != 301 && ret->status != 302 && ret->status != 307) || !ret->location)
        return 0;
    location = xstrdup(ret->location);
    http_reply_done(ret);
    if (str_starts(url, "https://") && !str_starts(location, "https://"))
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "%s %s: a redirect from HTTPS to plain HTTP is refused", call->method,
                         url);
    return once(s, call, location, ret, err);
}

static bool is_worth_retrying(int result, const struct http_reply *reply, const struct error *err)
{
    if (result < 0)
        return err->code == CODE_UNAVAILABLE;
    return reply->status == 412 || reply->status == 429 ||
           (reply->status >= 500 && reply->status != 501);
}

/* Waits before the next try; false when the deadline (or a cancel) comes first. */
static bool wait_for_try(const struct vault_session *s, int tried, int64_t retry_after_ms)
{
    int64_t wait = WAIT_FIRST_MS + (int64_t)tried * WAIT_MORE_MS;

    wait = retry_after_ms > wait ? retry_after_ms : wait;
    return wait < left_of(s) && cancel_sleep_ms(s->req->cancel, wait);
}

int vault_request(const struct vault_session *s, const struct vault_call *call,
                  struct http_reply *ret, struct error *err)
{
    autofree char *url = str_printf("%s%s", s->id->base, call->path);

    for (int tried = 0;; tried++) {
        struct http_reply reply = { 0 };
        struct error mine = { 0 };
        int result = with_redirect(s, call, url, &reply, &mine);

        if (!is_worth_retrying(result, &reply, &mine) || tried + 1 == TRIES ||
            !wait_for_try(s, tried, reply.retry_after_ms)) {
            *ret = reply;
            return result < 0 ? error_copy(err, &mine) : 0;
        }
        http_reply_done(&reply);
    }
}

static enum code code_of(long status)
{
    switch (status) {
    case 400:
        return CODE_INVALID_ARGUMENT;
    case 401:
        return CODE_UNAUTHENTICATED;
    case 403:
        return CODE_PERMISSION_DENIED;
    case 404:
        return CODE_NOT_FOUND;
    case 429:
        return CODE_RESOURCE_EXHAUSTED;
    default:
        return status >= 500 || (status >= 300 && status < 400) ? CODE_UNAVAILABLE : CODE_UNKNOWN;
    }
}

/* Vault's own words, {"errors":["..."]}: they name rules and paths. Shown only for statuses where
 * they cannot quote a body, and never more than a line. */
static void add_words(const struct http_reply *reply, struct strbuf *out)
{
    struct tree *t autotree = NULL;
    const struct tree *errors;

    if (!reply->body.len ||
        json_parse((const char *)reply->body.bytes, reply->body.len, &t, NULL) < 0)
        return;
    errors = tree_get(t, "errors");
    for (const struct tree *e = errors ? errors->child : NULL; e; e = e->next)
        if (e->kind == TREE_TEXT)
            strbuf_printf(out, ": %.*s", REASON_MAX, e->text);
}

/* A server, or a proxy before it, may quote what it was sent: the token, or a login's body. */
static void hide_credentials(const struct vault_call *call, char *words)
{
    struct redaction r = redaction_of(words);
    const struct secret *sent = call->token ? call->token : call->body;

    if (sent)
        redaction_value(&r, (const char *)sent->bytes, sent->len);
    redaction_shapes(&r);
    redaction_apply(&r);
}

int vault_refused(const struct vault_call *call, const struct http_reply *reply, struct error *err)
{
    struct strbuf words CLEANUP(strbuf_done) = { .ceiling = (size_t)2 * REASON_MAX };
    int len = (int)strcspn(call->path, "?");

    if (reply->status == 403 || reply->status == 404 || reply->status == 429 ||
        reply->status == 503 || reply->status == 400)
        add_words(reply, &words);
    if (words.len)
        hide_credentials(call, words.text);
    if (reply->status >= 300 && reply->status < 400)
        strbuf_add_text(&words, ": redirected once more: is vaultAddress the store's own?");
    error_set(err, code_of(reply->status), "%s %.*s: %ld%s", call->method, len, call->path,
              reply->status, strbuf_text(&words));
    if (err)
        err->retry_after_ms = reply->retry_after_ms;
    return -1;
}
