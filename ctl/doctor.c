/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/checks.h"
#include "ctl/driver.h"
#include "ctl/grid.h"
#include "ctl/message_json.h"
#include "lib/base/strbuf.h"
#include "lib/net/rpc_client.h"
#include "locket/admin.pb-c.h"

struct doctor_config {
    char *output;
    char *admin_socket;
    char *csi_socket;
    char *target_root;
    int64_t timeout_ms;
};

static const struct option_row options[] = {
    { "csi-socket", OPTION_TEXT, offsetof(struct doctor_config, csi_socket), CTL_CSI_SOCKET, "PATH",
      "the driver's CSI socket" },
    { "target-root", OPTION_TEXT, offsetof(struct doctor_config, target_root), CTL_TARGET_ROOT,
      "DIR", "kubelet's folder; the driver's --target-root" },
    { "timeout", OPTION_DURATION, offsetof(struct doctor_config, timeout_ms), "5s", "DURATION",
      "how long to wait for the driver" },
    OPTION_ROW_OUTPUT(doctor_config),
    OPTION_ROW_ADMIN(doctor_config),
};

/* Our findings and the driver's as one list; rows are borrowed. */
struct findings {
    Locket__Admin__V1__Check own[CHECKS_MAX + 1];
    Locket__Admin__V1__Check **rows;
    size_t count;
};

static void add(struct findings *f, Locket__Admin__V1__Check *row)
{
    f->rows = xrealloc(f->rows, (f->count + 1) * sizeof(Locket__Admin__V1__Check *));
    f->rows[f->count++] = row;
}

static void add_own(struct findings *f, size_t slot, const struct check *c)
{
    Locket__Admin__V1__Check *row = &f->own[slot];

    locket__admin__v1__check__init(row);
    row->name = (char *)c->name;
    row->ok = c->ok;
    row->detail = c->detail;
    row->remedy = (char *)c->remedy;
    add(f, row);
}

static void print(const struct ctl *ctl, const struct findings *f)
{
    struct grid g CLEANUP(grid_done) = { .columns = 4 };

    for (size_t i = 0; i < f->count; i++) {
        const Locket__Admin__V1__Check *row = f->rows[i];

        grid_add(&g, row->ok ? GRID_GOOD : GRID_BAD, row->ok ? "ok" : "FAILED");
        grid_add(&g, GRID_BOLD, row->name);
        grid_add(&g, GRID_PLAIN, row->detail);
        grid_add(&g, GRID_PLAIN, row->remedy);
    }
    grid_print(&g, ctl);
}

static int tell(const struct ctl *ctl, const struct findings *f, bool json, struct error *err)
{
    Locket__Admin__V1__DoctorResponse all = LOCKET__ADMIN__V1__DOCTOR_RESPONSE__INIT;
    size_t failed = 0;

    all.n_checks = f->count;
    all.checks = f->rows;
    if (json)
        driver_print_json(ctl, &all.base);
    else
        print(ctl, f);
    for (size_t i = 0; i < f->count; i++)
        failed += !f->rows[i]->ok;
    if (failed)
        return error_set(err, CODE_FAILED_PRECONDITION, "%zu of %zu checks failed", failed,
                         f->count);
    return 0;
}

/* The driver's own checks, or one that says that it does not answer. *ret keeps them alive. */
static void ask_driver(const struct doctor_config *c, struct findings *f, struct check *silent,
                       ProtobufCMessage **ret)
{
    Locket__Admin__V1__DoctorRequest in = LOCKET__ADMIN__V1__DOCTOR_REQUEST__INIT;
    struct driver_call call = { c->admin_socket, c->timeout_ms, "Doctor", &in.base };
    struct error err = { 0 };

    *silent = (struct check){ .name = "driver", .remedy = "start locket-driver" };
    if (driver_admin(&call, ret, &err) < 0) {
        silent->detail = str_printf("does not answer: %s", err.msg);
        add_own(f, CHECKS_MAX, silent);
        return;
    }
    for (size_t i = 0; i < ((Locket__Admin__V1__DoctorResponse *)*ret)->n_checks; i++)
        add(f, ((Locket__Admin__V1__DoctorResponse *)*ret)->checks[i]);
}

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    const struct doctor_config *c = config;
    const struct checks_target target = { c->admin_socket, c->csi_socket, c->target_root };
    struct check own[CHECKS_MAX + 1] = { 0 };
    struct findings findings = { 0 };
    ProtobufCMessage *answer = NULL;
    bool json = false;
    size_t own_count;
    int result;

    (void)words;
    (void)count;
    if (ctl_wants_json(c->output, &json, err) < 0)
        return -1;
    own_count = checks_run(&target, own);
    for (size_t i = 0; i < own_count; i++)
        add_own(&findings, i, &own[i]);
    ask_driver(c, &findings, &own[CHECKS_MAX], &answer);
    result = tell(ctl, &findings, json, err);
    rpc_reply_free(answer);
    for (size_t i = 0; i < COUNT_OF(own); i++)
        check_done(&own[i]);
    free(findings.rows);
    return result;
}

const struct command command_doctor = {
    .name = "doctor",
    .words = "",
    .summary = "checks kernel, sockets, permissions and budget; works without a driver, too",
    .options = options,
    .option_count = COUNT_OF(options),
    .config_bytes = sizeof(struct doctor_config),
    .run = run,
};
