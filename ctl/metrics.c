/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/driver.h"
#include "lib/net/rpc_client.h"
#include "locket/admin.pb-c.h"

struct metrics_config {
    char *output;
    char *admin_socket;
    int64_t timeout_ms;
};

static const struct option_row options[] = {
    OPTION_ROW_OUTPUT(metrics_config),
    OPTION_ROW_ADMIN(metrics_config),
    OPTION_ROW_TIMEOUT(metrics_config),
};

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    const struct metrics_config *c = config;
    Locket__Admin__V1__MetricsRequest in = LOCKET__ADMIN__V1__METRICS_REQUEST__INIT;
    struct driver_call call = { c->admin_socket, c->timeout_ms, "Metrics", &in.base };
    ProtobufCMessage *answer = NULL;
    bool json = false;

    (void)words;
    (void)count;
    if (ctl_wants_json(c->output, &json, err) < 0 || driver_admin(&call, &answer, err) < 0)
        return -1;
    if (json)
        driver_print_json(ctl, answer);
    else
        (void)fputs(((const Locket__Admin__V1__MetricsResponse *)answer)->text, ctl->out);
    rpc_reply_free(answer);
    return 0;
}

const struct command command_metrics = {
    .name = "metrics",
    .words = "",
    .summary = "prints the driver's metrics as Prometheus reads them",
    .options = options,
    .option_count = COUNT_OF(options),
    .config_bytes = sizeof(struct metrics_config),
    .run = run,
};
