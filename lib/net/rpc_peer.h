/* SPDX-License-Identifier: Apache-2.0
 *
 * rpc_peer.h - who is at the other end of a unix socket, by SO_PEERCRED.
 */
#ifndef LOCKET_NET_RPC_PEER_H
#define LOCKET_NET_RPC_PEER_H

#include <sys/types.h>

struct rpc_peer {
    uid_t uid;
    gid_t gid;
    pid_t pid; /* 0 across pid namespaces: for logs only */
};

#endif
