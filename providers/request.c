/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/request.h"

#include "lib/base/json.h"
#include "lib/base/number.h"

/* A JSON map of texts into pairs. null is an empty map. */
static int read_map(const char *what, const char *text, size_t most, struct pairs *ret,
                    struct error *err)
{
    struct tree *t autotree = NULL;
    size_t len = strlen(text);

    if (len > most)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "%s has more than %zu bytes", what, most);
    if (len == 0)
        return 0;
    if (json_parse(text, len, &t, err) < 0)
        return error_within(err, "%s", what);
    if (t->kind == TREE_NULL)
        return 0;
    if (t->kind != TREE_MAP)
        return error_set(err, CODE_INVALID_ARGUMENT, "%s must be a JSON map of strings", what);
    for (const struct tree *c = t->child; c; c = c->next) {
        if (c->kind != TREE_TEXT)
            return error_set(err, CODE_INVALID_ARGUMENT, "%s.%.100s must be a string", what,
                             c->key);
        pairs_set(ret, c->key, c->text);
    }
    return 0;
}

/* {"audience":{"token":"...","expirationTimestamp":"..."}} */
static int read_tokens(const char *text, struct pairs *ret, struct error *err)
{
    struct tree *t autotree = NULL;

    if (json_parse(text, strlen(text), &t, err) < 0)
        return error_within(err, "%s", TOKENS);
    for (const struct tree *c = t->child; c; c = c->next)
        if (c->key && tree_get_text(c, "token"))
            pairs_set(ret, c->key, tree_get_text(c, "token"));
    return 0;
}

static int read_mode(const char *text, mode_t *ret, struct error *err)
{
    int64_t value;

    if (number_parse(text, 0, 0777, &value, NULL) < 0)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "permission \"%.16s\" must be a file mode in decimal, 0 to 511", text);
    *ret = (mode_t)value;
    return 0;
}

int request_read(const V1alpha1__MountRequest *in, struct fetch_request *ret, struct error *err)
{
    struct fetch_request req CLEANUP(request_done) = { .volume_id = in->volume_id,
                                                       .left_ms = INT64_MAX };
    const char *tokens;

    if (!*in->target_path)
        return error_set(err, CODE_INVALID_ARGUMENT, "missing target path field");
    if (read_map("attributes", in->attributes, ATTRIBUTES_BYTES_MAX, &req.params, err) < 0 ||
        read_map("secrets", in->secrets, SECRETS_BYTES_MAX, &req.secrets, err) < 0 ||
        read_mode(in->permission, &req.default_mode, err) < 0)
        return -1;
    tokens = pairs_get(&req.params, TOKENS);
    if (tokens && *tokens && read_tokens(tokens, &req.tokens, err) < 0)
        return -1;
    *ret = req;
    memset(&req, 0, sizeof(req)); /* given away */
    return 0;
}

void request_done(struct fetch_request *req)
{
    pairs_done(&req->params);
    pairs_done(&req->tokens);
    pairs_done(&req->secrets);
}

static bool has_version(const V1alpha1__MountRequest *in, const struct object_version *v)
{
    for (size_t i = 0; i < in->n_current_object_version; i++)
        if (strcmp(in->current_object_version[i]->id, v->id) == 0)
            return strcmp(in->current_object_version[i]->version, v->version) == 0;
    return false;
}

void request_drop_unchanged(const V1alpha1__MountRequest *in, struct fileset *set)
{
    if (!in->accepts_unchanged || !set->version_count || set->version_count != set->count ||
        set->version_count != in->n_current_object_version)
        return;
    for (size_t i = 0; i < set->version_count; i++)
        if (!has_version(in, &set->versions[i]))
            return;
    for (size_t i = 0; i < set->count; i++) {
        secret_done(&set->files[i].contents);
        set->files[i].unchanged = true;
    }
}

static void fill_file(V1alpha1__File *row, const struct file *f)
{
    v1alpha1__file__init(row);
    row->path = f->path;
    row->object = f->object ? f->object : (char *)protobuf_c_empty_string;
    row->mode = (int32_t)f->mode;
    row->contents.data = f->contents.bytes;
    row->contents.len = f->contents.len;
    row->unchanged = f->unchanged;
    row->uid = f->uid == FILE_OWNER_UNSET ? 0 : (int64_t)f->uid + 1;
    row->gid = f->gid == (gid_t)FILE_OWNER_UNSET ? 0 : (int64_t)f->gid + 1;
}

void response_make(const struct fileset *files, struct response *ret)
{
    *ret = (struct response){
        .files = xcalloc(files->count, sizeof(*ret->files)),
        .file_refs = xcalloc(files->count, sizeof(*ret->file_refs)),
        .versions = xcalloc(files->version_count, sizeof(*ret->versions)),
        .version_refs = xcalloc(files->version_count, sizeof(*ret->version_refs)),
    };
    v1alpha1__mount_response__init(&ret->out);
    for (size_t i = 0; i < files->count; i++) {
        fill_file(&ret->files[i], &files->files[i]);
        ret->file_refs[i] = &ret->files[i];
    }
    for (size_t i = 0; i < files->version_count; i++) {
        v1alpha1__object_version__init(&ret->versions[i]);
        ret->versions[i].id = files->versions[i].id;
        ret->versions[i].version = files->versions[i].version;
        ret->version_refs[i] = &ret->versions[i];
    }
    ret->out.n_files = files->count;
    ret->out.files = ret->file_refs;
    ret->out.n_object_version = files->version_count;
    ret->out.object_version = ret->version_refs;
    ret->out.refresh_at_unix_ms = files->refresh_at_unix_ms;
}

void response_done(struct response *r)
{
    free(r->files);
    free(r->file_refs);
    free(r->versions);
    free(r->version_refs);
}
