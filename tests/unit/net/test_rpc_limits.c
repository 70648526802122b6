/* SPDX-License-Identifier: Apache-2.0
 *
 * What a server takes at most, and what it never tells.
 */
#include "lib/base/harden.h"
#include "tests/unit/net/rig.h"

#define CANARY "canary-in-the-trace"

static char *self_command; /* this program, as the child of grpc_variables_cannot_dump */

static char *text_of(size_t len)
{
    char *text = xmalloc(len + 1);

    memset(text, 'i', len);
    text[len] = '\0';
    return text;
}

static const struct {
    const char *says;
    size_t ceiling; /* 0: the default */
    size_t len;
    enum code code;
} sizes[] = {
    { "just below a ceiling of one's own", 5000, 4900, CODE_OK },
    { "over it", 5000, 5001, CODE_RESOURCE_EXHAUSTED },
    { "just below the default", 0, RPC_REQUEST_MAX - 100, CODE_OK },
    { "over the default", 0, RPC_REQUEST_MAX + 1, CODE_RESOURCE_EXHAUSTED },
};

static void a_request_over_the_ceiling_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        autofree char *path = str_printf("%s/ceiling.sock", rig.folder);
        autofree char *id = text_of(sizes[i].len);
        struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = path });
        struct rpc_server *server = NULL;
        struct error err = { 0 };

        assert_int_equal(
            rig_serve(
                (struct rpc_server_config){ .path = path, .request_bytes_max = sizes[i].ceiling },
                &server, NULL),
            0);
        (void)!ask(client, &(struct ask){ .id = id }, &err);
        if (err.code != sizes[i].code)
            fail_msg("%s: %s %s", sizes[i].says, code_name(err.code), err.msg);
        check_answer(client);
        rpc_client_free(client);
        rpc_server_free(server, 500);
    }
}

static void requests_in_flight_share_a_budget(void **state)
{
    autofree char *path = str_printf("%s/budget.sock", rig.folder);
    autofree char *id = text_of(60000);
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = path });
    struct cancel cancel;
    struct call_aside aside = { .client = client,
                                .ask = { .id = id, .target = "wait", .cancel = &cancel } };
    int64_t until = clock_mono_ms() + RIG_PATIENCE_MS;
    struct rpc_server *server = NULL;
    struct error err = { 0 };

    (void)state;
    cancel_init(&cancel);
    assert_int_equal(
        rig_serve((struct rpc_server_config){ .path = path, .inflight_bytes_max = 100000 }, &server,
                  NULL),
        0);
    call_aside_start(&aside);
    assert_int_equal(ask(client, &(struct ask){ .id = id }, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "in flight"));
    assert_int_equal(ask(client, &(struct ask){ .id = "small" }, NULL), 0);
    cancel_raise(&cancel);
    rig_wait_for(&aside.ended, 1);
    while (ask(client, &(struct ask){ .id = id }, NULL) < 0 && clock_mono_ms() < until)
        clock_sleep_ms(1); /* until the call has left the server too */
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(client, &(struct ask){ .id = id }, NULL), 0);
    cancel_done(&cancel);
    rpc_client_free(client);
    rpc_server_free(server, 500);
}

/* --- what stays in memory --- */

/* How often the text lies in memory that this process can write, besides in the text itself.
 * Without a wiping free (under sanitizers, whose own shadow is too large to search) there is no
 * answer. */
#ifdef LOCKET_WIPE
static int copies_of(const char *text, size_t len)
{
    enum { SCAN_BYTES = 1 << 20 };
    static char chunk[SCAN_BYTES];
    FILE *maps = fopen("/proc/self/maps", "r");
    autoclose int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char line[512];
    int copies = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from;
        unsigned long to;
        char may[5];

        if (sscanf(line, "%lx-%lx %4s", &from, &to, may) != 3 || may[1] != 'w')
            continue;
        for (unsigned long at = from; at < to; at += SCAN_BYTES - len) {
            size_t want = to - at < sizeof(chunk) ? to - at : sizeof(chunk);
            ssize_t got = pread(mem, chunk, want, (off_t)at);

            for (char *hit = chunk;
                 got > 0 && (hit = memmem(hit, (size_t)(chunk + got - hit), text, len)); hit++)
                copies += at + (unsigned long)(hit - chunk) != (unsigned long)text;
            explicit_bzero(chunk, sizeof(chunk));
        }
    }
    (void)fclose(maps);
    return copies;
}
#else
static int copies_of(const char *text, size_t len)
{
    (void)text;
    (void)len;
    return 0;
}
#endif

static int send_secret(const char *secret)
{
    Csi__V1__NodePublishVolumeRequest in = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
    struct rpc_request request = { .service = &csi__v1__node__descriptor,
                                   .method = "NodePublishVolume",
                                   .in = &in.base,
                                   .sensitive = true };
    ProtobufCMessage *reply = NULL;
    int result;

    in.volume_id = (char *)secret;
    result = rpc_client_call(rig.over_socket, &request, &reply, NULL);
    rpc_reply_free(reply);
    return result;
}

static int receive_secret(const char *secret)
{
    int result;

    rig_set_node_id(secret);
    result = ask_node_id(rig.over_socket, NULL, NULL);
    rig_set_node_id("n1");
    return result;
}

static const struct {
    const char *says;
    size_t len;
    int (*pass)(const char *secret);
} secrets[] = {
    /* a whole message of up to 23 bytes lies in the grpc_slice itself: none of ours */
    { "a short secret of a request", 24, send_secret },
    { "a long one", 2000, send_secret },
    { "one of many slices", 300000, send_secret },
    { "a short secret of an answer", 24, receive_secret },
    { "a long one of an answer", 2000, receive_secret },
    { "one of many slices of an answer", 300000, receive_secret },
};

static void a_secret_leaves_no_copy_behind(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(secrets); i++) {
        autofree char *secret = text_of(secrets[i].len);
        size_t part = secrets[i].len < 64 ? secrets[i].len : 64; /* the first piece of it tells */
        int64_t until = clock_mono_ms() + RIG_PATIENCE_MS;
        int left;

        for (size_t n = 0; n < part; n++)
            secret[n] = (char)('A' + (n * 7 + i) % 26);
        assert_int_equal(secrets[i].pass(secret), 0);
        do /* the server frees the call a moment after its answer */
            left = copies_of(secret, part);
        while (left && clock_mono_ms() < until);
        if (left)
            fail_msg("%s: %d copies", secrets[i].says, left);
    }
}

/* --- gRPC's own tracing --- */

static int trace_child(void)
{
    struct error err = { 0 };

    (void)setenv("GRPC_TRACE", "all", 1);
    (void)setenv("GRPC_VERBOSITY", "DEBUG", 1);
    (void)setenv("GRPC_OF_A_LATER_VERSION", "1", 1);
    if (rig_set_up(NULL) < 0)
        return 1;
    (void)!ask(rig.over_socket, &(struct ask){ .id = CANARY, .target = "fail" }, &err);
    (void)rig_tear_down(NULL);
    return strcmp(err.msg, CANARY) == 0 && !secure_getenv("GRPC_TRACE") &&
                   !secure_getenv("GRPC_OF_A_LATER_VERSION")
               ? 0
               : 1;
}

/* Tracing would dump every byte read; the variables are gone before gRPC looks. In a program of its
 * own, since this one has started gRPC already. */
static void grpc_variables_cannot_dump(void **state)
{
    static char out[1 << 16];
    FILE *f = popen(self_command, "r");
    size_t len;

    (void)state;
    assert_non_null(f);
    len = fread(out, 1, sizeof(out) - 1, f);
    out[len] = '\0';
    assert_int_equal(pclose(f), 0);
    assert_null(strstr(out, CANARY));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_over_the_ceiling_is_refused),
        cmocka_unit_test(requests_in_flight_share_a_budget),
        cmocka_unit_test(a_secret_leaves_no_copy_behind),
        cmocka_unit_test(grpc_variables_cannot_dump),
    };
    int failed;

    if (harden_bind_now(argv, NULL) < 0)
        return 1;
    if (argc > 1 && strcmp(argv[1], "trace") == 0)
        return trace_child();
    self_command = str_printf("%s trace 2>&1", argv[0]);
    failed = cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
    free(self_command);
    return failed;
}
