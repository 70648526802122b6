/* SPDX-License-Identifier: Apache-2.0
 *
 * rpc_server.h - serves protobuf-c services over gRPC on a unix socket, and in-process for tests.
 * The method table is the generated one: handlers are plain functions in protobuf-c's service
 * struct. Does not know what any method means. Only lib/net/rpc_*.c includes gRPC.
 */
#ifndef LOCKET_NET_RPC_SERVER_H
#define LOCKET_NET_RPC_SERVER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/cancel.h"
#include "lib/base/error.h"
#include "lib/net/rpc_peer.h"

/* One call being served. A handler gets it as protobuf-c's closure_data, answers exactly once
 * through the closure or rpc_fail, now or later and from any thread; request and call live until
 * then. The reply struct and what it points to may live on the stack: it is packed before the
 * closure returns. Handlers run on a poller thread: they must not block but hand over (work.h). */
struct rpc_call;

/* Answers with the error's code and text (at most 512 bytes; NUL-free UTF-8). With retry_after_ms
 * set, adds trailing metadata locket-retry-after-ms; with reason set, locket-reason. */
void rpc_fail(struct rpc_call *call, const struct error *err);

enum {
    RPC_TOLD_MAX = 16,        /* words beside an answer */
    RPC_TOLD_BYTES_MAX = 512, /* of one */
};

/* Says something beside the answer, before it is given: trailing metadata. The key begins with
 * "locket-" and has lower-case letters and '-' else; what is no printable ASCII, is too long or one
 * too many is left out. */
void rpc_call_tell(struct rpc_call *call, const char *key, const char *value);

/* Raised when the caller cancels, disappears, or its deadline passes. Borrowed, lives as long as
 * the call. */
struct cancel *rpc_call_cancel(struct rpc_call *call);

/* Milliseconds left of the caller's deadline; INT64_MAX when it set none. */
int64_t rpc_call_left_ms(struct rpc_call *call);

struct rpc_server_config {
    const char *path; /* socket; a live one is never stolen, a stale one replaced */
    mode_t mode;      /* of the socket; 0: 0600 */
    bool take_over;   /* whoever serves there loses the path; bound at a hidden name, no lock */
    ProtobufCService *const *services; /* kept: array and services outlive the server */
    size_t service_count;
    const uid_t *uids; /* may connect besides uid 0 and the own uid; copied */
    size_t uid_count;
    gid_t group;               /* members of this group id may connect; 0: none */
    size_t connections_max;    /* 0: RPC_CONNECTIONS_MAX; further ones are closed at once */
    size_t request_bytes_max;  /* 0: RPC_REQUEST_MAX; larger ones get RESOURCE_EXHAUSTED */
    size_t inflight_bytes_max; /* 0: RPC_INFLIGHT_MAX; over it RESOURCE_EXHAUSTED */
    void (*ended)(void *arg, const char *method, int64_t took_us, const struct error *err);
    /* per call, for logs and metrics; err.code 0 on success */
    void *ended_arg;
};

enum {
    RPC_REQUEST_MAX = 4 << 20,   /* gRPC's own default */
    RPC_INFLIGHT_MAX = 64 << 20, /* sixteen of the largest at a time */
    RPC_CONNECTIONS_MAX = 256,   /* two descriptors each: half of the usual limit of 1024 */
};

struct rpc_server;

/* Binds and serves. Errors: FAILED_PRECONDITION when the path is too long (107 bytes), a live
 * server owns it, or it is not a socket; else by errno. Ownership: rpc_server_free. */
must_check int rpc_server_start(const struct rpc_server_config *config, struct rpc_server **ret,
                                struct error *err);

/* Does the path still lead to this server's socket? */
bool rpc_server_is_found(const struct rpc_server *server);

/* Unlinks a socket that nobody serves any more. A live one stays, and what is no socket. */
void rpc_server_sweep(const char *path);

/* Stops accepting, lets calls in flight finish for at most drain_ms, cancels the rest, unlinks the
 * socket if it is still ours, frees. Blocks at most drain_ms and about 3 s for handlers that were
 * told to stop; when one still has not answered then, the server's memory stays. NULL is fine. */
void rpc_server_free(struct rpc_server *server, int64_t drain_ms);

/* Takes gRPC's environment out of the process (GRPC_TRACE could dump secrets), routes its log to
 * ours. Call first in main, before any thread. */
void rpc_process_setup(void);

/* Ends gRPC for the whole process (leak checkers want it); after all servers and clients. */
void rpc_process_done(void);

#endif
