/* SPDX-License-Identifier: Apache-2.0 */
#include "csi/csi.pb-c.h"
#include "ctl/driver.h"
#include "ctl/grid.h"
#include "ctl/names.h"
#include "ctl/target.h"
#include "ctl/values.h"

/* Keys that kubelet writes. Source: Kubernetes pkg/volume/csi/csi_mounter.go. */
#define KEY_PREFIX "csi.storage.k8s.io/"
#define KEY_TOKENS KEY_PREFIX "serviceAccount.tokens"

struct publish_config {
    char *output;
    char *csi_socket;
    int64_t timeout_ms;
    char *pod;
    char *uid;
    char *service_account;
    struct option_texts tokens;
    struct option_texts secrets;
    struct option_texts attributes;
    char *volume;
    char *volume_id;
    char *target;
    char *target_root;
    char *fs_group;
    bool read_only;
    bool tokens_in_secrets;
};

#define AT(field_) offsetof(struct publish_config, field_)

static const struct option_row options[] = {
    { "pod", OPTION_TEXT, AT(pod), NULL, "NS/NAME", "the pod that gets the volume; needed" },
    { "uid", OPTION_TEXT, AT(uid), NULL, "UID", "the pod's uid; made from its name unless given" },
    { "service-account", OPTION_TEXT, AT(service_account), "default", "NAME",
      "the pod's service account" },
    { "token", OPTION_TEXTS, AT(tokens), NULL, "AUDIENCE=FILE",
      "a token of the service account; FILE - is standard input; may be repeated" },
    { "tokens-in-secrets", OPTION_BOOL, AT(tokens_in_secrets), NULL, NULL,
      "send tokens as a secret, as CSIDriver serviceAccountTokenInSecrets does" },
    { "secret", OPTION_TEXTS, AT(secrets), NULL, "KEY=FILE",
      "a value of the nodePublishSecretRef; may be repeated" },
    { "attribute", OPTION_TEXTS, AT(attributes), NULL, "KEY=VALUE",
      "a volumeAttribute of the pod; may be repeated" },
    { "volume", OPTION_TEXT, AT(volume), NULL, "NAME",
      "the volume's name in the pod; that of the class unless given" },
    { "volume-id", OPTION_TEXT, AT(volume_id), NULL, "ID",
      "made from uid and volume unless given" },
    { "target", OPTION_TEXT, AT(target), NULL, "PATH", "where kubelet has it unless given" },
    { "target-root", OPTION_TEXT, AT(target_root), CTL_TARGET_ROOT, "DIR",
      "kubelet's folder; the driver's --target-root" },
    { "fs-group", OPTION_TEXT, AT(fs_group), NULL, "GID", "the pod's fsGroup" },
    { "read-only", OPTION_BOOL, AT(read_only), "true", NULL,
      "what the pod says; the driver refuses false unless told otherwise" },
    { "csi-socket", OPTION_TEXT, AT(csi_socket), CTL_CSI_SOCKET, "PATH",
      "the driver's CSI socket" },
    OPTION_ROW_OUTPUT(publish_config),
    OPTION_ROW_TIMEOUT(publish_config),
};

/* What the call is made of. */
struct publish {
    struct names pod;
    char *uid;
    char *volume_id;
    char *target;
    struct pairs context;
    struct pairs secrets;
};

static void publish_done(struct publish *p)
{
    names_done(&p->pod);
    free(p->uid);
    free(p->volume_id);
    free(p->target);
    pairs_done(&p->context);
    pairs_done(&p->secrets);
}

/* Who and where, as far as the command line leaves it open. */
static int identify(const struct publish_config *c, const char *class, struct publish *p,
                    struct error *err)
{
    const char *volume = c->volume ? c->volume : class;

    if (!c->pod)
        return ctl_usage(err, "--pod NS/NAME is needed");
    if (names_split(c->pod, "--pod", &p->pod, err) < 0)
        return -1;
    p->uid = c->uid ? xstrdup(c->uid) : NULL;
    if (!p->uid && target_pod_uid(p->pod.ns, p->pod.name, &p->uid, err) < 0)
        return -1;
    p->volume_id = c->volume_id ? xstrdup(c->volume_id) : NULL;
    if (!p->volume_id && target_volume_id(p->uid, volume, &p->volume_id, err) < 0)
        return -1;
    p->target = c->target ? xstrdup(c->target) : NULL;
    if (!p->target && target_path(c->target_root, p->uid, volume, &p->target, err) < 0)
        return -1;
    return 0;
}

static int add_attributes(const struct publish_config *c, struct pairs *context, struct error *err)
{
    for (size_t i = 0; i < c->attributes.count; i++) {
        const char *text = c->attributes.texts[i];
        const char *equals = strchr(text, '=');
        autofree char *key = xstrndup(text, equals ? (size_t)(equals - text) : 0);

        if (!*key)
            return ctl_usage(err, "--attribute takes KEY=VALUE");
        pairs_set(context, key, equals + 1);
    }
    return 0;
}

/* What the pod brings: its attributes, then what kubelet says of it, then its credentials. */
static int bring(const struct ctl *ctl, const struct publish_config *c, const char *class,
                 struct publish *p, struct error *err)
{
    struct values values = { .ctl = ctl };
    struct strbuf tokens CLEANUP(strbuf_done) = { .sensitive = true };

    if (add_attributes(c, &p->context, err) < 0)
        return -1;
    pairs_set(&p->context, "secretProviderClass", class);
    pairs_set(&p->context, KEY_PREFIX "pod.name", p->pod.name);
    pairs_set(&p->context, KEY_PREFIX "pod.namespace", p->pod.ns);
    pairs_set(&p->context, KEY_PREFIX "pod.uid", p->uid);
    pairs_set(&p->context, KEY_PREFIX "serviceAccount.name", c->service_account);
    pairs_set(&p->context, KEY_PREFIX "ephemeral", "true");
    for (size_t i = 0; i < c->secrets.count; i++)
        if (values_add_secret(&values, c->secrets.texts[i], &p->secrets, err) < 0)
            return -1;
    if (values_tokens(&values, &c->tokens, &tokens, err) < 0)
        return -1;
    if (tokens.len)
        pairs_set(c->tokens_in_secrets ? &p->secrets : &p->context, KEY_TOKENS,
                  strbuf_text(&tokens));
    return 0;
}

/* All map entries that protobuf-c makes have the same members. */
typedef Csi__V1__NodePublishVolumeRequest__VolumeContextEntry context_entry;
typedef Csi__V1__NodePublishVolumeRequest__SecretsEntry secrets_entry;

struct entries {
    context_entry *context;
    secrets_entry *secrets;
    context_entry **context_refs;
    secrets_entry **secrets_refs;
};

static void entries_done(struct entries *e)
{
    free(e->context);
    free(e->secrets);
    free(e->context_refs);
    free(e->secrets_refs);
}

/* Lets the request's maps point into the pairs. */
static void fill_maps(const struct publish *p, struct entries *e,
                      Csi__V1__NodePublishVolumeRequest *in)
{
    e->context = xcalloc(p->context.count, sizeof(context_entry));
    e->context_refs = xcalloc(p->context.count, sizeof(context_entry *));
    e->secrets = xcalloc(p->secrets.count, sizeof(secrets_entry));
    e->secrets_refs = xcalloc(p->secrets.count, sizeof(secrets_entry *));
    for (size_t i = 0; i < p->context.count; i++) {
        csi__v1__node_publish_volume_request__volume_context_entry__init(&e->context[i]);
        e->context[i].key = p->context.items[i].key;
        e->context[i].value = p->context.items[i].value;
        e->context_refs[i] = &e->context[i];
    }
    for (size_t i = 0; i < p->secrets.count; i++) {
        csi__v1__node_publish_volume_request__secrets_entry__init(&e->secrets[i]);
        e->secrets[i].key = p->secrets.items[i].key;
        e->secrets[i].value = p->secrets.items[i].value;
        e->secrets_refs[i] = &e->secrets[i];
    }
    in->n_volume_context = p->context.count;
    in->volume_context = e->context_refs;
    in->n_secrets = p->secrets.count;
    in->secrets = e->secrets_refs;
}

static int send(const struct publish_config *c, const struct publish *p, struct error *err)
{
    Csi__V1__VolumeCapability__MountVolume mount = CSI__V1__VOLUME_CAPABILITY__MOUNT_VOLUME__INIT;
    Csi__V1__VolumeCapability__AccessMode mode = CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__INIT;
    Csi__V1__VolumeCapability capability = CSI__V1__VOLUME_CAPABILITY__INIT;
    Csi__V1__NodePublishVolumeRequest in = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
    struct driver_call call = { c->csi_socket, c->timeout_ms, "NodePublishVolume", &in.base };
    struct entries entries CLEANUP(entries_done) = { 0 };

    if (c->fs_group)
        mount.volume_mount_group = c->fs_group;
    mode.mode = CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__SINGLE_NODE_WRITER;
    capability.access_mode = &mode;
    capability.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
    capability.mount = &mount;
    in.volume_id = p->volume_id;
    in.target_path = p->target;
    in.volume_capability = &capability;
    in.readonly = c->read_only;
    fill_maps(p, &entries, &in);
    return driver_node(&call, err);
}

static void tell(const struct ctl *ctl, const struct publish *p, bool json)
{
    struct grid g CLEANUP(grid_done) = { .columns = 2 };
    struct strbuf text CLEANUP(strbuf_done) = { 0 };

    if (json) {
        struct pairs answer CLEANUP(pairs_done) = { 0 };

        pairs_set(&answer, "volume_id", p->volume_id);
        pairs_set(&answer, "target", p->target);
        pairs_set(&answer, "pod_uid", p->uid);
        pairs_json(&answer, &text);
        (void)fprintf(ctl->out, "%s\n", strbuf_text(&text));
        return;
    }
    grid_add(&g, GRID_BOLD, "volume");
    grid_add(&g, GRID_PLAIN, p->volume_id);
    grid_add(&g, GRID_BOLD, "target");
    grid_add(&g, GRID_PLAIN, p->target);
    grid_print(&g, ctl);
}

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    const struct publish_config *c = config;
    struct publish p CLEANUP(publish_done) = { 0 };
    bool json = false;

    (void)count;
    if (ctl_wants_json(c->output, &json, err) < 0 || identify(c, words[0], &p, err) < 0 ||
        bring(ctl, c, words[0], &p, err) < 0 || target_make(p.target, err) < 0)
        return -1;
    if (send(c, &p, err) < 0) {
        if (!code_is_maybe(err->code)) /* kubelet, too, keeps the folder of a maybe */
            target_remove(p.target);
        return -1;
    }
    tell(ctl, &p, json);
    return 0;
}

const struct command command_publish = {
    .name = "publish",
    .words = "CLASS",
    .summary = "mounts a class's secrets for a pod, as kubelet would",
    .options = options,
    .option_count = COUNT_OF(options),
    .config_bytes = sizeof(struct publish_config),
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
