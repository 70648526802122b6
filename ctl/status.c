/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/driver.h"
#include "ctl/grid.h"
#include "lib/base/clock.h"
#include "lib/base/strbuf.h"
#include "locket/admin.pb-c.h"

enum { MIB = 1 << 20 };

static void add_facts(struct grid *g, const Locket__Admin__V1__StatusResponse *s)
{
    char interval[CLOCK_STAMP_MAX];
    struct strbuf states CLEANUP(strbuf_done) = { 0 };

    duration_format(s->rotation_interval_ms, interval);
    for (size_t i = 0; i < s->n_volumes_by_state; i++)
        strbuf_printf(&states, "%s%lld %s", i ? ", " : "", (long long)s->volumes_by_state[i]->value,
                      s->volumes_by_state[i]->key);
    grid_add(g, GRID_BOLD, "version");
    grid_add(g, GRID_PLAIN, s->version);
    grid_add(g, GRID_BOLD, "up for");
    grid_add_age(g, GRID_PLAIN, clock_unix_ms() - s->started_unix_ms);
    grid_add(g, GRID_BOLD, "volumes");
    grid_add(g, GRID_PLAIN, states.len ? strbuf_text(&states) : "none");
    grid_add(g, GRID_BOLD, "recovery");
    grid_printf(g, GRID_PLAIN, "%lld volumes recovered, %lld undone, %lld records set aside",
                (long long)s->recovered_volumes, (long long)s->undone_volumes,
                (long long)s->records_set_aside);
    grid_add(g, GRID_BOLD, "tmpfs budget");
    grid_printf(g, s->budget_used_bytes > s->budget_bytes ? GRID_BAD : GRID_PLAIN,
                "%lld of %lld MiB", (long long)(s->budget_used_bytes / MIB),
                (long long)(s->budget_bytes / MIB));
    grid_add(g, GRID_BOLD, "rotation");
    grid_printf(g, GRID_PLAIN, "%s%s", s->rotation_enabled ? "every " : "off",
                s->rotation_enabled ? interval : "");
    grid_add(g, GRID_BOLD, "noswap");
    grid_add(g, GRID_PLAIN, s->noswap ? "yes" : "no");
    grid_add(g, GRID_BOLD, "kubelet");
    grid_add(g, GRID_PLAIN, s->registration);
    for (size_t i = 0; i < s->n_pools; i++) {
        grid_printf(g, GRID_BOLD, "pool %.40s", s->pools[i]->name);
        grid_printf(g, GRID_PLAIN, "%lld busy; at most %lld threads, %lld waiting",
                    (long long)s->pools[i]->busy, (long long)s->pools[i]->threads_max,
                    (long long)s->pools[i]->queue_max);
    }
    for (size_t i = 0; i < s->n_warnings; i++) {
        grid_add(g, GRID_BAD, "warning");
        grid_add(g, GRID_PLAIN, s->warnings[i]);
    }
}

static void add_providers(struct grid *g, const Locket__Admin__V1__StatusResponse *s)
{
    static const char *const heads[] = { "PROVIDER", "CONNECTED", "IN FLIGHT", "OWNER", "SOCKET" };

    for (size_t i = 0; i < COUNT_OF(heads); i++)
        grid_add(g, GRID_BOLD, heads[i]);
    for (size_t i = 0; i < s->n_providers; i++) {
        const Locket__Admin__V1__Provider *p = s->providers[i];

        grid_add(g, GRID_PLAIN, p->name);
        grid_add(g, p->connected ? GRID_GOOD : GRID_FAINT, p->connected ? "yes" : "no");
        grid_printf(g, GRID_PLAIN, "%lld", (long long)p->inflight);
        grid_printf(g, GRID_PLAIN, "%lld", (long long)p->peer_uid);
        grid_add(g, GRID_PLAIN, p->socket);
    }
}

static void print(const struct ctl *ctl, const ProtobufCMessage *answer)
{
    const Locket__Admin__V1__StatusResponse *s = (const Locket__Admin__V1__StatusResponse *)answer;
    struct grid facts CLEANUP(grid_done) = { .columns = 2 };
    struct grid providers CLEANUP(grid_done) = { .columns = 5 };

    add_facts(&facts, s);
    grid_print(&facts, ctl);
    if (!s->n_providers)
        return;
    add_providers(&providers, s);
    (void)fputc('\n', ctl->out);
    grid_print(&providers, ctl);
}

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    Locket__Admin__V1__StatusRequest in = LOCKET__ADMIN__V1__STATUS_REQUEST__INIT;
    const struct show show = { "Status", &in.base, print };

    (void)words;
    (void)count;
    return driver_show(ctl, config, &show, err);
}

const struct command command_status = {
    .name = "status",
    .words = "",
    .summary = "tells how the driver is: recovery, budget, providers, warnings",
    .options = show_options,
    .option_count = SHOW_OPTIONS,
    .config_bytes = sizeof(struct show_config),
    .run = run,
};
