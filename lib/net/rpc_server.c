/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/rpc_server.h"

#include <errno.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/rpc_accept.h"
#include "lib/net/rpc_call.h"
#include "lib/net/rpc_grpc.h"
#include "lib/net/rpc_socket.h"

/* A call's life: armed (waiting for any call) -> new -> [message] -> handler -> answered -> sent.
 * RECV_CLOSE runs beside it, in a batch of its own, and tells of a caller that left or a deadline
 * that passed. Whichever of "sent" and "closed" comes last frees the call. */
enum {
    POLLERS = 2,
    TRAILERS = 2 + RPC_TOLD_MAX,
    FLUSH_MS = 100,   /* for the last answers to leave */
    CANCEL_MS = 3000, /* for handlers that were told to stop */
};

struct rpc_server {
    struct rpc_server_config config;
    struct rpc_listener listener;
    grpc_server *grpc;
    grpc_completion_queue *cq;
    grpc_server_credentials *credentials;
    struct rpc_acceptor *acceptor;
    pthread_t pollers[POLLERS];
    pthread_mutex_t lock;
    pthread_cond_t calmer; /* a call ended */
    size_t live;           /* guarded by lock: calls begun and not freed */
    size_t inflight_bytes; /* guarded by lock: of requests not yet answered */
    bool stopping;         /* guarded by lock */
    bool drained;          /* the tag of grpc_server_shutdown_and_notify came back */
};

struct call_tag {
    void (*event)(struct call_tag *tag, bool ok);
};

struct server_call {
    struct rpc_call base;
    struct rpc_server *server;
    grpc_call *grpc;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    size_t bytes; /* counted in inflight_bytes */
    char *path;
    int cancelled; /* filled by RECV_CLOSE */
    int refs;      /* guarded by server->lock */
    struct call_tag on_new;
    struct call_tag on_message;
    struct call_tag on_close;
    struct call_tag on_sent;
    grpc_metadata trailers[TRAILERS];
    size_t trailer_count;
    grpc_slice status_text;
};

static void arm(struct rpc_server *server);

#define CALL_OF(tag_, member_)                                                                     \
    ((struct server_call *)((char *)(tag_)-offsetof(struct server_call, member_)))

static void call_free(struct server_call *call)
{
    struct rpc_server *server = call->server;

    rpc_call_done(&call->base);
    for (size_t i = 0; i < call->trailer_count; i++) {
        grpc_slice_unref(call->trailers[i].key);
        grpc_slice_unref(call->trailers[i].value);
    }
    grpc_slice_unref(call->status_text);
    if (call->payload)
        grpc_byte_buffer_destroy(call->payload);
    grpc_call_details_destroy(&call->details);
    grpc_metadata_array_destroy(&call->metadata);
    if (call->grpc)
        grpc_call_unref(call->grpc);
    pthread_mutex_lock(&server->lock);
    server->live--;
    (void)pthread_cond_broadcast(&server->calmer);
    pthread_mutex_unlock(&server->lock);
    free(call->path);
    free(call);
}

static void call_unref(struct server_call *call)
{
    bool last;

    pthread_mutex_lock(&call->server->lock);
    last = --call->refs == 0;
    pthread_mutex_unlock(&call->server->lock);
    if (last)
        call_free(call);
}

static void add_trailer(struct server_call *call, const char *key, const char *value)
{
    call->trailers[call->trailer_count++] = (grpc_metadata){
        .key = grpc_slice_from_copied_string(key),
        .value = grpc_slice_from_copied_string(value),
    };
}

static void add_trailers(struct server_call *call, const struct error *err)
{
    char text[24];

    for (size_t i = 0; i < call->base.word_count; i++)
        add_trailer(call, call->base.words[i].key, call->base.words[i].value);
    if (err && err->retry_after_ms) {
        (void)snprintf(text, sizeof(text), "%" PRId64, err->retry_after_ms);
        add_trailer(call, RPC_RETRY_AFTER, text);
    }
    if (err && err->reason)
        add_trailer(call, RPC_REASON, err->reason);
}

/* Before the answer leaves, so that a caller who got it finds the room again. */
static void uncount_bytes(struct server_call *call)
{
    pthread_mutex_lock(&call->server->lock);
    call->server->inflight_bytes -= call->bytes;
    pthread_mutex_unlock(&call->server->lock);
}

static void answer(struct rpc_call *base, const ProtobufCMessage *out, const struct error *err)
{
    struct server_call *call = (struct server_call *)base;
    grpc_byte_buffer *body = out ? rpc_pack(out, false) : NULL;
    grpc_op ops[3] = { { .op = GRPC_OP_SEND_INITIAL_METADATA } };
    size_t count = 1;

    uncount_bytes(call);
    add_trailers(call, body ? NULL : err);
    if (body) {
        ops[count].op = GRPC_OP_SEND_MESSAGE;
        ops[count++].data.send_message.send_message = body;
    } else {
        call->status_text = grpc_slice_from_copied_string(err->msg);
    }
    ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[count].data.send_status_from_server.status =
        body ? GRPC_STATUS_OK : (grpc_status_code)err->code;
    ops[count].data.send_status_from_server.status_details = body ? NULL : &call->status_text;
    ops[count].data.send_status_from_server.trailing_metadata_count = call->trailer_count;
    ops[count++].data.send_status_from_server.trailing_metadata = call->trailers;
    rpc_tag_release(&call->on_sent);
    if (grpc_call_start_batch(call->grpc, ops, count, &call->on_sent, NULL) != GRPC_CALL_OK)
        call_unref(call); /* cannot be: nothing of this batch was sent before */
    if (body)
        grpc_byte_buffer_destroy(body);
}

static int64_t left_ms(struct rpc_call *base)
{
    struct server_call *call = (struct server_call *)base;
    gpr_timespec deadline = call->details.deadline;

    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
        return INT64_MAX;
    return gpr_time_to_millis(gpr_time_sub(deadline, gpr_now(deadline.clock_type)));
}

static const struct rpc_carrier carrier = { .answer = answer, .left_ms = left_ms };

/* Counts a request's bytes; false when the sum of all in flight is too large. */
static bool count_bytes(struct server_call *call)
{
    struct rpc_server *server = call->server;
    size_t bytes = grpc_byte_buffer_length(call->payload);
    bool fits;

    pthread_mutex_lock(&server->lock);
    fits = server->inflight_bytes + bytes <= server->config.inflight_bytes_max;
    if (fits) {
        server->inflight_bytes += bytes;
        call->bytes = bytes;
    }
    pthread_mutex_unlock(&server->lock);
    return fits;
}

static void run(struct server_call *call, struct error *err)
{
    struct rpc_method method;
    struct secret bytes CLEANUP(secret_done) = { 0 };

    if (rpc_method_find(call->server->config.services, call->server->config.service_count,
                        call->path, &method, err) < 0)
        return;
    if (!call->payload) {
        error_set(err, CODE_INTERNAL, "%s: no request message", call->path);
        return;
    }
    if (!count_bytes(call)) {
        error_set(err, CODE_RESOURCE_EXHAUSTED,
                  "%s: requests of more than %zu bytes are in flight: try again later", call->path,
                  call->server->config.inflight_bytes_max);
        return;
    }
    if (rpc_unwrap(&call->payload, &bytes) < 0) {
        error_set(err, CODE_INTERNAL, "%s: the request cannot be read", call->path);
        return;
    }
    rpc_call_run(&call->base, &method, bytes.bytes, bytes.len);
}

static void on_message(struct call_tag *tag, bool ok)
{
    struct server_call *call = CALL_OF(tag, on_message);
    struct error err = { 0 };

    (void)ok;
    run(call, &err);
    if (err.code)
        rpc_fail(&call->base, &err);
}

static void on_close(struct call_tag *tag, bool ok)
{
    struct server_call *call = CALL_OF(tag, on_close);

    (void)ok;
    if (call->cancelled)
        cancel_raise(&call->base.cancel);
    call_unref(call);
}

static void on_sent(struct call_tag *tag, bool ok)
{
    (void)ok;
    call_unref(CALL_OF(tag, on_sent));
}

static void on_new(struct call_tag *tag, bool ok)
{
    struct server_call *call = CALL_OF(tag, on_new);
    grpc_op close = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER };
    grpc_op message = { .op = GRPC_OP_RECV_MESSAGE };

    if (!ok) { /* the server is shutting down: this slot met no call */
        call_free(call);
        return;
    }
    arm(call->server);
    call->path = grpc_slice_to_c_string(call->details.method);
    call->base.method = call->path;
    call->base.started_us = clock_mono_us();
    call->refs = 2;
    close.data.recv_close_on_server.cancelled = &call->cancelled;
    message.data.recv_message.recv_message = &call->payload;
    rpc_tag_release(&call->on_close);
    rpc_tag_release(&call->on_message);
    (void)grpc_call_start_batch(call->grpc, &close, 1, &call->on_close, NULL);
    (void)grpc_call_start_batch(call->grpc, &message, 1, &call->on_message, NULL);
}

/* Posts one more slot for whatever call comes, known or not: core would let an unknown one hang. */
static void arm(struct rpc_server *server)
{
    struct server_call *call;

    pthread_mutex_lock(&server->lock);
    if (server->stopping) {
        pthread_mutex_unlock(&server->lock);
        return;
    }
    server->live++;
    pthread_mutex_unlock(&server->lock);
    call = xcalloc(1, sizeof(*call));
    call->base.carrier = &carrier;
    call->base.ended = server->config.ended;
    call->base.ended_arg = server->config.ended_arg;
    cancel_init(&call->base.cancel);
    call->server = server;
    call->status_text = grpc_empty_slice();
    call->on_new.event = on_new;
    call->on_message.event = on_message;
    call->on_close.event = on_close;
    call->on_sent.event = on_sent;
    grpc_call_details_init(&call->details);
    grpc_metadata_array_init(&call->metadata);
    rpc_tag_release(&call->on_new);
    if (grpc_server_request_call(server->grpc, &call->grpc, &call->details, &call->metadata,
                                 server->cq, server->cq, &call->on_new) != GRPC_CALL_OK)
        call_free(call);
}

static void *poller(void *arg)
{
    struct rpc_server *server = arg;

    (void)pthread_setname_np(pthread_self(), "rpc-poller");
    for (;;) {
        grpc_event ev =
            grpc_completion_queue_next(server->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);

        if (ev.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        if (ev.type != GRPC_OP_COMPLETE)
            continue;
        rpc_tag_acquire(ev.tag);
        if (ev.tag == server) {
            pthread_mutex_lock(&server->lock);
            server->drained = true;
            (void)pthread_cond_broadcast(&server->calmer);
            pthread_mutex_unlock(&server->lock);
            continue;
        }
        ((struct call_tag *)ev.tag)->event(ev.tag, ev.success != 0);
    }
}

static void admit(void *arg, int fd)
{
    struct rpc_server *server = arg;

    grpc_server_add_channel_from_fd(server->grpc, fd, server->credentials);
}

static grpc_server *make_server(const struct rpc_server_config *config)
{
    grpc_arg args[] = {
        rpc_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)config->request_bytes_max),
        rpc_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1), /* none: no gzip bomb */
        rpc_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0),
        rpc_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, 256),
    };
    grpc_channel_args list = { .num_args = COUNT_OF(args), .args = args };

    return grpc_server_create(&list, NULL);
}

static int open_listener(struct rpc_server *server, struct error *err)
{
    const struct rpc_server_config *c = &server->config;
    mode_t mode = c->mode ? c->mode : 0600;

    return c->take_over ? rpc_listener_take_over(&server->listener, c->path, mode, err)
                        : rpc_listener_open(&server->listener, c->path, mode, err);
}

int rpc_server_start(const struct rpc_server_config *config, struct rpc_server **ret,
                     struct error *err)
{
    struct rpc_server *server = xcalloc(1, sizeof(*server));

    server->config = *config;
    if (!server->config.request_bytes_max)
        server->config.request_bytes_max = RPC_REQUEST_MAX;
    if (!server->config.inflight_bytes_max)
        server->config.inflight_bytes_max = RPC_INFLIGHT_MAX;
    if (open_listener(server, err) < 0) {
        free(server);
        return -1;
    }
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->calmer, NULL);
    rpc_grpc_ref();
    server->credentials = grpc_insecure_server_credentials_create();
    server->grpc = make_server(&server->config);
    server->cq = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(server->grpc, server->cq, NULL);
    grpc_server_start(server->grpc);
    for (size_t i = 0; i < POLLERS; i++) {
        arm(server);
        rpc_thread_start(&server->pollers[i], poller, server);
    }
    server->acceptor = rpc_acceptor_start(&(struct rpc_accept_config){
        .listener = server->listener.fd,
        .path = config->path,
        .uids = config->uids,
        .uid_count = config->uid_count,
        .group = config->group,
        .connections_max = config->connections_max ? config->connections_max : RPC_CONNECTIONS_MAX,
        .admit = admit,
        .arg = server,
    });
    *ret = server;
    return 0;
}

bool rpc_server_is_found(const struct rpc_server *server)
{
    return rpc_listener_is_found(&server->listener);
}

void rpc_server_sweep(const char *path)
{
    rpc_socket_sweep(path);
}

/* Waits until no call is left, or only the armed slots; at most until the time. */
static bool wait_calm(struct rpc_server *server, int64_t until_ms, bool for_transports)
{
    struct timespec until = clock_mono_until(until_ms);
    int late = 0;
    bool calm;

    pthread_mutex_lock(&server->lock);
    while (!(server->live == 0 && (server->drained || !for_transports)) && !late)
        late = pthread_cond_clockwait(&server->calmer, &server->lock, CLOCK_MONOTONIC, &until);
    calm = server->live == 0 && (server->drained || !for_transports);
    pthread_mutex_unlock(&server->lock);
    return calm;
}

/* Order is load-bearing, gRPC aborts otherwise: no new connections, shutdown, calls end, cancel
 * what is left (idle clients hold their transports for ever), queue, server. */
void rpc_server_free(struct rpc_server *server, int64_t drain_ms)
{
    if (!server)
        return;
    rpc_acceptor_stop(server->acceptor);
    rpc_listener_close(&server->listener);
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_mutex_unlock(&server->lock);
    grpc_server_shutdown_and_notify(server->grpc, server->cq, server);
    (void)wait_calm(server, clock_mono_ms() + drain_ms, false);
    (void)wait_calm(server, clock_mono_ms() + FLUSH_MS, true);
    grpc_server_cancel_all_calls(server->grpc);
    if (!wait_calm(server, clock_mono_ms() + CANCEL_MS, true)) {
        log_event(LOG_ERROR, "calls did not end in time: their memory stays",
                  WITH_TEXT(KEY_SOCKET, server->config.path));
        rpc_grpc_abandon();
        return;
    }
    grpc_server_destroy(server->grpc);
    grpc_completion_queue_shutdown(server->cq);
    for (size_t i = 0; i < POLLERS; i++)
        (void)pthread_join(server->pollers[i], NULL);
    grpc_completion_queue_destroy(server->cq);
    grpc_server_credentials_release(server->credentials);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->calmer);
    free(server);
}
