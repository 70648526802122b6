/* SPDX-License-Identifier: Apache-2.0
 *
 * rpc_call.h - one call being served, whatever carries it; private to lib/net/rpc_*.c.
 * Finds the method by walking protobuf-c's descriptors, runs its handler, takes its answer.
 */
#ifndef LOCKET_NET_RPC_CALL_H
#define LOCKET_NET_RPC_CALL_H

#include <pthread.h>

#include "lib/net/rpc_client.h"
#include "lib/net/rpc_server.h"

struct rpc_call;

/* What a carrier (gRPC, in-process) does. */
struct rpc_carrier {
    /* Sends the one answer: out, or the error when out is NULL. Any thread. The call may be gone
     * when this returns. */
    void (*answer)(struct rpc_call *call, const ProtobufCMessage *out, const struct error *err);
    int64_t (*left_ms)(struct rpc_call *call);
};

struct rpc_word {
    char *key;
    char *value;
};

struct rpc_call { /* first member of every carrier's own struct */
    const struct rpc_carrier *carrier;
    struct cancel cancel;
    const char *method;        /* "/csi.v1.Node/NodePublishVolume"; borrowed from the carrier */
    ProtobufCMessage *request; /* owned; by wire_unpack */
    int64_t started_us;
    bool answered;
    struct rpc_word words[RPC_TOLD_MAX]; /* to be told beside the answer; owned */
    size_t word_count;
    void (*ended)(void *arg, const char *method, int64_t took_us, const struct error *err);
    void *ended_arg;
};

struct rpc_method {
    ProtobufCService *service;
    unsigned index;
    const ProtobufCMethodDescriptor *descriptor;
};

/* The method of a path "/package.Service/Method". Errors: UNIMPLEMENTED for an unknown one and for
 * an empty slot of the service's struct. */
must_check int rpc_method_find(ProtobufCService *const *services, size_t count, const char *path,
                               struct rpc_method *ret, struct error *err);

/* Unpacks the request and runs the handler; answers itself when the bytes are no such message. */
void rpc_call_run(struct rpc_call *call, const struct rpc_method *method, const void *bytes,
                  size_t len);

/* Unpacks the answer to a request; bytes that are no such message are the peer's fault: INTERNAL.
 */
must_check int rpc_reply_unpack(const struct rpc_request *request, const void *bytes, size_t len,
                                ProtobufCMessage **ret, struct error *err);

/* Hands a word of the peer's to who asked, where both texts are within the ceilings. */
void rpc_reply_word(const struct rpc_request *request, const char *key, const char *value);

/* Frees what the base owns. */
void rpc_call_done(struct rpc_call *call);

/* Cuts an error's text for the wire: at most 511 bytes, whole UTF-8 characters. */
void rpc_error_trim(struct error *err);

#endif
