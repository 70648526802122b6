/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/rpc_call.h"

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/net/wire.h"

/* protobuf-c lays a service's handlers out behind its base, in the order of the descriptor.
 * Source: protobuf-c.c protobuf_c_service_invoke_internal. */
typedef void (*handler_fn)(ProtobufCService *service, const ProtobufCMessage *in,
                           ProtobufCClosure reply, void *call);

static handler_fn handler_of(ProtobufCService *service, unsigned index)
{
    return ((handler_fn *)(service + 1))[index];
}

int rpc_method_find(ProtobufCService *const *services, size_t count, const char *path,
                    struct rpc_method *ret, struct error *err)
{
    const char *slash = *path == '/' ? strchr(path + 1, '/') : NULL;
    size_t len = slash ? (size_t)(slash - path - 1) : 0;

    for (size_t i = 0; slash && i < count; i++) {
        const ProtobufCServiceDescriptor *d = services[i]->descriptor;

        if (strlen(d->name) != len || memcmp(d->name, path + 1, len) != 0)
            continue;
        for (unsigned m = 0; m < d->n_methods; m++)
            if (strcmp(d->methods[m].name, slash + 1) == 0 && handler_of(services[i], m)) {
                *ret = (struct rpc_method){ services[i], m, &d->methods[m] };
                return 0;
            }
    }
    return error_set(err, CODE_UNIMPLEMENTED, "unknown method %.200s", path);
}

static void finish(struct rpc_call *call, const ProtobufCMessage *out, const struct error *err)
{
    static const struct error fine = { 0 };

    if (call->ended)
        call->ended(call->ended_arg, call->method, clock_mono_us() - call->started_us,
                    err ? err : &fine);
    call->answered = true;
    call->carrier->answer(call, out, err);
}

/* The closure that handlers answer through. */
static void reply(const ProtobufCMessage *out, void *call)
{
    struct error err = { 0 };

    if (out) {
        finish(call, out, NULL);
        return;
    }
    error_set(&err, CODE_INTERNAL, "the handler gave no answer");
    finish(call, NULL, &err);
}

void rpc_fail(struct rpc_call *call, const struct error *err)
{
    struct error copy = *err;

    if (copy.code == CODE_OK)
        copy.code = CODE_INTERNAL;
    rpc_error_trim(&copy);
    finish(call, NULL, &copy);
}

/* --- words beside an answer --------------------------------------------------------------------
 */

#define WORD_PREFIX "locket-"

static bool is_word(const char *key, const char *value)
{
    size_t len = strnlen(value, RPC_TOLD_BYTES_MAX + 1);

    if (!str_starts(key, WORD_PREFIX) || len > RPC_TOLD_BYTES_MAX || strlen(key) > 64 ||
        strspn(key, "abcdefghijklmnopqrstuvwxyz-") != strlen(key))
        return false;
    for (size_t i = 0; i < len; i++)
        if (value[i] < ' ' || value[i] > '~')
            return false;
    return true;
}

void rpc_call_tell(struct rpc_call *call, const char *key, const char *value)
{
    if (call->word_count < RPC_TOLD_MAX && is_word(key, value))
        call->words[call->word_count++] = (struct rpc_word){ xstrdup(key), xstrdup(value) };
}

void rpc_reply_word(const struct rpc_request *request, const char *key, const char *value)
{
    if (request->told && is_word(key, value))
        request->told(request->told_arg, key, value);
}

void rpc_error_trim(struct error *err)
{
    size_t len = strnlen(err->msg, sizeof(err->msg) - 1);

    while (len && !utf8_is_valid(err->msg, len) && sizeof(err->msg) - len < 5)
        len--;
    err->msg[len] = '\0';
    for (size_t i = 0; i < len && !utf8_is_valid(err->msg, len); i++)
        if ((unsigned char)err->msg[i] >= 0x80)
            err->msg[i] = '?';
}

struct cancel *rpc_call_cancel(struct rpc_call *call)
{
    return &call->cancel;
}

int64_t rpc_call_left_ms(struct rpc_call *call)
{
    return call->carrier->left_ms(call);
}

void rpc_call_run(struct rpc_call *call, const struct rpc_method *method, const void *bytes,
                  size_t len)
{
    struct error err = { 0 };

    if (wire_unpack(method->descriptor->input, bytes, len, &call->request, &err) < 0) {
        rpc_fail(call, &err);
        return;
    }
    handler_of(method->service, method->index)(method->service, call->request, reply, call);
}

int rpc_reply_unpack(const struct rpc_request *request, const void *bytes, size_t len,
                     ProtobufCMessage **ret, struct error *err)
{
    const ProtobufCMethodDescriptor *method =
        protobuf_c_service_descriptor_get_method_by_name(request->service, request->method);
    struct error why = { 0 };

    if (wire_unpack(method->output, bytes, len, ret, &why) == 0)
        return 0;
    return error_set(err, why.code == CODE_INVALID_ARGUMENT ? CODE_INTERNAL : why.code,
                     "%s: the peer's answer: %s", request->method, why.msg);
}

void rpc_call_done(struct rpc_call *call)
{
    wire_free(call->request);
    call->request = NULL;
    for (size_t i = 0; i < call->word_count; i++) {
        free(call->words[i].key);
        free(call->words[i].value);
    }
    call->word_count = 0;
    cancel_done(&call->cancel);
}
