/* SPDX-License-Identifier: Apache-2.0
 *
 * What every store behind the seam `provider` must do: the file store over a folder and over a
 * document, the Vault store over a server that speaks its API.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/json.h"
#include "providers/config.h"
#include "providers/request.h"
#include "tests/check.h"
#include "tests/fakes/vault_fake.h"

enum { THREADS = 8, FETCHES = 25 };

/* A store, and how a test puts values into it. */
struct rig {
    const char *name;
    bool by_path; /* an object says where it lies, besides its name */
    void (*make)(struct rig *rig);
    void (*put)(struct rig *rig, const char *name, const char *value);
    void (*unmake)(struct rig *rig);
    struct provider_config config;
    struct provider *provider;
    char place[64];
    struct vault_fake fake;
    char *token;
};

static void make_file_store(struct rig *rig)
{
    rig->config.file_root = rig->place;
    rig->config.hmac_key = secret_copy("0123456789abcdef0123456789abcdef", 32);
    assert_int_equal(provider_file_new(&rig->config, &rig->provider, NULL), 0);
}

static void make_folder(struct rig *rig)
{
    (void)snprintf(rig->place, sizeof(rig->place), "/tmp/locket-contract-XXXXXX");
    assert_non_null(mkdtemp(rig->place));
    make_file_store(rig);
}

static void put_folder(struct rig *rig, const char *name, const char *value)
{
    int dir_fd autoclose = open(rig->place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(fs_replace(dir_fd, name, value, strlen(value), NULL), 0);
}

static void unmake_folder(struct rig *rig)
{
    assert_int_equal(fs_remove_tree(AT_FDCWD, rig->place, NULL), 0);
}

static void make_document(struct rig *rig)
{
    int fd autoclose = -1;

    (void)snprintf(rig->place, sizeof(rig->place), "/tmp/locket-contract-XXXXXX");
    fd = mkstemp(rig->place);
    assert_true(fd >= 0);
    make_file_store(rig);
}

static void put_document(struct rig *rig, const char *name, const char *value)
{
    int fd autoclose = open(rig->place, O_WRONLY | O_APPEND | O_CLOEXEC);
    autofree char *line = str_printf("%s: \"%s\"\n", name, value);
    autofree char *text = NULL;
    struct secret old CLEANUP(secret_done) = { 0 };
    autofree char *key = str_printf("%s:", name);
    struct strbuf next CLEANUP(strbuf_done) = { 0 };

    /* The same key once more would be a broken document: its line is replaced. */
    assert_int_equal(fs_read(AT_FDCWD, rig->place, 1 << 20, true, &old, NULL), 0);
    text = xstrndup(old.bytes ? (const char *)old.bytes : "", old.len);
    for (char *rest = NULL, *at = strtok_r(text, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest))
        if (!str_starts(at, key))
            strbuf_printf(&next, "%s\n", at);
    strbuf_add_text(&next, line);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(fs_write_all(fd, strbuf_text(&next), next.len, NULL), 0);
}

static void unmake_document(struct rig *rig)
{
    assert_int_equal(unlink(rig->place), 0);
}

static char *ask_vault(const struct rig *rig, const char *path, const char *body)
{
    autofree char *url = str_printf("%s%s", rig->fake.server.url, path);
    autofree char *token = str_printf("X-Vault-Token: %s", rig->token ? rig->token : "none");
    const char *headers[] = { "X-Vault-Request: true", token };
    struct secret sent CLEANUP(secret_done) = secret_copy(body, strlen(body));
    struct http_request request = { .method = "POST",
                                    .url = url,
                                    .headers = headers,
                                    .header_count = COUNT_OF(headers),
                                    .body = &sent,
                                    .timeout_ms = 5000 };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };
    struct http_client *client = http_client_new();
    struct error err = { 0 };

    if (http_call(client, &request, &reply, &err) < 0 || reply.status >= 300)
        fail_msg("%s: %ld %s", path, reply.status, err.msg);
    http_client_free(client);
    return xstrndup(reply.body.len ? (const char *)reply.body.bytes : "", reply.body.len);
}

static void make_vault(struct rig *rig)
{
    autofree char *login = NULL;
    struct tree *t autotree = NULL;

    vault_fake_start(&rig->fake, NULL);
    rig->config.vault_addr = rig->fake.server.url;
    rig->config.vault_mount = (char *)"jwt";
    rig->config.vault_namespace = (char *)"";
    rig->config.vault_tokens_max = 100;
    rig->config.hmac_key = secret_copy("0123456789abcdef0123456789abcdef", 32);
    assert_int_equal(provider_vault_new(&rig->config, &rig->provider, NULL), 0);
    login = ask_vault(rig, "/v1/auth/jwt/login", "{\"jwt\":\"good\",\"role\":\"app\"}");
    assert_int_equal(json_parse(login, strlen(login), &t, NULL), 0);
    rig->token = xstrdup(tree_get_text(tree_get(t, "auth"), "client_token"));
}

static void put_vault(struct rig *rig, const char *name, const char *value)
{
    autofree char *path = str_printf("/v1/secret/data/%s", name);
    autofree char *body = str_printf("{\"data\":{\"value\":\"%s\"}}", value);

    free(ask_vault(rig, path, body));
}

static void unmake_vault(struct rig *rig)
{
    free(rig->token);
    vault_fake_stop(&rig->fake);
}

static struct rig rigs[] = {
    { .name = "file, a folder", .make = make_folder, .put = put_folder, .unmake = unmake_folder },
    { .name = "file, a document",
      .make = make_document,
      .put = put_document,
      .unmake = unmake_document },
    { .name = "vault",
      .by_path = true,
      .make = make_vault,
      .put = put_vault,
      .unmake = unmake_vault },
};

/* --- asking ------------------------------------------------------------------------------------
 */

/* names: up to three, NULL-terminated. */
static int fetch(const struct rig *rig, const char *const *names, struct fileset *ret,
                 struct error *err)
{
    struct strbuf objects CLEANUP(strbuf_done) = { 0 };
    struct fetch_request req CLEANUP(request_done) = { 0 };
    struct fetch_how how = { 0 };
    V1alpha1__MountRequest in = V1ALPHA1__MOUNT_REQUEST__INIT;
    autofree char *attributes = NULL;
    int result;

    for (size_t i = 0; names[i]; i++) {
        strbuf_add_text(&objects, i ? ", " : "");
        if (rig->by_path)
            strbuf_printf(&objects,
                          "{objectName: %s, secretPath: secret/data/%s, secretKey: value}",
                          names[i], names[i]);
        else
            strbuf_printf(&objects, "{objectName: %s}", names[i]);
    }
    attributes = str_printf("{\"roleName\":\"app\",\"objects\":\"[%s]\","
                            "\"csi.storage.k8s.io/pod.name\":\"web\","
                            "\"csi.storage.k8s.io/pod.namespace\":\"shop\","
                            "\"csi.storage.k8s.io/pod.uid\":\"u1\","
                            "\"csi.storage.k8s.io/serviceAccount.name\":\"sa\","
                            "\"csi.storage.k8s.io/serviceAccount.tokens\":"
                            "\"{\\\"vault\\\":{\\\"token\\\":\\\"good.jwt\\\"}}\"}",
                            strbuf_text(&objects));
    in.attributes = attributes;
    in.target_path = (char *)"/target";
    in.permission = (char *)"416"; /* 0640 */
    if (request_read(&in, &req, err) < 0)
        return -1;
    req.volume_id = "v1";
    req.left_ms = 10000;
    req.how = &how;
    result = rig->provider->ops->fetch(rig->provider, &req, ret, err);
    assert_true(result < 0 || (*how.store && how.calls > 0)); /* where it went is told */
    return result;
}

static void must_fetch(const struct rig *rig, const char *const *names, struct fileset *ret)
{
    struct error err = { 0 };

    if (fetch(rig, names, ret, &err) < 0)
        fail_msg("%s: %s", rig->name, err.msg);
}

static bool holds(const struct fileset *set, const char *path, const char *text)
{
    const struct file *f = fileset_find(set, path);

    return f && f->contents.len == strlen(text) &&
           memcmp(f->contents.bytes, text, f->contents.len) == 0;
}

static const char *version_of(const struct fileset *set, const char *id)
{
    for (size_t i = 0; i < set->version_count; i++)
        if (strcmp(set->versions[i].id, id) == 0)
            return set->versions[i].version;
    return "";
}

/* --- what all must do --------------------------------------------------------------------------
 */

static void each_object_is_a_file_and_a_version(struct rig *rig)
{
    static const char *const names[] = { "user", "password", NULL };
    struct fileset set CLEANUP(fileset_done) = { 0 };

    must_fetch(rig, names, &set);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.version_count, 2);
    assert_true(holds(&set, "user", "joe"));
    assert_true(holds(&set, "password", "hunter2-hunter2"));
    assert_int_equal(set.files[0].mode, 0640);
    assert_true(*version_of(&set, "user") && *version_of(&set, "password"));
}

static void versions_tell_contents_apart_and_nothing_of_them(struct rig *rig)
{
    static const char *const names[] = { "turning", "twin", NULL };
    struct fileset first CLEANUP(fileset_done) = { 0 };
    struct fileset again CLEANUP(fileset_done) = { 0 };
    struct fileset other CLEANUP(fileset_done) = { 0 };
    struct fileset back CLEANUP(fileset_done) = { 0 };

    rig->put(rig, "turning", "one");
    rig->put(rig, "twin", "one");
    must_fetch(rig, names, &first);
    must_fetch(rig, names, &again);
    rig->put(rig, "turning", "two");
    must_fetch(rig, names, &other);
    rig->put(rig, "turning", "one");
    must_fetch(rig, names, &back);
    assert_string_equal(version_of(&first, "turning"), version_of(&again, "turning"));
    assert_string_not_equal(version_of(&first, "turning"), version_of(&other, "turning"));
    assert_string_equal(version_of(&first, "twin"), version_of(&other, "twin"));
    assert_string_equal(version_of(&first, "turning"), version_of(&back, "turning"));
    /* Equal values of two names are not seen to be equal. */
    assert_string_not_equal(version_of(&first, "turning"), version_of(&first, "twin"));
}

static void one_that_is_missing_costs_all_and_is_named(struct rig *rig)
{
    static const char *const names[] = { "user", "nowhere", NULL };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };

    assert_int_equal(fetch(rig, names, &set, &err), -1);
    assert_int_equal(err.code, CODE_NOT_FOUND);
    assert_non_null(strstr(err.msg, "nowhere"));
    assert_null(strstr(err.msg, "joe"));
    assert_int_equal(set.count, 0);
    assert_int_equal(set.version_count, 0);
}

static void names_that_are_no_path_are_refused_before_any_call(struct rig *rig)
{
    static const char *const bad[] = { "../user", "/user", "..hidden", "a//b",
                                       "user, objectName: x" };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *const names[] = { bad[i], NULL };
        struct fileset set CLEANUP(fileset_done) = { 0 };
        struct error err = { 0 };

        assert_int_equal(fetch(rig, names, &set, &err), -1);
        if (err.code != CODE_INVALID_ARGUMENT)
            fail_msg("%s: %s: %s: %s", rig->name, bad[i], code_name(err.code), err.msg);
    }
}

static void *fetch_often(void *arg)
{
    static const char *const names[] = { "user", "password", NULL };
    size_t bad = 0;

    for (int i = 0; i < FETCHES; i++) {
        struct fileset set CLEANUP(fileset_done) = { 0 };

        bad += fetch(arg, names, &set, NULL) < 0 || set.count != 2 || !holds(&set, "user", "joe");
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

static void a_release_of_what_was_never_fetched_is_fine(struct rig *rig)
{
    static const char *const names[] = { "user", NULL };
    struct fileset set CLEANUP(fileset_done) = { 0 };

    rig->provider->ops->release(rig->provider, "v1");
    rig->provider->ops->release(rig->provider, "v1");
    rig->provider->ops->release(rig->provider, "never-seen");
    must_fetch(rig, names, &set);
}

static void (*const contract[])(struct rig *rig) = {
    each_object_is_a_file_and_a_version,
    versions_tell_contents_apart_and_nothing_of_them,
    one_that_is_missing_costs_all_and_is_named,
    names_that_are_no_path_are_refused_before_any_call,
    several_may_fetch_at_a_time,
    a_release_of_what_was_never_fetched_is_fine,
};

static void keeps_the_contract(void **state)
{
    struct rig *rig = *state;

    rig->make(rig);
    rig->put(rig, "user", "joe");
    rig->put(rig, "password", "hunter2-hunter2");
    for (size_t i = 0; i < COUNT_OF(contract); i++)
        contract[i](rig);
    rig->provider->ops->free(rig->provider);
    secret_done(&rig->config.hmac_key);
    rig->unmake(rig);
}

/* --- the file store alone ----------------------------------------------------------------------
 */

static void a_value_over_the_ceiling_is_refused_by_name(void **state)
{
    static const char *const names[] = { "huge", NULL };
    struct rig *rig = *state;
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };
    autofree char *path = NULL;

    rig->make(rig);
    path = str_printf("%s/huge", rig->place);
    rig->put(rig, "huge", "");
    assert_int_equal(truncate(path, (off_t)1 << 30), 0);
    assert_int_equal(fetch(rig, names, &set, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "huge"));
    rig->provider->ops->free(rig->provider);
    secret_done(&rig->config.hmac_key);
    rig->unmake(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(keeps_the_contract, &rigs[0]),
        cmocka_unit_test_prestate(keeps_the_contract, &rigs[1]),
        cmocka_unit_test_prestate(keeps_the_contract, &rigs[2]),
        cmocka_unit_test_prestate(a_value_over_the_ceiling_is_refused_by_name, &rigs[0]),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
