/* SPDX-License-Identifier: Apache-2.0
 *
 * rpc_local.h - calls services of this process without a socket; private to lib/net/rpc_*.c.
 * The bytes are packed and checked as on the wire, so a suite that runs on both sees the same.
 */
#ifndef LOCKET_NET_RPC_LOCAL_H
#define LOCKET_NET_RPC_LOCAL_H

#include "lib/net/rpc_client.h"

/* As rpc_client_call. */
must_check int rpc_local_call(ProtobufCService *const *services, size_t count,
                              const struct rpc_request *request, ProtobufCMessage **ret,
                              struct error *err);

#endif
