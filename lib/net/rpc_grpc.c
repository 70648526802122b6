/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/rpc_grpc.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/log.h>
#include <signal.h>

#include "lib/base/log.h"
#include "lib/net/rpc_server.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool started; /* set by the once, read at the end by main alone */

static void mask_all(sigset_t *ret_old)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGSYS); /* see lib/base/sandbox.h */
    (void)pthread_sigmask(SIG_SETMASK, &all, ret_old);
}

/* gRPC's own threads inherit the mask: signals are main's. */
static void start(void)
{
    sigset_t old;

    mask_all(&old);
    grpc_init();
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    started = true;
}

void rpc_grpc_ref(void)
{
    (void)pthread_once(&once, start);
}

/* gRPC's own lines are for developers: shown at debug level, its errors too (every failed connect
 * is one), since each call's outcome is told by who made it. */
static void gpr_line(gpr_log_func_args *args)
{
    log_event(LOG_DEBUG, "grpc", WITH_TEXT(KEY_ERROR, args->message));
}

/* Each of gRPC's variables changes what it does or what it tells; a proxy is none of ours. */
static bool is_of_grpc(const char *entry)
{
    return str_starts(entry, "GRPC_") || str_starts(entry, "grpc_") ||
           str_starts(entry, "http_proxy=") || str_starts(entry, "https_proxy=");
}

void rpc_process_setup(void)
{
    for (char **entry = environ; entry && *entry;) {
        autofree char *name = xstrndup(*entry, strcspn(*entry, "="));

        if (!is_of_grpc(*entry) || unsetenv(name) < 0)
            entry++; /* unsetenv moves the next one here */
    }
    gpr_set_log_function(gpr_line);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
}

void rpc_grpc_abandon(void)
{
    started = false;
}

void rpc_process_done(void)
{
    if (started)
        grpc_shutdown_blocking();
}

grpc_arg rpc_arg(const char *key, int value)
{
    return (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

grpc_byte_buffer *rpc_pack(const ProtobufCMessage *message, bool sensitive)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    grpc_slice slice = grpc_slice_malloc(len);
    grpc_byte_buffer *buffer;

    (void)protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    buffer = grpc_raw_byte_buffer_create(&slice, 1);
    if (sensitive && !slice.refcount) /* a short one was copied into the buffer */
        explicit_bzero(GRPC_SLICE_START_PTR(slice), len);
    grpc_slice_unref(slice);
    return buffer;
}

void rpc_wipe(grpc_byte_buffer *buffer)
{
    grpc_byte_buffer_reader reader;
    grpc_slice *slice;

    if (!buffer || !grpc_byte_buffer_reader_init(&reader, buffer))
        return;
    while (grpc_byte_buffer_reader_peek(&reader, &slice))
        explicit_bzero(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
    grpc_byte_buffer_reader_destroy(&reader);
}

int rpc_unwrap(grpc_byte_buffer **buffer, struct secret *ret)
{
    grpc_byte_buffer_reader reader;
    size_t len = grpc_byte_buffer_length(*buffer);
    struct secret bytes = secret_adopt(xmalloc(len), 0);
    grpc_slice *slice;
    bool readable = grpc_byte_buffer_reader_init(&reader, *buffer) != 0;

    while (readable && grpc_byte_buffer_reader_peek(&reader, &slice)) {
        size_t part = GRPC_SLICE_LENGTH(*slice);

        if (bytes.len + part > len)
            break;
        memcpy(bytes.bytes + bytes.len, GRPC_SLICE_START_PTR(*slice), part);
        bytes.len += part;
    }
    if (readable)
        grpc_byte_buffer_reader_destroy(&reader);
    rpc_wipe(*buffer);
    grpc_byte_buffer_destroy(*buffer);
    *buffer = NULL;
    if (bytes.len != len) {
        secret_done(&bytes);
        return -1;
    }
    *ret = bytes;
    return 0;
}

void rpc_thread_start(pthread_t *ret, void *(*run)(void *), void *arg)
{
    sigset_t old;

    mask_all(&old);
    if (pthread_create(ret, NULL, run, arg) != 0)
        abort();
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}
