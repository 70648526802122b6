/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/rpc_local.h"

#include "lib/base/clock.h"
#include "lib/base/secret.h"
#include "lib/net/rpc_call.h"

struct local_call {
    struct rpc_call base;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done; /* guarded by lock, like all below */
    struct secret out;
    struct error err;
    int64_t deadline_ms;
};

static void answer(struct rpc_call *base, const ProtobufCMessage *out, const struct error *err)
{
    struct local_call *call = (struct local_call *)base;

    pthread_mutex_lock(&call->lock);
    if (out) {
        size_t len = protobuf_c_message_get_packed_size(out);

        call->out = secret_adopt(xmalloc(len), len);
        (void)protobuf_c_message_pack(out, call->out.bytes);
    } else {
        call->err = *err;
    }
    call->done = true;
    (void)pthread_cond_signal(&call->answered);
    pthread_mutex_unlock(&call->lock);
}

static int64_t left_ms(struct rpc_call *base)
{
    return ((struct local_call *)base)->deadline_ms - clock_mono_ms();
}

static const struct rpc_carrier carrier = { .answer = answer, .left_ms = left_ms };

static void forward_cancel(void *arg)
{
    cancel_raise(arg);
}

/* Waits for the answer; when the deadline passes the handler is told, and still awaited: its call
 * lies on this stack. True: it was late. */
static bool wait_answer(struct local_call *call)
{
    struct timespec until = clock_mono_until(call->deadline_ms);
    bool late = false;

    pthread_mutex_lock(&call->lock);
    while (!call->done && !late)
        late = pthread_cond_clockwait(&call->answered, &call->lock, CLOCK_MONOTONIC, &until) != 0;
    late = late && !call->done;
    pthread_mutex_unlock(&call->lock);
    if (!late)
        return false;
    cancel_raise(&call->base.cancel);
    pthread_mutex_lock(&call->lock);
    while (!call->done)
        (void)pthread_cond_wait(&call->answered, &call->lock);
    pthread_mutex_unlock(&call->lock);
    return true;
}

static int settle(struct local_call *call, const struct rpc_request *request,
                  ProtobufCMessage **ret, struct error *err)
{
    bool late = wait_answer(call);

    for (size_t i = 0; i < call->base.word_count; i++)
        rpc_reply_word(request, call->base.words[i].key, call->base.words[i].value);
    if (cancel_is_raised(request->cancel))
        return error_set(err, CODE_CANCELLED, "%s: cancelled", request->method);
    if (late)
        return error_set(err, CODE_DEADLINE_EXCEEDED, "%s: deadline exceeded", request->method);
    if (call->err.code) {
        call->err.code = code_from_peer((int)call->err.code);
        return error_copy(err, &call->err);
    }
    if (call->out.len > RPC_REPLY_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "%s: an answer of more than %d bytes",
                         request->method, RPC_REPLY_MAX);
    return rpc_reply_unpack(request, call->out.bytes, call->out.len, ret, err);
}

int rpc_local_call(ProtobufCService *const *services, size_t count,
                   const struct rpc_request *request, ProtobufCMessage **ret, struct error *err)
{
    autofree char *path = str_printf("/%s/%s", request->service->name, request->method);
    size_t len = protobuf_c_message_get_packed_size(request->in);
    struct secret in CLEANUP(secret_done) = secret_adopt(xmalloc(len), len);
    int64_t timeout = request->timeout_ms ? request->timeout_ms : RPC_TIMEOUT_MS;
    struct local_call call = { .base = { .carrier = &carrier, .method = path } };
    struct cancel_watch watch = { .raised = forward_cancel, .arg = &call.base.cancel };
    struct rpc_method method;
    int result;

    if (rpc_method_find(services, count, path, &method, err) < 0)
        return -1;
    (void)protobuf_c_message_pack(request->in, in.bytes);
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.answered, NULL);
    cancel_init(&call.base.cancel);
    call.base.started_us = clock_mono_us();
    call.deadline_ms = clock_mono_ms() + timeout;
    cancel_watch(request->cancel, &watch);
    rpc_call_run(&call.base, &method, in.bytes, in.len);
    result = settle(&call, request, ret, err);
    cancel_unwatch(request->cancel, &watch);
    rpc_call_done(&call.base);
    secret_done(&call.out);
    pthread_mutex_destroy(&call.lock);
    pthread_cond_destroy(&call.answered);
    return result;
}
