/* SPDX-License-Identifier: Apache-2.0
 *
 * rpc_probe.h - whether the gRPC server of another process is awake, without gRPC and without
 * waiting: a ping of HTTP/2 that its threads answer, whatever its handlers do.
 */
#ifndef LOCKET_NET_RPC_PROBE_H
#define LOCKET_NET_RPC_PROBE_H

#include <stdbool.h>

/* Connects and sends the ping. Never blocks. Returns the descriptor for rpc_probe_end, or -1 where
 * nobody takes the connection. */
int rpc_probe_begin(const char *path);

/* Closes; was the ping answered? A server that closed the connection, such as one with too many, is
 * awake too. Never blocks; false for -1. Source: RFC 9113, 3.4 and 6.7. */
bool rpc_probe_end(int fd);

#endif
