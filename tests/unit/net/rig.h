/* SPDX-License-Identifier: Apache-2.0
 *
 * rig.h - what the suites of the RPC layer share: a Node service that does what its caller says,
 * served on a socket and in this process, and grpcio as a peer. Does not know what is tested.
 */
#ifndef LOCKET_TESTS_UNIT_NET_RIG_H
#define LOCKET_TESTS_UNIT_NET_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "csi/csi.pb-c.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/strbuf.h"
#include "lib/net/rpc_client.h"
#include "lib/net/rpc_server.h"
#include "lib/net/work.h"
#include "tests/check.h"

enum { RIG_PATIENCE_MS = 10000, PEER_OUT_MAX = 64 << 10 };

/* --- a service whose answers the tests decide --- */

struct rig {
    Csi__V1__Node_Service service;
    ProtobufCService *services[1];
    struct work_pool *pool;
    char folder[32];
    char *path; /* of the server's socket */
    struct rpc_server *server;
    struct rpc_client *over_socket;
    struct rpc_client *in_process;
    const char *node_id; /* what NodeGetInfo answers; by rig_set_node_id */
    int64_t left_ms;     /* what the last publish was left of its deadline */
    int cancels;         /* handlers that saw their cancel raised */
    int publishes;
    void (*tell)(void *call); /* what else a publish says, before its answer; NULL: nothing */
};

static struct rig rig;

static inline int rig_count(int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static inline void rig_set_node_id(const char *id)
{
    __atomic_store_n(&rig.node_id, id, __ATOMIC_RELEASE);
}

/* Waits until the counter is at least that. */
static inline void rig_wait_for(int *counter, int want)
{
    int64_t until = clock_mono_ms() + RIG_PATIENCE_MS;

    while (rig_count(counter) < want && clock_mono_ms() < until)
        clock_sleep_ms(1);
    if (rig_count(counter) < want)
        fail_msg("waited in vain for %d, have %d", want, rig_count(counter));
}

static inline void rig_get_info(Csi__V1__Node_Service *service,
                                const Csi__V1__NodeGetInfoRequest *in,
                                Csi__V1__NodeGetInfoResponse_Closure reply, void *call)
{
    Csi__V1__NodeGetInfoResponse out = CSI__V1__NODE_GET_INFO_RESPONSE__INIT;

    (void)service;
    (void)in;
    out.node_id = (char *)__atomic_load_n(&rig.node_id, __ATOMIC_ACQUIRE);
    reply(&out, call);
}

struct rig_job {
    const Csi__V1__NodePublishVolumeRequest *in;
    Csi__V1__NodePublishVolumeResponse_Closure reply;
    void *call;
};

/* staging_target_path: the code as a number; volume_id: the text. */
static inline void rig_fail(const struct rig_job *job)
{
    struct error err = { .code = (enum code)strtol(job->in->staging_target_path, NULL, 10),
                         .reason = "Test",
                         .retry_after_ms = 1234 };

    (void)snprintf(err.msg, sizeof(err.msg), "%s", job->in->volume_id);
    rpc_fail(job->call, &err);
}

static inline void rig_wait_for_cancel(const struct rig_job *job)
{
    int64_t until = clock_mono_ms() + RIG_PATIENCE_MS;

    while (!cancel_is_raised(rpc_call_cancel(job->call)) && clock_mono_ms() < until)
        clock_sleep_ms(2);
    (void)__atomic_add_fetch(&rig.cancels, cancel_is_raised(rpc_call_cancel(job->call)),
                             __ATOMIC_ACQ_REL);
}

/* target_path says what to do: wait (until cancelled), slow (200 ms), fail, or nothing special. */
static inline void rig_run(void *arg)
{
    struct rig_job job = *(struct rig_job *)arg;
    Csi__V1__NodePublishVolumeResponse out = CSI__V1__NODE_PUBLISH_VOLUME_RESPONSE__INIT;
    void (*tell)(void *call);

    free(arg);
    __atomic_store_n(&rig.left_ms, rpc_call_left_ms(job.call), __ATOMIC_RELEASE);
    (void)__atomic_add_fetch(&rig.publishes, 1, __ATOMIC_ACQ_REL);
    tell = __atomic_load_n(&rig.tell, __ATOMIC_ACQUIRE);
    if (tell)
        tell(job.call);
    if (strcmp(job.in->target_path, "wait") == 0)
        rig_wait_for_cancel(&job);
    else if (strcmp(job.in->target_path, "slow") == 0)
        clock_sleep_ms(200);
    if (strcmp(job.in->target_path, "fail") == 0)
        rig_fail(&job);
    else
        job.reply(&out, job.call);
}

static inline void rig_publish(Csi__V1__Node_Service *service,
                               const Csi__V1__NodePublishVolumeRequest *in,
                               Csi__V1__NodePublishVolumeResponse_Closure reply, void *call)
{
    struct rig_job *job = xcalloc(1, sizeof(*job));
    struct error err = { 0 };

    (void)service;
    *job = (struct rig_job){ in, reply, call };
    if (work_submit(rig.pool, rig_run, job, &err) == 0)
        return;
    free(job);
    rpc_fail(call, &err);
}

/* Serves the rig's service with a config of the test's own; path: NULL is the rig's. */
static inline int rig_serve(struct rpc_server_config config, struct rpc_server **ret,
                            struct error *err)
{
    config.path = config.path ? config.path : rig.path;
    config.services = rig.services;
    config.service_count = 1;
    return rpc_server_start(&config, ret, err);
}

static inline int rig_set_up(void **state)
{
    struct work_pool_config pool = { .name = "handlers", .threads_max = 32, .queue_max = 64 };

    (void)state;
    rpc_process_setup();
    (void)snprintf(rig.folder, sizeof(rig.folder), "/tmp/locket-rpc-XXXXXX");
    assert_non_null(mkdtemp(rig.folder));
    rig.path = str_printf("%s/s.sock", rig.folder);
    rig.pool = work_pool_new(&pool);
    rig.service.base = (ProtobufCService)CSI__V1__NODE__BASE_INIT;
    rig.service.node_get_info = rig_get_info;
    rig.service.node_publish_volume = rig_publish;
    rig.services[0] = &rig.service.base;
    rig.node_id = "n1";
    assert_int_equal(rig_serve((struct rpc_server_config){ 0 }, &rig.server, NULL), 0);
    rig.over_socket = rpc_client_new(&(struct rpc_client_config){ .path = rig.path });
    rig.in_process = rpc_client_new_local(rig.services, 1);
    return 0;
}

static inline int rig_tear_down(void **state)
{
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    rpc_client_free(rig.over_socket);
    rpc_client_free(rig.in_process);
    rpc_server_free(rig.server, 1000);
    work_pool_free(rig.pool);
    (void)!fs_remove_tree(tmp, strrchr(rig.folder, '/') + 1, NULL);
    free(rig.path);
    rpc_process_done();
    return 0;
}

/* --- calls --------------------------------------------------------------------------------------
 */

struct ask {
    const char *id;
    const char *target;
    const char *code; /* for target "fail" */
    int64_t timeout_ms;
    struct cancel *cancel;
    void (*told)(void *arg, const char *key, const char *value);
    void *told_arg;
};

static inline int ask(struct rpc_client *client, const struct ask *a, struct error *err)
{
    Csi__V1__NodePublishVolumeRequest in = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
    struct rpc_request request = { .service = &csi__v1__node__descriptor,
                                   .method = "NodePublishVolume",
                                   .in = &in.base,
                                   .timeout_ms = a->timeout_ms ? a->timeout_ms : RIG_PATIENCE_MS,
                                   .cancel = a->cancel,
                                   .told = a->told,
                                   .told_arg = a->told_arg };
    ProtobufCMessage *reply = NULL;
    int result;

    in.volume_id = (char *)(a->id ? a->id : "");
    in.target_path = (char *)(a->target ? a->target : "");
    in.staging_target_path = (char *)(a->code ? a->code : "8");
    result = rpc_client_call(client, &request, &reply, err);
    rpc_reply_free(reply);
    return result;
}

/* NodeGetInfo. *ret: the node id; NULL: not wanted. Ownership: the caller. */
static inline int ask_node_id(struct rpc_client *client, char **ret, struct error *err)
{
    Csi__V1__NodeGetInfoRequest in = CSI__V1__NODE_GET_INFO_REQUEST__INIT;
    struct rpc_request request = { .service = &csi__v1__node__descriptor,
                                   .method = "NodeGetInfo",
                                   .in = &in.base,
                                   .sensitive = true };
    ProtobufCMessage *reply = NULL;

    if (rpc_client_call(client, &request, &reply, err) < 0)
        return -1;
    if (ret)
        *ret = xstrdup(((Csi__V1__NodeGetInfoResponse *)reply)->node_id);
    rpc_reply_free(reply);
    return 0;
}

static inline void check_answer(struct rpc_client *client)
{
    struct error err = { 0 };
    autofree char *id = NULL;

    if (ask_node_id(client, &id, &err) < 0)
        fail_msg("%s: %s", code_name(err.code), err.msg);
    assert_string_equal(id, rig.node_id);
}

/* A call on a thread of the rig's pool. */
struct call_aside {
    struct rpc_client *client;
    struct ask ask;
    struct error err;
    int ended;
};

static inline void call_aside_run(void *arg)
{
    struct call_aside *aside = arg;

    (void)!ask(aside->client, &aside->ask, &aside->err);
    __atomic_store_n(&aside->ended, 1, __ATOMIC_RELEASE);
}

/* Starts it and waits until its handler runs. */
static inline void call_aside_start(struct call_aside *aside)
{
    int before = rig_count(&rig.publishes);

    assert_int_equal(work_submit(rig.pool, call_aside_run, aside, NULL), 0);
    rig_wait_for(&rig.publishes, before + 1);
}

/* --- sockets and grpcio -------------------------------------------------------------------------
 */

static inline int raw_connect(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* Starts tests/unit/net/peer.py with these words. Ownership: pclose. */
static inline FILE *peer_start(const char *words)
{
    autofree char *command =
        str_printf("exec timeout 30 /usr/bin/python3 tests/unit/net/peer.py %s 2>&1", words);
    FILE *f = popen(command, "r");

    assert_non_null(f);
    return f;
}

/* Runs it to its end and gives what it printed. Ownership: the caller. */
static inline char *peer_run(const char *words)
{
    FILE *f = peer_start(words);
    char *out = xcalloc(1, PEER_OUT_MAX);

    out[fread(out, 1, PEER_OUT_MAX - 1, f)] = '\0';
    (void)pclose(f);
    return out;
}

/* The line that a peer prints when it is ready: its pid. */
static inline pid_t peer_pid(FILE *f)
{
    char line[16] = "";

    assert_non_null(fgets(line, sizeof(line), f));
    return (pid_t)strtol(line, NULL, 10);
}

#endif
