/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kube_api.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/json.h"
#include "lib/base/number.h"
#include "lib/net/http.h"

enum { TOKEN_FRESH_MS = 60000, HEADERS_MAX = 4, STATUS_TEXT_MAX = 360 };

struct kube_api {
    struct kube_config config;
    struct kube_api_metrics metrics;
    struct http_client *http;
    pthread_mutex_t lock;
    struct secret token;   /* guarded by lock; of token_file */
    int64_t token_read_ms; /* guarded by lock; 0: never, or refused */
    double allowance;      /* guarded by lock; calls that may begin now */
    int64_t allowance_ms;  /* guarded by lock; when it was reckoned */
    int64_t answered_ms;   /* guarded by lock */
};

struct kube_api *kube_api_new(struct kube_config *config, const struct kube_api_metrics *metrics)
{
    struct kube_api *api = xcalloc(1, sizeof(*api));

    api->config = *config;
    *config = (struct kube_config){ 0 };
    if (metrics)
        api->metrics = *metrics;
    api->http = http_client_new();
    (void)pthread_mutex_init(&api->lock, NULL);
    api->allowance = KUBE_BURST;
    api->allowance_ms = clock_mono_ms();
    return api;
}

void kube_api_free(struct kube_api *api)
{
    if (!api)
        return;
    http_client_free(api->http);
    kube_config_done(&api->config);
    secret_done(&api->token);
    (void)pthread_mutex_destroy(&api->lock);
    free(api);
}

int64_t kube_api_answered_ms(struct kube_api *api)
{
    int64_t ms;

    (void)pthread_mutex_lock(&api->lock);
    ms = api->answered_ms;
    (void)pthread_mutex_unlock(&api->lock);
    return ms;
}

const char *kube_meta(const struct tree *object, const char *field)
{
    return tree_get_text(tree_get(object, "metadata"), field);
}

/* --- rate --------------------------------------------------------------------------------------
 */

/* Takes a call from the allowance, which may go below nothing: who comes next waits longer.
 * Returns how long this one has to wait. */
static int64_t take_turn_ms(struct kube_api *api)
{
    int64_t now = clock_mono_ms();
    int64_t wait_ms = 0;

    (void)pthread_mutex_lock(&api->lock);
    api->allowance += (double)(now - api->allowance_ms) * KUBE_QPS / MS_PER_S;
    if (api->allowance > KUBE_BURST)
        api->allowance = KUBE_BURST;
    api->allowance_ms = now;
    api->allowance -= 1;
    if (api->allowance < 0)
        wait_ms = (int64_t)(-api->allowance * MS_PER_S / KUBE_QPS);
    (void)pthread_mutex_unlock(&api->lock);
    return wait_ms;
}

static int wait_for_turn(struct kube_api *api, struct cancel *cancel, struct error *err)
{
    int64_t wait_ms = take_turn_ms(api);

    if (!wait_ms)
        return 0;
    if (api->metrics.metrics)
        metrics_add(api->metrics.metrics, api->metrics.throttled_seconds, NULL,
                    (double)wait_ms / MS_PER_S);
    if (!cancel_sleep_ms(cancel, wait_ms))
        return error_set(err, CODE_CANCELLED, "cancelled while waiting for the rate limit");
    return 0;
}

/* --- who we are --------------------------------------------------------------------------------
 */

/* "Authorization: Bearer TOKEN", of the file as it is within the last minute. Caller holds the
 * lock. */
static int read_token(struct kube_api *api, struct error *err)
{
    int64_t now = clock_mono_ms();
    struct secret text CLEANUP(secret_done) = { 0 };

    if (api->token_read_ms && now - api->token_read_ms < TOKEN_FRESH_MS)
        return 0;
    if (fs_read(AT_FDCWD, api->config.token_file, KUBE_TOKEN_BYTES_MAX, true, &text, err) < 0)
        return error_within(err, "service account token");
    while (text.len && text.bytes[text.len - 1] <= ' ')
        text.len--;
    if (!text.len || memchr(text.bytes, '\0', text.len) || memchr(text.bytes, '\n', text.len))
        return error_set(err, CODE_INVALID_ARGUMENT, "service account token %s: is no token",
                         api->config.token_file);
    secret_done(&api->token);
    api->token = secret_copy(text.bytes, text.len);
    api->token_read_ms = now;
    return 0;
}

static int add_authorization(struct kube_api *api, struct strbuf *out, struct error *err)
{
    const struct secret *token = &api->config.token;
    struct error mine = { 0 };
    int result = 0;

    (void)pthread_mutex_lock(&api->lock);
    if (api->config.token_file) {
        result = read_token(api, &mine);
        token = &api->token;
    }
    if (result < 0) {
        mine.code = CODE_UNAVAILABLE; /* of the token: nothing is known of what is asked for */
        (void)error_copy(err, &mine);
    }
    if (result == 0 && token->len) {
        strbuf_add_text(out, "Authorization: Bearer ");
        strbuf_add(out, token->bytes, token->len);
    }
    (void)pthread_mutex_unlock(&api->lock);
    return result;
}

static void forget_token(struct kube_api *api)
{
    (void)pthread_mutex_lock(&api->lock);
    api->token_read_ms = 0;
    (void)pthread_mutex_unlock(&api->lock);
}

/* --- what an answer means ----------------------------------------------------------------------
 */

static const struct {
    long status;
    const char *reason; /* NULL: any */
    enum code code;
} meanings[] = {
    { 400, NULL, CODE_INVALID_ARGUMENT },
    { 401, NULL, CODE_UNAUTHENTICATED },
    { 403, NULL, CODE_PERMISSION_DENIED },
    { 404, NULL, CODE_NOT_FOUND },
    { 405, NULL, CODE_UNIMPLEMENTED },
    { 406, NULL, CODE_UNIMPLEMENTED },
    { 409, "AlreadyExists", CODE_ALREADY_EXISTS },
    { 409, NULL, CODE_ABORTED },
    { 410, NULL, CODE_OUT_OF_RANGE },
    { 413, NULL, CODE_RESOURCE_EXHAUSTED },
    { 415, NULL, CODE_UNIMPLEMENTED },
    { 422, NULL, CODE_INVALID_ARGUMENT },
    { 429, NULL, CODE_UNAVAILABLE },
};

static enum code meaning_of(long status, const char *reason)
{
    for (size_t i = 0; i < COUNT_OF(meanings); i++)
        if (meanings[i].status == status &&
            (!meanings[i].reason || (reason && strcmp(reason, meanings[i].reason) == 0)))
            return meanings[i].code;
    return status >= 500 ? CODE_UNAVAILABLE : CODE_UNKNOWN;
}

int kube_status_error(const struct tree *status, long http_status, struct error *err)
{
    const char *text = tree_get_text(status, "message");
    const char *reason = tree_get_text(status, "reason");
    const struct tree *code = tree_get(status, "code");
    int64_t number = http_status;

    if (code && code->kind == TREE_NUMBER && number_parse(code->text, 100, 599, &number, NULL) < 0)
        number = http_status;
    return error_set(err, meaning_of((long)number, reason), "%" PRId64 " %s: %.*s", number,
                     reason ? reason : "no reason", STATUS_TEXT_MAX, text ? text : "no message");
}

/* An answer that is no success. Whoever stands in between (a proxy) may have written no Status; a
 * 404 without one says that nobody serves the path, and nothing of the object. */
static int refused(const struct kube_request *request, const struct http_reply *reply,
                   struct error *err)
{
    struct tree *status autotree = NULL;
    int len = (int)strcspn(request->path, "?");
    bool is_json = json_parse((const char *)reply->body.bytes, reply->body.len, &status, NULL) == 0;

    if (!is_json && reply->status == 404)
        (void)error_set(err, CODE_UNAVAILABLE,
                        "404 that is no object's: is its CRD installed, does a proxy answer?");
    else if (!is_json || request->sensitive)
        (void)error_set(err, meaning_of(reply->status, NULL), "%ld", reply->status);
    else
        (void)kube_status_error(status, reply->status, err);
    if (err)
        err->retry_after_ms = reply->retry_after_ms;
    if (request->refusal)
        *request->refusal = take(status);
    return error_within(err, "%s %.*s", request->method, len, request->path);
}

/* --- a call ------------------------------------------------------------------------------------
 */

struct headers {
    char *texts[HEADERS_MAX];
    size_t count;
};

static void headers_done(struct headers *h)
{
    for (size_t i = 0; i < h->count; i++)
        wipe_free_text(h->texts[i]);
    h->count = 0;
}

static int make_headers(struct kube_api *api, const struct kube_request *request,
                        struct headers *ret, struct error *err)
{
    struct strbuf who autostrbuf = { .sensitive = true };

    if (add_authorization(api, &who, err) < 0)
        return -1;
    ret->texts[ret->count++] = xstrdup("User-Agent: locket-agent/" LOCKET_VERSION);
    ret->texts[ret->count++] =
        str_printf("Accept: %s", request->accept ? request->accept : KUBE_TYPE_JSON);
    if (request->body)
        ret->texts[ret->count++] = str_printf("Content-Type: %s", request->type);
    if (who.len)
        ret->texts[ret->count++] = strbuf_take(&who);
    return 0;
}

static struct http_tls tls_of(const struct kube_config *c)
{
    return (struct http_tls){
        .ca_file = c->ca_file,
        .ca = c->ca.len ? &c->ca : NULL,
        .server_name = c->server_name,
        .cert_file = c->cert_file,
        .key_file = c->key_file,
        .cert = c->cert.len ? &c->cert : NULL,
        .key = c->key.len ? &c->key : NULL,
        .skip_verify = c->skip_verify,
    };
}

static void mark_answered(struct kube_api *api)
{
    (void)pthread_mutex_lock(&api->lock);
    api->answered_ms = clock_mono_ms();
    (void)pthread_mutex_unlock(&api->lock);
}

struct stream {
    struct kube_api *api;
    const struct kube_request *request;
};

/* A stream's answer is its beginning and every event: its end may be far off. */
static int pass_on(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct stream *s = arg;

    mark_answered(s->api);
    return s->request->sink(s->request->sink_arg, bytes, len, err);
}

static int ask(struct kube_api *api, const struct kube_request *request, struct http_reply *ret,
               struct error *err)
{
    struct headers headers CLEANUP(headers_done) = { 0 };
    autofree char *url = str_printf("%s%s", api->config.server, request->path);
    struct secret body = { 0 }; /* borrowed from the request */
    struct stream stream = { api, request };

    if (make_headers(api, request, &headers, err) < 0)
        return -1;
    if (request->body)
        body = (struct secret){ (uint8_t *)request->body->text, request->body->len };
    return http_call(api->http,
                     &(struct http_request){
                         .method = request->method,
                         .url = url,
                         .headers = (const char *const *)headers.texts,
                         .header_count = headers.count,
                         .body = request->body ? &body : NULL,
                         .tls = tls_of(&api->config),
                         .timeout_ms = request->timeout_ms ? request->timeout_ms : KUBE_CALL_MS,
                         .reply_bytes_max = KUBE_REPLY_MAX,
                         .forgets = request->sensitive,
                         .allow_link_local = true, /* the cluster's admin said where it is */
                         .cancel = request->cancel,
                         .sink = request->sink ? pass_on : NULL,
                         .sink_arg = &stream,
                     },
                     ret, err);
}

static void count(struct kube_api *api, const char *method, long status)
{
    char code[16] = "none";
    const char *labels[] = { method, code };

    if (status) {
        (void)snprintf(code, sizeof(code), "%ld", status);
        mark_answered(api);
    }
    if (api->metrics.metrics)
        metrics_add(api->metrics.metrics, api->metrics.requests, labels, 1);
}

/* One turn, and with a token that was refused a second one. */
static int ask_as_known(struct kube_api *api, const struct kube_request *request,
                        struct http_reply *ret, struct error *err)
{
    for (int turn = 0;; turn++) {
        int result;

        if (wait_for_turn(api, request->cancel, err) < 0)
            return -1;
        result = ask(api, request, ret, err);
        count(api, request->method, ret->status);
        if (result < 0 || ret->status != 401 || turn || !api->config.token_file)
            return result;
        forget_token(api);
        http_reply_done(ret);
    }
}

int kube_call(struct kube_api *api, const struct kube_request *request, struct tree **ret,
              struct error *err)
{
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    struct error mine = { 0 };

    if (ret)
        *ret = NULL;
    if (ask_as_known(api, request, &reply, &mine) < 0)
        return error_copy(err, &mine);
    if (reply.status / 100 != 2) {
        (void)refused(request, &reply, &mine);
        return error_copy(err, &mine);
    }
    if (!ret || request->sink)
        return 0;
    if (json_parse((const char *)reply.body.bytes, reply.body.len, ret, &mine) < 0) {
        mine.code = CODE_UNAVAILABLE; /* somebody in between wrote it */
        (void)error_copy(err, &mine);
        return error_within(err, "%s %.*s: the answer", request->method,
                            (int)strcspn(request->path, "?"), request->path);
    }
    return 0;
}

int kube_get(struct kube_api *api, const char *path, struct cancel *cancel, struct tree **ret,
             struct error *err)
{
    struct kube_request request = { .method = "GET", .path = path, .cancel = cancel };

    return kube_call(api, &request, ret, err);
}
