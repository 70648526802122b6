/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/agent_double.h"

#include <stdatomic.h>

#include "lib/net/rpc_server.h"
#include "locket/cluster.pb-c.h"

typedef Locket__Cluster__V1__GetClassResponse GetClassResponse;
typedef Locket__Cluster__V1__GetClassResponse__ParametersEntry Parameter;
typedef Locket__Cluster__V1__GetClassResponse__AnnotationsEntry Annotation;

struct agent_double {
    Locket__Cluster__V1__Cluster_Service service; /* first */
    ProtobufCService *services[1];
    struct cluster *classes;
    struct rpc_server *server;
    atomic_ullong serial; /* 0: nothing to tell */
    atomic_int watches;
    atomic_int notes;
};

static void get_class(Locket__Cluster__V1__Cluster_Service *service,
                      const Locket__Cluster__V1__GetClassRequest *in,
                      Locket__Cluster__V1__GetClassResponse_Closure reply, void *call)
{
    struct cluster *classes = ((struct agent_double *)service)->classes;
    GetClassResponse out = LOCKET__CLUSTER__V1__GET_CLASS_RESPONSE__INIT;
    struct class *c autoclass = NULL;
    struct error err = { 0 };
    Parameter parameter = LOCKET__CLUSTER__V1__GET_CLASS_RESPONSE__PARAMETERS_ENTRY__INIT;
    Annotation annotation = LOCKET__CLUSTER__V1__GET_CLASS_RESPONSE__ANNOTATIONS_ENTRY__INIT;
    autofree Parameter *parameters = NULL;
    autofree Parameter **parameter_refs = NULL;
    autofree Annotation *annotations = NULL;
    autofree Annotation **annotation_refs = NULL;

    if (classes->ops->get_class(classes, in->namespace_, in->name, NULL, &c, &err) < 0) {
        rpc_fail(call, &err);
        return;
    }
    parameters = xcalloc(c->parameters.count + 1, sizeof(*parameters));
    parameter_refs = xcalloc(c->parameters.count + 1, sizeof(Parameter *));
    for (size_t i = 0; i < c->parameters.count; i++) {
        parameter.key = c->parameters.items[i].key;
        parameter.value = c->parameters.items[i].value;
        parameters[i] = parameter;
        parameter_refs[i] = &parameters[i];
    }
    annotations = xcalloc(c->annotations.count + 1, sizeof(*annotations));
    annotation_refs = xcalloc(c->annotations.count + 1, sizeof(Annotation *));
    for (size_t i = 0; i < c->annotations.count; i++) {
        annotation.key = c->annotations.items[i].key;
        annotation.value = c->annotations.items[i].value;
        annotations[i] = annotation;
        annotation_refs[i] = &annotations[i];
    }
    out.provider = c->provider;
    out.has_parameters = c->has_parameters;
    out.parameters = parameter_refs;
    out.n_parameters = c->parameters.count;
    out.annotations = annotation_refs;
    out.n_annotations = c->annotations.count;
    reply(&out, call);
}

static void report(Locket__Cluster__V1__Cluster_Service *service,
                   const Locket__Cluster__V1__ReportRequest *in,
                   Locket__Cluster__V1__ReportResponse_Closure reply, void *call)
{
    Locket__Cluster__V1__ReportResponse out = LOCKET__CLUSTER__V1__REPORT_RESPONSE__INIT;

    (void)service;
    (void)in;
    reply(&out, call);
}

static void note(Locket__Cluster__V1__Cluster_Service *service,
                 const Locket__Cluster__V1__NoteRequest *in,
                 Locket__Cluster__V1__NoteResponse_Closure reply, void *call)
{
    Locket__Cluster__V1__NoteResponse out = LOCKET__CLUSTER__V1__NOTE_RESPONSE__INIT;

    (void)in;
    atomic_fetch_add(&((struct agent_double *)service)->notes, 1);
    reply(&out, call);
}

static void tell_wish(uint64_t serial, Locket__Cluster__V1__WatchResponse_Closure reply, void *call)
{
    Locket__Cluster__V1__WatchResponse out = LOCKET__CLUSTER__V1__WATCH_RESPONSE__INIT;
    Locket__Cluster__V1__Refresh wish = LOCKET__CLUSTER__V1__REFRESH__INIT;
    Locket__Cluster__V1__Refresh *wishes[] = { &wish };

    wish.namespace_ = (char *)"ns";
    out.instance = (char *)"double";
    out.refreshes = wishes;
    out.n_refreshes = COUNT_OF(wishes);
    out.serial = serial;
    reply(&out, call);
}

/* It has nothing to tell, unless it was told to. */
static void watch(Locket__Cluster__V1__Cluster_Service *service,
                  const Locket__Cluster__V1__WatchRequest *in,
                  Locket__Cluster__V1__WatchResponse_Closure reply, void *call)
{
    struct agent_double *agent = (struct agent_double *)service;
    uint64_t serial = atomic_load(&agent->serial);
    struct error err = { 0 };

    atomic_fetch_add(&agent->watches, 1);
    if (in->serial != serial) {
        tell_wish(serial, reply, call);
        return;
    }
    (void)error_set(&err, CODE_UNAVAILABLE, "the double has nothing to tell");
    rpc_fail(call, &err);
}

int agent_double_new(const char *socket, struct cluster *classes, struct agent_double **ret,
                     struct error *err)
{
    static const Locket__Cluster__V1__Cluster_Service methods = {
        .base = LOCKET__CLUSTER__V1__CLUSTER__BASE_INIT,
        .get_class = get_class,
        .report = report,
        .note = note,
        .watch = watch,
    };
    struct agent_double *agent = xcalloc(1, sizeof(*agent));
    struct rpc_server_config config = { .path = socket,
                                        .services = agent->services,
                                        .service_count = 1 };

    agent->service = methods;
    agent->services[0] = &agent->service.base;
    agent->classes = classes;
    if (rpc_server_start(&config, &agent->server, err) < 0) {
        free(agent);
        return -1;
    }
    *ret = agent;
    return 0;
}

void agent_double_insist(struct agent_double *agent, uint64_t serial)
{
    atomic_store(&agent->serial, serial);
}

int agent_double_notes(struct agent_double *agent)
{
    return atomic_load(&agent->notes);
}

int agent_double_watches(struct agent_double *agent)
{
    return atomic_load(&agent->watches);
}

void agent_double_free(struct agent_double *agent)
{
    rpc_server_free(agent->server, 1000);
    free(agent);
}
