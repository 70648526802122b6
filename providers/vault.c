/* SPDX-License-Identifier: Apache-2.0
 *
 * The Vault and OpenBao store: log in as the pod, read each path once, hand out fields as files.
 * Source: the contract of vault-csi-provider, its faults repaired; docs/stores/vault.md.
 */
#include "providers/vault/vault.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/number.h"

/* One reply of a fetch, shared by the objects that come from the same call: a dynamic user name and
 * its password must come from one. secretArgs are part of the key. */
struct read {
    char *key;
    struct tree *reply;
    struct read *next;
};

struct reads {
    struct read *first;
};

static void reads_done(struct reads *reads)
{
    while (reads->first) {
        struct read *next = reads->first->next;

        wipe_free_text(reads->first->key);
        tree_free(reads->first->reply);
        free(reads->first);
        reads->first = next;
    }
}

/* What an object asks for. */
struct wish {
    const struct object *object;
    const char *secret_path;
    const char *secret_key;
    const char *method;
    char *path; /* owned */
    struct secret body;
};

static void wish_done(struct wish *w)
{
    free(w->path);
    secret_done(&w->body);
}

static int wish_read(const struct object *object, struct wish *ret, struct error *err)
{
    const struct tree *args = tree_get(object->node, "secretArgs");
    const char *method = tree_get_text(object->node, "method");
    struct strbuf body CLEANUP(strbuf_done) = { .sensitive = true };

    *ret = (struct wish){
        .object = object,
        .secret_path = tree_get_text(object->node, "secretPath"),
        .secret_key = tree_get_text(object->node, "secretKey"),
        .method = method && *method ? method : "GET",
    };
    if (!ret->secret_path)
        return error_set(err, CODE_INVALID_ARGUMENT, "object %.100s: secretPath is missing",
                         object->name);
    if (strspn(ret->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(ret->method))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "object %.100s: method must be a word like GET, PUT or LIST",
                         object->name);
    if (args && args->kind != TREE_NULL) {
        if (args->kind != TREE_MAP)
            return error_set(err, CODE_INVALID_ARGUMENT, "object %.100s: secretArgs must be a map",
                             object->name);
        json_write(&body, args);
        ret->body = strbuf_take_secret(&body);
    }
    if (vault_path(ret->secret_path, &ret->path, err) < 0)
        return error_within(err, "object %.100s", object->name);
    return 0;
}

/* Reads with the session's token; a cached one that is refused is replaced once. */
static int read_with_login(const struct vault_session *s, const struct wish *w,
                           struct http_reply *ret, struct error *err)
{
    struct secret token CLEANUP(secret_done) = { 0 };
    struct vault_call call = {
        .method = w->method, .path = w->path, .token = &token, .body = w->body.len ? &w->body : NULL
    };
    bool cached = false;

    if (vault_token(s, &token, &cached, err) < 0 || vault_request(s, &call, ret, err) < 0)
        return -1;
    if (ret->status == 403 && cached) {
        vault_token_refused(s);
        secret_done(&token);
        http_reply_done(ret);
        if (vault_token(s, &token, &cached, err) < 0 || vault_request(s, &call, ret, err) < 0)
            return error_within(err, "a token was refused, and so was the next");
    }
    if (ret->status >= 200 && ret->status < 300)
        return 0;
    (void)vault_refused(&call, ret, err);
    if (ret->status == 403)
        return error_within(err,
                            "role \"%.64s\" of auth mount \"%.64s\", namespace \"%.64s\", may "
                            "not read",
                            s->id->role, s->id->mount, s->id->ns);
    return -1;
}

static int parse_reply(const struct http_reply *reply, const struct wish *w, struct tree **ret,
                       struct error *err)
{
    struct tree *t autotree = NULL;

    if (!reply->body.len)
        return error_set(err, CODE_NOT_FOUND, "empty response from \"%.100s\"", w->secret_path);
    if (json_parse((const char *)reply->body.bytes, reply->body.len, &t, err) < 0) {
        if (err)
            err->code = CODE_UNAVAILABLE;
        return error_within(err, "%s %.100s: the answer", w->method, w->secret_path);
    }
    if (t->kind != TREE_MAP || (tree_get(t, "errors") && !tree_get(t, "data")))
        return error_set(err, CODE_NOT_FOUND, "empty response from \"%.100s\"", w->secret_path);
    *ret = take(t);
    return 0;
}

static int read_once(const struct vault_session *s, struct reads *reads, const struct wish *w,
                     const struct tree **ret, struct error *err)
{
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    char *key autowipe = str_printf("%s %s %.*s", w->method, w->path, (int)w->body.len,
                                    w->body.len ? (const char *)w->body.bytes : "");
    struct tree *t autotree = NULL;
    struct read *r;

    for (r = reads->first; r; r = r->next)
        if (strcmp(r->key, key) == 0) {
            *ret = r->reply;
            return 0;
        }
    if (read_with_login(s, w, &reply, err) < 0 || parse_reply(&reply, w, &t, err) < 0)
        return -1;
    r = xcalloc(1, sizeof(*r));
    *r = (struct read){ .key = take(key), .reply = take(t), .next = reads->first };
    reads->first = r;
    *ret = r->reply;
    return 0;
}

/* A lease says when the value is to be asked for again: at two thirds of its life. */
static void note_lease(const struct tree *reply, struct fileset *set)
{
    const struct tree *lease = tree_get(reply, "lease_duration");
    const char *id = tree_get_text(reply, "lease_id");
    int64_t seconds;
    int64_t at;

    if (!id || !*id || !lease || lease->kind != TREE_NUMBER ||
        number_parse(lease->text, 1, INT32_MAX, &seconds, NULL) < 0)
        return;
    at = clock_unix_ms() + seconds * 1000 / 3 * 2;
    if (!set->refresh_at_unix_ms || at < set->refresh_at_unix_ms)
        set->refresh_at_unix_ms = at;
}

static int add_file(const struct vault_session *s, const struct wish *w, const struct tree *reply,
                    struct fileset *set, struct error *err)
{
    struct secret bytes CLEANUP(secret_done) = { 0 };
    autofree char *config = str_printf("%s\n%s\n%s\n%s", w->object->name, w->method, w->path,
                                       w->secret_key ? w->secret_key : "");
    autofree char *version = NULL;
    struct file_spec spec = {
        .path = w->object->name,
        .path_len = strlen(w->object->name),
        .mode = w->object->mode,
        .uid = FILE_OWNER_UNSET,
        .gid = (gid_t)FILE_OWNER_UNSET,
    };

    if (vault_extract(reply, w->secret_path, w->secret_key, &bytes, err) < 0)
        return -1;
    if (w->secret_key && *w->secret_key && object_decode(w->object, &bytes, err) < 0)
        return -1;
    if (object_version_make(&s->vault->config->hmac_key, config, &bytes, &version, err) < 0 ||
        fileset_add_version(set, w->object->name, version, err) < 0)
        return -1;
    spec.contents = secret_take(&bytes);
    return fileset_add(set, &spec, err);
}

static int add_object(const struct vault_session *s, struct reads *reads,
                      const struct object *object, struct fileset *set, struct error *err)
{
    struct wish w CLEANUP(wish_done) = { 0 };
    const struct tree *reply = NULL;

    if (wish_read(object, &w, err) < 0)
        return -1;
    if (read_once(s, reads, &w, &reply, err) < 0 || add_file(s, &w, reply, set, err) < 0)
        return error_within(err, "couldn't read secret \"%.100s\"", object->name);
    note_lease(reply, set);
    return 0;
}

/* Every object is checked before the first call: a typo must not cost a login. */
static int check_objects(const struct object *objects, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct wish w CLEANUP(wish_done) = { 0 };

        if (wish_read(&objects[i], &w, err) < 0)
            return -1;
    }
    return 0;
}

static int fetch_all(const struct vault_session *s, const struct object *objects, size_t count,
                     struct fileset *set, struct error *err)
{
    struct reads reads CLEANUP(reads_done) = { 0 };

    for (size_t i = 0; i < count; i++)
        if (add_object(s, &reads, &objects[i], set, err) < 0)
            return -1;
    return 0;
}

static int vault_fetch(struct provider *self, const struct fetch_request *req, struct fileset *ret,
                       struct error *err)
{
    struct vault *vault = (struct vault *)self;
    struct vault_identity id CLEANUP(vault_identity_done) = { 0 };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct vault_session session = {
        .vault = vault, .req = req, .id = &id, .deadline_ms = clock_mono_ms() + req->left_ms
    };
    struct tree *tree autotree = NULL;
    autofree struct object *objects = NULL;
    size_t count = 0;

    if (objects_read(req, &tree, &objects, &count, err) < 0)
        return -1;
    if (count == 0)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "no secrets configured - the provider will not read any secret material");
    if (check_objects(objects, count, err) < 0 || vault_identity_read(vault, req, &id, err) < 0 ||
        fetch_all(&session, objects, count, &set, err) < 0)
        return -1;
    *ret = set;
    set = (struct fileset){ 0 };
    return 0;
}

static void vault_release(struct provider *self, const char *volume_id)
{
    (void)self;
    (void)volume_id; /* tokens belong to pods, not volumes: the cache's ceiling ends them */
}

static void vault_free(struct provider *self)
{
    struct vault *vault = (struct vault *)self;

    token_cache_free(vault->tokens);
    http_client_free(vault->http);
    free(vault);
}

static const struct provider_ops vault_ops = {
    .name = "vault",
    .fetch = vault_fetch,
    .release = vault_release,
    .free = vault_free,
};

int provider_vault_new(const struct provider_config *config, struct provider **ret,
                       struct error *err)
{
    struct vault *vault = xcalloc(1, sizeof(*vault));

    (void)err;
    vault->base.ops = &vault_ops;
    vault->config = config;
    vault->http = http_client_new();
    vault->tokens =
        token_cache_new(config->vault_tokens_max > 0 ? (size_t)config->vault_tokens_max : 0);
    *ret = &vault->base;
    return 0;
}
