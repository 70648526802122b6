/* SPDX-License-Identifier: Apache-2.0
 *
 * rpc_socket.h - unix sockets: bind (without stealing a live one, unless told), know the peer,
 * connect. Does not know gRPC; private to lib/net/rpc_*.c.
 */
#ifndef LOCKET_NET_RPC_SOCKET_H
#define LOCKET_NET_RPC_SOCKET_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "lib/base/error.h"
#include "lib/net/rpc_peer.h"

struct rpc_listener {
    int fd;      /* listening; -1: closed */
    int lock_fd; /* flock on <path>.lock, for as long as we serve; -1: none */
    char *path;
    dev_t dev; /* of the socket we made: only that one is unlinked at the end */
    ino_t ino;
};

/* Binds aside, sets the mode, listens, and renames into place: the socket appears whole and with
 * its mode. Of two that start at once the lock lets one: until a socket is in its place, neither
 * would see the other. Errors: FAILED_PRECONDITION for a path over 107 bytes, a live server, or
 * something that is no socket; else by errno. */
must_check int rpc_listener_open(struct rpc_listener *l, const char *path, mode_t mode,
                                 struct error *err);

/* The same in a folder that somebody watches, whoever serves there: binds at a hidden name (a dot
 * before the last component), takes no lock, and renames over any socket, live or not. */
must_check int rpc_listener_take_over(struct rpc_listener *l, const char *path, mode_t mode,
                                      struct error *err);

/* Unlinks a socket that nobody listens on. Never blocks. */
void rpc_socket_sweep(const char *path);

/* Does its path still lead to the socket that we made? */
bool rpc_listener_is_found(const struct rpc_listener *l);

/* Closes and unlinks what is still ours, the lock's file with it: an orderly end leaves nothing. */
void rpc_listener_close(struct rpc_listener *l);

/* Who is at the other end. */
must_check int rpc_peer_of(int fd, struct rpc_peer *ret, struct error *err);

/* Is it the peer's group, or one of its further groups? */
bool rpc_peer_has_group(int fd, const struct rpc_peer *peer, gid_t group);

/* Connects. UNAVAILABLE `connect PATH: why`. Ownership of *ret_fd: the caller. */
must_check int rpc_socket_connect(const char *path, int *ret_fd, struct error *err);

#endif
