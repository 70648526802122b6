/* SPDX-License-Identifier: Apache-2.0
 *
 * http.h - one HTTP request with hard limits: total deadline, sizes, no proxy, no redirect that is
 * not asked for. The only file that includes libcurl. Does not know any store.
 */
#ifndef LOCKET_NET_HTTP_H
#define LOCKET_NET_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/cancel.h"
#include "lib/base/error.h"
#include "lib/base/secret.h"

struct http_client;

/* Keeps idle connections; any number of threads. Ownership: http_client_free. */
struct http_client *http_client_new(void);
void http_client_free(struct http_client *client);

struct http_tls {
    const char *ca_file;     /* believe these and no others; NULL: the system's */
    const char *ca_folder;   /* the same of every file in a folder; not together with ca_file */
    const struct secret *ca; /* the same as PEM in memory; goes before file and folder */
    const char *server_name; /* for SNI and verification; NULL: the URL's host */
    const char *cert_file;
    const char *key_file;
    const struct secret *cert; /* the same as PEM in memory; goes before the file */
    const struct secret *key;
    bool skip_verify;
};

struct http_request {
    const char *method;
    const char *url;            /* http:// or https:// only */
    const char *unix_socket;    /* connect there instead; NULL: TCP */
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    const struct secret *body; /* NULL: none */
    struct http_tls tls;
    int64_t timeout_ms;     /* for everything; must be over 0 */
    size_t reply_bytes_max; /* 0: HTTP_REPLY_MAX */
    /* Takes the body of a 2xx reply piece by piece, so that it has no end to wait for and no
     * ceiling but the taker's; first with no bytes, when the reply begins. -1 ends the call with
     * its error. NULL: the body is kept. */
    int (*sink)(void *arg, const void *bytes, size_t len, struct error *err);
    void *sink_arg;
    bool forgets; /* HTTP/1.1: in the buffers of a kept connection of HTTP/2 the request and its
                     reply would stay until the next */
    bool allow_link_local; /* else 169.254.0.0/16 and fe80::/10 are refused: a cloud's metadata */
    struct cancel *cancel;
};

struct http_reply {
    long status;
    struct secret body;
    int64_t retry_after_ms; /* 0: the server did not say */
    char *location;         /* of a redirect; NULL: none */
};

enum {
    HTTP_REPLY_MAX = 8 << 20,
    HTTP_HEADERS_MAX = 256 << 10,
    HTTP_CA_MAX = 4 << 20, /* all files of a ca_folder; Debian's bundle has 200 KiB */
    HTTP_CONNECT_MS = 10000,
};

/* Wipes and frees; { 0 } afterwards. */
void http_reply_done(struct http_reply *reply);

/* Asks and waits. A reply of any status is success.
 * Errors: UNAVAILABLE (connection), FAILED_PRECONDITION (a certificate that does not hold, an
 * address that is refused), DEADLINE_EXCEEDED, CANCELLED (at once), RESOURCE_EXHAUSTED
 * (sizes).
 * The text names method and URL without query, never a header or body. */
must_check int http_call(struct http_client *client, const struct http_request *request,
                         struct http_reply *ret, struct error *err);

#endif
