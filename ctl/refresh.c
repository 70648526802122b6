/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/driver.h"
#include "ctl/grid.h"
#include "ctl/names.h"
#include "lib/net/rpc_client.h"
#include "locket/admin.pb-c.h"

struct refresh_config {
    char *output;
    char *admin_socket;
    int64_t timeout_ms;
    char *class;
    char *pod;
    bool all;
};

static const struct option_row options[] = {
    { "class", OPTION_TEXT, offsetof(struct refresh_config, class), NULL, "NS/NAME",
      "the volumes of this class" },
    { "pod", OPTION_TEXT, offsetof(struct refresh_config, pod), NULL, "NS/NAME",
      "the volumes of this pod" },
    { "all", OPTION_BOOL, offsetof(struct refresh_config, all), NULL, NULL, "every volume" },
    OPTION_ROW_OUTPUT(refresh_config),
    OPTION_ROW_ADMIN(refresh_config),
    OPTION_ROW_TIMEOUT(refresh_config),
};

/* Prints each volume's result. The first failure becomes the command's. */
static int tell(const struct ctl *ctl, const Locket__Admin__V1__RefreshResponse *answer, bool json,
                struct error *err)
{
    struct grid g CLEANUP(grid_done) = { .columns = 3 };
    size_t failed = 0;
    const char *first = "";

    for (size_t i = 0; i < answer->n_results; i++) {
        const Locket__Admin__V1__RefreshResult *r = answer->results[i];
        bool good = strcmp(r->code, "OK") == 0;

        if (!good && failed++ == 0)
            first = r->code;
        grid_add(&g, GRID_PLAIN, r->volume_id);
        if (good)
            grid_add(&g, GRID_GOOD, r->changed ? "changed" : "unchanged");
        else
            grid_add(&g, GRID_BAD, r->code);
        grid_add(&g, GRID_PLAIN, r->text);
    }
    if (json)
        driver_print_json(ctl, &answer->base);
    else
        grid_print(&g, ctl);
    if (failed)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "%zu of %zu volumes were not refreshed; the first failed with %.40s",
                         failed, answer->n_results, first);
    return 0;
}

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    const struct refresh_config *c = config;
    Locket__Admin__V1__RefreshRequest in = LOCKET__ADMIN__V1__REFRESH_REQUEST__INIT;
    struct driver_call call = { c->admin_socket, c->timeout_ms, "Refresh", &in.base };
    struct names class CLEANUP(names_done) = { 0 };
    struct names pod CLEANUP(names_done) = { 0 };
    ProtobufCMessage *answer = NULL;
    bool json = false;
    int result;

    if (!count && !c->class && !c->pod && !c->all)
        return ctl_usage(err, "name a volume, --class, --pod or --all");
    if (c->all && (count || c->class || c->pod))
        return ctl_usage(err, "--all stands alone");
    if (ctl_wants_json(c->output, &json, err) < 0 ||
        (c->class && names_split(c->class, "--class", &class, err) < 0) ||
        (c->pod && names_split(c->pod, "--pod", &pod, err) < 0))
        return -1;
    in.volume_id = count ? words[0] : in.volume_id;
    if (class.ns) {
        in.class_namespace = class.ns;
        in.class_name = class.name;
    }
    if (pod.ns) {
        in.pod_namespace = pod.ns;
        in.pod_name = pod.name;
    }
    if (driver_admin(&call, &answer, err) < 0)
        return -1;
    result = tell(ctl, (const Locket__Admin__V1__RefreshResponse *)answer, json, err);
    rpc_reply_free(answer);
    return result;
}

const struct command command_refresh = {
    .name = "refresh",
    .words = "[VOLUME]",
    .summary = "fetches volumes anew, now",
    .options = options,
    .option_count = COUNT_OF(options),
    .config_bytes = sizeof(struct refresh_config),
    .words_max = 1,
    .run = run,
};
