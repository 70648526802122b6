/* SPDX-License-Identifier: Apache-2.0
 *
 * vault_fake.h - starts vault_fake.py for a suite and asks it what it saw.
 */
#ifndef LOCKET_TESTS_FAKES_VAULT_FAKE_H
#define LOCKET_TESTS_FAKES_VAULT_FAKE_H

#include "lib/base/fs.h"
#include "lib/base/strbuf.h"
#include "lib/net/http.h"
#include "tests/fakes/fake_server.h"

enum { FAKE_ARGS_MAX = 8 };

struct vault_fake {
    struct fake_server server;
};

/* args: up to FAKE_ARGS_MAX words for the program, then NULL. */
static inline void vault_fake_start(struct vault_fake *f, const char *const *args)
{
    char *argv[FAKE_ARGS_MAX + 2] = { (char *)"tests/fakes/vault_fake.py" };
    bool tls = false;

    for (size_t i = 0; args && args[i]; i++) {
        argv[i + 1] = (char *)args[i];
        tls = tls || strcmp(args[i], "--tls") == 0;
    }
    fake_server_start(&f->server, argv, tls);
}

static inline void vault_fake_stop(struct vault_fake *f)
{
    fake_server_stop(&f->server);
}

/* What /fake/<what> answers (log, revoke, forget). The caller frees. */
static inline char *vault_fake_ask(const struct vault_fake *f, const char *what)
{
    autofree char *url = str_printf("%s/fake/%s", f->server.url, what);
    struct http_request request = {
        .method = "GET", .url = url, .timeout_ms = 5000, .tls.skip_verify = true
    };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    struct http_client *client = http_client_new();
    struct error err = { 0 };
    char *text;

    if (http_call(client, &request, &reply, &err) < 0)
        fail_msg("%s", err.msg);
    http_client_free(client);
    text = xstrndup(reply.body.len ? (const char *)reply.body.bytes : "", reply.body.len);
    return text;
}

/* Logs in for ever. header: "X-Vault-Token: ..." of at most 128 bytes. */
static inline void vault_fake_login(const struct vault_fake *f, char header[128])
{
    static const char body[] = "{\"jwt\":\"good\",\"role\":\"for-ever\"}";
    static const char *const headers[] = { "X-Vault-Request: true" };
    autofree char *url = str_printf("%s/v1/auth/kubernetes/login", f->server.url);
    struct secret sent CLEANUP(secret_done) = secret_copy(body, strlen(body));
    struct http_request request = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .header_count = 1,
        .body = &sent,
        .timeout_ms = 5000,
        .tls.skip_verify = true,
    };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    struct http_client *client = http_client_new();
    struct error err = { 0 };
    const char *at;

    if (http_call(client, &request, &reply, &err) < 0)
        fail_msg("%s", err.msg);
    http_client_free(client);
    assert_int_equal(reply.status, 200);
    at = memmem(reply.body.bytes, reply.body.len, "hvs.", 4);
    assert_non_null(at);
    (void)snprintf(header, 128, "X-Vault-Token: %.*s", (int)strcspn(at, "\""), at);
}

/* How often "METHOD /path" was asked since the start or the last forget. */
static inline long vault_fake_asked(const struct vault_fake *f, const char *call)
{
    autofree char *log = vault_fake_ask(f, "log");
    autofree char *key = str_printf("\"%s\": ", call);
    const char *at = strstr(log, key);

    return at ? strtol(at + strlen(key), NULL, 10) : 0;
}

#endif
