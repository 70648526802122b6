/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

struct version_config {
    char *output;
};

static const struct option_row options[] = {
    OPTION_ROW_OUTPUT(version_config),
};

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    const struct version_config *c = config;
    bool json = false;

    (void)words;
    (void)count;
    if (ctl_wants_json(c->output, &json, err) < 0)
        return -1;
    if (json)
        (void)fprintf(ctl->out, "{\"version\":\"%s\"}\n", LOCKET_VERSION);
    else
        (void)fprintf(ctl->out, "locketctl %s\n", LOCKET_VERSION);
    return 0;
}

const struct command command_version = {
    .name = "version",
    .words = "",
    .summary = "prints this program's version",
    .options = options,
    .option_count = COUNT_OF(options),
    .config_bytes = sizeof(struct version_config),
    .run = run,
};
