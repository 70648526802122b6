/* SPDX-License-Identifier: Apache-2.0
 *
 * http_server.h - a small HTTP server for health and metrics: GET only, one thread, few
 * connections. The only file that includes libmicrohttpd. Does not know what is served.
 */
#ifndef LOCKET_NET_HTTP_SERVER_H
#define LOCKET_NET_HTTP_SERVER_H

#include "lib/base/error.h"
#include "lib/base/strbuf.h"

struct http_server;

/* Serves on HOST:PORT (an IPv4 address, or [IPv6]; ":8080" is every address). answer fills the body
 * and returns the status, on the server's thread. Ownership: http_server_stop. INVALID_ARGUMENT for
 * a bad address; UNAVAILABLE when it cannot be bound. */
must_check int http_server_start(const char *address,
                                 int (*answer)(void *arg, const char *path, struct strbuf *out),
                                 void *arg, struct http_server **ret, struct error *err);
void http_server_stop(struct http_server *server);

#endif
