/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/http_server.h"

#include <microhttpd.h>
#include <netdb.h>

enum { CONNECTIONS_MAX = 32, IDLE_S = 10 };

struct http_server {
    struct MHD_Daemon *daemon;
    int (*answer)(void *arg, const char *path, struct strbuf *out);
    void *arg;
};

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    struct http_server *server = arg;
    struct strbuf body CLEANUP(strbuf_done) = { 0 };
    struct MHD_Response *response;
    unsigned status = 405;
    enum MHD_Result result;

    (void)version;
    (void)upload;
    (void)upload_size;
    (void)state;
    if (strcmp(method, "GET") == 0)
        status = (unsigned)server->answer(server->arg, url, &body);
    response = MHD_create_response_from_buffer(body.len, (void *)strbuf_text(&body),
                                               MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", "text/plain; version=0.0.4");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static int resolve(const char *address, struct addrinfo **ret, struct error *err)
{
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                              .ai_socktype = SOCK_STREAM };
    autofree char *host = colon ? xstrndup(address, (size_t)(colon - address)) : NULL;
    char *bare = host;

    if (bare && bare[0] == '[' && str_ends(bare, "]")) {
        bare[strlen(bare) - 1] = '\0';
        bare++;
    }
    if (!colon || getaddrinfo(*bare ? bare : NULL, colon + 1, &hints, ret) != 0)
        return error_set(err, CODE_INVALID_ARGUMENT, "\"%.64s\" must be HOST:PORT with numbers",
                         address);
    return 0;
}

int http_server_start(const char *address,
                      int (*answer)(void *arg, const char *path, struct strbuf *out), void *arg,
                      struct http_server **ret, struct error *err)
{
    struct http_server *server;
    struct addrinfo *where = NULL;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD;

    if (resolve(address, &where, err) < 0)
        return -1;
    if (where->ai_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    server = xcalloc(1, sizeof(*server));
    server->answer = answer;
    server->arg = arg;
    server->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, handle, server, MHD_OPTION_SOCK_ADDR, where->ai_addr,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
    freeaddrinfo(where);
    if (!server->daemon) {
        free(server);
        return error_set(err, CODE_UNAVAILABLE, "cannot listen on %.64s", address);
    }
    *ret = server;
    return 0;
}

void http_server_stop(struct http_server *server)
{
    if (!server)
        return;
    MHD_stop_daemon(server->daemon);
    free(server);
}
