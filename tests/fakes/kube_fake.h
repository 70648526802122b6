/* SPDX-License-Identifier: Apache-2.0
 *
 * kube_fake.h - starts kube_fake.py for a suite, tells it what to do and asks it what it saw.
 */
#ifndef LOCKET_TESTS_FAKES_KUBE_FAKE_H
#define LOCKET_TESTS_FAKES_KUBE_FAKE_H

#include "agent/kube_api.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/strbuf.h"
#include "lib/net/http.h"
#include "tests/fakes/fake_server.h"

struct kube_fake {
    struct fake_server server;
    struct http_client *http;
};

/* tls: a folder for the certificate, ca.pem; NULL: without TLS. */
static inline void kube_fake_start(struct kube_fake *f, const char *tls)
{
    char *argv[] = { (char *)"tests/fakes/kube_fake.py", tls ? (char *)"--tls" : NULL, (char *)tls,
                     NULL };

    fake_server_start(&f->server, argv, tls != NULL);
    f->http = http_client_new();
}

static inline void kube_fake_stop(struct kube_fake *f)
{
    http_client_free(f->http);
    fake_server_stop(&f->server);
}

/* What /fake/<what> answers; body NULL: nothing is sent. The caller frees. */
static inline char *kube_fake_ask(const struct kube_fake *f, const char *what, const char *body)
{
    autofree char *url = str_printf("%s/fake/%s", f->server.url, what);
    struct secret sent CLEANUP(secret_done) =
        secret_copy(body ? body : "", strlen(body ? body : ""));
    struct http_request request = {
        .method = "POST", .url = url, .body = &sent, .timeout_ms = 5000, .tls.skip_verify = true
    };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    struct error err = { 0 };

    if (http_call(f->http, &request, &reply, &err) < 0)
        fail_msg("%s", err.msg);
    if (reply.status != 200)
        fail_msg("%s: %ld", what, reply.status);
    return xstrndup(reply.body.len ? (const char *)reply.body.bytes : "", reply.body.len);
}

/* Tells it, where there is nothing to answer. what is a format. */
static inline void printf_like(3, 4)
    kube_fake_tell(const struct kube_fake *f, const char *body, const char *what, ...)
{
    char path[256];
    va_list args;

    va_start(args, what);
    (void)vsnprintf(path, sizeof(path), what, args);
    va_end(args);
    free(kube_fake_ask(f, path, body));
}

/* Makes or replaces an object of a collection. */
static inline void kube_fake_put(const struct kube_fake *f, const char *plural, const char *ns,
                                 const char *name)
{
    autofree char *body = str_printf("{\"kind\":\"Thing\",\"apiVersion\":\"fake.dev/v1\","
                                     "\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"}}",
                                     name, ns);

    kube_fake_tell(f, body, "put/%s", plural);
}

/* A client of it. token_file: NULL without one. Ownership: kube_api_free. */
static inline struct kube_api *kube_fake_client(const struct kube_fake *f, const char *token_file)
{
    struct kube_config config = {
        .server = xstrdup(f->server.url),
        .token_file = token_file ? xstrdup(token_file) : NULL,
        .skip_verify = true,
    };

    return kube_api_new(&config, NULL);
}

/* How many lines of the log have this in them. */
static inline size_t kube_fake_asked(const struct kube_fake *f, const char *text)
{
    autofree char *log = kube_fake_ask(f, "log", NULL);
    size_t count = 0;
    char *rest = log;
    const char *line;

    while ((line = strsep(&rest, "\n")))
        count += strstr(line, text) != NULL;
    return count;
}

#endif
