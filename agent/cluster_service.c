/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cluster_service.h"

#include "lib/net/rpc_server.h"

enum {
    ASK_THREADS = 8,
    ASK_QUEUE = 1000, /* as many publishes may wait in the driver */
    REPORT_QUEUE = 20000,
};

typedef Locket__Cluster__V1__GetClassResponse GetClassResponse;

/* --- classes -----------------------------------------------------------------------------------
 */

static void answer_class(const struct class *c, Locket__Cluster__V1__GetClassResponse_Closure reply,
                         void *call)
{
    typedef Locket__Cluster__V1__GetClassResponse__ParametersEntry Parameter;
    typedef Locket__Cluster__V1__GetClassResponse__AnnotationsEntry Annotation;
    GetClassResponse out = LOCKET__CLUSTER__V1__GET_CLASS_RESPONSE__INIT;
    autofree Parameter *parameters = xcalloc(c->parameters.count + 1, sizeof(*parameters));
    autofree Parameter **parameter_refs = xcalloc(c->parameters.count + 1, sizeof(Parameter *));
    autofree Annotation *annotations = xcalloc(c->annotations.count + 1, sizeof(*annotations));
    autofree Annotation **annotation_refs = xcalloc(c->annotations.count + 1, sizeof(Annotation *));

    for (size_t i = 0; i < c->parameters.count; i++) {
        locket__cluster__v1__get_class_response__parameters_entry__init(&parameters[i]);
        parameters[i].key = c->parameters.items[i].key;
        parameters[i].value = c->parameters.items[i].value;
        parameter_refs[i] = &parameters[i];
    }
    for (size_t i = 0; i < c->annotations.count; i++) {
        locket__cluster__v1__get_class_response__annotations_entry__init(&annotations[i]);
        annotations[i].key = c->annotations.items[i].key;
        annotations[i].value = c->annotations.items[i].value;
        annotation_refs[i] = &annotations[i];
    }
    out.provider = c->provider;
    out.stamp = c->stamp ? c->stamp : (char *)protobuf_c_empty_string;
    out.has_parameters = c->has_parameters;
    out.parameters = parameter_refs;
    out.n_parameters = c->parameters.count;
    out.annotations = annotation_refs;
    out.n_annotations = c->annotations.count;
    reply(&out, call);
}

struct ask {
    struct class_cache *classes;
    const Locket__Cluster__V1__GetClassRequest *in; /* lives until the answer */
    Locket__Cluster__V1__GetClassResponse_Closure reply;
    void *call;
};

static void run_ask(void *arg)
{
    struct ask *ask = arg;
    struct class *class autoclass = NULL;
    struct error err = { 0 };

    if (class_cache_get(ask->classes, ask->in->namespace_, ask->in->name, &class, &err) < 0)
        rpc_fail(ask->call, &err);
    else
        answer_class(class, ask->reply, ask->call);
    free(ask);
}

static bool are_names(const Locket__Cluster__V1__GetClassRequest *in)
{
    return *in->namespace_ && *in->name && strlen(in->namespace_) <= CLASS_NAME_MAX &&
           strlen(in->name) <= CLASS_NAME_MAX;
}

static void get_class(Locket__Cluster__V1__Cluster_Service *service,
                      const Locket__Cluster__V1__GetClassRequest *in,
                      Locket__Cluster__V1__GetClassResponse_Closure reply, void *call)
{
    struct cluster_service *self = (struct cluster_service *)service;
    struct class *class autoclass = NULL;
    struct error err = { 0 };
    struct ask *ask;
    bool known = false;

    if (!are_names(in)) {
        (void)error_set(&err, CODE_INVALID_ARGUMENT, "namespace and name of a class are needed");
        rpc_fail(call, &err);
        return;
    }
    if (class_cache_peek(self->classes, in->namespace_, in->name, &known, &class, &err) < 0) {
        rpc_fail(call, &err);
        return;
    }
    if (known) {
        answer_class(class, reply, call);
        return;
    }
    ask = xmalloc(sizeof(*ask));
    *ask = (struct ask){ self->classes, in, reply, call };
    if (work_submit(self->askers, run_ask, ask, &err) < 0) {
        free(ask);
        rpc_fail(call, &err);
    }
}

/* --- reports -----------------------------------------------------------------------------------
 */

struct telling {
    struct cluster_service *self;
    const Locket__Cluster__V1__ReportRequest *in;
    Locket__Cluster__V1__ReportResponse_Closure reply;
    void *call;
};

static void take_report(struct cluster_service *self, const Locket__Cluster__V1__ReportRequest *in)
{
    autofree struct object_version *objects = xcalloc(in->n_objects + 1, sizeof(*objects));
    autofree char *ns = NULL;
    struct pod_volume volume = {
        .volume_id = in->volume_id,
        .ns = in->pod_namespace,
        .pod_name = in->pod_name,
        .pod_uid = in->pod_uid,
        .class_name = in->class_name,
        .target = in->target,
        .objects = objects,
        .object_count = in->n_objects,
        .taken_over = in->taken_over,
    };
    struct synced_volume synced = {
        .volume_id = in->volume_id,
        .ns = in->pod_namespace,
        .pod_name = in->pod_name,
        .pod_uid = in->pod_uid,
        .class_name = in->class_name,
        .changed_at_unix_ms = in->changed_at_unix_ms,
    };

    for (size_t i = 0; i < in->n_objects; i++)
        objects[i] = (struct object_version){ in->objects[i]->id, in->objects[i]->version };
    if (in->mounted)
        secret_sync_set(self->secrets, &synced);
    else
        secret_sync_remove(self->secrets, &synced);
    if (!in->mounted) {
        if (pod_status_remove(self->statuses, in->volume_id, &ns))
            class_cache_release(self->classes, ns);
    } else if (pod_status_set(self->statuses, &volume))
        class_cache_hold(self->classes, in->pod_namespace);
    if (in->mounted && in->resent)
        class_cache_await(self->classes, in->pod_namespace, in->class_name);
}

static void run_report(void *arg)
{
    struct telling *t = arg;
    Locket__Cluster__V1__ReportResponse out = LOCKET__CLUSTER__V1__REPORT_RESPONSE__INIT;

    take_report(t->self, t->in);
    t->reply(&out, t->call);
    free(t);
}

/* A volume whose record lacks what a status needs (adopted of another driver) is none to tell of.
 */
static bool is_whole(const Locket__Cluster__V1__ReportRequest *in)
{
    return *in->volume_id && (!in->mounted || (*in->pod_namespace && *in->pod_name &&
                                               *in->pod_uid && *in->class_name));
}

static void report(Locket__Cluster__V1__Cluster_Service *service,
                   const Locket__Cluster__V1__ReportRequest *in,
                   Locket__Cluster__V1__ReportResponse_Closure reply, void *call)
{
    struct cluster_service *self = (struct cluster_service *)service;
    struct error err = { 0 };
    struct telling *t;

    if (!is_whole(in)) {
        (void)error_set(&err, CODE_INVALID_ARGUMENT, "a report without volume, pod or class");
        rpc_fail(call, &err);
        return;
    }
    t = xmalloc(sizeof(*t));
    *t = (struct telling){ self, in, reply, call };
    if (work_submit(self->reporters, run_report, t, &err) < 0) {
        free(t);
        rpc_fail(call, &err);
    }
}

/* --- notes -------------------------------------------------------------------------------------
 */

struct noting {
    struct cluster_service *self;
    const Locket__Cluster__V1__NoteRequest *in; /* lives until the answer */
    Locket__Cluster__V1__NoteResponse_Closure reply;
    void *call;
};

static void run_note(void *arg)
{
    struct noting *n = arg;
    Locket__Cluster__V1__NoteResponse out = LOCKET__CLUSTER__V1__NOTE_RESPONSE__INIT;
    struct error err = { 0 };

    if (note_take(&n->self->sinks, n->in, &err) < 0)
        rpc_fail(n->call, &err);
    else
        n->reply(&out, n->call);
    free(n);
}

static void note(Locket__Cluster__V1__Cluster_Service *service,
                 const Locket__Cluster__V1__NoteRequest *in,
                 Locket__Cluster__V1__NoteResponse_Closure reply, void *call)
{
    struct cluster_service *self = (struct cluster_service *)service;
    struct noting *n = xmalloc(sizeof(*n));
    struct error err = { 0 };

    *n = (struct noting){ self, in, reply, call };
    if (work_submit(self->reporters, run_note, n, &err) < 0) {
        free(n);
        rpc_fail(call, &err);
    }
}

/* --- files for Secrets -------------------------------------------------------------------------
 */

struct sync_call {
    Locket__Cluster__V1__SyncResponse_Closure reply;
    void *call;
};

static void sync_done(void *arg)
{
    struct sync_call *c = arg;
    Locket__Cluster__V1__SyncResponse out = LOCKET__CLUSTER__V1__SYNC_RESPONSE__INIT;

    c->reply(&out, c->call);
    free(c);
}

static void sync_files(Locket__Cluster__V1__Cluster_Service *service,
                       const Locket__Cluster__V1__SyncRequest *in,
                       Locket__Cluster__V1__SyncResponse_Closure reply, void *call)
{
    struct cluster_service *self = (struct cluster_service *)service;
    struct sync_call *c = xmalloc(sizeof(*c));
    struct error err = { 0 };

    *c = (struct sync_call){ reply, call };
    if (secret_sync_take(self->secrets, in, sync_done, c, &err) < 0) {
        free(c);
        rpc_fail(call, &err);
    }
}

static void admit(Locket__Cluster__V1__Cluster_Service *service,
                  const Locket__Cluster__V1__AdmitRequest *in,
                  Locket__Cluster__V1__AdmitResponse_Closure reply, void *call)
{
    Locket__Cluster__V1__AdmitResponse out = LOCKET__CLUSTER__V1__ADMIT_RESPONSE__INIT;
    struct error err = { 0 };

    (void)in;
    if (note_admit(&((struct cluster_service *)service)->sinks, &err) < 0)
        rpc_fail(call, &err);
    else
        reply(&out, call);
}

static void watch(Locket__Cluster__V1__Cluster_Service *service,
                  const Locket__Cluster__V1__WatchRequest *in,
                  Locket__Cluster__V1__WatchResponse_Closure reply, void *call)
{
    struct cluster_service *self = (struct cluster_service *)service;

    if (!driver_line_knows(self->line, in))
        pod_status_expect_all(self->statuses); /* it is going to tell of them */
    driver_line_park(self->line, in, reply, call);
}

/* On the reports' thread: what a driver tells just now is not taken away half. */
static void run_forget(void *arg)
{
    struct cluster_service *service = arg;
    struct pod_untold untold = { 0 };

    while (pod_status_take_untold(service->statuses, &untold)) {
        const struct synced_volume left = {
            .volume_id = untold.volume_id, .ns = "", .pod_name = "", .pod_uid = "", .class_name = ""
        };

        secret_sync_remove(service->secrets, &left);
        class_cache_release(service->classes, untold.ns);
        free(take(untold.volume_id));
        free(take(untold.ns));
    }
}

static void run_tidy(void *arg)
{
    class_cache_tidy(((struct cluster_service *)arg)->classes);
}

void cluster_service_tidy(struct cluster_service *service)
{
    (void)!work_submit(service->reporters, run_forget, service, NULL); /* refused: the next time */
    (void)!work_submit(service->tidiers, run_tidy, service, NULL);     /* refused: it is at it */
}

void cluster_service_init(struct cluster_service *service,
                          const struct cluster_service_parts *parts)
{
    struct work_pool_config askers = { .name = "classes",
                                       .threads_max = ASK_THREADS,
                                       .queue_max = ASK_QUEUE };
    struct work_pool_config tidiers = { .name = "tidy", .threads_max = 1, .queue_max = 1 };
    struct work_pool_config reporters = { .name = "reports",
                                          .threads_max = 1,
                                          .queue_max = REPORT_QUEUE };

    *service = (struct cluster_service){
        .service.base = LOCKET__CLUSTER__V1__CLUSTER__BASE_INIT,
        .service.get_class = get_class,
        .service.report = report,
        .service.watch = watch,
        .service.note = note,
        .service.admit = admit,
        .service.sync = sync_files,
        .classes = parts->classes,
        .statuses = parts->statuses,
        .secrets = parts->secrets,
        .line = parts->line,
        .sinks = parts->sinks,
        .askers = work_pool_new(&askers),
        .tidiers = work_pool_new(&tidiers),
        .reporters = work_pool_new(&reporters),
    };
}

void cluster_service_done(struct cluster_service *service)
{
    work_pool_free(service->askers);
    work_pool_free(service->tidiers);
    work_pool_free(service->reporters);
}
