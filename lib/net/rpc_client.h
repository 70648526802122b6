/* SPDX-License-Identifier: Apache-2.0
 *
 * rpc_client.h - calls protobuf-c methods over gRPC on a unix socket, or in-process for tests.
 * Does not know what any method means.
 */
#ifndef LOCKET_NET_RPC_CLIENT_H
#define LOCKET_NET_RPC_CLIENT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/cancel.h"
#include "lib/base/error.h"
#include "lib/net/rpc_peer.h"

struct rpc_client;

struct rpc_client_config {
    const char *path;       /* unix socket, copied */
    size_t reply_bytes_max; /* 0: RPC_REPLY_MAX */
    /* Judges the server at each new connection, before a byte is sent; -1 with *err set ends the
     * call with that error. NULL: anybody. May be called from any thread that calls. */
    int (*check_peer)(void *arg, const struct rpc_peer *peer, struct error *err);
    void *check_arg;
};

/* A client of the server at path. Connects at first use with a socket of its own (so SO_PEERCRED is
 * known) and again when the server has gone: the first call after its restart succeeds.
 * Never fails. Ownership: rpc_client_free. */
struct rpc_client *rpc_client_new(const struct rpc_client_config *config);

/* A client that calls the services in this process, with no socket: the same suites run on both. */
struct rpc_client *rpc_client_new_local(ProtobufCService *const *services, size_t count);

/* NULL is fine. No call may be running. */
void rpc_client_free(struct rpc_client *client);

struct rpc_request {
    const ProtobufCServiceDescriptor *service;
    const char *method; /* "NodePublishVolume" */
    const ProtobufCMessage *in;
    int64_t timeout_ms;    /* from now; 0: RPC_TIMEOUT_MS */
    struct cancel *cancel; /* NULL: cannot be cancelled */
    bool sensitive;        /* wipe the packed request and the received bytes */
    /* Hears what the peer says beside its answer, also beside a failure (rpc_call_tell); within its
     * ceilings, whoever the peer is. Texts live as long as the call. NULL: nobody does. */
    void (*told)(void *arg, const char *key, const char *value);
    void *told_arg;
};

enum {
    RPC_TIMEOUT_MS = 60000,
    RPC_REPLY_MAX = 4 << 20, /* upstream's --max-call-recv-msg-size */
};

/* Calls and waits. *ret: the unpacked answer, which the caller releases with rpc_reply_free; it is
 * checked as requests are (NUL, UTF-8, fields, depth).
 * Blocks  at most timeout_ms. One UNAVAILABLE at the connection is retried once with a new one.
 * Errors  the peer's code (1-16; others INTERNAL) and text; retry_after_ms from its trailing
 *         metadata locket-retry-after-ms; DEADLINE_EXCEEDED; CANCELLED when cancel was raised;
 *         RESOURCE_EXHAUSTED for an answer over the ceiling; UNAVAILABLE naming the socket. */
must_check int rpc_client_call(struct rpc_client *client, const struct rpc_request *request,
                               ProtobufCMessage **ret, struct error *err);

/* Wipes and frees an answer. NULL is fine. */
void rpc_reply_free(ProtobufCMessage *reply);

#endif
