/* SPDX-License-Identifier: Apache-2.0
 *
 * A store behind the wire: what a Mount answers, and what it never does. The store is a double that
 * hands out what a test put into it, or fails with it.
 */
/* WRAP: rpc_call_tell */
#include <fcntl.h>
#include <unistd.h>

#include "lib/net/rpc_call.h"
#include "lib/net/rpc_client.h"
#include "providers/serve.h"
#include "tests/check.h"

#define TOKEN "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ3ZWIifQ.c2lnbmF0dXJl"
#define PASSWORD "hunter2-hunter2"

static struct double_store {
    struct provider base;
    const char *contents;
    const char *version;
    const char *says; /* the error; NULL: succeeds */
    const char *address;
    const char *request;
} store;

static int double_fetch(struct provider *self, const struct fetch_request *req, struct fileset *ret,
                        struct error *err)
{
    struct file_spec file = { .path = "a/b",
                              .path_len = 3,
                              .mode = req->default_mode,
                              .uid = FILE_OWNER_UNSET,
                              .gid = FILE_OWNER_UNSET };

    (void)self;
    fetch_how_text(req->how->store, store.address);
    fetch_how_add(req->how->request, store.request);
    req->how->calls = 2;
    if (store.says)
        return error_set(err, CODE_INTERNAL, "%s", store.says);
    file.contents = secret_copy(store.contents, strlen(store.contents));
    return fileset_add_version(ret, "b", store.version, err) < 0 ? -1
                                                                 : fileset_add(ret, &file, err);
}

/* --- what the thread of a Mount has left on its stack when it tells of it ----------------------
 */

/* More than a copy leaves in vector registers: TSan, whenever its trace of a thread is full, saves
 * those on the thread's stack. */
#define FOUR_PASSWORDS PASSWORD PASSWORD PASSWORD PASSWORD
#define PASSWORDS FOUR_PASSWORDS FOUR_PASSWORDS

enum { STACK_BELOW = 32 << 10, STACK_BYTES = 64 << 10 };

static struct {
    int mem; /* -1: nobody looks */
    size_t found;
} stack = { .mem = -1 };

/* By the kernel: what has returned is nobody's to read. Calls nothing else that would write over
 * it. */
static void look_at_stack(void)
{
    static char seen[STACK_BYTES];
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    ssize_t len = pread(stack.mem, seen, sizeof(seen), (off_t)(here - STACK_BELOW));

    if (len > STACK_BELOW && memmem(seen, (size_t)len, PASSWORDS, strlen(PASSWORDS)))
        stack.found++;
}

void __real_rpc_call_tell(struct rpc_call *call, const char *key, const char *value);
void __wrap_rpc_call_tell(struct rpc_call *call, const char *key, const char *value);

void __wrap_rpc_call_tell(struct rpc_call *call, const char *key, const char *value)
{
    if (stack.mem >= 0)
        look_at_stack();
    __real_rpc_call_tell(call, key, value);
}

static const struct provider_ops double_ops = { .name = "double", .fetch = double_fetch };

static struct provider_service service;
static struct rpc_client *client;

static int set_up(void **state)
{
    static ProtobufCService *services[1];

    (void)state;
    store = (struct double_store){ .base.ops = &double_ops, .address = "", .request = "" };
    provider_service_init(&service, &store.base);
    services[0] = &service.service.base;
    client = rpc_client_new_local(services, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rpc_client_free(client);
    provider_service_done(&service);
    return 0;
}

static V1alpha1__MountRequest request(void)
{
    V1alpha1__MountRequest in = V1ALPHA1__MOUNT_REQUEST__INIT;

    in.attributes = (char *)"{\"csi.storage.k8s.io/pod.name\":\"web\","
                            "\"csi.storage.k8s.io/serviceAccount.tokens\":"
                            "\"{\\\"vault\\\":{\\\"token\\\":\\\"" TOKEN "\\\"}}\"}";
    in.secrets = (char *)"{\"password\":\"" PASSWORD "\"}";
    in.target_path = (char *)"/target";
    in.permission = (char *)"420";
    return in;
}

/* The answer, or NULL with the error. Ownership: rpc_reply_free. */
static V1alpha1__MountResponse *mount_it(const V1alpha1__MountRequest *in, struct error *err)
{
    struct rpc_request call = { .service = &v1alpha1__csidriver_provider__descriptor,
                                .method = "Mount",
                                .in = &in->base,
                                .sensitive = true };
    ProtobufCMessage *reply = NULL;

    return rpc_client_call(client, &call, &reply, err) < 0 ? NULL
                                                           : (V1alpha1__MountResponse *)reply;
}

static void hear(void *arg, const char *key, const char *value)
{
    fetch_how_take(arg, key, value);
}

static const struct {
    const char *says;
    const char *error;
    const char *left;
} echoes[] = {
    { "a token", "bad jwt " TOKEN, "bad jwt [redacted]" },
    { "a value of nodePublishSecretRef", "login as " PASSWORD " failed",
      "login as [redacted] failed" },
    { "its base64 within a larger text", "Basic cWh1bnRlcjItaHVudGVyMnp6", "Basic c[redacted]np6" },
    { "its hex", "68756e746572322d68756e74657232", "[redacted]" },
    { "a key of the store's", "got -----BEGIN PRIVATE KEY-----MII", "got [redacted]" },
    { "nothing", "no such path", "no such path" },
};

static void an_error_holds_nothing_of_what_was_sent(void **state)
{
    V1alpha1__MountRequest in = request();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(echoes); i++) {
        struct error err = { 0 };

        store.says = echoes[i].error;
        assert_null(mount_it(&in, &err));
        assert_int_equal(err.code, CODE_INTERNAL);
        if (strcmp(err.msg, echoes[i].left) != 0)
            fail_msg("%s: %s", echoes[i].says, err.msg);
    }
    store.says = NULL;
}

static const struct {
    const char *says;
    bool accepts;
    size_t count;
    const char *id;
    const char *version;
    bool unchanged;
} unchanged_rows[] = {
    { "the same version", true, 1, "b", "v1", true },
    { "a caller who does not know of it", false, 1, "b", "v1", false },
    { "another version", true, 1, "b", "v0", false },
    { "another object", true, 1, "c", "v1", false },
    { "one version more", true, 2, "b", "v1", false },
    { "no versions", true, 0, "b", "v1", false },
};

static void check_unchanged(V1alpha1__MountResponse *out, size_t i)
{
    assert_int_equal(out->n_files, 1);
    assert_int_equal(out->n_object_version, 1);
    if (out->files[0]->unchanged != unchanged_rows[i].unchanged ||
        (out->files[0]->contents.len == 0) != unchanged_rows[i].unchanged)
        fail_msg("%s: %zu bytes", unchanged_rows[i].says, out->files[0]->contents.len);
    rpc_reply_free(&out->base);
}

static void bytes_that_the_caller_has_do_not_travel_again(void **state)
{
    (void)state;
    store.contents = PASSWORD;
    store.version = "v1";
    for (size_t i = 0; i < COUNT_OF(unchanged_rows); i++) {
        V1alpha1__MountRequest in = request();
        V1alpha1__ObjectVersion have = V1ALPHA1__OBJECT_VERSION__INIT;
        V1alpha1__ObjectVersion *list[] = { &have, &have };
        V1alpha1__MountResponse *out;

        have.id = (char *)unchanged_rows[i].id;
        have.version = (char *)unchanged_rows[i].version;
        in.accepts_unchanged = unchanged_rows[i].accepts;
        in.n_current_object_version = unchanged_rows[i].count;
        in.current_object_version = list;
        out = mount_it(&in, NULL);
        if (!out)
            fail_msg("%s: no answer", unchanged_rows[i].says);
        else
            check_unchanged(out, i);
    }
}

/* What a Mount says beside its answer. */
static struct fetch_how how_of_mount(void)
{
    V1alpha1__MountRequest in = request();
    struct fetch_how how = { 0 };
    struct rpc_request call = { .service = &v1alpha1__csidriver_provider__descriptor,
                                .method = "Mount",
                                .in = &in.base,
                                .told = hear,
                                .told_arg = &how };
    ProtobufCMessage *reply = NULL;

    (void)!rpc_client_call(client, &call, &reply, NULL);
    rpc_reply_free(reply);
    return how;
}

static void how_it_went_is_told_beside_an_answer_and_beside_a_failure(void **state)
{
    static const char *const ends[] = { NULL, "no such path" };

    (void)state;
    store.contents = PASSWORD;
    store.version = "v1";
    store.address = "https://vault:8200";
    store.request = "1f0e8c1a";
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct fetch_how how;

        store.says = ends[i];
        how = how_of_mount();
        assert_string_equal(how.store, "https://vault:8200");
        assert_string_equal(how.request, "1f0e8c1a");
        assert_int_equal(how.calls, 2);
    }
    store.says = NULL;
}

static const struct {
    const char *id;
    const char *told;
} ids[] = {
    { "r-1", "r-1" },           { PASSWORD, "" }, { "hunter2-", "" },
    { "x-" PASSWORD "-y", "" }, { TOKEN, "" },    { "eyJzdWIiOiJ3ZWIifQ", "" },
};

static void a_store_that_calls_its_answer_by_what_it_was_sent_tells_no_secret(void **state)
{
    (void)state;
    store.contents = PASSWORD;
    store.version = "v1";
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        store.request = ids[i].id;
        assert_string_equal(how_of_mount().request, ids[i].told);
    }
    store.request = "";
}

/* ASan, asked to find uses of a stack after return, keeps what functions hold in frames of its own:
 * there is nothing to be seen on the thread's stack. NULL: it does not, or is not there. */
void *__asan_get_current_fake_stack(void) __attribute__((weak));

static bool is_stack_elsewhere(void)
{
    return __asan_get_current_fake_stack && __asan_get_current_fake_stack();
}

static void an_id_that_is_a_secret_is_left_nowhere_on_the_stack(void **state)
{
    (void)state;
    store.address = "https://vault:8200";
    store.request = PASSWORDS PASSWORDS; /* a piece of it is enough to be seen */
    stack.mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_true(stack.mem >= 0);
    stack.found = 0;
    assert_string_equal(how_of_mount().request, "");
    assert_int_equal(stack.found, 0);
    store.address = PASSWORDS; /* which is told: the search sees it */
    assert_string_equal(how_of_mount().store, PASSWORDS);
    assert_true(stack.found > 0 || is_stack_elsewhere());
    (void)close(stack.mem);
    stack.mem = -1;
    store.address = store.request = "";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_it_went_is_told_beside_an_answer_and_beside_a_failure),
        cmocka_unit_test(a_store_that_calls_its_answer_by_what_it_was_sent_tells_no_secret),
        cmocka_unit_test(an_id_that_is_a_secret_is_left_nowhere_on_the_stack),
        cmocka_unit_test(an_error_holds_nothing_of_what_was_sent),
        cmocka_unit_test(bytes_that_the_caller_has_do_not_travel_again),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
