/* SPDX-License-Identifier: Apache-2.0 */
#include "csi/csi.pb-c.h"
#include "ctl/driver.h"
#include "ctl/target.h"
#include "lib/net/rpc_client.h"
#include "locket/admin.pb-c.h"

struct unpublish_config {
    char *csi_socket;
    char *admin_socket;
    int64_t timeout_ms;
    char *target;
};

static const struct option_row options[] = {
    { "target", OPTION_TEXT, offsetof(struct unpublish_config, target), NULL, "PATH",
      "where it is mounted; the driver is asked unless given" },
    { "csi-socket", OPTION_TEXT, offsetof(struct unpublish_config, csi_socket), CTL_CSI_SOCKET,
      "PATH", "the driver's CSI socket" },
    OPTION_ROW_ADMIN(unpublish_config),
    OPTION_ROW_TIMEOUT(unpublish_config),
};

static int ask_target(const struct unpublish_config *c, const char *volume_id, char **ret,
                      struct error *err)
{
    Locket__Admin__V1__ListRequest in = LOCKET__ADMIN__V1__LIST_REQUEST__INIT;
    struct driver_call call = { c->admin_socket, c->timeout_ms, "List", &in.base };
    const Locket__Admin__V1__ListResponse *list;
    ProtobufCMessage *answer = NULL;

    if (driver_admin(&call, &answer, err) < 0)
        return error_within(err, "asking for the volume's target");
    list = (const Locket__Admin__V1__ListResponse *)answer;
    for (size_t i = 0; i < list->n_volumes && !*ret; i++)
        if (strcmp(list->volumes[i]->volume_id, volume_id) == 0)
            *ret = xstrdup(list->volumes[i]->target);
    rpc_reply_free(answer);
    if (!*ret)
        return error_set(err, CODE_NOT_FOUND,
                         "the driver has no volume %.200s; give --target to unmount one that it "
                         "does not know",
                         volume_id);
    return 0;
}

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    const struct unpublish_config *c = config;
    Csi__V1__NodeUnpublishVolumeRequest in = CSI__V1__NODE_UNPUBLISH_VOLUME_REQUEST__INIT;
    struct driver_call call = { c->csi_socket, c->timeout_ms, "NodeUnpublishVolume", &in.base };
    autofree char *target = c->target ? xstrdup(c->target) : NULL;

    (void)ctl;
    (void)count;
    if (!target && ask_target(c, words[0], &target, err) < 0)
        return -1;
    in.volume_id = words[0];
    in.target_path = target;
    if (driver_node(&call, err) < 0)
        return -1;
    target_remove(target);
    return 0;
}

const struct command command_unpublish = {
    .name = "unpublish",
    .words = "VOLUME",
    .summary = "takes a volume away again, as kubelet would",
    .options = options,
    .option_count = COUNT_OF(options),
    .config_bytes = sizeof(struct unpublish_config),
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
