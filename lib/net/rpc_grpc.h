/* SPDX-License-Identifier: Apache-2.0
 *
 * rpc_grpc.h - the small things that server and client both need from gRPC core; private to
 * lib/net/rpc_*.c.
 */
#ifndef LOCKET_NET_RPC_GRPC_H
#define LOCKET_NET_RPC_GRPC_H

#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdbool.h>

#include "lib/base/secret.h"

/* Trailing metadata of a failure. */
#define RPC_RETRY_AFTER "locket-retry-after-ms"
#define RPC_REASON "locket-reason"

/* Starts gRPC once for the process; rpc_process_done ends it. */
void rpc_grpc_ref(void);

/* A server could not be ended: gRPC stays too, for its threads may still be about. */
void rpc_grpc_abandon(void);

/* A tag is handed through gRPC's queue to another thread, which ThreadSanitizer cannot see, since
 * gRPC is not built with it. Release before the batch, acquire when the tag is back. */
#ifdef __SANITIZE_THREAD__
void __tsan_release(void *tag);
void __tsan_acquire(void *tag);
#define rpc_tag_release(tag) __tsan_release(tag)
#define rpc_tag_acquire(tag) __tsan_acquire(tag)
#else
#define rpc_tag_release(tag) ((void)(tag))
#define rpc_tag_acquire(tag) ((void)(tag))
#endif

/* A channel argument with a number. */
grpc_arg rpc_arg(const char *key, int value);

/* Packs a message; sensitive: wipes the intermediate copy. Ownership: grpc_byte_buffer_destroy. */
grpc_byte_buffer *rpc_pack(const ProtobufCMessage *message, bool sensitive);

/* Copies a received buffer out, overwrites gRPC's slices, destroys it (*buffer becomes NULL).
 * -1 when it cannot be read (a compressed message that was not inflated). */
must_check int rpc_unwrap(grpc_byte_buffer **buffer, struct secret *ret);

/* Overwrites the bytes of a buffer that was sent or received. */
void rpc_wipe(grpc_byte_buffer *buffer);

/* A joinable thread that takes no signals. Ends the process when there is none to be had. */
void rpc_thread_start(pthread_t *ret, void *(*run)(void *), void *arg);

#endif
