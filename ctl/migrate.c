/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/migrate.h"

#include "ctl/ctl.h"
#include "ctl/driver.h"
#include "ctl/grid.h"
#include "ctl/message_json.h"
#include "ctl/values.h"
#include "lib/base/json.h"
#include "lib/net/rpc_client.h"

struct migrate_config {
    char *output;
    char *admin_socket;
    struct option_texts from;
    int64_t timeout_ms;
};

static const struct option_row options[] = {
    { "from", OPTION_TEXTS, offsetof(struct migrate_config, from), NULL, "FILE",
      "objects as kubectl get -o json or yaml prints them, - is standard input; may be repeated" },
    OPTION_ROW_OUTPUT(migrate_config),
    OPTION_ROW_ADMIN(migrate_config),
    OPTION_ROW_TIMEOUT(migrate_config),
};

/* --- check -------------------------------------------------------------------------------------
 */

static void print_check(const struct ctl *ctl, const struct migrate *m)
{
    static const enum grid_colour colours[] = { GRID_GOOD, GRID_FAINT, GRID_BAD };
    struct grid g CLEANUP(grid_done) = { .columns = 5 };

    for (size_t i = 0; i < m->count; i++) {
        const struct finding *f = &m->findings[i];

        grid_add(&g, colours[f->verdict], verdict_name(f->verdict));
        grid_add(&g, GRID_BOLD, f->check);
        grid_add(&g, GRID_PLAIN, f->about);
        grid_add(&g, GRID_PLAIN, f->detail);
        grid_add(&g, GRID_PLAIN, f->remedy);
    }
    grid_print(&g, ctl);
}

static void add_member(struct strbuf *out, const char *name, const char *text)
{
    strbuf_printf(out, "%s\"%s\":", *name == 'v' ? "{" : ",", name);
    json_add_text(out, text, strlen(text));
}

static void print_check_json(const struct ctl *ctl, const struct migrate *m)
{
    struct strbuf out CLEANUP(strbuf_done) = { 0 };

    for (size_t i = 0; i < m->count; i++) {
        const struct finding *f = &m->findings[i];

        strbuf_add_text(&out, i ? ",\n" : "");
        add_member(&out, "verdict", verdict_name(f->verdict));
        add_member(&out, "check", f->check);
        add_member(&out, "about", f->about);
        add_member(&out, "detail", f->detail);
        add_member(&out, "remedy", f->remedy);
        strbuf_add_text(&out, "}");
    }
    (void)fprintf(ctl->out, "[%s]\n", strbuf_text(&out));
}

static int conclude(const struct migrate *m, struct error *err)
{
    size_t open = 0;

    for (size_t i = 0; i < m->count; i++)
        open += m->findings[i].verdict == VERDICT_DUE;
    if (open)
        return error_set(err, CODE_FAILED_PRECONDITION, "%zu of %zu findings are to be done first",
                         open, m->count);
    return 0;
}

static int read_dumps(const struct ctl *ctl, const struct migrate_config *c, struct migrate *m,
                      struct error *err)
{
    struct values values = { .ctl = ctl, .bytes_max = JSON_BYTES_MAX };

    for (size_t i = 0; i < c->from.count; i++) {
        struct strbuf text CLEANUP(strbuf_done) = { 0 };

        if (values_read(&values, c->from.texts[i], &text, err) < 0)
            return -1;
        if (migrate_read(m, strbuf_text(&text), text.len, err) < 0)
            return error_within(err, "%s", c->from.texts[i]);
    }
    return 0;
}

/* What the driver of this node answers; nothing where there is none. */
static void ask_node(const struct migrate_config *c, ProtobufCMessage **ret_survey,
                     ProtobufCMessage **ret_status)
{
    Locket__Admin__V1__SurveyRequest survey = LOCKET__ADMIN__V1__SURVEY_REQUEST__INIT;
    Locket__Admin__V1__StatusRequest status = LOCKET__ADMIN__V1__STATUS_REQUEST__INIT;
    struct driver_call call = { c->admin_socket, c->timeout_ms, "Survey", &survey.base };

    if (driver_admin(&call, ret_survey, NULL) < 0)
        return;
    call.method = "Status";
    call.in = &status.base;
    (void)!driver_admin(&call, ret_status, NULL);
}

static int check(const struct ctl *ctl, const struct migrate_config *c, bool json,
                 struct error *err)
{
    struct migrate m CLEANUP(migrate_done) = { 0 };
    ProtobufCMessage *survey = NULL;
    ProtobufCMessage *status = NULL;
    int result;

    if (read_dumps(ctl, c, &m, err) < 0)
        return -1;
    ask_node(c, &survey, &status);
    m.survey = (const Locket__Admin__V1__SurveyResponse *)survey;
    m.status = (const Locket__Admin__V1__StatusResponse *)status;
    migrate_run(&m);
    if (json)
        print_check_json(ctl, &m);
    else
        print_check(ctl, &m);
    result = conclude(&m, err);
    rpc_reply_free(survey);
    rpc_reply_free(status);
    return result;
}

/* --- prepare-rollback --------------------------------------------------------------------------
 */

static int tell(const struct ctl *ctl, const Locket__Admin__V1__PrepareRollbackResponse *answer,
                bool json, struct error *err)
{
    struct grid g CLEANUP(grid_done) = { .columns = 4 };
    size_t failed = 0;

    for (size_t i = 0; i < answer->n_results; i++) {
        const Locket__Admin__V1__RollbackResult *r = answer->results[i];
        bool good = strcmp(r->code, "OK") == 0;

        failed += !good;
        grid_printf(&g, GRID_BOLD, "%s/%s", r->pod_namespace, r->pod_name);
        grid_add(&g, good ? GRID_GOOD : GRID_BAD,
                 !good        ? r->code
                 : r->changed ? "made ready"
                              : "ready already");
        grid_add(&g, GRID_FAINT, r->volume_id);
        grid_add(&g, GRID_PLAIN, r->text);
    }
    if (json)
        driver_print_json(ctl, &answer->base);
    else
        grid_print(&g, ctl);
    if (failed)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "%zu of %zu volumes are not ready: run it again in a moment", failed,
                         answer->n_results);
    return 0;
}

static int prepare_rollback(const struct ctl *ctl, const struct migrate_config *c, bool json,
                            struct error *err)
{
    Locket__Admin__V1__PrepareRollbackRequest in =
        LOCKET__ADMIN__V1__PREPARE_ROLLBACK_REQUEST__INIT;
    struct driver_call call = { c->admin_socket, c->timeout_ms, "PrepareRollback", &in.base };
    ProtobufCMessage *answer = NULL;
    int result;

    if (c->from.count)
        return ctl_usage(err, "prepare-rollback reads no objects: leave --from out");
    if (driver_admin(&call, &answer, err) < 0)
        return -1;
    result = tell(ctl, (const Locket__Admin__V1__PrepareRollbackResponse *)answer, json, err);
    rpc_reply_free(answer);
    return result;
}

/* --- the command -------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    int (*run)(const struct ctl *ctl, const struct migrate_config *c, bool json, struct error *err);
} actions[] = {
    { "check", check },
    { "prepare-rollback", prepare_rollback },
};

static int run(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err)
{
    const struct migrate_config *c = config;
    bool json = false;

    (void)count;
    if (ctl_wants_json(c->output, &json, err) < 0)
        return -1;
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (strcmp(actions[i].name, words[0]) == 0)
            return actions[i].run(ctl, c, json, err);
    return ctl_usage(err, "takes check or prepare-rollback, not \"%.40s\"", words[0]);
}

const struct command command_migrate = {
    .name = "migrate",
    .words = "check|prepare-rollback",
    .summary = "from the Secrets Store CSI Driver and back: what is to be done before",
    .options = options,
    .option_count = COUNT_OF(options),
    .config_bytes = sizeof(struct migrate_config),
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
