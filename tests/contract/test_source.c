/* SPDX-License-Identifier: Apache-2.0
 *
 * What every implementation of the seam `source` must do: the client of a provider's socket, with a
 * real server behind it, and the double that other suites use in its place.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "driver/volume/provider_client.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/net/rpc_server.h"
#include "providers/serve.h"
#include "tests/check.h"
#include "tests/fakes/source_double.h"

enum { THREADS = 8, FETCHES = 25, PATIENCE_MS = 5000 };

/* What the store behind the socket does: the lock's, but for hang. */
static struct script {
    struct provider base; /* first */
    pthread_mutex_t lock;
    const char *path; /* NULL: no files */
    const char *text;
    struct error err; /* code OK: none */
    bool hang;        /* until cancelled; atomic */
} script;

static int script_fetch(struct provider *self, const struct fetch_request *req, struct fileset *ret,
                        struct error *err)
{
    struct file_spec file = { .mode = 0644,
                              .uid = FILE_OWNER_UNSET,
                              .gid = (gid_t)FILE_OWNER_UNSET };
    struct error refusal;
    const char *text;

    (void)self;
    fetch_how_text(req->how->store, "the store");
    while (__atomic_load_n(&script.hang, __ATOMIC_SEQ_CST) && !cancel_is_raised(req->cancel))
        clock_sleep_ms(1);
    (void)pthread_mutex_lock(&script.lock);
    refusal = script.err;
    file.path = script.path;
    text = script.text;
    (void)pthread_mutex_unlock(&script.lock);
    if (refusal.code)
        return error_copy(err, &refusal);
    if (!file.path)
        return 0;
    file.path_len = strlen(file.path);
    file.contents = secret_copy(text, strlen(text));
    return fileset_add(ret, &file, err) < 0 || fileset_add_version(ret, file.path, text, err) < 0
               ? -1
               : 0;
}

static void script_release(struct provider *self, const char *volume_id)
{
    (void)self;
    (void)volume_id;
}

static const struct provider_ops script_ops = {
    .name = "good",
    .fetch = script_fetch,
    .release = script_release,
};

struct rig {
    const char *name;
    void (*make)(struct rig *rig);
    void (*put)(struct rig *rig, const char *path, const char *text); /* NULL: no files */
    void (*refuse)(struct rig *rig, const struct error *err);         /* NULL: no more */
    void (*hang)(struct rig *rig, bool hang);
    void (*unmake)(struct rig *rig);
    struct source *source;
    char folder[64];
    struct provider_service service;
    struct extras_service extras;
    ProtobufCService *services[2]; /* outlive the server */
    struct rpc_server *server;
};

static void make_client(struct rig *rig)
{
    struct provider_client_config config = { .inflight_max = 2 * THREADS,
                                             .reply_bytes_max = 4 << 20 };
    autofree char *path = NULL;

    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/locket-contract-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    path = str_printf("%s/good.sock", rig->folder);
    script = (struct script){ .base.ops = &script_ops, .lock = PTHREAD_MUTEX_INITIALIZER };
    provider_service_init(&rig->service, &script.base);
    extras_service_init(&rig->extras, &script.base);
    rig->services[0] = &rig->service.service.base;
    rig->services[1] = &rig->extras.service.base;
    assert_int_equal(
        rpc_server_start(&(struct rpc_server_config){ .path = path,
                                                      .services = rig->services,
                                                      .service_count = COUNT_OF(rig->services) },
                         &rig->server, NULL),
        0);
    config.finder.folders[0].path = rig->folder;
    config.finder.count = 1;
    config.own_folder = rig->folder;
    rig->source = provider_client_new(&config);
}

static void put_client(struct rig *rig, const char *path, const char *text)
{
    (void)rig;
    (void)pthread_mutex_lock(&script.lock);
    script.path = path;
    script.text = text;
    (void)pthread_mutex_unlock(&script.lock);
}

static void refuse_client(struct rig *rig, const struct error *err)
{
    (void)rig;
    (void)pthread_mutex_lock(&script.lock);
    script.err = err ? *err : (struct error){ 0 };
    (void)pthread_mutex_unlock(&script.lock);
}

static void hang_client(struct rig *rig, bool hang)
{
    (void)rig;
    __atomic_store_n(&script.hang, hang, __ATOMIC_SEQ_CST);
}

static void unmake_client(struct rig *rig)
{
    rpc_server_free(rig->server, PATIENCE_MS);
    provider_service_done(&rig->service);
    assert_int_equal(fs_remove_tree(AT_FDCWD, rig->folder, NULL), 0);
}

static void make_double(struct rig *rig)
{
    struct source_told told = { .peer = "uid=0" };

    fetch_how_text(told.how.store, "the store");
    rig->source = source_double_new();
    source_double_tell(rig->source, &told);
}

static void put_double(struct rig *rig, const char *path, const char *text)
{
    if (path)
        source_double_put(rig->source, path, text);
}

static void refuse_double(struct rig *rig, const struct error *err)
{
    source_double_fail(rig->source, err);
}

static void hang_double(struct rig *rig, bool hang)
{
    source_double_hang(rig->source, hang);
}

static void unmake_double(struct rig *rig)
{
    (void)rig;
}

static struct rig rigs[] = {
    { .name = "the client of a socket",
      .make = make_client,
      .put = put_client,
      .refuse = refuse_client,
      .hang = hang_client,
      .unmake = unmake_client },
    { .name = "the double",
      .make = make_double,
      .put = put_double,
      .refuse = refuse_double,
      .hang = hang_double,
      .unmake = unmake_double },
};

static int fetch_told(const struct rig *rig, struct cancel *cancel, struct source_told *told,
                      struct fileset *ret, struct error *err)
{
    static const struct pairs no_attributes;
    static const struct credentials no_credentials;
    struct source_request req = { .provider = "good",
                                  .volume_id = "v1",
                                  .target = "/target",
                                  .attributes = &no_attributes,
                                  .credentials = &no_credentials,
                                  .timeout_ms = PATIENCE_MS,
                                  .cancel = cancel,
                                  .told = told };

    return rig->source->ops->fetch(rig->source, &req, ret, err);
}

static int fetch(const struct rig *rig, struct cancel *cancel, struct fileset *ret,
                 struct error *err)
{
    return fetch_told(rig, cancel, NULL, ret, err);
}

/* --- what all must do --------------------------------------------------------------------------
 */

static void a_provider_is_there_or_told_to_be_missing(struct rig *rig)
{
    struct error err = { 0 };

    assert_int_equal(rig->source->ops->find(rig->source, "good", &err), 0);
    assert_int_equal(rig->source->ops->find(rig->source, "nobody", &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "provider not found: provider \"nobody\""));
}

static void no_files_are_a_fine_answer(struct rig *rig)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };

    rig->put(rig, NULL, NULL);
    if (fetch(rig, NULL, &set, &err) < 0)
        fail_msg("%s: %s", rig->name, err.msg);
    assert_int_equal(set.count, 0);
    assert_int_equal(set.version_count, 0);
}

static void files_and_versions_arrive_whole(struct rig *rig)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };

    rig->put(rig, "a/b", "some bytes");
    if (fetch(rig, NULL, &set, &err) < 0)
        fail_msg("%s: %s", rig->name, err.msg);
    assert_int_equal(set.count, 1);
    assert_string_equal(set.files[0].path, "a/b");
    assert_int_equal(set.files[0].mode, 0644);
    assert_int_equal(set.files[0].contents.len, 10);
    assert_memory_equal(set.files[0].contents.bytes, "some bytes", 10);
    assert_int_equal(set.version_count, 1);
    assert_string_equal(set.versions[0].id, "a/b");
}

static void an_error_keeps_its_code_and_adds_nothing(struct rig *rig)
{
    static const enum code codes[] = { CODE_PERMISSION_DENIED, CODE_NOT_FOUND, CODE_UNAVAILABLE,
                                       CODE_RESOURCE_EXHAUSTED, CODE_INTERNAL };

    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        struct fileset set CLEANUP(fileset_done) = { 0 };
        struct error wrong = { 0 };
        struct error err = { 0 };

        (void)error_set(&wrong, codes[i], "the store says no");
        rig->refuse(rig, &wrong);
        assert_int_equal(fetch(rig, NULL, &set, &err), -1);
        if (err.code != codes[i] || !strstr(err.msg, "the store says no"))
            fail_msg("%s: %s: %s", rig->name, code_name(err.code), err.msg);
        assert_int_equal(set.count, 0);
        assert_int_equal(set.version_count, 0);
    }
    rig->refuse(rig, NULL);
}

static void how_it_went_is_told_of_an_answer_and_of_a_failure(struct rig *rig)
{
    struct error wrong = { 0 };

    (void)error_set(&wrong, CODE_PERMISSION_DENIED, "no");
    for (int fails = 0; fails < 2; fails++) {
        struct fileset set CLEANUP(fileset_done) = { 0 };
        struct source_told told = { 0 };

        rig->refuse(rig, fails ? &wrong : NULL);
        assert_int_equal(fetch_told(rig, NULL, &told, &set, NULL), -fails);
        assert_string_equal(told.how.store, "the store");
        assert_non_null(strstr(told.peer, "uid=0"));
    }
    rig->refuse(rig, NULL);
}

static void *raise_soon(void *arg)
{
    clock_sleep_ms(50);
    cancel_raise(arg);
    return NULL;
}

static void a_cancel_ends_a_fetch_that_hangs(struct rig *rig)
{
    struct cancel cancel CLEANUP(cancel_done);
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };
    pthread_t raiser;

    cancel_init(&cancel);
    rig->hang(rig, true);
    assert_int_equal(pthread_create(&raiser, NULL, raise_soon, &cancel), 0);
    assert_int_equal(fetch(rig, &cancel, &set, &err), -1);
    assert_int_equal(err.code, CODE_CANCELLED);
    assert_int_equal(set.count, 0);
    assert_int_equal(pthread_join(raiser, NULL), 0);
    rig->hang(rig, false);
}

static void *fetch_often(void *arg)
{
    size_t bad = 0;

    for (int i = 0; i < FETCHES; i++) {
        struct fileset set CLEANUP(fileset_done) = { 0 };

        bad += fetch(arg, NULL, &set, NULL) < 0 || set.count != 1;
    }
    return (void *)bad;
}

static void several_may_fetch_at_a_time(struct rig *rig)
{
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_often, rig), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *bad = NULL;

        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
}

static void note_row(void *arg, const struct source_status *row)
{
    assert_non_null(row->provider);
    assert_non_null(row->socket);
    assert_int_equal(row->inflight, 0);
    ++*(size_t *)arg;
}

static void a_release_never_fails_and_rows_are_told(struct rig *rig)
{
    size_t rows = 0;

    rig->source->ops->release(rig->source, "good", "v1");
    rig->source->ops->release(rig->source, "good", "never-seen");
    rig->source->ops->release(rig->source, "nobody", "v1");
    rig->source->ops->each(rig->source, note_row, &rows);
    assert_true(rows <= 2);
}

static void (*const contract[])(struct rig *rig) = {
    a_provider_is_there_or_told_to_be_missing,
    no_files_are_a_fine_answer,
    files_and_versions_arrive_whole,
    an_error_keeps_its_code_and_adds_nothing,
    how_it_went_is_told_of_an_answer_and_of_a_failure,
    a_cancel_ends_a_fetch_that_hangs,
    several_may_fetch_at_a_time,
    a_release_never_fails_and_rows_are_told,
};

static void keeps_the_contract(void **state)
{
    struct rig *rig = *state;

    rig->make(rig);
    for (size_t i = 0; i < COUNT_OF(contract); i++)
        contract[i](rig);
    rig->source->ops->free(rig->source);
    rig->unmake(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(keeps_the_contract, &rigs[0]),
        cmocka_unit_test_prestate(keeps_the_contract, &rigs[1]),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
