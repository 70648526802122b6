/* SPDX-License-Identifier: Apache-2.0
 *
 * The RPC layer, in-process and over a socket, and against grpcio as an independent peer.
 */
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
#include "lib/base/strbuf.h"
#include "lib/net/rpc_client.h"
#include "lib/net/rpc_server.h"
#include "lib/net/work.h"
#include "tests/check.h"

#define PEER "/usr/bin/python3 tests/unit/net/peer.py "

/* --- a service whose answers the tests decide ---------------------------------------------------
 */

struct node {
    Csi__V1__Node_Service service;
    struct work_pool *pool;
};

static struct node node;
static char folder[] = "/tmp/locket-rpc-XXXXXX";
static char *path;
static struct rpc_server *server;
static struct rpc_client *over_socket;
static struct rpc_client *in_process;
static int cancels;
static char *self_command; /* this program, as the child of grpc_trace_cannot_dump */

static void get_info(Csi__V1__Node_Service *service, const Csi__V1__NodeGetInfoRequest *in,
                     Csi__V1__NodeGetInfoResponse_Closure reply, void *call)
{
    Csi__V1__NodeGetInfoResponse out = CSI__V1__NODE_GET_INFO_RESPONSE__INIT;

    (void)service;
    (void)in;
    out.node_id = (char *)"n1";
    reply(&out, call);
}

struct job {
    const Csi__V1__NodePublishVolumeRequest *in;
    Csi__V1__NodePublishVolumeResponse_Closure reply;
    void *call;
};

static void fail_as_asked(struct job *job)
{
    struct error err = { 0 };

    error_set(&err, CODE_RESOURCE_EXHAUSTED, "%s", job->in->volume_id);
    err.reason = "Test";
    err.retry_after_ms = 1234;
    rpc_fail(job->call, &err);
}

/* target_path says what to do: wait (until cancelled), slow (200 ms), fail, or nothing special. */
static void run(void *arg)
{
    struct job job = *(struct job *)arg;
    Csi__V1__NodePublishVolumeResponse out = CSI__V1__NODE_PUBLISH_VOLUME_RESPONSE__INIT;

    free(arg);
    if (strcmp(job.in->target_path, "wait") == 0) {
        int64_t until = clock_mono_ms() + 5000;

        while (!cancel_is_raised(rpc_call_cancel(job.call)) && clock_mono_ms() < until)
            clock_sleep_ms(2);
        (void)__atomic_add_fetch(&cancels, cancel_is_raised(rpc_call_cancel(job.call)),
                                 __ATOMIC_ACQ_REL);
    } else if (strcmp(job.in->target_path, "slow") == 0) {
        clock_sleep_ms(200);
    } else if (strcmp(job.in->target_path, "fail") == 0) {
        fail_as_asked(&job);
        return;
    }
    job.reply(&out, job.call);
}

static void publish(Csi__V1__Node_Service *service, const Csi__V1__NodePublishVolumeRequest *in,
                    Csi__V1__NodePublishVolumeResponse_Closure reply, void *call)
{
    struct job *job = xcalloc(1, sizeof(*job));

    (void)service;
    *job = (struct job){ in, reply, call };
    assert_int_equal(work_submit(node.pool, run, job, NULL), 0);
}

static ProtobufCService *services[] = { &node.service.base };

static int start_server(const char *at, struct rpc_server **ret, struct error *err)
{
    struct rpc_server_config config = { .path = at, .services = services, .service_count = 1 };

    return rpc_server_start(&config, ret, err);
}

static int set_up(void **state)
{
    struct work_pool_config pool = { .name = "handlers", .threads_max = 16, .queue_max = 64 };

    (void)state;
    rpc_process_setup();
    assert_non_null(mkdtemp(folder));
    path = str_printf("%s/s.sock", folder);
    node.pool = work_pool_new(&pool);
    node.service.base = (ProtobufCService)CSI__V1__NODE__BASE_INIT;
    node.service.node_get_info = get_info;
    node.service.node_publish_volume = publish;
    assert_int_equal(start_server(path, &server, NULL), 0);
    over_socket = rpc_client_new(&(struct rpc_client_config){ .path = path });
    in_process = rpc_client_new_local(services, 1);
    return 0;
}

static int tear_down(void **state)
{
    autofree char *clean = str_printf("%s/s.sock.lock", folder);

    (void)state;
    rpc_client_free(over_socket);
    rpc_client_free(in_process);
    rpc_server_free(server, 1000);
    work_pool_free(node.pool);
    (void)unlink(clean);
    (void)rmdir(folder);
    free(path);
    rpc_process_done();
    return 0;
}

/* --- calls ---------------------------------------------------------------------------------------
 */

struct ask {
    const char *id;
    const char *target;
    int64_t timeout_ms;
    struct cancel *cancel;
};

static int ask(struct rpc_client *client, const struct ask *a, struct error *err)
{
    Csi__V1__NodePublishVolumeRequest in = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
    struct rpc_request request = { .service = &csi__v1__node__descriptor,
                                   .method = "NodePublishVolume",
                                   .in = &in.base,
                                   .timeout_ms = a->timeout_ms ? a->timeout_ms : 4000,
                                   .cancel = a->cancel };
    ProtobufCMessage *reply = NULL;
    int result;

    in.volume_id = (char *)(a->id ? a->id : "");
    in.target_path = (char *)(a->target ? a->target : "");
    result = rpc_client_call(client, &request, &reply, err);
    rpc_reply_free(reply);
    return result;
}

static void both(void (*check)(struct rpc_client *client))
{
    check(in_process);
    check(over_socket);
}

static void check_answer(struct rpc_client *client)
{
    Csi__V1__NodeGetInfoRequest in = CSI__V1__NODE_GET_INFO_REQUEST__INIT;
    struct rpc_request request = { .service = &csi__v1__node__descriptor,
                                   .method = "NodeGetInfo",
                                   .in = &in.base };
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    if (rpc_client_call(client, &request, &reply, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(((Csi__V1__NodeGetInfoResponse *)reply)->node_id, "n1");
    rpc_reply_free(reply);
}

static void a_call_is_answered(void **state)
{
    (void)state;
    both(check_answer);
}

static void check_failure(struct rpc_client *client)
{
    struct error err = { 0 };

    assert_int_equal(ask(client, &(struct ask){ .id = "no r\xc3\xb6om", .target = "fail" }, &err),
                     -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_string_equal(err.msg, "no r\xc3\xb6om");
    assert_int_equal(err.retry_after_ms, 1234);
}

static void a_failure_keeps_code_text_and_retry_after(void **state)
{
    (void)state;
    both(check_failure);
}

static void check_empty_slot(struct rpc_client *client)
{
    Csi__V1__NodeStageVolumeRequest in = CSI__V1__NODE_STAGE_VOLUME_REQUEST__INIT;
    struct rpc_request request = { .service = &csi__v1__node__descriptor,
                                   .method = "NodeStageVolume",
                                   .in = &in.base };
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    assert_int_equal(rpc_client_call(client, &request, &reply, &err), -1);
    assert_int_equal(err.code, CODE_UNIMPLEMENTED);
    assert_non_null(strstr(err.msg, "NodeStageVolume"));
}

static void an_empty_slot_is_unimplemented(void **state)
{
    (void)state;
    both(check_empty_slot);
}

static void check_deadline(struct rpc_client *client)
{
    struct error err = { 0 };
    int before = __atomic_load_n(&cancels, __ATOMIC_ACQUIRE);
    int64_t until;

    assert_int_equal(ask(client, &(struct ask){ .target = "wait", .timeout_ms = 100 }, &err), -1);
    assert_int_equal(err.code, CODE_DEADLINE_EXCEEDED);
    for (until = clock_mono_ms() + 2000; clock_mono_ms() < until;)
        if (__atomic_load_n(&cancels, __ATOMIC_ACQUIRE) > before)
            return;
    fail_msg("the handler was not told");
}

static void a_deadline_is_passed_on_to_the_handler(void **state)
{
    (void)state;
    both(check_deadline);
}

static void raise_soon(void *arg)
{
    clock_sleep_ms(50);
    cancel_raise(arg);
}

static void check_cancel(struct rpc_client *client)
{
    struct error err = { 0 };
    struct cancel cancel;

    cancel_init(&cancel);
    assert_int_equal(work_submit(node.pool, raise_soon, &cancel, NULL), 0);
    assert_int_equal(ask(client, &(struct ask){ .target = "wait", .cancel = &cancel }, &err), -1);
    assert_int_equal(err.code, CODE_CANCELLED);
    clock_sleep_ms(20); /* the raiser is done with it */
    cancel_done(&cancel);
}

static void a_cancelled_call_ends_at_once(void **state)
{
    (void)state;
    both(check_cancel);
}

static void check_bad_text(struct rpc_client *client)
{
    struct error err = { 0 };

    assert_int_equal(ask(client, &(struct ask){ .id = "\xff" }, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "volume_id"));
}

static void bad_text_is_refused_by_name(void **state)
{
    (void)state;
    both(check_bad_text);
}

static void a_request_over_the_ceiling_is_refused(void **state)
{
    autofree char *large = xmalloc(RPC_REQUEST_MAX + 10);
    struct error err = { 0 };

    (void)state;
    memset(large, 'a', RPC_REQUEST_MAX + 9);
    large[RPC_REQUEST_MAX + 9] = '\0';
    assert_int_equal(ask(over_socket, &(struct ask){ .id = large }, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    check_answer(over_socket);
}

/* --- sockets
 * -------------------------------------------------------------------------------------- */

static void a_foreign_uid_is_turned_away(void **state)
{
    int status = 0;
    pid_t child;

    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can be somebody else */
    assert_int_equal(chmod(folder, 0755) | chmod(path, 0666), 0);
    child = fork(); /* before any call of its own; it only connects */
    if (child == 0) {
        struct sockaddr_un addr = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char byte;

        (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
        if (setuid(65534) < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
            _exit(2);
        _exit(read(fd, &byte, 1) == 0 ? 0 : 1); /* closed without a word */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static int refuse_peer(void *arg, const struct rpc_peer *peer, struct error *err)
{
    *(uid_t *)arg = peer->uid;
    return error_set(err, CODE_PERMISSION_DENIED, "not this one");
}

static void a_server_is_judged_before_a_byte_is_sent(void **state)
{
    uid_t seen = 77777;
    struct rpc_client *client = rpc_client_new(
        &(struct rpc_client_config){ .path = path, .check_peer = refuse_peer, .check_arg = &seen });
    struct error err = { 0 };

    (void)state;
    assert_int_equal(ask(client, &(struct ask){ 0 }, &err), -1);
    assert_int_equal(err.code, CODE_PERMISSION_DENIED);
    assert_int_equal(seen, geteuid());
    rpc_client_free(client);
}

static void nobody_there_is_unavailable_with_the_path(void **state)
{
    autofree char *none = str_printf("%s/none.sock", folder);
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = none });
    struct error err = { 0 };

    (void)state;
    assert_int_equal(ask(client, &(struct ask){ 0 }, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_non_null(strstr(err.msg, none));
    rpc_client_free(client);
}

static void the_first_call_after_a_restart_succeeds(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        check_answer(over_socket);
        rpc_server_free(server, 1000);
        assert_int_equal(start_server(path, &server, NULL), 0);
        check_answer(over_socket);
    }
}

static void slow_call(void *arg)
{
    struct error *err = arg;

    (void)!ask(over_socket, &(struct ask){ .target = "slow" }, err);
    (void)__atomic_add_fetch(&cancels, 100, __ATOMIC_ACQ_REL);
}

static struct rpc_client *over_small;
static const char *large_id;

static void slow_large_call(void *arg)
{
    (void)arg;
    (void)!ask(over_small, &(struct ask){ .id = large_id, .target = "slow" }, NULL);
}

static void a_call_in_flight_is_answered_while_draining(void **state)
{
    struct error err = { 0 };
    int before = __atomic_load_n(&cancels, __ATOMIC_ACQUIRE);

    (void)state;
    assert_int_equal(work_submit(node.pool, slow_call, &err, NULL), 0);
    clock_sleep_ms(60);
    rpc_server_free(server, 2000);
    while (__atomic_load_n(&cancels, __ATOMIC_ACQUIRE) < before + 100)
        clock_sleep_ms(1);
    assert_int_equal(err.code, CODE_OK);
    assert_int_equal(start_server(path, &server, NULL), 0);
}

/* --- grpcio
 * --------------------------------------------------------------------------------------- */

static int trace_child(void)
{
    autofree char *mine = str_printf("%s/trace.sock", folder);
    autofree char *lock = str_printf("%s.lock", mine);
    struct rpc_server *s = NULL;
    struct rpc_client *client;
    struct error err = { 0 };

    if (start_server(mine, &s, &err) < 0)
        return 1;
    client = rpc_client_new(&(struct rpc_client_config){ .path = mine });
    (void)!ask(client, &(struct ask){ .id = "canary-in-the-trace", .target = "fail" }, &err);
    rpc_client_free(client);
    rpc_server_free(s, 500);
    (void)unlink(lock);
    return err.code == CODE_RESOURCE_EXHAUSTED ? 0 : 1;
}

/* Tracing would dump every byte read; the variables are gone before gRPC looks. In a program of its
 * own, since this one has started gRPC already. */
static void grpc_trace_cannot_dump(void **state)
{
    char out[65536];
    FILE *f = popen(self_command, "r");
    size_t len;

    (void)state;
    assert_non_null(f);
    len = fread(out, 1, sizeof(out) - 1, f);
    out[len] = '\0';
    assert_int_equal(pclose(f), 0);
    assert_null(strstr(out, "canary-in-the-trace"));
}

/* The sum of all requests in flight has a ceiling of its own. */
static void requests_in_flight_share_a_budget(void **state)
{
    autofree char *mine = str_printf("%s/small.sock", folder);
    autofree char *lock = str_printf("%s.lock", mine);
    autofree char *id = xmalloc(60001);
    struct rpc_server_config config = {
        .path = mine, .services = services, .service_count = 1, .inflight_bytes_max = 100000
    };
    struct rpc_server *s = NULL;
    struct rpc_client *client;
    struct error slow = { 0 };
    struct error err = { 0 };

    (void)state;
    memset(id, 'i', 60000);
    id[60000] = '\0';
    assert_int_equal(rpc_server_start(&config, &s, &err), 0);
    client = rpc_client_new(&(struct rpc_client_config){ .path = mine });
    assert_int_equal(ask(client, &(struct ask){ .id = id }, &slow), 0);
    over_small = client;
    large_id = id;
    assert_int_equal(work_submit(node.pool, slow_large_call, NULL, NULL), 0);
    clock_sleep_ms(60);
    assert_int_equal(ask(client, &(struct ask){ .id = id }, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "in flight"));
    clock_sleep_ms(300);
    err = (struct error){ 0 };
    assert_int_equal(ask(client, &(struct ask){ .id = id }, &err), 0);
    rpc_client_free(client);
    rpc_server_free(s, 500);
    (void)unlink(lock);
}

static void run_peer(const char *words, char *out, size_t room)
{
    autofree char *command = str_printf("timeout 20 " PEER "%s 2>&1", words);
    FILE *f = popen(command, "r");
    size_t len = f ? fread(out, 1, room - 1, f) : 0;

    out[len] = '\0';
    if (f)
        (void)pclose(f);
}

static void grpcio_is_answered_and_told_of_unknown_methods(void **state)
{
    static const struct {
        const char *method;
        const char *hex;
        const char *mode;
        const char *want;
    } rows[] = {
        { "/csi.v1.Node/NodeGetInfo", "''", "none", "OK 0a026e31" },
        { "/csi.v1.Node/Nothing", "''", "none", "UNIMPLEMENTED" },
        { "/nobody.Home/Nothing", "''", "none", "UNIMPLEMENTED" },
        { "/csi.v1.Node/NodePublishVolume", "0a03610063", "none", "INVALID_ARGUMENT" },
        { "/csi.v1.Node/NodePublishVolume", "0a02fffe", "none", "INVALID_ARGUMENT" },
        { "/csi.v1.Node/NodePublishVolume", "''", "gzip", "UNIMPLEMENTED" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *words =
            str_printf("call %s %s %s %s", path, rows[i].method, rows[i].hex, rows[i].mode);
        char out[4096];

        run_peer(words, out, sizeof(out));
        if (!str_starts(out, rows[i].want))
            fail_msg("%s %s %s: %s", rows[i].method, rows[i].hex, rows[i].mode, out);
    }
}

static void an_idle_client_does_not_hold_up_the_end(void **state)
{
    autofree char *command = str_printf(PEER "idle %s", path);
    FILE *f = popen(command, "r");
    char line[16] = "";
    int64_t before;

    (void)state;
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    before = clock_mono_ms();
    rpc_server_free(server, 5000);
    assert_in_range(clock_mono_ms() - before, 0, 2000);
    assert_int_equal(start_server(path, &server, NULL), 0);
    (void)kill((pid_t)strtol(line, NULL, 10), SIGTERM);
    (void)pclose(f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grpc_trace_cannot_dump),
        cmocka_unit_test(a_call_is_answered),
        cmocka_unit_test(a_failure_keeps_code_text_and_retry_after),
        cmocka_unit_test(an_empty_slot_is_unimplemented),
        cmocka_unit_test(a_deadline_is_passed_on_to_the_handler),
        cmocka_unit_test(a_cancelled_call_ends_at_once),
        cmocka_unit_test(bad_text_is_refused_by_name),
        cmocka_unit_test(a_request_over_the_ceiling_is_refused),
        cmocka_unit_test(requests_in_flight_share_a_budget),
        cmocka_unit_test(a_foreign_uid_is_turned_away),
        cmocka_unit_test(a_server_is_judged_before_a_byte_is_sent),
        cmocka_unit_test(nobody_there_is_unavailable_with_the_path),
        cmocka_unit_test(the_first_call_after_a_restart_succeeds),
        cmocka_unit_test(a_call_in_flight_is_answered_while_draining),
        cmocka_unit_test(grpcio_is_answered_and_told_of_unknown_methods),
        cmocka_unit_test(an_idle_client_does_not_hold_up_the_end),
    };

    if (argc > 1 && strcmp(argv[1], "trace") == 0) {
        int result;

        (void)setenv("GRPC_TRACE", "all", 1);
        (void)setenv("GRPC_VERBOSITY", "DEBUG", 1);
        result = set_up(NULL) < 0 ? 1 : trace_child();

        (void)tear_down(NULL);
        return result;
    }
    self_command = str_printf("%s trace 2>&1", argv[0]);
    argc = cmocka_run_group_tests(tests, set_up, tear_down);
    free(self_command);
    return argc;
}
