/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/admin_migrate.h"

#include "driver/volume/foreign.h"
#include "driver/volume/provider_survey.h"
#include "driver/volume/rollback.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/rpc_server.h"

typedef Locket__Admin__V1__Sighting Sighting;
typedef Locket__Admin__V1__ForeignVolume ForeignVolume;
typedef Locket__Admin__V1__RollbackResult RollbackResult;

/* --- survey ------------------------------------------------------------------------------------
 */

struct survey_job {
    struct admin *admin;
    Locket__Admin__V1__SurveyResponse_Closure reply;
    void *call;
    Locket__Admin__V1__SurveyResponse out; /* owns its rows */
};

static void add_provider(void *arg, const struct provider_sighting *seen)
{
    Locket__Admin__V1__SurveyResponse *out = arg;
    Sighting *row = xmalloc(sizeof(*row));

    locket__admin__v1__sighting__init(row);
    row->name = xstrdup(seen->name);
    row->socket = xstrdup(seen->socket);
    row->peer_uid = seen->peer_uid;
    row->api = xstrdup(seen->api);
    row->runtime_name = xstrdup(seen->runtime);
    row->runtime_version = xstrdup(seen->runtime_version);
    row->problem = xstrdup(seen->problem);
    out->providers = xrealloc(out->providers, (out->n_providers + 1) * sizeof(Sighting *));
    out->providers[out->n_providers++] = row;
}

static void add_volume(void *arg, const struct foreign_volume *found)
{
    Locket__Admin__V1__SurveyResponse *out = arg;
    ForeignVolume *row = xmalloc(sizeof(*row));

    locket__admin__v1__foreign_volume__init(row);
    row->target = xstrdup(found->target);
    row->volume_id = xstrdup(found->volume_id);
    row->size_bytes = found->size_bytes;
    row->used_bytes = found->used_bytes;
    row->has_files = found->has_files;
    row->problem = xstrdup(found->problem);
    out->volumes = xrealloc(out->volumes, (out->n_volumes + 1) * sizeof(ForeignVolume *));
    out->volumes[out->n_volumes++] = row;
}

static void run_survey(void *arg)
{
    struct survey_job *job = arg;
    const struct admin *admin = job->admin;
    Locket__Admin__V1__SurveyResponse *out = &job->out;
    struct error err = { 0 };

    locket__admin__v1__survey_response__init(out);
    if (admin->finder)
        provider_survey(admin->finder, add_provider, out);
    if (foreign_each(admin->app, admin->driver_name, add_volume, out, &err) < 0)
        rpc_fail(job->call, &err);
    else
        job->reply(out, job->call);
    for (size_t i = 0; i < out->n_providers; i++)
        locket__admin__v1__sighting__free_unpacked(out->providers[i], NULL);
    for (size_t i = 0; i < out->n_volumes; i++)
        locket__admin__v1__foreign_volume__free_unpacked(out->volumes[i], NULL);
    free(out->providers);
    free(out->volumes);
    free(job);
}

void admin_survey(Locket__Admin__V1__Admin_Service *service,
                  const Locket__Admin__V1__SurveyRequest *in,
                  Locket__Admin__V1__SurveyResponse_Closure reply, void *call)
{
    struct admin *self = (struct admin *)service;
    struct survey_job *job = xcalloc(1, sizeof(*job));
    struct error err = { 0 };

    (void)in;
    *job = (struct survey_job){ .admin = self, .reply = reply, .call = call };
    if (work_submit(self->workers, run_survey, job, &err) < 0) {
        free(job);
        rpc_fail(call, &err);
    }
}

/* --- prepare-rollback --------------------------------------------------------------------------
 */

/* How long all volumes together are waited for that somebody works on: a fetch seldom takes longer,
 * and one that hangs is told. */
enum { ROLLBACK_WAIT_MS = 10 * MS_PER_S };

struct rollback_job {
    struct lifecycle *app;
    int64_t until_ms; /* monotonic */
    Locket__Admin__V1__PrepareRollbackResponse_Closure reply;
    void *call;
    RollbackResult **results;
    size_t count;
};

static char *copy_of(const char *text)
{
    return xstrdup(text ? text : "");
}

static void prepare_one(void *arg, struct volume *v)
{
    struct rollback_job *job = arg;
    struct error err = { 0 };
    RollbackResult *row;
    bool changed = false;
    bool published;

    pthread_mutex_lock(&v->lock);
    published = v->record.phase == RECORD_PUBLISHED && v->state != VOLUME_LEAVING;
    pthread_mutex_unlock(&v->lock);
    if (!published)
        return;
    if (rollback_prepare(job->app, v, job->until_ms, &changed, &err) == 0)
        log_event(LOG_INFO, "ready for the driver before", WITH_TEXT(KEY_VOLUME, v->id));
    else if (volume_is_leaving(v))
        return;
    row = xmalloc(sizeof(*row));
    locket__admin__v1__rollback_result__init(row);
    pthread_mutex_lock(&v->lock);
    row->volume_id = xstrdup(v->id);
    row->pod_namespace = copy_of(v->record.pod_ns);
    row->pod_name = copy_of(v->record.pod_name);
    pthread_mutex_unlock(&v->lock);
    row->changed = changed;
    row->code = xstrdup(code_name(err.code));
    row->text = xstrdup(err.msg);
    job->results = xrealloc(job->results, (job->count + 1) * sizeof(RollbackResult *));
    job->results[job->count++] = row;
}

static void run_rollback(void *arg)
{
    struct rollback_job *job = arg;
    Locket__Admin__V1__PrepareRollbackResponse out =
        LOCKET__ADMIN__V1__PREPARE_ROLLBACK_RESPONSE__INIT;

    job->until_ms = clock_mono_ms() + ROLLBACK_WAIT_MS;
    volume_table_each(job->app->volumes, prepare_one, job);
    out.n_results = job->count;
    out.results = job->results;
    job->reply(&out, job->call);
    for (size_t i = 0; i < job->count; i++)
        locket__admin__v1__rollback_result__free_unpacked(job->results[i], NULL);
    free(job->results);
    free(job);
}

void admin_prepare_rollback(Locket__Admin__V1__Admin_Service *service,
                            const Locket__Admin__V1__PrepareRollbackRequest *in,
                            Locket__Admin__V1__PrepareRollbackResponse_Closure reply, void *call)
{
    struct admin *self = (struct admin *)service;
    struct rollback_job *job = xcalloc(1, sizeof(*job));
    struct error err = { 0 };

    (void)in;
    *job = (struct rollback_job){ .app = self->app, .reply = reply, .call = call };
    if (work_submit(self->workers, run_rollback, job, &err) < 0) {
        free(job);
        rpc_fail(call, &err);
    }
}
