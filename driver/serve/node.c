/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/node.h"

#include "driver/serve/node_request.h"
#include "lib/base/fault.h"
#include "lib/net/rpc_server.h"

enum {
    UNPUBLISH_THREADS = 8,
    UNPUBLISH_QUEUE = 10000, /* unpublishes are never refused before this */
    PUBLISH_QUEUE = 1000,
    POOL_IDLE_MS = 5000,
};

/* --- publish -----------------------------------------------------------------------------------
 */

struct publish_job {
    struct node *node;
    struct publish_request req;
    Csi__V1__NodePublishVolumeResponse_Closure reply;
    void *call;
};

static void publish_answer(const struct publish_job *job, const struct error *err)
{
    Csi__V1__NodePublishVolumeResponse out = CSI__V1__NODE_PUBLISH_VOLUME_RESPONSE__INIT;

    if (err->code)
        rpc_fail(job->call, err);
    else
        job->reply(&out, job->call);
}

/* The request is borrowed from the call, which ends with the answer: free first, answer last. */
static void publish_end(struct publish_job *job, const struct error *err)
{
    struct publish_job last = *job;

    node_request_done(&job->req);
    free(job);
    publish_answer(&last, err);
}

static void run_publish(void *arg)
{
    struct publish_job *job = arg;
    struct error err = { 0 };

    job->req.cancel = rpc_call_cancel(job->call);
    job->req.left_ms = rpc_call_left_ms(job->call);
    if (lifecycle_publish(job->node->app, &job->req, &err) < 0)
        (void)error_reason(&err, "FailedToMount");
    publish_end(job, &err);
}

static int publish_begin(struct publish_job *job, const Csi__V1__NodePublishVolumeRequest *in,
                         bool *ret_done, struct error *err)
{
    struct node *node = job->node;

    if (node_request_read(in, node->require_readonly, &job->req, err) < 0 ||
        target_check(&node->app->root, job->req.target,
                     publish_request_get(&job->req, CONTEXT_POD_UID), err) < 0 ||
        lifecycle_republish(node->app, &job->req, ret_done, err) < 0)
        return -1;
    if (*ret_done)
        return 0;
    if (__atomic_load_n(&node->stopping, __ATOMIC_ACQUIRE))
        return error_set(err, CODE_UNAVAILABLE, "the driver is stopping: try again");
    return work_submit(node->publishers, run_publish, job, err);
}

static void publish_volume(Csi__V1__Node_Service *service,
                           const Csi__V1__NodePublishVolumeRequest *in,
                           Csi__V1__NodePublishVolumeResponse_Closure reply, void *call)
{
    struct publish_job *job = xcalloc(1, sizeof(*job));
    struct error err = { 0 };
    bool done = false;

    *job = (struct publish_job){ .node = (struct node *)service, .reply = reply, .call = call };
    lifecycle_kubelet_called(job->node->app);
    if (publish_begin(job, in, &done, &err) < 0)
        lifecycle_count_refused(job->node->app, true, &err);
    else if (!done)
        return;
    publish_end(job, &err);
}

/* --- unpublish ---------------------------------------------------------------------------------
 */

struct unpublish_job {
    struct node *node;
    const Csi__V1__NodeUnpublishVolumeRequest *in; /* lives until the answer */
    Csi__V1__NodeUnpublishVolumeResponse_Closure reply;
    void *call;
};

static void run_unpublish(void *arg)
{
    struct unpublish_job job = *(struct unpublish_job *)arg;
    Csi__V1__NodeUnpublishVolumeResponse out = CSI__V1__NODE_UNPUBLISH_VOLUME_RESPONSE__INIT;
    struct error err = { 0 };

    free(arg);
    if (lifecycle_unpublish(job.node->app, job.in->volume_id, job.in->target_path, &err) < 0)
        rpc_fail(job.call, &err);
    else
        job.reply(&out, job.call);
}

static int check_ids(const char *volume_id, const char *path, const char *path_text,
                     struct error *err)
{
    if (!*volume_id)
        return error_set(err, CODE_INVALID_ARGUMENT, "Volume ID missing in request");
    if (strlen(volume_id) > VOLUME_ID_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT, "volume_id must be at most 4096 bytes");
    if (!*path)
        return error_set(err, CODE_INVALID_ARGUMENT, "%s missing in request", path_text);
    return 0;
}

static void unpublish_volume(Csi__V1__Node_Service *service,
                             const Csi__V1__NodeUnpublishVolumeRequest *in,
                             Csi__V1__NodeUnpublishVolumeResponse_Closure reply, void *call)
{
    struct node *node = (struct node *)service;
    struct unpublish_job *job;
    struct error err = { 0 };

    lifecycle_kubelet_called(node->app);
    job = xcalloc(1, sizeof(*job));
    *job = (struct unpublish_job){ .node = node, .in = in, .reply = reply, .call = call };
    if (check_ids(in->volume_id, in->target_path, "Target path", &err) < 0 ||
        work_submit(node->unpublishers, run_unpublish, job, &err) < 0) {
        lifecycle_count_refused(node->app, false, &err);
        free(job);
        rpc_fail(call, &err);
    }
}

/* --- the small ones ----------------------------------------------------------------------------
 */

static int read_stats(struct node *node, const Csi__V1__NodeGetVolumeStatsRequest *in,
                      struct mount_state *ret, struct error *err)
{
    struct volume *v autovolume = NULL;
    struct target t autotarget = { .parent_fd = -1 };
    bool found = false;

    if (check_ids(in->volume_id, in->volume_path, "Volume path", err) < 0)
        return -1;
    v = volume_table_get(node->app->volumes, in->volume_id);
    if (!v || strcmp(v->record.target, in->volume_path) != 0)
        return error_set(err, CODE_NOT_FOUND, "volume %.100s is not published at volume_path",
                         in->volume_id);
    if (target_open(&node->app->root, in->volume_path, false, &t, &found, err) < 0)
        return -1;
    if (found && node->app->mounter->ops->look(node->app->mounter, &t, false, ret, err) < 0)
        return -1;
    if (!ret->is_mount)
        return error_set(err, CODE_NOT_FOUND, "volume_path %.200s is not mounted", in->volume_path);
    return 0;
}

static void get_volume_stats(Csi__V1__Node_Service *service,
                             const Csi__V1__NodeGetVolumeStatsRequest *in,
                             Csi__V1__NodeGetVolumeStatsResponse_Closure reply, void *call)
{
    Csi__V1__NodeGetVolumeStatsResponse out = CSI__V1__NODE_GET_VOLUME_STATS_RESPONSE__INIT;
    Csi__V1__VolumeUsage rows[] = { CSI__V1__VOLUME_USAGE__INIT, CSI__V1__VOLUME_USAGE__INIT };
    Csi__V1__VolumeUsage *refs[] = { &rows[0], &rows[1] };
    struct mount_state state = { 0 };
    struct error err = { 0 };

    if (FAULT("node.stats", &err) < 0 || read_stats((struct node *)service, in, &state, &err) < 0) {
        rpc_fail(call, &err);
        return;
    }
    rows[0].unit = CSI__V1__VOLUME_USAGE__UNIT__BYTES;
    rows[0].total = state.size_bytes;
    rows[0].used = state.used_bytes;
    rows[0].available = state.size_bytes - state.used_bytes;
    rows[1].unit = CSI__V1__VOLUME_USAGE__UNIT__INODES;
    rows[1].total = state.inodes;
    rows[1].used = state.inodes_used;
    rows[1].available = state.inodes - state.inodes_used;
    out.n_usage = COUNT_OF(refs);
    out.usage = refs;
    reply(&out, call);
}

static void get_capabilities(Csi__V1__Node_Service *service,
                             const Csi__V1__NodeGetCapabilitiesRequest *in,
                             Csi__V1__NodeGetCapabilitiesResponse_Closure reply, void *call)
{
    static const Csi__V1__NodeServiceCapability__RPC__Type types[] = {
        CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__GET_VOLUME_STATS,
        CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__VOLUME_MOUNT_GROUP,
    };
    Csi__V1__NodeGetCapabilitiesResponse out = CSI__V1__NODE_GET_CAPABILITIES_RESPONSE__INIT;
    Csi__V1__NodeServiceCapability__RPC rpcs[COUNT_OF(types)];
    Csi__V1__NodeServiceCapability rows[COUNT_OF(types)];
    Csi__V1__NodeServiceCapability *refs[COUNT_OF(types)];
    struct error err = { 0 };

    (void)service;
    (void)in;
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        csi__v1__node_service_capability__rpc__init(&rpcs[i]);
        csi__v1__node_service_capability__init(&rows[i]);
        rpcs[i].type = types[i];
        rows[i].type_case = CSI__V1__NODE_SERVICE_CAPABILITY__TYPE_RPC;
        rows[i].rpc = &rpcs[i];
        refs[i] = &rows[i];
    }
    out.n_capabilities = COUNT_OF(refs);
    out.capabilities = refs;
    if (FAULT("node.capabilities", &err) < 0)
        rpc_fail(call, &err);
    else
        reply(&out, call);
}

static void get_info(Csi__V1__Node_Service *service, const Csi__V1__NodeGetInfoRequest *in,
                     Csi__V1__NodeGetInfoResponse_Closure reply, void *call)
{
    Csi__V1__NodeGetInfoResponse out = CSI__V1__NODE_GET_INFO_RESPONSE__INIT;
    struct error err = { 0 };

    (void)in;
    out.node_id = (char *)((struct node *)service)->node_id;
    if (FAULT("node.info", &err) < 0)
        rpc_fail(call, &err);
    else
        reply(&out, call);
}

void node_init(struct node *node, const struct node_config *config, struct lifecycle *app)
{
    struct work_pool_config publishers = {
        .name = "publish",
        .threads_max = config->publish_threads,
        .queue_max = PUBLISH_QUEUE,
        .threads_kept = 1,
        .idle_ms = POOL_IDLE_MS,
    };
    struct work_pool_config unpublishers = {
        .name = "unpublish",
        .threads_max = UNPUBLISH_THREADS,
        .queue_max = UNPUBLISH_QUEUE,
        .threads_kept = 1,
        .idle_ms = POOL_IDLE_MS,
    };

    *node = (struct node){
        .service.base = CSI__V1__NODE__BASE_INIT,
        .service.node_publish_volume = publish_volume,
        .service.node_unpublish_volume = unpublish_volume,
        .service.node_get_volume_stats = get_volume_stats,
        .service.node_get_capabilities = get_capabilities,
        .service.node_get_info = get_info,
        .node_id = config->node_id,
        .require_readonly = config->require_readonly,
        .app = app,
        .publishers = work_pool_new(&publishers),
        .unpublishers = work_pool_new(&unpublishers),
    };
}

void node_stop_publishing(struct node *node)
{
    __atomic_store_n(&node->stopping, true, __ATOMIC_RELEASE);
}

void node_done(struct node *node)
{
    work_pool_free(node->publishers);
    work_pool_free(node->unpublishers);
}
