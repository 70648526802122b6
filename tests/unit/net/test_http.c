/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client against a real server on loopback that misbehaves on request: every limit, TLS,
 * cancel, and what is left in memory.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/wipe_malloc.h"
#include "lib/net/http.h"
#include "tests/fakes/vault_fake.h"

/* --- a server for everybody, and certificates --------------------------------------------------
 */

static struct vault_fake plain;
static struct http_client *client;
static char folder[] = "/tmp/locket-http-XXXXXX";
static const char *token_headers[] = { "X-Vault-Request: true", NULL };
static char token_header[128];

static char *in_folder(const char *name)
{
    return str_printf("%s/%s", folder, name);
}

static int call(const struct http_request *request, struct http_reply *ret, struct error *err)
{
    struct http_request r = *request;

    r.method = r.method ? r.method : "GET";
    r.timeout_ms = r.timeout_ms ? r.timeout_ms : 5000;
    if (!r.headers) {
        r.headers = token_headers;
        r.header_count = 2;
    }
    return http_call(client, &r, ret, err);
}

static int get(const char *path, struct http_reply *ret, struct error *err)
{
    autofree char *url = str_printf("%s/v1/%s", plain.server.url, path);

    return call(&(struct http_request){ .url = url }, ret, err);
}

static void log_in(const struct vault_fake *at_server)
{
    vault_fake_login(at_server, token_header);
    token_headers[1] = token_header;
}

static int set_up(void **state)
{
    (void)state;
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody is there: it must not be asked */
    (void)setenv("all_proxy", "http://127.0.0.1:1", 1);
    client = http_client_new();
    assert_non_null(mkdtemp(folder));
    vault_fake_start(&plain, NULL);
    log_in(&plain);
    return 0;
}

static int tear_down(void **state)
{
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    http_client_free(client);
    vault_fake_stop(&plain);
    return fs_remove_tree(tmp, strrchr(folder, '/') + 1, NULL);
}

/* --- replies -----------------------------------------------------------------------------------
 */

static const struct {
    const char *says;
    const char *path;
    long status;
    int64_t retry_after_ms;
} replies[] = {
    { "a success", "secret/data/db", 200, 0 },
    { "a status that is none is a reply too", "nothing", 404, 0 },
    { "seconds of Retry-After", "fault/s429/a", 429, 1000 },
    { "a server's failure", "fault/s503/a", 503, 0 },
    { "no content", "fault/empty/a", 204, 0 },
    { "compressed bytes are handed on as they are", "fault/gzip/a", 200, 0 },
};

static void a_reply_of_any_status_is_success(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        struct http_reply reply CLEANUP(http_reply_done) = { 0 };
        struct error err = { 0 };

        if (get(replies[i].path, &reply, &err) < 0)
            fail_msg("%s: %s", replies[i].says, err.msg);
        if (reply.status != replies[i].status || reply.retry_after_ms != replies[i].retry_after_ms)
            fail_msg("%s: status %ld, retry after %lld ms", replies[i].says, reply.status,
                     (long long)reply.retry_after_ms);
    }
}

static void a_date_of_retry_after_becomes_a_wait(void **state)
{
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };

    (void)state;
    assert_int_equal(get("fault/dated/a", &reply, NULL), 0);
    assert_in_range(reply.retry_after_ms, 110000, 121000);
}

static void a_redirect_is_told_and_not_followed(void **state)
{
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    autofree char *want = str_printf("%s/v1/secret/data/db", plain.server.url);

    (void)state;
    assert_int_equal(get("fault/s307/a", &reply, NULL), 0);
    assert_int_equal(reply.status, 307);
    assert_string_equal(reply.location, want);
}

static void the_reply_to_head_does_not_wait_for_a_body(void **state)
{
    autofree char *url = str_printf("%s/v1/secret/data/db", plain.server.url);
    struct http_request request = { .method = "HEAD", .url = url };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };

    (void)state;
    assert_int_equal(call(&request, &reply, NULL), 0);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body.len, 0);
}

static void a_body_goes_with_any_method(void **state)
{
    static const char *methods[] = { "GET", "PUT", "POST", "LIST" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        autofree char *url = str_printf("%s/v1/pki/issue/x", plain.server.url);
        struct secret body CLEANUP(secret_done) = secret_copy("{\"common_name\":\"a\"}", 19);
        struct http_request request = { .method = methods[i], .url = url, .body = &body };
        struct http_reply reply CLEANUP(http_reply_done) = { 0 };

        assert_int_equal(call(&request, &reply, NULL), 0);
        if (!memmem(reply.body.bytes, reply.body.len, "crt a ", 6))
            fail_msg("%s: the body did not arrive", methods[i]);
    }
}

/* --- failures ----------------------------------------------------------------------------------
 */

static const struct {
    const char *says;
    const char *url; /* a path of the fake, or a whole URL */
    enum code code;
    int most_ms;
    const char *word;
} failures[] = {
    { "a byte a second", "fault/slow/a", CODE_DEADLINE_EXCEEDED, 1500, "fault/slow" },
    { "headers byte by byte", "fault/slowheaders/a", CODE_DEADLINE_EXCEEDED, 1500, "" },
    { "no answer", "fault/never/a", CODE_DEADLINE_EXCEEDED, 1500, "" },
    { "a reset in the body", "fault/reset/a", CODE_UNAVAILABLE, 900, "" },
    { "a body cut short", "fault/cut/a", CODE_UNAVAILABLE, 900, "" },
    { "a chunk cut short", "fault/chunk/a", CODE_UNAVAILABLE, 900, "" },
    { "a body over the ceiling", "fault/huge/a", CODE_RESOURCE_EXHAUSTED, 900, "8388608 bytes" },
    { "the same without a length", "fault/endless/a", CODE_RESOURCE_EXHAUSTED, 900, "8388608" },
    { "headers over the ceiling", "fault/headers/a", CODE_RESOURCE_EXHAUSTED, 900, "headers" },
    { "nobody listens", "http://127.0.0.1:1/", CODE_UNAVAILABLE, 900, "127.0.0.1:1" },
    { "a name that nobody has", "http://nobody.invalid/", CODE_UNAVAILABLE, 3000, "invalid" },
    { "a file", "file:///etc/passwd", CODE_FAILED_PRECONDITION, 900, "" },
    { "another protocol", "gopher://127.0.0.1/", CODE_FAILED_PRECONDITION, 900, "" },
    { "no URL", "http://", CODE_FAILED_PRECONDITION, 900, "" },
    { "a cloud's metadata", "http://169.254.169.254/latest", CODE_FAILED_PRECONDITION, 900,
      "link-local" },
    { "the same in disguise", "http://[::ffff:169.254.169.254]/", CODE_FAILED_PRECONDITION, 900,
      "link-local" },
    { "the same as a number", "http://2852039166/", CODE_FAILED_PRECONDITION, 900, "link-local" },
    { "link-local of IPv6", "http://[fe80::1%25lo]/", CODE_FAILED_PRECONDITION, 900, "link-local" },
};

static void what_goes_wrong_has_a_code_and_an_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        const char *slash = strstr(failures[i].url, "://");
        autofree char *url =
            slash ? xstrdup(failures[i].url)
                  : str_printf("%s/v1/%s?q=hidden", plain.server.url, failures[i].url);
        struct http_request request = { .url = url, .timeout_ms = 1000 };
        struct http_reply reply CLEANUP(http_reply_done) = { 0 };
        struct error err = { 0 };
        int64_t start = clock_mono_ms();

        if (call(&request, &reply, &err) == 0)
            fail_msg("%s: success, %ld", failures[i].says, reply.status);
        if (err.code != failures[i].code || !strstr(err.msg, failures[i].word))
            fail_msg("%s: %s: %s", failures[i].says, code_name(err.code), err.msg);
        if (strstr(err.msg, "hidden") || strstr(err.msg, "hvs."))
            fail_msg("%s: the text says too much: %s", failures[i].says, err.msg);
        if (clock_mono_ms() - start > failures[i].most_ms)
            fail_msg("%s: took %lld ms", failures[i].says, (long long)(clock_mono_ms() - start));
        assert_null(reply.body.bytes);
    }
}

static void a_callers_own_ceiling_holds_to_the_byte(void **state)
{
    autofree char *url = str_printf("%s/v1/fault/noerrors/a", plain.server.url); /* 13 bytes */
    struct http_request request = { .url = url, .reply_bytes_max = 13 };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(call(&request, &reply, &err), 0);
    http_reply_done(&reply);
    request.reply_bytes_max = 12;
    assert_int_equal(call(&request, &reply, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
}

static void *raise_soon(void *arg)
{
    clock_sleep_ms(150);
    cancel_raise(arg);
    return NULL;
}

static void a_cancel_ends_a_call_at_once(void **state)
{
    autofree char *url = str_printf("%s/v1/fault/never/a", plain.server.url);
    struct cancel cancel;
    struct http_request request = { .url = url, .timeout_ms = 15000, .cancel = &cancel };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    struct error err = { 0 };
    int64_t start = clock_mono_ms();
    pthread_t thread;

    (void)state;
    cancel_init(&cancel);
    assert_int_equal(pthread_create(&thread, NULL, raise_soon, &cancel), 0);
    assert_int_equal(call(&request, &reply, &err), -1);
    assert_int_equal(err.code, CODE_CANCELLED);
    assert_in_range(clock_mono_ms() - start, 100, 900); /* curl's own loop looks once a second */
    (void)pthread_join(thread, NULL);
    cancel_done(&cancel);
}

/* --- TLS ---------------------------------------------------------------------------------------
 */

enum tls_server { SERVER, WRONG_NAME, WANTS_CLIENT, TLS_1_1, TLS_SERVERS };
enum outcome { BELIEVED, REFUSED, NO_CONNECTION };

static const struct {
    const char *says;
    enum tls_server server;
    const char *ca_file; /* names in the folder of certificates */
    const char *ca_folder;
    const char *name;
    const char *client;
    bool skip;
    enum outcome outcome;
} tls_rows[] = {
    { "its CA's file", SERVER, "ca.pem", NULL, NULL, NULL, false, BELIEVED },
    { "its CA in a folder of plain names", SERVER, NULL, "cas", NULL, NULL, false, BELIEVED },
    { "the system's CAs do not know it", SERVER, NULL, NULL, NULL, NULL, false, REFUSED },
    { "another CA", SERVER, "other-ca.pem", NULL, NULL, NULL, false, REFUSED },
    { "a folder without its CA", SERVER, NULL, "others", NULL, NULL, false, REFUSED },
    { "a folder of nothing", SERVER, NULL, "none", NULL, NULL, false, REFUSED },
    { "a file that is none", SERVER, "no-such.pem", NULL, NULL, NULL, false, REFUSED },
    { "a name that its certificate has", SERVER, "ca.pem", NULL, "vault.test", NULL, false,
      BELIEVED },
    { "a name that it lacks", SERVER, "ca.pem", NULL, "other.test", NULL, false, REFUSED },
    { "a certificate of another host", WRONG_NAME, "ca.pem", NULL, NULL, NULL, false, REFUSED },
    { "the same under its own name", WRONG_NAME, "ca.pem", NULL, "somebody.else", NULL, false,
      BELIEVED },
    { "the same unverified", WRONG_NAME, NULL, NULL, NULL, NULL, true, BELIEVED },
    { "a client's certificate", WANTS_CLIENT, "ca.pem", NULL, NULL, "client", false, BELIEVED },
    { "no client's certificate", WANTS_CLIENT, "ca.pem", NULL, NULL, NULL, false, NO_CONNECTION },
    { "TLS 1.1", TLS_1_1, "ca.pem", NULL, NULL, NULL, true, NO_CONNECTION },
};

static void make_ca_folder(const char *name, const char *ca)
{
    autofree char *path = in_folder(name);
    autofree char *target = str_printf("../%s", ca);
    autofree char *link = str_printf("%s/company-root.crt", path);
    autofree char *sub = str_printf("%s/sub", path);

    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(sub, 0700), 0); /* a folder in it is no certificate */
    if (*ca)
        assert_int_equal(symlink(target, link), 0);
}

static void start_tls_servers(struct vault_fake servers[TLS_SERVERS])
{
    const char *args[TLS_SERVERS][FAKE_ARGS_MAX] = {
        [SERVER] = { "--tls", folder },
        [WRONG_NAME] = { "--tls", folder, "--certificate", "wrong" },
        [WANTS_CLIENT] = { "--tls", folder, "--client-ca" },
        [TLS_1_1] = { "--tls", folder, "--old-tls" },
    };

    for (int i = 0; i < TLS_SERVERS; i++)
        vault_fake_start(&servers[i], args[i]);
    make_ca_folder("cas", "ca.pem");
    make_ca_folder("others", "other-ca.pem");
    make_ca_folder("none", "");
}

static char *in_folder_or_null(const char *name, const char *suffix)
{
    return name ? str_printf("%s/%s%s", folder, name, suffix) : NULL;
}

/* Of a file into memory; NULL stays, and so does a file that cannot be read. */
static const struct secret *load(const char **path, struct secret *pem)
{
    if (!*path || fs_read(AT_FDCWD, *path, 1 << 20, true, pem, NULL) < 0)
        return NULL;
    *path = NULL;
    return pem;
}

static void move_to_memory(struct http_tls *tls, struct secret pems[3])
{
    tls->ca = load(&tls->ca_file, &pems[0]);
    tls->cert = load(&tls->cert_file, &pems[1]);
    tls->key = load(&tls->key_file, &pems[2]);
}

static void check_tls(size_t i, const struct vault_fake *server, bool in_memory)
{
    autofree char *url = str_printf("%s/v1/sys/health", server->server.url);
    autofree char *ca_file = in_folder_or_null(tls_rows[i].ca_file, "");
    autofree char *ca_folder = in_folder_or_null(tls_rows[i].ca_folder, "");
    autofree char *cert = in_folder_or_null(tls_rows[i].client, ".pem");
    autofree char *key = in_folder_or_null(tls_rows[i].client, ".key");
    struct http_request request = {
        .url = url,
        .tls = { .ca_file = ca_file,
                 .ca_folder = ca_folder,
                 .server_name = tls_rows[i].name,
                 .cert_file = cert,
                 .key_file = key,
                 .skip_verify = tls_rows[i].skip },
    };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    struct secret pems[3] = { 0 };
    struct error err = { 0 };
    enum outcome got = BELIEVED;
    int result;

    if (in_memory)
        move_to_memory(&request.tls, pems);
    result = call(&request, &reply, &err);
    for (size_t p = 0; p < COUNT_OF(pems); p++)
        secret_done(&pems[p]);
    if (result < 0)
        got = err.code == CODE_FAILED_PRECONDITION ? REFUSED : NO_CONNECTION;
    if (got != tls_rows[i].outcome)
        fail_msg("%s: %d, %s: %s", tls_rows[i].says, result, code_name(err.code), err.msg);
    if (got == REFUSED && !strstr(err.msg, "ertificate") && !strstr(err.msg, "CA cert"))
        fail_msg("%s: the text does not say why: %s", tls_rows[i].says, err.msg);
}

static void only_a_certificate_that_holds_is_believed(void **state)
{
    struct vault_fake servers[TLS_SERVERS];

    (void)state;
    start_tls_servers(servers);
    for (int pass = 0; pass < 2; pass++) /* of files, then of memory */
        for (size_t i = 0; i < COUNT_OF(tls_rows); i++)
            check_tls(i, &servers[tls_rows[i].server], pass == 1);
    for (int i = 0; i < TLS_SERVERS; i++)
        vault_fake_stop(&servers[i]);
}

/* --- unix sockets, connections, memory ---------------------------------------------------------
 */

static void a_unix_socket_is_spoken_to_like_a_host(void **state)
{
    autofree char *path = in_folder("fake.sock");
    const char *args[] = { "--unix", path, NULL };
    struct vault_fake fake;
    struct http_request request = { .url = "http://localhost/v1/sys/health", .unix_socket = path };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    vault_fake_start(&fake, args);
    if (call(&request, &reply, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(reply.status, 200);
    vault_fake_stop(&fake);
    http_reply_done(&reply);
    assert_int_equal(call(&request, &reply, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
}

static void *call_often(void *arg)
{
    int *wrong = arg;

    for (int i = 0; i < 20; i++) {
        struct http_reply reply CLEANUP(http_reply_done) = { 0 };

        if (get("secret/data/db", &reply, NULL) < 0 || reply.status != 200 ||
            !memmem(reply.body.bytes, reply.body.len, "s3cret-w0rd", 11))
            (void)__atomic_add_fetch(wrong, 1, __ATOMIC_ACQ_REL);
    }
    return NULL;
}

static void threads_share_a_client(void **state)
{
    pthread_t threads[20]; /* more than handles are kept */
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &wrong), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(wrong, 0);
}

/* How often the bytes are in what this process may write to: those of hidden, each xored with 1, so
 * that the search does not find itself. */
static size_t scan(const char *hidden)
{
    autofree char *needle = xstrdup(hidden);
    size_t len = strlen(needle);
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    size_t found = 0;
    unsigned long low;
    unsigned long high;
    char mode[8];

    assert_non_null(maps);
    for (size_t i = 0; i < len; i++)
        needle[i] ^= 1;
    while (fgets(line, sizeof(line), maps)) {
        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own format */
        if (sscanf(line, "%lx-%lx %7s", &low, &high, mode) != 3 || mode[1] != 'w' ||
            mode[0] != 'r' || strstr(line, "[v"))
            continue;
        for (const char *at = (const char *)low;
             (at = memmem(at, high - (size_t)at, needle, len)) != NULL; at++)
            found += at != needle;
    }
    (void)fclose(maps);
    explicit_bzero(needle, len);
    return found;
}

/* The kept connection's buffers, curl's and OpenSSL's, must not remember what went through. */
static void a_kept_connection_remembers_no_secret(void **state)
{
    static const char hidden[] = "r2bsdu,v1se"; /* s3cret-w0rd, xored */
    autofree char *ca = in_folder("ca.pem");
    const char *args[] = { "--tls", folder, NULL };
    const struct vault_fake *servers[2] = { &plain };
    struct vault_fake tls;

    (void)state;
#ifndef LOCKET_WIPE
    return; /* nothing wipes what libraries free */
#else
    (void)wipe_malloc_is_linked();
#endif
    vault_fake_start(&tls, args);
    servers[1] = &tls;
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        autofree char *url = str_printf("%s/v1/fault/many/a", servers[i]->server.url);
        struct http_request request = { .url = url, .tls.ca_file = ca };
        struct http_reply reply CLEANUP(http_reply_done) = { 0 };

        log_in(servers[i]);
        assert_int_equal(call(&request, &reply, NULL), 0);
        assert_int_equal(reply.status, 200);
        assert_true(scan(hidden) >= 5000); /* the search sees */
        http_reply_done(&reply);
        if (scan(hidden) > 0)
            fail_msg("server %zu: the secret is still in memory %zu times", i, scan(hidden));
    }
    vault_fake_stop(&tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_of_any_status_is_success),
        cmocka_unit_test(a_date_of_retry_after_becomes_a_wait),
        cmocka_unit_test(a_redirect_is_told_and_not_followed),
        cmocka_unit_test(the_reply_to_head_does_not_wait_for_a_body),
        cmocka_unit_test(a_body_goes_with_any_method),
        cmocka_unit_test(what_goes_wrong_has_a_code_and_an_end),
        cmocka_unit_test(a_callers_own_ceiling_holds_to_the_byte),
        cmocka_unit_test(a_cancel_ends_a_call_at_once),
        cmocka_unit_test(only_a_certificate_that_holds_is_believed),
        cmocka_unit_test(a_unix_socket_is_spoken_to_like_a_host),
        cmocka_unit_test(threads_share_a_client),
        cmocka_unit_test(a_kept_connection_remembers_no_secret),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
