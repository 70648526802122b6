/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/rpc_client.h"

#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <poll.h>

#include "lib/base/clock.h"
#include "lib/base/number.h"
#include "lib/net/rpc_call.h"
#include "lib/net/rpc_grpc.h"
#include "lib/net/rpc_local.h"
#include "lib/net/rpc_socket.h"
#include "lib/net/wire.h"

/* One connection: our own socket under a gRPC channel. A channel made of a descriptor never
 * reconnects, so a watching copy of the descriptor tells when the server has gone. */
struct connection {
    grpc_channel *channel;
    int watch_fd;
    size_t users; /* guarded by the client's lock: the client itself and calls */
};

struct rpc_client {
    char *path;
    struct rpc_client_config config;
    ProtobufCService *const *services; /* in-process; NULL: over the socket */
    size_t service_count;
    pthread_mutex_t lock;
    struct connection *current; /* guarded by lock; NULL: none yet */
};

struct rpc_client *rpc_client_new(const struct rpc_client_config *config)
{
    struct rpc_client *client = xcalloc(1, sizeof(*client));

    client->config = *config;
    client->path = xstrdup(config->path);
    if (!client->config.reply_bytes_max)
        client->config.reply_bytes_max = RPC_REPLY_MAX;
    pthread_mutex_init(&client->lock, NULL);
    return client;
}

struct rpc_client *rpc_client_new_local(ProtobufCService *const *services, size_t count)
{
    struct rpc_client *client = xcalloc(1, sizeof(*client));

    client->services = services;
    client->service_count = count;
    pthread_mutex_init(&client->lock, NULL);
    return client;
}

static void connection_unref(struct rpc_client *client, struct connection *c)
{
    bool last;

    pthread_mutex_lock(&client->lock);
    last = --c->users == 0;
    pthread_mutex_unlock(&client->lock);
    if (!last)
        return;
    grpc_channel_destroy(c->channel);
    (void)close(c->watch_fd);
    free(c);
}

void rpc_client_free(struct rpc_client *client)
{
    if (!client)
        return;
    if (client->current)
        connection_unref(client, client->current);
    pthread_mutex_destroy(&client->lock);
    free(client->path);
    free(client);
}

/* Has the server closed its end? Costs one poll(2). */
static bool is_gone(const struct connection *c)
{
    struct pollfd fd = { .fd = c->watch_fd, .events = POLLRDHUP };

    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static grpc_channel *make_channel(int fd, size_t reply_bytes_max)
{
    grpc_arg args[] = {
        rpc_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)reply_bytes_max),
        rpc_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        rpc_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1), /* none: no gzip bomb */
        rpc_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0),
        { .type = GRPC_ARG_STRING,
          .key = (char *)GRPC_ARG_DEFAULT_AUTHORITY,
          .value.string = (char *)"localhost" }, /* some providers insist on it */
    };
    grpc_channel_args list = { .num_args = COUNT_OF(args), .args = args };
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create_from_fd("localhost", fd, credentials, &list);

    grpc_channel_credentials_release(credentials);
    return channel;
}

static int connect_now(struct rpc_client *client, struct connection **ret, struct error *err)
{
    autoclose int fd = -1;
    struct rpc_peer peer;
    struct connection *c;

    if (rpc_socket_connect(client->path, &fd, err) < 0 || rpc_peer_of(fd, &peer, err) < 0)
        return -1;
    if (client->config.check_peer &&
        client->config.check_peer(client->config.check_arg, &peer, err) < 0)
        return -1;
    rpc_grpc_ref();
    c = xcalloc(1, sizeof(*c));
    c->watch_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (c->watch_fd < 0) {
        free(c);
        return error_sys(err, errno, "dup of the connection to %s", client->path);
    }
    c->channel = make_channel(take_fd(&fd), client->config.reply_bytes_max);
    c->users = 2; /* the client and the caller */
    *ret = c;
    return 0;
}

/* A connection with a use counted for the caller: the current one when it lives and is not
 * `broken`, else a new one. */
static int connection_get(struct rpc_client *client, const struct connection *broken,
                          struct connection **ret, struct error *err)
{
    struct connection *old = NULL;
    struct connection *fresh = NULL;

    pthread_mutex_lock(&client->lock);
    if (client->current && client->current != broken && !is_gone(client->current)) {
        client->current->users++;
        *ret = client->current;
        pthread_mutex_unlock(&client->lock);
        return 0;
    }
    pthread_mutex_unlock(&client->lock);
    if (connect_now(client, &fresh, err) < 0)
        return -1;
    pthread_mutex_lock(&client->lock);
    old = client->current;
    client->current = fresh;
    pthread_mutex_unlock(&client->lock);
    if (old)
        connection_unref(client, old);
    *ret = fresh;
    return 0;
}

/* --- one call -----------------------------------------------------------------------------------
 */

struct exchange {
    grpc_call *call;
    grpc_completion_queue *cq;
    grpc_byte_buffer *in;
    grpc_byte_buffer *out;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code status;
    grpc_slice details;
};

static void exchange_done(struct exchange *x)
{
    if (x->call)
        grpc_call_unref(x->call);
    grpc_completion_queue_shutdown(x->cq);
    while (grpc_completion_queue_next(x->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(x->cq);
    if (x->in)
        grpc_byte_buffer_destroy(x->in);
    rpc_wipe(x->out);
    if (x->out)
        grpc_byte_buffer_destroy(x->out);
    grpc_metadata_array_destroy(&x->initial);
    grpc_metadata_array_destroy(&x->trailing);
    grpc_slice_unref(x->details);
}

static void cancel_call(void *arg)
{
    (void)grpc_call_cancel(arg, NULL);
}

/* All of a unary call in one batch. */
static void run(struct exchange *x, const struct rpc_request *request)
{
    struct cancel_watch watch = { .raised = cancel_call, .arg = x->call };
    grpc_op ops[] = {
        { .op = GRPC_OP_SEND_INITIAL_METADATA },
        { .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = x->in },
        { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
        { .op = GRPC_OP_RECV_INITIAL_METADATA,
          .data.recv_initial_metadata.recv_initial_metadata = &x->initial },
        { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &x->out },
        { .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
          .data.recv_status_on_client = { .trailing_metadata = &x->trailing,
                                          .status = &x->status,
                                          .status_details = &x->details } },
    };

    rpc_tag_release(x);
    if (grpc_call_start_batch(x->call, ops, COUNT_OF(ops), x, NULL) != GRPC_CALL_OK)
        return;
    cancel_watch(request->cancel, &watch);
    (void)grpc_completion_queue_next(x->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    rpc_tag_acquire(x);
    cancel_unwatch(request->cancel, &watch);
    if (request->sensitive)
        rpc_wipe(x->in);
}

static char *text_of(grpc_slice slice)
{
    return xstrndup((const char *)GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
}

static int64_t trailing_number(const grpc_metadata_array *trailing, const char *key)
{
    int64_t number = 0;

    for (size_t i = 0; i < trailing->count; i++) {
        autofree char *text = NULL;

        if (grpc_slice_str_cmp(trailing->metadata[i].key, key) != 0)
            continue;
        text = text_of(trailing->metadata[i].value);
        if (number_parse(text, 0, INT64_MAX, &number, NULL) < 0)
            return 0;
    }
    return number;
}

enum { HEARD_MAX = 32 }; /* of what stands beside an answer, gRPC's own included */

static void tell_words(const struct exchange *x, const struct rpc_request *request)
{
    for (size_t i = 0; request->told && i < x->trailing.count && i < HEARD_MAX; i++) {
        autofree char *key = text_of(x->trailing.metadata[i].key);
        autofree char *value = text_of(x->trailing.metadata[i].value);

        rpc_reply_word(request, key, value);
    }
}

/* Are these the words of gRPC core itself? It gives failures of its own the same codes. */
static bool is_core_saying(const struct exchange *x, const char *words)
{
    return grpc_slice_str_cmp(x->details, words) == 0;
}

enum { RETRY_AFTER_MAX_MS = 24 * 3600 * 1000 };

static int failed(const struct exchange *x, const struct rpc_client *client,
                  const struct rpc_request *request, struct error *err)
{
    size_t len = GRPC_SLICE_LENGTH(x->details);
    int64_t wait_ms = trailing_number(&x->trailing, RPC_RETRY_AFTER);

    if (cancel_is_raised(request->cancel))
        return error_set(err, CODE_CANCELLED, "%s: cancelled", request->method);
    if (x->status == GRPC_STATUS_DEADLINE_EXCEEDED && is_core_saying(x, "Deadline Exceeded"))
        return error_set(err, CODE_DEADLINE_EXCEEDED, "%s over %s: no answer in time",
                         request->method, client->path);
    error_set(err, code_from_peer((int)x->status), "%.*s",
              (int)(len < ERROR_TEXT_MAX ? len : ERROR_TEXT_MAX),
              (const char *)GRPC_SLICE_START_PTR(x->details));
    if (err) {
        rpc_error_trim(err);
        err->retry_after_ms = wait_ms > 0 && wait_ms <= RETRY_AFTER_MAX_MS ? wait_ms : 0;
    }
    return -1;
}

static int read_reply(struct exchange *x, const struct rpc_request *request, ProtobufCMessage **ret,
                      struct error *err)
{
    struct secret bytes CLEANUP(secret_done) = { 0 };

    if (!x->out || rpc_unwrap(&x->out, &bytes) < 0)
        return error_set(err, CODE_INTERNAL, "%s: the peer answered without a message",
                         request->method);
    return rpc_reply_unpack(request, bytes.bytes, bytes.len, ret, err);
}

/* Did the call fall into the gap in which a server has begun to leave and the client has not heard
 * of it? Core then ends the stream, in words of its own, before a handler has it. */
static bool is_of_leaving_server(const struct exchange *x, const struct connection *c)
{
    if (x->initial.count > 0)
        return false;
    if (x->status == GRPC_STATUS_CANCELLED)
        return is_core_saying(x, "CANCELLED");
    return x->status == GRPC_STATUS_UNAVAILABLE &&
           (is_gone(c) || is_core_saying(x, "GOAWAY received"));
}

struct
try {
    struct rpc_client *client;
    const struct rpc_request *request;
    gpr_timespec deadline;
    bool broken; /* nobody answered: once more, over a new connection */
};

static int attempt(struct try *t, struct connection *c, ProtobufCMessage **ret, struct error *err)
{
    const struct rpc_request *request = t->request;
    autofree char *path = str_printf("/%s/%s", request->service->name, request->method);
    grpc_slice host = grpc_slice_from_static_string("localhost");
    grpc_slice method = grpc_slice_from_copied_string(path);
    struct exchange x CLEANUP(exchange_done) = {
        .cq = grpc_completion_queue_create_for_next(NULL),
        .in = rpc_pack(request->in, request->sensitive),
        .status = GRPC_STATUS_INTERNAL,
        .details = grpc_empty_slice(),
    };

    grpc_metadata_array_init(&x.initial);
    grpc_metadata_array_init(&x.trailing);
    x.call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, x.cq, method,
                                      &host, t->deadline, NULL);
    grpc_slice_unref(method); /* the call has a reference of its own */
    run(&x, request);
    t->broken = is_of_leaving_server(&x, c);
    tell_words(&x, request);
    if (x.status != GRPC_STATUS_OK)
        return failed(&x, t->client, request, err);
    return read_reply(&x, request, ret, err);
}

static int call_socket(struct rpc_client *client, const struct rpc_request *request,
                       ProtobufCMessage **ret, struct error *err)
{
    int64_t timeout = request->timeout_ms ? request->timeout_ms : RPC_TIMEOUT_MS;
    struct try t = { client, request,
                     gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                  gpr_time_from_millis(timeout, GPR_TIMESPAN)),
                     false };
    struct connection *first = NULL;
    struct connection *second = NULL;
    int result;

    if (cancel_is_raised(request->cancel))
        return error_set(err, CODE_CANCELLED, "%s: cancelled", request->method);
    if (connection_get(client, NULL, &first, err) < 0)
        return -1;
    result = attempt(&t, first, ret, err);
    if (result < 0 && t.broken && !cancel_is_raised(request->cancel) &&
        connection_get(client, first, &second, err) == 0) {
        result = attempt(&t, second, ret, err);
        connection_unref(client, second);
    }
    connection_unref(client, first);
    return result;
}

int rpc_client_call(struct rpc_client *client, const struct rpc_request *request,
                    ProtobufCMessage **ret, struct error *err)
{
    if (client->services)
        return rpc_local_call(client->services, client->service_count, request, ret, err);
    return call_socket(client, request, ret, err);
}

void rpc_reply_free(ProtobufCMessage *reply)
{
    wire_free(reply);
}
