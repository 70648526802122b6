/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/driver.h"
#include "locket/admin.pb-c.h"

static void print(const struct ctl *ctl, const ProtobufCMessage *answer)
{
    (void)fputs(((const Locket__Admin__V1__MetricsResponse *)answer)->text, ctl->out);
}

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    Locket__Admin__V1__MetricsRequest in = LOCKET__ADMIN__V1__METRICS_REQUEST__INIT;
    const struct show show = { "Metrics", &in.base, print };

    (void)words;
    (void)count;
    return driver_show(ctl, config, &show, err);
}

const struct command command_metrics = {
    .name = "metrics",
    .words = "",
    .summary = "prints the driver's metrics as Prometheus reads them",
    .options = show_options,
    .option_count = SHOW_OPTIONS,
    .config_bytes = sizeof(struct show_config),
    .run = run,
};
