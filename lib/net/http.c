/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "lib/base/fs.h"
#include "lib/base/strbuf.h"

enum {
    IDLE_MAX = 16,    /* handles kept, each with its idle connections */
    KEEPALIVE_S = 15, /* a peer that vanished is noticed although nothing is sent for long */
};

/* A request at a time, and the loop that it runs in: that has the connections. */
struct handle {
    CURL *easy;
    CURLM *loop;
};

struct http_client {
    pthread_mutex_t lock;
    struct handle idle[IDLE_MAX]; /* guarded by lock */
    size_t idle_count;
};

static void init_once(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http_client *http_client_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct http_client *client = xcalloc(1, sizeof(*client));

    (void)pthread_once(&once, init_once);
    pthread_mutex_init(&client->lock, NULL);
    return client;
}

static void handle_free(struct handle h)
{
    curl_easy_cleanup(h.easy);
    (void)curl_multi_cleanup(h.loop);
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    while (client->idle_count)
        handle_free(client->idle[--client->idle_count]);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

void http_reply_done(struct http_reply *reply)
{
    secret_done(&reply->body);
    free(reply->location);
    *reply = (struct http_reply){ 0 };
}

static struct handle take_handle(struct http_client *client)
{
    struct handle h = { 0 };

    pthread_mutex_lock(&client->lock);
    if (client->idle_count)
        h = client->idle[--client->idle_count];
    pthread_mutex_unlock(&client->lock);
    if (!h.easy)
        h = (struct handle){ curl_easy_init(), curl_multi_init() };
    if (!h.easy || !h.loop)
        abort();
    return h;
}

/* Resetting forgets options, not connections. */
static void give_handle(struct http_client *client, struct handle h)
{
    bool kept;

    curl_easy_reset(h.easy);
    pthread_mutex_lock(&client->lock);
    kept = client->idle_count < IDLE_MAX;
    if (kept)
        client->idle[client->idle_count++] = h;
    pthread_mutex_unlock(&client->lock);
    if (!kept)
        handle_free(h);
}

struct transfer {
    const struct http_request *request;
    CURL *curl;
    struct http_reply reply;
    size_t room;
    size_t most;
    size_t header_bytes;
    size_t over;       /* the ceiling that was passed; 0: none */
    bool link_local;   /* such an address was refused */
    struct strbuf cas; /* of a ca_folder */
    bool sink_failed;
    struct error sink_err;
    char why[CURL_ERROR_SIZE];
};

/* Is the reply one whose body the caller takes as it comes? */
static bool is_for_sink(const struct transfer *t)
{
    long status = 0;

    if (!t->request->sink)
        return false;
    (void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    return status / 100 == 2;
}

static int give_to_sink(struct transfer *t, const void *bytes, size_t len)
{
    t->sink_failed = t->request->sink(t->request->sink_arg, bytes, len, &t->sink_err) < 0;
    return t->sink_failed ? -1 : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;

    if (is_for_sink(t))
        return give_to_sink(t, bytes, len) < 0 ? 0 : len;
    if (len > t->most - t->reply.body.len) {
        t->over = t->most;
        return 0;
    }
    if (t->reply.body.len + len > t->room) {
        size_t room = t->room ? t->room : 4096;
        uint8_t *bigger;

        while (room < t->reply.body.len + len)
            room *= 2;
        bigger = xmalloc(room);
        if (t->reply.body.len)
            memcpy(bigger, t->reply.body.bytes, t->reply.body.len);
        wipe_free(t->reply.body.bytes, t->room);
        t->reply.body.bytes = bigger;
        t->room = room;
    }
    if (len)
        memcpy(t->reply.body.bytes + t->reply.body.len, bytes, len);
    t->reply.body.len += len;
    return len;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;

    t->header_bytes += size * count;
    if (t->header_bytes > HTTP_HEADERS_MAX) {
        t->over = HTTP_HEADERS_MAX;
        return 0;
    }
    if (size * count == 2 && bytes[0] == '\r' && is_for_sink(t) && give_to_sink(t, "", 0) < 0)
        return 0;
    return size * count;
}

static bool is_link_local(const struct sockaddr *address)
{
    const struct in6_addr *six;
    const struct sockaddr_in *four;

    if (address->sa_family == AF_INET) {
        four = (const struct sockaddr_in *)address;
        return ntohl(four->sin_addr.s_addr) >> 16 == 0xa9fe; /* 169.254 */
    }
    if (address->sa_family != AF_INET6)
        return false;
    six = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return IN6_IS_ADDR_LINKLOCAL(six) ||
           (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 0xa9 && six->s6_addr[13] == 0xfe);
}

/* Sees each address after its name was resolved: a name cannot hide it. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = arg;

    (void)purpose;
    if (!t->request->allow_link_local && is_link_local(&address->addr)) {
        t->link_local = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

struct ca_folder {
    int fd;
    struct strbuf *out;
};

static int add_ca_file(void *arg, const char *name, struct error *err)
{
    struct ca_folder *folder = arg;
    struct secret text CLEANUP(secret_done) = { 0 };
    struct error mine = { 0 };

    if (name[0] == '.')
        return 0;
    if (fs_read(folder->fd, name, HTTP_CA_MAX, true, &text, &mine) < 0)
        return mine.code == CODE_INVALID_ARGUMENT ? 0 : error_copy(err, &mine); /* a folder */
    strbuf_add(folder->out, text.bytes, text.len);
    strbuf_add_char(folder->out, '\n');
    return 0;
}

/* OpenSSL's own folders want names that are hashes; here every file of a folder counts, as with the
 * SDK of Vault. */
static int read_ca_folder(const char *path, struct strbuf *out, struct error *err)
{
    autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct ca_folder folder = { .fd = fd, .out = out };

    out->ceiling = HTTP_CA_MAX;
    if (fd < 0)
        return error_sys(err, errno, "folder of CA certificates %s", path);
    if (fs_each(fd, ".", add_ca_file, &folder, err) < 0)
        return error_within(err, "folder of CA certificates %s", path);
    if (out->overflow)
        return error_set(err, CODE_RESOURCE_EXHAUSTED,
                         "folder of CA certificates %s: more than %d bytes", path, HTTP_CA_MAX);
    if (!out->len)
        return error_set(err, CODE_FAILED_PRECONDITION, "folder of CA certificates %s is empty",
                         path);
    return 0;
}

/* Borrowed: the request's secrets live as long as the call. */
static struct curl_blob blob_of(const struct secret *pem)
{
    return (struct curl_blob){ .data = pem->bytes, .len = pem->len, .flags = CURL_BLOB_NOCOPY };
}

/* Certificates that were named are the only ones believed: curl would add the system's folder. */
static void set_cas(CURL *curl, const struct http_tls *tls, const struct strbuf *cas)
{
    struct curl_blob blob = { .data = cas->text, .len = cas->len, .flags = CURL_BLOB_COPY };

    if (tls->ca)
        blob = blob_of(tls->ca);
    else if (!tls->ca_file && !tls->ca_folder)
        return;
    (void)curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    (void)curl_easy_setopt(curl, CURLOPT_CAINFO, tls->ca ? NULL : tls->ca_file);
    if (tls->ca || !tls->ca_file)
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
}

/* The client's certificate and key: of memory, else of files. */
static void set_identity(CURL *curl, const struct http_tls *tls)
{
    struct curl_blob cert;
    struct curl_blob key;

    if (tls->cert && tls->key) {
        cert = blob_of(tls->cert);
        key = blob_of(tls->key);
        (void)curl_easy_setopt(curl, CURLOPT_SSLCERT_BLOB, &cert);
        (void)curl_easy_setopt(curl, CURLOPT_SSLKEY_BLOB, &key);
        return;
    }
    if (tls->cert_file)
        (void)curl_easy_setopt(curl, CURLOPT_SSLCERT, tls->cert_file);
    if (tls->key_file)
        (void)curl_easy_setopt(curl, CURLOPT_SSLKEY, tls->key_file);
}

static void set_tls(CURL *curl, const struct http_tls *tls, const struct strbuf *cas)
{
    (void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    set_cas(curl, tls, cas);
    set_identity(curl, tls);
    if (tls->skip_verify) {
        (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

/* A server name other than the URL's host: the URL is asked under that name, connected to the host.
 */
static struct curl_slist *set_server_name(CURL *curl, const char *url, const char *name,
                                          char **ret_url)
{
    CURLU *u = curl_url();
    char *host = NULL;
    char *port = NULL;
    char *text = NULL;
    struct curl_slist *to = NULL;

    if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        autofree char *row = str_printf("%s:%s:%s:%s", name, port, host, port);

        to = curl_slist_append(NULL, row);
        (void)curl_easy_setopt(curl, CURLOPT_CONNECT_TO, to);
        (void)curl_url_set(u, CURLUPART_HOST, name, 0);
        if (curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK)
            *ret_url = xstrdup(text);
    }
    curl_free(host);
    curl_free(port);
    curl_free(text);
    curl_url_cleanup(u);
    return to;
}

static void set_request(CURL *curl, struct transfer *t)
{
    const struct http_request *r = t->request;

    if (strcmp(r->method, "HEAD") == 0)
        (void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L); /* its length has no body to wait for */
    else
        (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S);
    (void)curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_S);
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    if (r->forgets)
        (void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    (void)curl_easy_setopt(
        curl, CURLOPT_CONNECTTIMEOUT_MS,
        (long)(r->timeout_ms < HTTP_CONNECT_MS ? r->timeout_ms : HTTP_CONNECT_MS));
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    (void)curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
    (void)curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, t);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->why);
    if (r->unix_socket)
        (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
    if (r->body) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body->len);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
                               r->body->len ? (const char *)r->body->bytes : "");
    }
    set_tls(curl, &r->tls, &t->cas);
}

/* What another try cannot mend is FAILED_PRECONDITION. */
static enum code code_of(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return CODE_DEADLINE_EXCEEDED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return CODE_FAILED_PRECONDITION;
    default:
        return CODE_UNAVAILABLE;
    }
}

/* curl's own words, where they tell of names and certificates and of nothing that was sent. */
static const char *words_of(const struct transfer *t, CURLcode code)
{
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return *t->why ? t->why : curl_easy_strerror(code);
    default:
        return curl_easy_strerror(code);
    }
}

static int fail(const struct transfer *t, CURLcode code, struct error *err)
{
    const char *method = t->request->method;
    const char *url = t->request->url;
    int len = (int)strcspn(url, "?");

    if (cancel_is_raised(t->request->cancel))
        return error_set(err, CODE_CANCELLED, "%s %.*s: cancelled", method, len, url);
    if (t->sink_failed)
        return error_copy(err, &t->sink_err);
    if (t->over)
        return error_set(err, CODE_RESOURCE_EXHAUSTED,
                         "%s %.*s: the reply's %s more than %zu bytes", method, len, url,
                         t->over == HTTP_HEADERS_MAX ? "headers have" : "body has", t->over);
    if (t->link_local)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "%s %.*s: its address is link-local, which is refused", method, len, url);
    return error_set(err, code_of(code), "%s %.*s: %s", method, len, url, words_of(t, code));
}

static void read_facts(CURL *curl, struct http_reply *reply)
{
    curl_off_t wait_s = 0;
    char *location = NULL;

    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->status);
    (void)curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait_s);
    (void)curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location);
    reply->retry_after_ms = wait_s > 0 && wait_s < 86400 ? (int64_t)wait_s * 1000 : 0;
    reply->location = location ? xstrdup(location) : NULL;
}

static void wake(void *arg)
{
    (void)curl_multi_wakeup(arg);
}

/* Until it is done or cancelled; sleeps while there is nothing to do. */
static CURLcode run(struct handle h, struct cancel *cancel)
{
    struct cancel_watch watch = { .raised = wake, .arg = h.loop };
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    const CURLMsg *end;
    int running = 1;
    int left;

    (void)curl_multi_add_handle(h.loop, h.easy);
    cancel_watch(cancel, &watch);
    while (running && !cancel_is_raised(cancel) && curl_multi_perform(h.loop, &running) == CURLM_OK)
        if (running)
            (void)curl_multi_poll(h.loop, NULL, 0, INT_MAX, NULL);
    cancel_unwatch(cancel, &watch);
    end = curl_multi_info_read(h.loop, &left);
    if (end)
        code = end->data.result;
    (void)curl_multi_remove_handle(h.loop, h.easy);
    return code;
}

/* Sets what needs memory of its own, performs, releases that. */
static CURLcode perform(struct handle h, struct transfer *t)
{
    CURL *curl = h.easy;
    const struct http_request *r = t->request;
    struct curl_slist *headers = NULL;
    struct curl_slist *connect_to = NULL;
    autofree char *named_url = NULL;
    CURLcode code;

    set_request(curl, t);
    if (r->tls.server_name)
        connect_to = set_server_name(curl, r->url, r->tls.server_name, &named_url);
    (void)curl_easy_setopt(curl, CURLOPT_URL, named_url ? named_url : r->url);
    for (size_t i = 0; i < r->header_count; i++)
        headers = curl_slist_append(headers, r->headers[i]);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    code = run(h, r->cancel);
    curl_slist_free_all(headers);
    curl_slist_free_all(connect_to);
    return code;
}

static void transfer_done(struct transfer *t)
{
    http_reply_done(&t->reply);
    strbuf_done(&t->cas);
}

int http_call(struct http_client *client, const struct http_request *request,
              struct http_reply *ret, struct error *err)
{
    struct transfer t CLEANUP(transfer_done) = {
        .request = request,
        .most = request->reply_bytes_max ? request->reply_bytes_max : HTTP_REPLY_MAX,
    };
    struct handle h;
    CURLcode code;

    if (!request->tls.ca && !request->tls.ca_file && request->tls.ca_folder &&
        read_ca_folder(request->tls.ca_folder, &t.cas, err) < 0)
        return -1;
    h = take_handle(client);
    t.curl = h.easy;
    code = perform(h, &t);
    if (code == CURLE_OK)
        read_facts(h.easy, &t.reply);
    give_handle(client, h);
    if (code != CURLE_OK)
        return fail(&t, code, err);
    *ret = t.reply;
    t.reply = (struct http_reply){ 0 };
    return 0;
}
