/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/serve.h"

#include "lib/base/redact.h"
#include "lib/net/rpc_server.h"
#include "providers/request.h"

enum {
    FETCH_THREADS = 64,
    FETCH_QUEUE = 256,
    ANSWER_SLACK_MS = 200, /* for packing and sending before the caller's deadline */
    FETCH_MOST_MS = 110000,
};

static void version(V1alpha1__CSIDriverProvider_Service *service,
                    const V1alpha1__VersionRequest *in, V1alpha1__VersionResponse_Closure reply,
                    void *call)
{
    V1alpha1__VersionResponse out = V1ALPHA1__VERSION_RESPONSE__INIT;

    (void)service;
    (void)in;
    out.version = (char *)"v1alpha1";
    out.runtime_name = (char *)"locket-provider";
    out.runtime_version = (char *)LOCKET_VERSION;
    reply(&out, call);
}

struct mount_job {
    struct provider_service *self;
    const V1alpha1__MountRequest *in; /* lives until the answer */
    V1alpha1__MountResponse_Closure reply;
    void *call;
};

/* Whatever a store echoes of what it was sent, nobody reads it. */
static void redact_pairs(struct redaction *r, const struct pairs *p)
{
    for (size_t i = 0; i < p->count; i++)
        redaction_value(r, p->items[i].value, strlen(p->items[i].value));
}

static void redact(const struct fetch_request *req, struct error *err)
{
    struct redaction r = redaction_of(err->msg);

    redact_pairs(&r, &req->tokens);
    redact_pairs(&r, &req->secrets);
    redaction_shapes(&r);
    redaction_apply(&r);
}

static bool is_of_pairs(const char *id, const struct pairs *p)
{
    for (size_t i = 0; i < p->count; i++) {
        const char *value = p->items[i].value;

        if ((strlen(id) >= REDACT_RUN_MIN && strstr(value, id)) ||
            (strlen(value) >= REDACT_WHOLE_MIN && strstr(id, value)))
            return true;
    }
    return false;
}

/* What a store calls its answers comes from it, too: an id that is a piece of what was sent, or has
 * one in it, is none. A full redaction would cost each fetch more than the rest of it. */
static void drop_echoed_ids(const struct fetch_request *req)
{
    char list[sizeof(req->how->request)];
    char *rest = NULL;

    memcpy(list, req->how->request, sizeof(list));
    explicit_bzero(req->how->request, sizeof(req->how->request));
    for (char *id = strtok_r(list, ",", &rest); id; id = strtok_r(NULL, ",", &rest))
        if (!is_of_pairs(id, &req->tokens) && !is_of_pairs(id, &req->secrets))
            fetch_how_add(req->how->request, id);
    explicit_bzero(list, sizeof(list));
}

static int fetch(const struct mount_job *job, struct fetch_how *how, struct fileset *ret,
                 struct error *err)
{
    struct fetch_request req CLEANUP(request_done) = { 0 };
    int64_t left = rpc_call_left_ms(job->call);
    int result;

    if (request_read(job->in, &req, err) < 0)
        return -1;
    req.left_ms = left > FETCH_MOST_MS ? FETCH_MOST_MS : left - ANSWER_SLACK_MS;
    req.cancel = rpc_call_cancel(job->call);
    req.how = how;
    if (req.left_ms <= 0)
        return error_set(err, CODE_DEADLINE_EXCEEDED,
                         "no time is left before the caller's deadline");
    result = job->self->provider->ops->fetch(job->self->provider, &req, ret, err);
    if (*how->request)
        drop_echoed_ids(&req);
    if (result < 0)
        redact(&req, err);
    return result;
}

static void tell(void *call, const char *key, const char *value)
{
    rpc_call_tell(call, key, value);
}

static void run_mount(void *arg)
{
    struct mount_job job = *(struct mount_job *)arg;
    struct fileset files CLEANUP(fileset_done) = { 0 };
    struct response response CLEANUP(response_done) = { 0 };
    struct fetch_how how = { 0 };
    struct error err = { 0 };
    int result;

    free(arg);
    result = fetch(&job, &how, &files, &err);
    fetch_how_each(&how, tell, job.call);
    if (result < 0) {
        rpc_fail(job.call, &err);
        return;
    }
    request_drop_unchanged(job.in, &files);
    response_make(&files, &response);
    job.reply(&response.out, job.call);
}

static void mount(V1alpha1__CSIDriverProvider_Service *service, const V1alpha1__MountRequest *in,
                  V1alpha1__MountResponse_Closure reply, void *call)
{
    struct provider_service *self = (struct provider_service *)service;
    struct mount_job *job = xcalloc(1, sizeof(*job));
    struct error err = { 0 };

    *job = (struct mount_job){ .self = self, .in = in, .reply = reply, .call = call };
    if (work_submit(self->workers, run_mount, job, &err) < 0) {
        free(job);
        rpc_fail(call, &err);
    }
}

void provider_service_init(struct provider_service *s, struct provider *provider)
{
    struct work_pool_config workers = {
        .name = "fetch",
        .threads_max = FETCH_THREADS,
        .queue_max = FETCH_QUEUE,
        .threads_kept = 1,
    };

    *s = (struct provider_service){
        .service.base = V1ALPHA1__CSIDRIVER_PROVIDER__BASE_INIT,
        .service.version = version,
        .service.mount = mount,
        .provider = provider,
        .workers = work_pool_new(&workers),
    };
}

void provider_service_done(struct provider_service *s)
{
    work_pool_free(s->workers);
}

static void release(Locket__Provider__V1__Extras_Service *service,
                    const Locket__Provider__V1__ReleaseRequest *in,
                    Locket__Provider__V1__ReleaseResponse_Closure reply, void *call)
{
    struct extras_service *self = (struct extras_service *)service;
    Locket__Provider__V1__ReleaseResponse out = LOCKET__PROVIDER__V1__RELEASE_RESPONSE__INIT;

    self->provider->ops->release(self->provider, in->volume_id);
    reply(&out, call);
}

void extras_service_init(struct extras_service *s, struct provider *provider)
{
    *s = (struct extras_service){
        .service.base = LOCKET__PROVIDER__V1__EXTRAS__BASE_INIT,
        .service.release = release,
        .provider = provider,
    };
}
