/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/driver.h"
#include "ctl/grid.h"
#include "lib/base/clock.h"
#include "locket/admin.pb-c.h"

/* What an operator should look at, in a few words; "" when all is well. */
static const char *problem(const Locket__Admin__V1__Volume *v)
{
    if (*v->last_error)
        return v->last_error;
    if (v->waiting_for_credentials)
        return "waiting for credentials";
    return v->stale ? "stale" : "";
}

/* How long ago; -1: never. */
static int64_t since(int64_t now_ms, int64_t then_ms)
{
    if (then_ms <= 0)
        return -1;
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static void add_volume(struct grid *g, const Locket__Admin__V1__Volume *v, int64_t now_ms)
{
    grid_printf(g, GRID_PLAIN, "%s/%s", v->pod_namespace, v->pod_name);
    grid_add(g, GRID_PLAIN, v->class_name);
    grid_add(g, GRID_PLAIN, v->provider);
    grid_add(g, strcmp(v->state, "idle") == 0 ? GRID_GOOD : GRID_BOLD, v->state);
    grid_printf(g, GRID_PLAIN, "%llu", (unsigned long long)v->generation);
    grid_add_age(g, v->stale ? GRID_BAD : GRID_PLAIN, since(now_ms, v->fetched_at_unix_ms));
    grid_add_age(g, GRID_PLAIN, since(now_ms, v->changed_at_unix_ms));
    grid_add_age(g, GRID_PLAIN, v->next_due_ms);
    grid_add(g, GRID_PLAIN, v->volume_id);
    grid_add(g, GRID_BAD, problem(v));
}

static void print(const struct ctl *ctl, const ProtobufCMessage *message)
{
    const Locket__Admin__V1__ListResponse *answer =
        (const Locket__Admin__V1__ListResponse *)message;
    static const char *const heads[] = { "POD",     "CLASS",   "PROVIDER", "STATE",  "GENERATION",
                                         "CHECKED", "CHANGED", "NEXT",     "VOLUME", "PROBLEM" };
    struct grid g CLEANUP(grid_done) = { .columns = COUNT_OF(heads) };
    int64_t now_ms = clock_unix_ms();

    if (!answer->n_volumes && ctl->terminal) {
        (void)fprintf(ctl->out, "No volumes.\n");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(heads); i++)
        grid_add(&g, GRID_BOLD, heads[i]);
    for (size_t i = 0; i < answer->n_volumes; i++)
        add_volume(&g, answer->volumes[i], now_ms);
    grid_print(&g, ctl);
}

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    Locket__Admin__V1__ListRequest in = LOCKET__ADMIN__V1__LIST_REQUEST__INIT;
    const struct show show = { "List", &in.base, print };

    (void)words;
    (void)count;
    return driver_show(ctl, config, &show, err);
}

const struct command command_list = {
    .name = "list",
    .words = "",
    .summary = "lists the volumes of this node",
    .options = show_options,
    .option_count = SHOW_OPTIONS,
    .config_bytes = sizeof(struct show_config),
    .run = run,
};
