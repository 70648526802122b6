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

enum {
    LEASES_MAX = 4096,
    CLOCKS_DIFFER_MS = 100, /* who comes a moment early would be told to come once more */
    TRY_AGAIN_MS = 5000,    /* a lease could not be had anew */
};

/* One reply of a fetch, shared by the objects that come from the same call: a dynamic user name and
 * its password must come from one. secretArgs are part of the key. */
struct read {
    char *key;
    struct tree *reply;
    int64_t ask_again_ms; /* monotonic; INT64_MAX: it was not lent */
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

/* Reads with the session's token; a cached one that is refused is replaced once. A lease ends with
 * the token that it was given to: *ret_ends_ms says when that is. */
static int read_with_login(const struct vault_session *s, const struct wish *w,
                           struct http_reply *ret, int64_t *ret_ends_ms, struct error *err)
{
    struct lease_got token CLEANUP(lease_got_done) = { 0 };
    struct vault_call call = { .method = w->method,
                               .path = w->path,
                               .token = &token.bytes,
                               .body = w->body.len ? &w->body : NULL };

    if (vault_token(s, &token, err) < 0 || vault_request(s, &call, ret, err) < 0)
        return -1;
    if (ret->status == 403 && token.cached) {
        vault_token_refused(s);
        lease_got_done(&token);
        http_reply_done(ret);
        if (vault_token(s, &token, err) < 0 || vault_request(s, &call, ret, err) < 0)
            return error_within(err, "a token was refused, and so was the next");
    }
    *ret_ends_ms = token.expires_at_ms;
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

static int parse_reply(const struct secret *body, const struct wish *w, struct tree **ret,
                       struct error *err)
{
    struct tree *t autotree = NULL;

    if (!body->len)
        return error_set(err, CODE_NOT_FOUND, "empty response from \"%.100s\"", w->secret_path);
    if (json_parse((const char *)body->bytes, body->len, &t, err) < 0) {
        if (err)
            err->code = CODE_UNAVAILABLE;
        return error_within(err, "%s %.100s: the answer", w->method, w->secret_path);
    }
    if (t->kind != TREE_MAP || (tree_get(t, "errors") && !tree_get(t, "data")))
        return error_set(err, CODE_NOT_FOUND, "empty response from \"%.100s\"", w->secret_path);
    *ret = take(t);
    return 0;
}

/* How long the store lends what it answered; LEASE_NONE: it gave it. */
static int64_t lease_of(const struct tree *reply)
{
    const struct tree *lease = tree_get(reply, "lease_duration");
    const char *id = tree_get_text(reply, "lease_id");
    int64_t seconds;

    if (!id || !*id || !lease || lease->kind != TREE_NUMBER ||
        number_parse(lease->text, 1, INT32_MAX, &seconds, NULL) < 0)
        return LEASE_NONE;
    return seconds * 1000;
}

/* A read in progress. */
struct reading {
    const struct vault_session *session;
    const struct wish *wish;
    struct tree *reply; /* NULL: what was lent before was handed out again */
};

static void reading_done(struct reading *r)
{
    tree_free(r->reply);
}

static int read_now(void *arg, struct lease *ret, struct error *err)
{
    struct reading *r = arg;
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    int64_t ends_ms = INT64_MAX;
    int64_t left_ms;

    if (read_with_login(r->session, r->wish, &reply, &ends_ms, err) < 0 ||
        parse_reply(&reply.body, r->wish, &r->reply, err) < 0)
        return -1;
    ret->lease_ms = lease_of(r->reply);
    left_ms = ends_ms == INT64_MAX ? INT64_MAX : ends_ms - clock_mono_ms();
    if (ret->lease_ms > left_ms)
        ret->lease_ms = left_ms > 0 ? left_ms : LEASE_NONE;
    ret->bytes = secret_take(&reply.body);
    return 0;
}

/* Credentials that are made for the asking are asked for once per lease, not at each poll. */
static int read_reply(const struct vault_session *s, const struct wish *w, const char *key,
                      struct read *ret, struct error *err)
{
    struct reading r CLEANUP(reading_done) = { .session = s, .wish = w };
    char *identity autowipe = vault_lease_identity(s, key);
    struct lease_wish wish = {
        .identity = identity, .owner = s->req->volume_id, .obtain = read_now, .arg = &r
    };
    struct lease_got got CLEANUP(lease_got_done) = { 0 };

    if (lease_cache_get(s->vault->leases, &wish, &got, err) < 0)
        return -1;
    if (got.cached && parse_reply(&got.bytes, w, &r.reply, err) < 0)
        return -1;
    vault_note_request(s, r.reply);
    vault_note_lease(s, &got);
    ret->reply = take(r.reply);
    ret->ask_again_ms = got.renew_at_ms;
    return 0;
}

static int read_once(const struct vault_session *s, struct reads *reads, const struct wish *w,
                     const struct read **ret, struct error *err)
{
    char *key autowipe = str_printf("%s %s %.*s", w->method, w->path, (int)w->body.len,
                                    w->body.len ? (const char *)w->body.bytes : "");
    struct read fresh = { 0 };
    struct read *r;

    for (r = reads->first; r; r = r->next)
        if (strcmp(r->key, key) == 0) {
            *ret = r;
            return 0;
        }
    if (read_reply(s, w, key, &fresh, err) < 0)
        return -1;
    r = xcalloc(1, sizeof(*r));
    fresh.key = take(key);
    fresh.next = reads->first;
    *r = fresh;
    reads->first = r;
    *ret = r;
    return 0;
}

/* The set is asked for again when the first of its leases has lived two thirds of its life. */
static void note_lease(const struct read *r, struct fileset *set)
{
    int64_t wait_ms = r->ask_again_ms - clock_mono_ms();
    int64_t at;

    if (r->ask_again_ms == INT64_MAX)
        return;
    at = clock_unix_ms() + (wait_ms > 0 ? wait_ms + CLOCKS_DIFFER_MS : TRY_AGAIN_MS);
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
        .object = w->object->name,
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
    const struct read *r = NULL;

    if (wish_read(object, &w, err) < 0)
        return -1;
    if (read_once(s, reads, &w, &r, err) < 0 || add_file(s, &w, r->reply, set, err) < 0)
        return error_within(err, "couldn't read secret \"%.100s\"", object->name);
    note_lease(r, set);
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
    if (check_objects(objects, count, err) < 0 || vault_identity_read(vault, req, &id, err) < 0)
        return -1;
    vault_note_session(&session);
    if (fetch_all(&session, objects, count, &set, err) < 0)
        return -1;
    *ret = set;
    set = (struct fileset){ 0 };
    return 0;
}

static void vault_release(struct provider *self, const char *volume_id)
{
    /* Tokens belong to pods, not volumes: the cache's ceiling ends them. */
    lease_cache_release(((struct vault *)self)->leases, volume_id);
}

static void vault_free(struct provider *self)
{
    struct vault *vault = (struct vault *)self;

    minter_free(vault->minter);
    lease_cache_free(vault->tokens);
    lease_cache_free(vault->leases);
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
    struct vault *vault;
    struct minter *minter;

    if (minter_new(config, &minter, err) < 0)
        return -1;
    vault = xcalloc(1, sizeof(*vault));
    vault->minter = minter;
    vault->base.ops = &vault_ops;
    vault->config = config;
    vault->http = http_client_new();
    vault->tokens =
        lease_cache_new(config->vault_tokens_max > 0 ? (size_t)config->vault_tokens_max : 0);
    vault->leases = lease_cache_new(LEASES_MAX);
    *ret = &vault->base;
    return 0;
}
