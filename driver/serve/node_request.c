/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/node_request.h"

#include "lib/base/number.h"
#include "lib/base/strbuf.h"

typedef Csi__V1__NodePublishVolumeRequest Request;

/* --- the table of checks -----------------------------------------------------------------------
 */

static bool lacks_capability(const Request *in)
{
    return !in->volume_capability;
}

static bool lacks_id(const Request *in)
{
    return !*in->volume_id;
}

static bool lacks_target(const Request *in)
{
    return !*in->target_path;
}

static bool lacks_context(const Request *in)
{
    return in->n_volume_context == 0;
}

static bool is_block(const Request *in)
{
    return in->volume_capability->access_type_case == CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK;
}

static bool has_long_id(const Request *in)
{
    return strlen(in->volume_id) > VOLUME_ID_MAX;
}

static bool has_odd_id(const Request *in)
{
    for (const char *c = in->volume_id; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return true;
    return false;
}

static bool is_large(const char *key, const char *value)
{
    return strlen(key) > CONTEXT_BYTES_MAX || strlen(value) > CONTEXT_BYTES_MAX;
}

static bool has_large_context(const Request *in)
{
    for (size_t i = 0; i < in->n_volume_context; i++)
        if (is_large(in->volume_context[i]->key, in->volume_context[i]->value))
            return true;
    for (size_t i = 0; i < in->n_secrets; i++)
        if (is_large(in->secrets[i]->key, in->secrets[i]->value))
            return true;
    return in->n_volume_context > CONTEXT_ENTRIES_MAX || in->n_secrets > CONTEXT_ENTRIES_MAX;
}

static const char *context_get(const Request *in, const char *key)
{
    const char *value = NULL;

    for (size_t i = 0; i < in->n_volume_context; i++)
        if (strcmp(in->volume_context[i]->key, key) == 0)
            value = in->volume_context[i]->value; /* of duplicates the last wins, as in a map */
    return value;
}

static bool lacks_class(const Request *in)
{
    const char *name = context_get(in, CONTEXT_CLASS);

    return !name || !*name;
}

static bool is_not_ephemeral(const Request *in)
{
    const char *value = context_get(in, CONTEXT_EPHEMERAL);

    return value && strcmp(value, "true") != 0;
}

static const struct {
    bool (*is_wrong)(const Request *in);
    const char *text;
} checks[] = {
    { lacks_capability, "Volume capability missing in request" },
    { lacks_id, "Volume ID missing in request" },
    { lacks_target, "Target path missing in request" },
    { lacks_context, "Volume attributes missing in request" },
    { is_block, "volume_capability must be mount: block volumes hold no files" },
    { has_long_id, "volume_id must be at most 4096 bytes" },
    { has_odd_id, "volume_id must not contain control characters" },
    { has_large_context,
      "volume_context and secrets must have at most 1000 entries of at most 1 MiB" },
    { is_not_ephemeral, CONTEXT_EPHEMERAL " must be true: only inline volumes are served" },
    { lacks_class, "secretProviderClass is not set in volumeAttributes" },
};

/* --- taking apart ------------------------------------------------------------------------------
 */

static int read_group(const char *text, gid_t *ret, struct error *err)
{
    int64_t value;

    *ret = (gid_t)-1;
    if (!*text)
        return 0;
    if (number_parse(text, 0, (int64_t)UINT32_MAX - 1, &value, NULL) < 0)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "volume_mount_group \"%.32s\" must be a group id", text);
    *ret = (gid_t)value;
    return 0;
}

/* Options that kubelet may hand through for the tmpfs; others could undo what makes it safe. */
static int read_flags(const Csi__V1__VolumeCapability__MountVolume *mount, char **ret,
                      struct error *err)
{
    static const char *const allowed[] = { "context=", "fscontext=", "defcontext=",
                                           "rootcontext=" };
    struct strbuf flags CLEANUP(strbuf_done) = { 0 };

    for (size_t i = 0; i < mount->n_mount_flags; i++) {
        bool fine = false;

        for (size_t k = 0; k < COUNT_OF(allowed); k++)
            fine = fine || str_starts(mount->mount_flags[i], allowed[k]);
        if (!fine)
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "mount_flags: \"%.64s\" is not supported: only SELinux context "
                             "options are",
                             mount->mount_flags[i]);
        strbuf_printf(&flags, "%s%s", flags.len ? "," : "", mount->mount_flags[i]);
    }
    *ret = strbuf_take(&flags);
    return 0;
}

static void split_maps(const Request *in, struct publish_request *req)
{
    for (size_t i = 0; i < in->n_volume_context; i++) {
        if (strcmp(in->volume_context[i]->key, CONTEXT_TOKENS) == 0)
            req->tokens = in->volume_context[i]->value;
        else
            pairs_set(&req->attributes, in->volume_context[i]->key, in->volume_context[i]->value);
    }
    for (size_t i = 0; i < in->n_secrets; i++) {
        if (strcmp(in->secrets[i]->key, CONTEXT_TOKENS) == 0) {
            req->tokens = in->secrets[i]->value; /* KEP-5538: secrets first */
            req->tokens_in_secrets = true;
        } else
            pairs_set(&req->secrets, in->secrets[i]->key, in->secrets[i]->value);
    }
}

int node_request_read(const Request *in, bool require_readonly, struct publish_request *ret,
                      struct error *err)
{
    struct publish_request req = { .fs_group = (gid_t)-1 };
    const Csi__V1__VolumeCapability__MountVolume *mount;
    char *flags = NULL;

    for (size_t i = 0; i < COUNT_OF(checks); i++)
        if (checks[i].is_wrong(in))
            return error_set(err, CODE_INVALID_ARGUMENT, "%s", checks[i].text);
    if (require_readonly && !in->readonly)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "Readonly is not true in request: set readOnly: true on the pod's volume");
    mount = in->volume_capability->access_type_case == CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT
                ? in->volume_capability->mount
                : NULL;
    if (mount && (read_group(mount->volume_mount_group, &req.fs_group, err) < 0 ||
                  read_flags(mount, &flags, err) < 0))
        return -1;
    req.mount_flags = flags;
    req.volume_id = in->volume_id;
    req.target = in->target_path;
    req.read_only = in->readonly;
    split_maps(in, &req);
    *ret = req;
    return 0;
}

void node_request_done(struct publish_request *req)
{
    pairs_done(&req->attributes);
    pairs_done(&req->secrets);
    free((char *)req->mount_flags);
    *req = (struct publish_request){ 0 };
}
