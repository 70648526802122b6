/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "driver/cluster/class_memory.h"
#include "driver/cluster/cluster.h"
#include "driver/cluster/note_queue.h"
#include "driver/cluster/report_queue.h"
#include "lib/base/cancel.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/rpc_client.h"

enum {
    CLASS_MS = 20000,  /* the agent's own call to the API server ends before */
    REPORT_MS = 10000, /* taking a report over is all that the agent does */
    ADMIT_MS = 2000,   /* it looks at its own memory */
    FILES_MS = 60000,  /* some calls to the API server for each Secret */
    WATCH_MS = 30000,  /* it answers an idle watch after ten seconds */
    RETRY_MS = 500,    /* after the first failure; doubled up to */
    RETRY_MAX_MS = 4000,
};

typedef Locket__Cluster__V1__GetClassResponse GetClassResponse;
typedef Locket__Cluster__V1__WatchResponse WatchResponse;

struct agent_client {
    struct cluster base;
    struct rpc_client *rpc;
    struct class_memory *classes;
    struct report_queue *reports;
    struct note_queue *notes;
    pthread_mutex_t lock;             /* held while the listener is called */
    struct cluster_listener listener; /* guarded by lock; .wish NULL: nobody */
    pthread_mutex_t audit_lock;       /* leaf: a listener may cause notes */
    bool audit; /* guarded by audit_lock: all accesses are noted; until the agent says, they are */
    pthread_t thread;
    struct cancel cancel;   /* of what the two threads wait for: raised at the end */
    struct cancel unwanted; /* of those that send files: raised when nobody listens any more */
    char *csi_driver;       /* the thread's own: digest of what the listener was told */
    char *instance;         /* the thread's own: the agent that was told of all volumes */
    uint64_t serial;        /* the thread's own: of its last answer */
};

static struct rpc_request request_of(const char *method, const ProtobufCMessage *in,
                                     int64_t timeout_ms, struct cancel *cancel)
{
    return (struct rpc_request){
        .service = &locket__cluster__v1__cluster__descriptor,
        .method = method,
        .in = in,
        .timeout_ms = timeout_ms,
        .cancel = cancel,
    };
}

static int call(struct agent_client *a, const char *method, const ProtobufCMessage *in,
                int64_t timeout_ms, ProtobufCMessage **ret, struct error *err)
{
    struct rpc_request request = request_of(method, in, timeout_ms, &a->cancel);

    return rpc_client_call(a->rpc, &request, ret, err);
}

/* --- classes -----------------------------------------------------------------------------------
 */

static int read_class(const char *ns, const char *name, const GetClassResponse *in,
                      struct class **ret, struct error *err)
{
    struct class_parts parts = {
        .ns = ns, .name = name, .provider = in->provider, .stamp = in->stamp
    };
    struct pairs parameters autopairs = { 0 };
    struct pairs annotations autopairs = { 0 };

    for (size_t i = 0; i < in->n_parameters; i++)
        pairs_set(&parameters, in->parameters[i]->key, in->parameters[i]->value);
    for (size_t i = 0; i < in->n_annotations; i++)
        pairs_set(&annotations, in->annotations[i]->key, in->annotations[i]->value);
    parts.parameters = &parameters;
    parts.annotations = &annotations;
    return class_make(&parts, ret, err);
}

static int ask_class(struct agent_client *a, const char *ns, const char *name,
                     struct cancel *cancel, struct class **ret, struct error *err)
{
    Locket__Cluster__V1__GetClassRequest in = LOCKET__CLUSTER__V1__GET_CLASS_REQUEST__INIT;
    struct rpc_request request = request_of("GetClass", &in.base, CLASS_MS, cancel);
    ProtobufCMessage *reply = NULL;
    int result;

    in.namespace_ = (char *)ns;
    in.name = (char *)name;
    if (rpc_client_call(a->rpc, &request, &reply, err) < 0)
        return -1;
    result = read_class(ns, name, (const GetClassResponse *)reply, ret, err);
    rpc_reply_free(reply);
    return result;
}

static int agent_get_class(struct cluster *self, const char *ns, const char *name,
                           struct cancel *cancel, struct class **ret, struct error *err)
{
    struct agent_client *a = (struct agent_client *)self;
    struct error mine = { 0 };

    if (ask_class(a, ns, name, cancel, ret, &mine) == 0) {
        class_memory_keep(a->classes, *ret);
        return 0;
    }
    if (!code_is_maybe(mine.code)) {
        class_memory_forget(a->classes, ns, name);
        if (mine.code == CODE_NOT_FOUND)
            (void)error_reason(&mine, "SecretProviderClassNotFound"); /* no wire has it */
        return error_copy(err, &mine);
    }
    *ret = cancel_is_raised(cancel) ? NULL : class_memory_get(a->classes, ns, name);
    return *ret ? 0 : error_copy(err, &mine);
}

/* --- reports -----------------------------------------------------------------------------------
 */

static int send_report(void *arg, const Locket__Cluster__V1__ReportRequest *report,
                       struct error *err)
{
    ProtobufCMessage *reply = NULL;

    if (call(arg, "Report", &report->base, REPORT_MS, &reply, err) < 0)
        return -1;
    rpc_reply_free(reply);
    return 0;
}

static void agent_report(struct cluster *self, const struct volume_report *report)
{
    report_queue_put(((struct agent_client *)self)->reports, report);
}

/* --- notes -------------------------------------------------------------------------------------
 */

/* The last ones are sent when all else has ended. */
static int send_note(void *arg, const Locket__Cluster__V1__NoteRequest *note, struct cancel *cancel,
                     struct error *err)
{
    const struct agent_client *a = arg;
    struct rpc_request request = request_of("Note", &note->base, REPORT_MS, cancel);
    ProtobufCMessage *reply = NULL;
    int result = rpc_client_call(a->rpc, &request, &reply, err);

    rpc_reply_free(reply);
    return result;
}

static void set_audit(struct agent_client *a, bool audit)
{
    (void)pthread_mutex_lock(&a->audit_lock);
    a->audit = audit;
    (void)pthread_mutex_unlock(&a->audit_lock);
}

static void agent_note(struct cluster *self, const struct volume_note *note)
{
    struct agent_client *a = (struct agent_client *)self;
    bool wanted = note->is_news;

    if (!wanted) {
        (void)pthread_mutex_lock(&a->audit_lock);
        wanted = a->audit;
        (void)pthread_mutex_unlock(&a->audit_lock);
    }
    if (wanted)
        note_queue_put(a->notes, note);
}

static int agent_admit(struct cluster *self, struct error *err)
{
    Locket__Cluster__V1__AdmitRequest in = LOCKET__CLUSTER__V1__ADMIT_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct error mine = { 0 };

    if (call((struct agent_client *)self, "Admit", &in.base, ADMIT_MS, &reply, &mine) == 0) {
        rpc_reply_free(reply);
        return 0;
    }
    (void)error_set(err, CODE_UNAVAILABLE,
                    "no access may be without its line of audit (--audit-fail-closed): %s",
                    mine.msg);
    return error_reason(err, "AuditUnavailable");
}

/* --- files -------------------------------------------------------------------------------------
 */

typedef Locket__Cluster__V1__SyncFile SyncFile;

static int send_packed(struct agent_client *a, const Locket__Cluster__V1__SyncRequest *in,
                       struct error *err)
{
    struct rpc_request request = request_of("Sync", &in->base, FILES_MS, &a->unwanted);
    ProtobufCMessage *reply = NULL;
    int result;

    request.sensitive = true;
    result = rpc_client_call(a->rpc, &request, &reply, err);
    rpc_reply_free(reply);
    return result;
}

static int agent_send_files(struct cluster *self, const struct volume_files *files,
                            struct error *err)
{
    Locket__Cluster__V1__SyncRequest in = LOCKET__CLUSTER__V1__SYNC_REQUEST__INIT;
    autofree SyncFile *list = xcalloc(files->count + 1, sizeof(*list));
    autofree SyncFile **refs = xcalloc(files->count + 1, sizeof(*refs));

    for (size_t i = 0; i < files->count; i++) {
        locket__cluster__v1__sync_file__init(&list[i]);
        list[i].path = files->list[i].path;
        list[i].contents.data = files->list[i].contents.bytes;
        list[i].contents.len = files->list[i].contents.len;
        refs[i] = &list[i];
    }
    in.volume_id = (char *)files->volume_id;
    in.files = refs;
    in.n_files = files->count;
    in.changed_at_unix_ms = files->changed_at_unix_ms;
    in.fetched_at_unix_ms = files->fetched_at_unix_ms;
    in.error = (char *)(files->err ? files->err->msg : "");
    return send_packed((struct agent_client *)self, &in, err);
}

/* --- what the agent has to say -----------------------------------------------------------------
 */

static void agent_listen(struct cluster *self, const struct cluster_listener *listener)
{
    struct agent_client *a = (struct agent_client *)self;

    (void)pthread_mutex_lock(&a->lock);
    a->listener = listener ? *listener : (struct cluster_listener){ 0 };
    (void)pthread_mutex_unlock(&a->lock);
    if (!listener)
        cancel_raise(&a->unwanted);
}

static bool rotation_is_on(struct agent_client *a)
{
    bool on;

    (void)pthread_mutex_lock(&a->lock);
    on = a->listener.rotation;
    (void)pthread_mutex_unlock(&a->lock);
    return on;
}

static char *metrics_text(struct agent_client *a)
{
    char *text;

    (void)pthread_mutex_lock(&a->lock);
    text = a->listener.metrics ? a->listener.metrics(a->listener.arg) : xstrdup("");
    (void)pthread_mutex_unlock(&a->lock);
    return text;
}

/* *ret_text: NULL when the driver does not register itself. */
static bool is_registered(struct agent_client *a, char **ret_text)
{
    bool done = false;

    *ret_text = NULL;
    (void)pthread_mutex_lock(&a->lock);
    if (a->listener.registered)
        done = a->listener.registered(a->listener.arg, ret_text);
    (void)pthread_mutex_unlock(&a->lock);
    return done;
}

/* Caller holds the lock. */
static void hand_on_files(struct agent_client *a, const WatchResponse *in)
{
    for (size_t i = 0; a->listener.files && i < in->n_file_wishes; i++) {
        const Locket__Cluster__V1__FileWish *w = in->file_wishes[i];

        a->listener.files(a->listener.arg, w->volume_id, (const char *const *)w->paths, w->n_paths);
    }
}

/* False: nobody listens yet, so that nothing may be taken as told. */
static bool hand_on(struct agent_client *a, const WatchResponse *in, bool is_new)
{
    bool heard;

    (void)pthread_mutex_lock(&a->lock);
    heard = a->listener.wish != NULL;
    if (heard && is_new)
        a->listener.resend(a->listener.arg);
    for (size_t i = 0; heard && i < in->n_refreshes; i++) {
        const Locket__Cluster__V1__Refresh *r = in->refreshes[i];
        struct cluster_wish wish = {
            .ns = *r->namespace_ ? r->namespace_ : NULL,
            .class_name = *r->class_name ? r->class_name : NULL,
            .pod_name = *r->pod_name ? r->pod_name : NULL,
            .forced = r->forced,
            .class_stamp = *r->class_stamp ? r->class_stamp : NULL,
            .unless_known = r->unless_known,
        };

        a->listener.wish(a->listener.arg, &wish);
    }
    if (heard)
        hand_on_files(a, in);
    (void)pthread_mutex_unlock(&a->lock);
    return heard;
}

static void tell_csi_driver(struct agent_client *a, const Locket__Cluster__V1__CsiDriver *in)
{
    struct csi_driver_facts facts = {
        .exists = in->exists,
        .pod_info = in->pod_info_on_mount,
        .republish = in->requires_republish,
        .tokens_in_secrets = in->token_in_secrets,
        .audiences = (const char *const *)in->audiences,
        .audience_count = in->n_audiences,
    };

    if (strcmp(in->digest, a->csi_driver) == 0)
        return;
    (void)pthread_mutex_lock(&a->lock);
    if (a->listener.csi_driver)
        a->listener.csi_driver(a->listener.arg, &facts);
    (void)pthread_mutex_unlock(&a->lock);
    free(a->csi_driver);
    a->csi_driver = xstrdup(in->digest);
}

/* *ret_heard: somebody listened to what the agent said. */
static int watch_once(struct agent_client *a, bool *ret_heard, struct error *err)
{
    Locket__Cluster__V1__WatchRequest in = LOCKET__CLUSTER__V1__WATCH_REQUEST__INIT;
    autofree char *metrics = metrics_text(a);
    autofree char *registration = NULL;
    ProtobufCMessage *reply = NULL;
    const WatchResponse *out;
    bool is_new;

    in.instance = a->instance;
    in.metrics = metrics;
    in.csi_driver = a->csi_driver;
    in.rotation = rotation_is_on(a);
    in.serial = a->serial;
    in.compares = true;
    in.registered = is_registered(a, &registration);
    if (registration)
        in.registration = registration;
    if (call(a, "Watch", &in.base, WATCH_MS, &reply, err) < 0)
        return -1;
    out = (const WatchResponse *)reply;
    set_audit(a, out->audit);
    is_new = strcmp(out->instance, a->instance) != 0;
    *ret_heard = hand_on(a, out, is_new);
    if (*ret_heard) {
        a->serial = out->serial;
        if (is_new) {
            free(a->instance);
            a->instance = xstrdup(out->instance);
            log_event(LOG_INFO, "the agent is there");
        }
    }
    if (*a->instance && out->csi_driver)
        tell_csi_driver(a, out->csi_driver);
    rpc_reply_free(reply);
    return 0;
}

static void *watch(void *arg)
{
    struct agent_client *a = arg;
    int64_t pause_ms = RETRY_MS;
    bool told = false;

    while (!cancel_is_raised(&a->cancel)) {
        struct error err = { 0 };
        bool heard = false;

        if (watch_once(a, &heard, &err) == 0) {
            told = false;
            pause_ms = RETRY_MS;
            if (!heard) /* it says the same again, at once, until somebody listens */
                (void)cancel_sleep_ms(&a->cancel, RETRY_MS);
            continue;
        }
        if (!told && err.code != CODE_CANCELLED)
            log_failure(LOG_WARN, "the agent is away: known classes serve, reports wait",
                        KEY_SOCKET, "", &err);
        told = true;
        (void)cancel_sleep_ms(&a->cancel, pause_ms + clock_jitter_ms(pause_ms, 25));
        pause_ms = pause_ms * 2 < RETRY_MAX_MS ? pause_ms * 2 : RETRY_MAX_MS;
    }
    return NULL;
}

static void agent_free(struct cluster *self)
{
    struct agent_client *a = (struct agent_client *)self;

    cancel_raise(&a->cancel);
    (void)pthread_join(a->thread, NULL);
    report_queue_free(a->reports);
    note_queue_free(a->notes);
    rpc_client_free(a->rpc);
    class_memory_free(a->classes);
    cancel_done(&a->cancel);
    cancel_done(&a->unwanted);
    (void)pthread_mutex_destroy(&a->lock);
    (void)pthread_mutex_destroy(&a->audit_lock);
    free(a->csi_driver);
    free(a->instance);
    free(a);
}

static const struct cluster_ops agent_ops = {
    .get_class = agent_get_class,
    .report = agent_report,
    .note = agent_note,
    .admit = agent_admit,
    .send_files = agent_send_files,
    .listen = agent_listen,
    .free = agent_free,
};

struct cluster *cluster_agent_new(const char *socket, const struct cluster_metrics *metrics)
{
    struct agent_client *a = xcalloc(1, sizeof(*a));
    struct rpc_client_config config = { .path = socket };

    a->base.ops = &agent_ops;
    a->instance = xstrdup("");
    a->csi_driver = xstrdup("");
    cancel_init(&a->cancel);
    cancel_init(&a->unwanted);
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_mutex_init(&a->audit_lock, NULL);
    a->rpc = rpc_client_new(&config);
    a->classes = class_memory_new();
    a->audit = true;
    a->reports = report_queue_new(send_report, a, metrics);
    a->notes = note_queue_new(send_note, a);
    if (pthread_create(&a->thread, NULL, watch, a) != 0)
        abort();
    return &a->base;
}
