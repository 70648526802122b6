/* SPDX-License-Identifier: Apache-2.0
 *
 * rpc_accept.h - the thread that accepts connections of peers whom we know, and not too many of
 * them; private to lib/net/rpc_*.c. Does not know what a connection is used for.
 */
#ifndef LOCKET_NET_RPC_ACCEPT_H
#define LOCKET_NET_RPC_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/net/rpc_peer.h"

struct rpc_acceptor;

struct rpc_accept_config {
    int listener;      /* borrowed: stays open until rpc_acceptor_stop has returned */
    const char *path;  /* of it, for logs; copied */
    const uid_t *uids; /* may connect besides uid 0 and the own uid; copied */
    size_t uid_count;
    gid_t group; /* members may connect; 0: none */
    size_t connections_max;
    /* Takes over the descriptor of an admitted peer. On the acceptor's thread. */
    void (*admit)(void *arg, int fd);
    void *arg;
};

/* Starts the thread. Ownership: rpc_acceptor_stop. */
struct rpc_acceptor *rpc_acceptor_start(const struct rpc_accept_config *config);

/* Accepts no more; ends the thread and frees. NULL is fine. */
void rpc_acceptor_stop(struct rpc_acceptor *acceptor);

#endif
