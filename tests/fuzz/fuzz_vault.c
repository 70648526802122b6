/* SPDX-License-Identifier: Apache-2.0
 *
 * What a Vault may answer and what a class may ask of it: a first line as secretPath, a second as
 * secretKey, the rest as the reply's body.
 */
/* COVERS: providers/vault/extract.c */
#include <assert.h>

#include "lib/base/encode.h"
#include "lib/base/json.h"
#include "providers/vault/vault.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_path(const char *text)
{
    autofree char *path = NULL;
    struct error err = { 0 };

    if (vault_path(text, &path, &err) < 0) {
        assert(err.code == CODE_INVALID_ARGUMENT);
        return;
    }
    for (const char *c = path; *c; c++)
        assert(*c > 0x20 && *c < 0x7f && *c != '#' && *c != '"');
    path[strcspn(path, "?")] = '\0';
    assert(str_starts(path, "/v1/") && !strstr(path, "/../") && !strstr(path, "/./"));
    assert(!str_ends(path, "/..") && !str_ends(path, "/."));
}

static void check_reply(const char *path, const char *key, const char *body)
{
    static const long statuses[] = { 400, 403, 404, 429, 500, 503 };
    size_t len = strlen(body);
    struct http_reply reply = { .body = secret_copy(body, len) };
    struct vault_call call = { .method = "GET", .path = path };
    struct secret got CLEANUP(secret_done) = { 0 };
    struct tree *t autotree = NULL;
    struct error err = { 0 };

    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        reply.status = statuses[i];
        assert(vault_refused(&call, &reply, &err) == -1);
        assert(err.code && utf8_is_valid(err.msg, strlen(err.msg)));
    }
    http_reply_done(&reply);
    if (json_parse(body, len, &t, NULL) < 0)
        return;
    if (vault_extract(t, path, key, &got, &err) < 0)
        assert(err.code);
    secret_done(&got);
    if (vault_extract(t, path, NULL, &got, &err) == 0) {
        struct tree *whole autotree = NULL;

        assert(json_parse((const char *)got.bytes, got.len, &whole, NULL) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autofree char *text = xstrndup((const char *)bytes, len);
    char *body = text;
    char *path = strsep(&body, "\n");
    char *key = body ? strsep(&body, "\n") : NULL;

    check_path(path);
    check_reply(path, key, body ? body : "");
    return 0;
}
