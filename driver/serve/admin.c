/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/admin.h"

#include "driver/serve/admin_migrate.h"
#include "driver/serve/admin_rows.h"
#include "driver/serve/scrape.h"
#include "driver/volume/rotation.h"
#include "lib/net/rpc_server.h"

enum { ADMIN_THREADS = 2, ADMIN_QUEUE = 64 };

typedef Locket__Admin__V1__RefreshRequest RefreshRequest;
typedef Locket__Admin__V1__RefreshResult RefreshResult;

static void list(Locket__Admin__V1__Admin_Service *service,
                 const Locket__Admin__V1__ListRequest *in,
                 Locket__Admin__V1__ListResponse_Closure reply, void *call)
{
    struct admin *self = (struct admin *)service;
    Locket__Admin__V1__ListResponse out = LOCKET__ADMIN__V1__LIST_RESPONSE__INIT;

    (void)in;
    out.volumes = admin_volumes(self->app, &out.n_volumes);
    reply(&out, call);
    admin_volumes_free(out.volumes, out.n_volumes);
}

static void fill_states(Locket__Admin__V1__StatusResponse *out,
                        Locket__Admin__V1__StatusResponse__VolumesByStateEntry *rows,
                        Locket__Admin__V1__StatusResponse__VolumesByStateEntry **refs,
                        const struct lifecycle *app)
{
    for (enum volume_state s = VOLUME_IDLE; s <= VOLUME_LEAVING; s++) {
        const char *label[] = { volume_state_name(s) };

        locket__admin__v1__status_response__volumes_by_state_entry__init(&rows[s]);
        rows[s].key = (char *)label[0];
        rows[s].value = (int64_t)metrics_value(app->metrics, VM_VOLUMES, label);
        refs[s] = &rows[s];
    }
    out->n_volumes_by_state = VOLUME_LEAVING + 1;
    out->volumes_by_state = refs;
}

static void status(Locket__Admin__V1__Admin_Service *service,
                   const Locket__Admin__V1__StatusRequest *in,
                   Locket__Admin__V1__StatusResponse_Closure reply, void *call)
{
    struct admin *self = (struct admin *)service;
    struct lifecycle *app = self->app;
    struct facts_rows facts CLEANUP(facts_rows_done) = { 0 };
    Locket__Admin__V1__StatusResponse out = LOCKET__ADMIN__V1__STATUS_RESPONSE__INIT;
    Locket__Admin__V1__StatusResponse__VolumesByStateEntry rows[VOLUME_LEAVING + 1];
    Locket__Admin__V1__StatusResponse__VolumesByStateEntry *refs[VOLUME_LEAVING + 1];
    char registration[REGISTRATION_TEXT_MAX];

    (void)in;
    scrape_gauges(app, self->registration);
    fill_states(&out, rows, refs, app);
    facts_rows_fill(&facts, &self->facts, &out);
    out.version = (char *)LOCKET_VERSION;
    out.started_unix_ms = app->started_unix_ms;
    out.recovered_volumes = (int64_t)app->recovered;
    out.undone_volumes = (int64_t)app->undone;
    out.records_set_aside = (int64_t)app->set_aside;
    out.budget_used_bytes = budget_used(&app->budget);
    out.budget_bytes = app->budget.total_bytes;
    out.rotation_enabled = app->config.rotation;
    out.rotation_interval_ms = app->config.rotation_interval_ms;
    out.noswap = app->mounter->noswap;
    out.registered = registration_tell(self->registration, registration);
    out.registration = registration;
    out.providers = admin_providers(app, &out.n_providers);
    reply(&out, call);
    admin_providers_free(out.providers, out.n_providers);
}

static void metrics(Locket__Admin__V1__Admin_Service *service,
                    const Locket__Admin__V1__MetricsRequest *in,
                    Locket__Admin__V1__MetricsResponse_Closure reply, void *call)
{
    struct admin *self = (struct admin *)service;
    Locket__Admin__V1__MetricsResponse out = LOCKET__ADMIN__V1__METRICS_RESPONSE__INIT;
    struct strbuf text CLEANUP(strbuf_done) = { 0 };

    (void)in;
    scrape_write(self->app, self->registration, &text);
    out.text = (char *)strbuf_text(&text);
    reply(&out, call);
}

/* --- refresh -----------------------------------------------------------------------------------
 */

struct refresh_job {
    struct lifecycle *app;
    const RefreshRequest *in; /* lives until the answer */
    Locket__Admin__V1__RefreshResponse_Closure reply;
    void *call;
    struct cancel *caller;
    RefreshResult **results;
    size_t count;
};

static bool matches(const char *want, const char *have)
{
    return !*want || (have && strcmp(want, have) == 0);
}

static bool is_meant(const RefreshRequest *in, const struct record *r)
{
    return matches(in->volume_id, r->volume_id) && matches(in->class_namespace, r->pod_ns) &&
           matches(in->class_name, r->class_name) && matches(in->pod_namespace, r->pod_ns) &&
           matches(in->pod_name, r->pod_name);
}

static void refresh_one(void *arg, struct volume *v)
{
    struct refresh_job *job = arg;
    struct error err = { 0 };
    RefreshResult *row;
    bool changed = false;
    bool meant;

    pthread_mutex_lock(&v->lock);
    meant = v->record.phase == RECORD_PUBLISHED && is_meant(job->in, &v->record);
    pthread_mutex_unlock(&v->lock);
    if (!meant || cancel_is_raised(job->caller))
        return; /* who left waits for none of the others */
    (void)!rotation_refresh(job->app, v, job->caller, &changed, &err);
    row = xmalloc(sizeof(*row));
    locket__admin__v1__refresh_result__init(row);
    row->volume_id = xstrdup(v->id);
    row->changed = changed;
    row->code = xstrdup(code_name(err.code));
    row->text = xstrdup(err.msg);
    job->results = xrealloc(job->results, (job->count + 1) * sizeof(RefreshResult *));
    job->results[job->count++] = row;
}

static void run_refresh(void *arg)
{
    struct refresh_job *job = arg;
    Locket__Admin__V1__RefreshResponse out = LOCKET__ADMIN__V1__REFRESH_RESPONSE__INIT;
    struct error err = { 0 };

    job->caller = rpc_call_cancel(job->call);
    volume_table_each(job->app->volumes, refresh_one, job);
    out.n_results = job->count;
    out.results = job->results;
    if (job->count) {
        job->reply(&out, job->call);
    } else {
        error_set(&err, CODE_NOT_FOUND, "no published volume matches: see locketctl list");
        rpc_fail(job->call, &err);
    }
    for (size_t i = 0; i < job->count; i++)
        locket__admin__v1__refresh_result__free_unpacked(job->results[i], NULL);
    free(job->results);
    free(job);
}

static void refresh(Locket__Admin__V1__Admin_Service *service, const RefreshRequest *in,
                    Locket__Admin__V1__RefreshResponse_Closure reply, void *call)
{
    struct admin *self = (struct admin *)service;
    struct refresh_job *job = xcalloc(1, sizeof(*job));
    struct error err = { 0 };

    *job = (struct refresh_job){ .app = self->app, .in = in, .reply = reply, .call = call };
    if (work_submit(self->workers, run_refresh, job, &err) < 0) {
        free(job);
        rpc_fail(call, &err);
    }
}

/* --- doctor ------------------------------------------------------------------------------------
 */

enum { CHECKS_MAX = 12 };

struct checks {
    Locket__Admin__V1__Check rows[CHECKS_MAX];
    Locket__Admin__V1__Check *refs[CHECKS_MAX];
    size_t count;
};

static void add_check(struct checks *c, const char *name, bool ok, const char *detail,
                      const char *remedy)
{
    Locket__Admin__V1__Check *row = &c->rows[c->count];

    locket__admin__v1__check__init(row);
    row->name = (char *)name;
    row->ok = ok;
    row->detail = (char *)detail;
    row->remedy = (char *)(ok ? "" : remedy);
    c->refs[c->count++] = row;
}

static void doctor(Locket__Admin__V1__Admin_Service *service,
                   const Locket__Admin__V1__DoctorRequest *in,
                   Locket__Admin__V1__DoctorResponse_Closure reply, void *call)
{
    struct admin *self = (struct admin *)service;
    struct lifecycle *app = self->app;
    Locket__Admin__V1__DoctorResponse out = LOCKET__ADMIN__V1__DOCTOR_RESPONSE__INIT;
    struct checks c = { 0 };
    struct error err = { 0 };
    bool writable = state_check(&app->state, &err) == 0;
    bool lacks = token_trust_lacks_republish(&app->trust);
    char registration[REGISTRATION_TEXT_MAX];
    bool registered = registration_tell(self->registration, registration);
    bool roomy = budget_used(&app->budget) < app->budget.total_bytes / 10 * 9;

    (void)in;
    add_check(&c, "recovery ended", app->ready, "", "see the driver's log");
    add_check(&c, "state folder writable", writable, err.msg, "check --state-dir");
    add_check(&c, "tmpfs kept out of swap", app->mounter->noswap, "",
              "Linux 6.4 or later has noswap; or turn swap off");
    add_check(&c, "tmpfs budget below 90 %", roomy, "", "raise --tmpfs-budget");
    add_check(&c, "rotation on", app->config.rotation, "", "start with --enable-secret-rotation");
    add_check(&c, "tokens come anew", !app->config.rotation || !lacks, "",
              "set requiresRepublish: true in the CSIDriver object");
    add_check(&c, "records readable", app->set_aside == 0, "",
              "look at the .bad files in --state-dir and remove them");
    if (self->registration)
        add_check(&c, "registered with kubelet", registered, registered ? "" : registration,
                  "is --registration-folder the plugins_registry of a running kubelet, and "
                  "--kubelet-endpoint where it finds our socket?");
    out.n_checks = c.count;
    out.checks = c.refs;
    reply(&out, call);
}

void admin_init(struct admin *admin, struct lifecycle *app)
{
    struct work_pool_config workers = { .name = "admin",
                                        .threads_max = ADMIN_THREADS,
                                        .queue_max = ADMIN_QUEUE };

    *admin = (struct admin){
        .service.base = LOCKET__ADMIN__V1__ADMIN__BASE_INIT,
        .service.list = list,
        .service.status = status,
        .service.refresh = refresh,
        .service.metrics = metrics,
        .service.doctor = doctor,
        .service.survey = admin_survey,
        .service.prepare_rollback = admin_prepare_rollback,
        .app = app,
        .workers = work_pool_new(&workers),
    };
    admin_facts_pool(&admin->facts, app->rotators);
    admin_facts_pool(&admin->facts, admin->workers);
}

void admin_done(struct admin *admin)
{
    work_pool_free(admin->workers);
    admin_facts_done(&admin->facts);
}
