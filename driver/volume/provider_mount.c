/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/provider_mount.h"

#include "driver/volume/provider_code.h"
#include "lib/base/fault.h"
#include "provider/extras.pb-c.h"
#include "provider/provider.pb-c.h"

/* The attributes' JSON: parameters, context and, under kubelet's key, the tokens. */
static int attributes_json(const struct provider_mount *mount, struct strbuf *out,
                           struct error *err)
{
    struct strbuf tokens CLEANUP(strbuf_done) = { .sensitive = true };
    struct pairs all CLEANUP(pairs_done) = { 0 };

    if (credentials_tokens(mount->request->credentials, (const char *const *)mount->audiences,
                           mount->audience_count, &tokens, err) < 0)
        return -1;
    pairs_copy(&all, mount->request->attributes);
    if (tokens.len)
        pairs_set(&all, CONTEXT_TOKENS, strbuf_text(&tokens));
    pairs_json(&all, out);
    return 0;
}

/* The versions of the live generation as protobuf wants them; rows are borrowed. */
struct version_list {
    V1alpha1__ObjectVersion *rows;
    V1alpha1__ObjectVersion **refs;
};

static void version_list_done(struct version_list *list)
{
    free(list->rows);
    free(list->refs);
}

static void add_versions(V1alpha1__MountRequest *in, const struct source_request *req,
                         struct version_list *list)
{
    list->rows = xcalloc(req->version_count, sizeof(*list->rows));
    list->refs = xcalloc(req->version_count, sizeof(*list->refs));
    for (size_t i = 0; i < req->version_count; i++) {
        v1alpha1__object_version__init(&list->rows[i]);
        list->rows[i].id = req->versions[i].id;
        list->rows[i].version = req->versions[i].version;
        list->refs[i] = &list->rows[i];
    }
    in->n_current_object_version = req->version_count;
    in->current_object_version = list->refs;
}

static uid_t owner_of(int64_t value_plus_one)
{
    return value_plus_one > 0 && value_plus_one <= UINT32_MAX ? (uid_t)(value_plus_one - 1)
                                                              : FILE_OWNER_UNSET;
}

/* Moves the answer's files over; contents are given away by the message, not copied. */
static int read_files(V1alpha1__MountResponse *out, bool unchanged_allowed, struct fileset *set,
                      struct error *err)
{
    for (size_t i = 0; i < out->n_files; i++) {
        V1alpha1__File *f = out->files[i];
        struct file_spec spec = {
            .path = f->path,
            .path_len = strlen(f->path),
            .object = f->object,
            .mode = (mode_t)f->mode & 0777,
            .uid = owner_of(f->uid),
            .gid = (gid_t)owner_of(f->gid),
            .unchanged = f->unchanged && unchanged_allowed,
            .contents = secret_copy(f->contents.data, f->contents.len),
        };

        if (fileset_add(set, &spec, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < out->n_object_version; i++)
        if (fileset_add_version(set, out->object_version[i]->id, out->object_version[i]->version,
                                err) < 0)
            return -1;
    set->refresh_at_unix_ms = out->refresh_at_unix_ms;
    return 0;
}

static int read_answer(V1alpha1__MountResponse *out, const struct provider_mount *mount,
                       struct fileset *ret, struct error *err)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };

    if (out->error && *out->error->code) {
        error_set(err, CODE_UNKNOWN, "mount request failed with provider error code %.100s",
                  out->error->code);
        return error_reason(err, provider_code_reason(out->error->code));
    }
    if (read_files(out, mount->own && mount->request->accepts_unchanged, &set, err) < 0) {
        (void)error_within(err, "provider %s answered", mount->request->provider);
        return error_reason(err, "InvalidAnswer");
    }
    *ret = set;
    set = (struct fileset){ 0 };
    return 0;
}

static void hear(void *arg, const char *key, const char *value)
{
    fetch_how_take(arg, key, value);
}

static int call(struct rpc_client *client, const struct provider_mount *mount,
                const V1alpha1__MountRequest *in, ProtobufCMessage **ret, struct error *err)
{
    struct rpc_request rpc = {
        .service = &v1alpha1__csidriver_provider__descriptor,
        .method = "Mount",
        .in = &in->base,
        .timeout_ms = mount->request->timeout_ms,
        .cancel = mount->request->cancel,
        .sensitive = true,
        .told = mount->request->told ? hear : NULL,
        .told_arg = mount->request->told ? &mount->request->told->how : NULL,
    };

    if (FAULT("fetch.before_call", err) < 0)
        return -1;
    if (rpc_client_call(client, &rpc, ret, err) == 0)
        return 0;
    return error_reason(err, "GRPCProviderError");
}

int provider_mount_call(struct rpc_client *client, const struct provider_mount *mount,
                        struct fileset *ret, struct error *err)
{
    const struct source_request *req = mount->request;
    struct strbuf attributes CLEANUP(strbuf_done) = { .sensitive = true };
    struct strbuf secrets CLEANUP(strbuf_done) = { .sensitive = true };
    V1alpha1__MountRequest in = V1ALPHA1__MOUNT_REQUEST__INIT;
    struct version_list versions CLEANUP(version_list_done) = { 0 };
    autofree char *permission = str_printf("%d", PROVIDER_FILE_MODE);
    ProtobufCMessage *reply = NULL;
    int result;

    if (attributes_json(mount, &attributes, err) < 0)
        return -1;
    credentials_secrets(req->credentials, &secrets);
    in.attributes = (char *)strbuf_text(&attributes);
    in.secrets = (char *)strbuf_text(&secrets);
    in.target_path = (char *)req->target;
    in.permission = permission;
    if (mount->own) {
        in.volume_id = (char *)req->volume_id;
        in.accepts_unchanged = req->accepts_unchanged;
    }
    if (mount->send_versions)
        add_versions(&in, req, &versions);
    result = call(client, mount, &in, &reply, err);
    if (result == 0)
        result = FAULT("fetch.after_call", err);
    if (result == 0)
        result = read_answer((V1alpha1__MountResponse *)reply, mount, ret, err);
    rpc_reply_free(reply);
    if (result < 0)
        credentials_redact(req->credentials, err ? err->msg : (char[1]){ 0 });
    return result;
}

void provider_mount_release(struct rpc_client *client, const char *volume_id, int64_t timeout_ms)
{
    Locket__Provider__V1__ReleaseRequest in = LOCKET__PROVIDER__V1__RELEASE_REQUEST__INIT;
    struct rpc_request rpc = {
        .service = &locket__provider__v1__extras__descriptor,
        .method = "Release",
        .in = &in.base,
        .timeout_ms = timeout_ms,
    };
    ProtobufCMessage *reply = NULL;

    in.volume_id = (char *)volume_id;
    (void)!rpc_client_call(client, &rpc, &reply, NULL);
    rpc_reply_free(reply);
}
