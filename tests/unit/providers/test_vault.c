/* SPDX-License-Identifier: Apache-2.0
 *
 * The Vault store against a server that misbehaves on request: what becomes of a read, a login, a
 * lease. Real servers: tests/e2e.
 */
#include "lib/base/clock.h"
#include "providers/config.h"
#include "providers/request.h"
#include "tests/check.h"
#include "tests/fakes/vault_fake.h"

static struct vault_fake fake;
static struct provider_config config;
static struct provider *store;
static struct fetch_how how; /* of the last fetch */

static int set_up(void **state)
{
    (void)state;
    vault_fake_start(&fake, NULL);
    config =
        (struct provider_config){ .vault_addr = fake.server.url,
                                  .vault_mount = (char *)"kubernetes",
                                  .vault_namespace = (char *)"",
                                  .vault_tokens_max = 100,
                                  .hmac_key = secret_copy("0123456789abcdef0123456789abcdef", 32) };
    return provider_vault_new(&config, &store, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    store->ops->free(store);
    secret_done(&config.hmac_key);
    vault_fake_stop(&fake);
    return 0;
}

struct wish {
    const char *role;
    const char *objects;
    const char *volume;
    const char *pod;
    const char *param; /* more of the class: "\"name\":\"value\"," */
    const char *jwt;   /* what follows "good." in the pod's token */
};

/* As the wire brings it. */
static int fetch(const struct wish *wish, struct fileset *ret, struct error *err)
{
    struct fetch_request req CLEANUP(request_done) = { 0 };
    autofree char *attributes = str_printf(
        "{%s\"roleName\":\"%s\",\"objects\":\"%s\",\"csi.storage.k8s.io/pod.name\":\"web\","
        "\"csi.storage.k8s.io/pod.namespace\":\"shop\",\"csi.storage.k8s.io/pod.uid\":\"%s\","
        "\"csi.storage.k8s.io/serviceAccount.name\":\"sa\","
        "\"csi.storage.k8s.io/serviceAccount.tokens\":"
        "\"{\\\"vault\\\":{\\\"token\\\":\\\"good.%s\\\"}}\"}",
        wish->param ? wish->param : "", wish->role ? wish->role : "app", wish->objects,
        wish->pod ? wish->pod : "u1", wish->jwt ? wish->jwt : "canary-jwt");
    V1alpha1__MountRequest in = V1ALPHA1__MOUNT_REQUEST__INIT;

    in.attributes = attributes;
    in.target_path = (char *)"/target";
    in.permission = (char *)"420";
    if (request_read(&in, &req, err) < 0)
        return -1;
    req.volume_id = wish->volume ? wish->volume : "v1";
    req.left_ms = 10000;
    how = (struct fetch_how){ 0 };
    req.how = &how;
    return store->ops->fetch(store, &req, ret, err);
}

static bool holds(const struct fileset *set, const char *path, const char *text)
{
    const struct file *f = fileset_find(set, path);

    return f && f->contents.len == strlen(text) &&
           memcmp(f->contents.bytes, text, f->contents.len) == 0;
}

#define ONE(path) "[{objectName: a, secretPath: " path ", secretKey: user}]"

static const struct {
    const char *says;
    const char *role;
    const char *objects;
    int code; /* CODE_OK: file a holds `text` */
    const char *text;
} rows[] = {
    { "KV v2", NULL, ONE("secret/data/db"), CODE_OK, "anna" },
    { "KV v1", NULL, ONE("kv/db"), CODE_OK, "anna" },
    { "a field called data in KV v1 is a field (fault 1.3)", NULL, ONE("kv/nested"), CODE_OK,
      "outer" },
    { "a document that is no envelope", NULL, ONE("fault/document"), CODE_OK, "raw" },
    { "a login answer without auth (fault 1.2)", "no-auth", ONE("secret/data/db"), CODE_UNAVAILABLE,
      "holds no token" },
    { "a login page of a proxy", "html", ONE("secret/data/db"), CODE_UNAVAILABLE, "login" },
    { "a login answer that is a list", "lists", ONE("secret/data/db"), CODE_UNAVAILABLE,
      "holds no token" },
    { "a token that would split a header", "odd-token", ONE("secret/data/db"), CODE_UNAVAILABLE,
      "holds no token" },
    { "an unknown role", "unknown", ONE("secret/data/db"), CODE_PERMISSION_DENIED, "invalid role" },
    { "a login error that quotes the jwt", "echo", ONE("secret/data/db"), CODE_PERMISSION_DENIED,
      "cannot parse" },
    { "data that is null (fault 1.2)", NULL, ONE("fault/nodata"), CODE_NOT_FOUND, "a" },
    { "no body", NULL, ONE("fault/empty"), CODE_NOT_FOUND, "empty response" },
    { "errors without a word", NULL, ONE("fault/noerrors"), CODE_NOT_FOUND, "empty response" },
    { "a list", NULL, ONE("fault/list"), CODE_NOT_FOUND, "empty response" },
    { "a page", NULL, ONE("fault/html"), CODE_UNAVAILABLE, "the answer" },
    { "a key twice", NULL, ONE("fault/duplicate"), CODE_UNAVAILABLE, "the answer" },
    { "depth without end", NULL, ONE("fault/deep"), CODE_UNAVAILABLE, "the answer" },
    { "bytes that are no text", NULL, ONE("fault/utf8"), CODE_UNAVAILABLE, "the answer" },
    { "a NUL", NULL, ONE("fault/nul"), CODE_UNAVAILABLE, "the answer" },
    { "a policy that says no", NULL, ONE("fault/s403"), CODE_PERMISSION_DENIED, "may not read" },
    { "nothing there", NULL, ONE("secret/data/none"), CODE_NOT_FOUND, "secret/data/none" },
    { "a header quoted back", NULL, ONE("fault/echo"), CODE_INVALID_ARGUMENT, "bad header" },
    { "words with control characters", NULL, ONE("fault/words"), CODE_INVALID_ARGUMENT, "" },
    { "a server error, twice", NULL, ONE("fault/s500:2"), CODE_OK, "anna" },
    { "an index that is not there yet, once", NULL, ONE("fault/s412:1"), CODE_OK, "anna" },
    { "a redirect", NULL, ONE("fault/s307"), CODE_OK, "anna" },
    { "a redirect in a circle", NULL, ONE("fault/loop"), CODE_UNAVAILABLE, "redirect" },
};

/* There is no time to wait for an hour: the caller is told, and nobody asks again meanwhile. */
static void a_store_that_says_when_to_come_again_is_taken_at_its_word(void **state)
{
    struct wish wish = { .objects = ONE("fault/later"), .pod = "later" };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(fetch(&wish, &set, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_int_equal(err.retry_after_ms, 3600000);
    assert_int_equal(how.calls, 2); /* the login, and one read */
}

static void each_answer_is_a_file_or_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct wish wish = { .role = rows[i].role, .objects = rows[i].objects };
        struct fileset set CLEANUP(fileset_done) = { 0 };
        struct error err = { 0 };

        (void)!fetch(&wish, &set, &err);
        if ((int)err.code != rows[i].code)
            fail_msg("%s: %s: %s", rows[i].says, code_name(err.code), err.msg);
        if (rows[i].code == CODE_OK ? !holds(&set, "a", rows[i].text)
                                    : !strstr(err.msg, rows[i].text) || set.count)
            fail_msg("%s: %s, %zu files", rows[i].says, err.msg, set.count);
        if (strstr(err.msg, "canary") || strstr(err.msg, "hvs.") || strchr(err.msg, '\n') ||
            strchr(err.msg, '\x1b'))
            fail_msg("%s: told: %s", rows[i].says, err.msg);
    }
}

#define PAIR(path)                                                                                 \
    "[{objectName: a, secretPath: " path ", secretKey: username}, "                                \
    "{objectName: b, secretPath: " path ", secretKey: password}]"

/* --- how it went -------------------------------------------------------------------------------
 */

#define LOGIN_ID "00000000-0000-4000-9000-000000000000"

static void an_id_that_is_none_of_a_store_is_not_told(void **state)
{
    static const char *const paths[] = { ONE("fault/echoid"), ONE("fault/valueid") };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct wish wish = { .objects = paths[i], .pod = "ids" };
        struct fileset set CLEANUP(fileset_done) = { 0 };

        assert_int_equal(fetch(&wish, &set, NULL), 0);
        assert_string_equal(how.request, i ? "" : LOGIN_ID);
    }
}

static void a_read_tells_where_as_what_and_by_which_requests(void **state)
{
    struct wish wish = { .objects = ONE("secret/data/db"), .pod = "how" };
    struct fileset set CLEANUP(fileset_done) = { 0 };

    (void)state;
    assert_int_equal(fetch(&wish, &set, NULL), 0);
    assert_string_equal(how.store, fake.server.url);
    assert_string_equal(how.auth_method, "auth/kubernetes");
    assert_string_equal(how.role, "app");
    assert_true(str_starts(how.request, LOGIN_ID ",00000000-")); /* the login's, and the read's */
    assert_int_equal(how.calls, 2);
    assert_int_equal(how.logins, 1);
    assert_int_equal(how.leases + how.leases_kept + how.expires_at_unix_ms, 0);
    assert_int_equal(how.own_versions, 1);
    fileset_done(&set);
    assert_int_equal(fetch(&wish, &set, NULL), 0); /* with the same token */
    assert_int_equal(how.calls, 1);
    assert_int_equal(how.logins, 0);
}

/* A driver that is told nothing of pods (podInfoOnMount: false) names none: the token alone does.
 */
static void pods_that_are_not_named_share_no_login(void **state)
{
    static const struct {
        const char *pod;
        const char *jwt;
        int logins;
    } asked[] = { { "", "one", 1 },
                  { "", "two", 1 },
                  { "", "one", 0 },
                  { "named", "one", 1 },
                  { "named", "renewed", 0 } };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        struct wish wish = { .objects = ONE("secret/data/db"),
                             .pod = asked[i].pod,
                             .jwt = asked[i].jwt };
        struct fileset set CLEANUP(fileset_done) = { 0 };

        assert_int_equal(fetch(&wish, &set, NULL), 0);
        if (how.logins != asked[i].logins)
            fail_msg("pod \"%s\" with token %s: %d logins", asked[i].pod, asked[i].jwt,
                     (int)how.logins);
    }
}

static void a_flag_that_is_empty_says_nothing(void **state)
{
    struct provider_config plain = config;
    char empty[] = "";
    struct wish wish = { .objects = ONE("secret/data/db"), .pod = "empty" };
    struct wish odd_mount = { .objects = wish.objects, .param = "\"vaultAuthMountPath\":\"?\"," };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct error err = { 0 };
    struct error odd = { 0 };
    int result;

    (void)state;
    config.vault_ca_file = empty;
    config.vault_ca_folder = empty;
    config.vault_server_name = empty;
    config.vault_client_cert = empty;
    result = fetch(&wish, &set, &err);
    config.vault_addr = empty;
    (void)!fetch(&odd_mount, &set, &odd); /* what is read after the address is found odd */
    config = plain;
    if (result < 0 || !strstr(odd.msg, "vaultAuthMountPath"))
        fail_msg("%s; %s", err.msg, odd.msg);
}

static void classes_that_trust_another_server_share_no_login(void **state)
{
    static const char *const params[] = {
        "",
        "\"vaultTLSServerName\":\"a.example\",",
        "\"vaultTLSServerName\":\"b.example\",",
        "\"vaultSkipTLSVerify\":\"true\",",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(params); i++) {
        struct wish wish = { .objects = ONE("secret/data/db"), .pod = "tls", .param = params[i] };
        struct fileset set CLEANUP(fileset_done) = { 0 };

        assert_int_equal(fetch(&wish, &set, NULL), 0);
        if (how.logins != 1)
            fail_msg("{%s}: %d logins", params[i], (int)how.logins);
    }
}

static void a_lease_that_is_kept_costs_no_call_and_tells_its_end(void **state)
{
    struct wish wish = { .objects = PAIR("database/creds/mine"), .volume = "how", .pod = "lease" };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct fetch_how first;

    (void)state;
    assert_int_equal(fetch(&wish, &set, NULL), 0);
    first = how;
    assert_int_equal(first.leases, 1);
    assert_in_range(first.expires_at_unix_ms - clock_unix_ms(), 60 * 1000, 3600 * 1000);
    fileset_done(&set);
    assert_int_equal(fetch(&wish, &set, NULL), 0);
    assert_int_equal(how.calls, 0);
    assert_int_equal(how.leases_kept, 1); /* two objects, one lease */
    assert_int_equal(how.leases_failed, 0);
    assert_in_range(how.expires_at_unix_ms, first.expires_at_unix_ms - 100,
                    first.expires_at_unix_ms + 100);
    assert_non_null(strstr(first.request, how.request)); /* by which it was made */
}

static void a_login_that_fails_is_told(void **state)
{
    struct wish wish = { .role = "unknown", .objects = ONE("secret/data/db"), .pod = "refused" };
    struct fileset set CLEANUP(fileset_done) = { 0 };

    (void)state;
    assert_int_equal(fetch(&wish, &set, NULL), -1);
    assert_int_equal(how.logins_failed, 1);
    assert_string_equal(how.role, "unknown");
}

/* --- calls and leases --------------------------------------------------------------------------
 */

static char *text_of(const struct fileset *set, const char *path)
{
    const struct file *f = fileset_find(set, path);

    assert_non_null(f);
    return f ? xstrndup((const char *)f->contents.bytes, f->contents.len) : NULL;
}

static void must_fetch(const struct wish *wish, struct fileset *ret)
{
    struct error err = { 0 };

    if (fetch(wish, ret, &err) < 0)
        fail_msg("%s", err.msg);
}

static void dynamic_credentials_are_made_once_per_lease_and_volume(void **state)
{
    struct wish wish = { .objects = PAIR("database/creds/app"), .pod = "dynamic" };
    struct wish other = { .objects = PAIR("database/creds/app"), .pod = "dynamic", .volume = "v2" };
    struct fileset first CLEANUP(fileset_done) = { 0 };
    struct fileset again CLEANUP(fileset_done) = { 0 };
    struct fileset others CLEANUP(fileset_done) = { 0 };
    struct fileset after CLEANUP(fileset_done) = { 0 };
    autofree char *user = NULL;
    int64_t wait_ms;

    (void)state;
    must_fetch(&wish, &first);
    must_fetch(&wish, &again); /* a poll */
    assert_int_equal(vault_fake_asked(&fake, "GET /v1/database/creds/app"), 1);
    user = text_of(&first, "a");
    assert_true(holds(&again, "a", user));
    assert_true(str_same(first.versions[0].version, again.versions[0].version));
    wait_ms = again.refresh_at_unix_ms - clock_unix_ms(); /* 900 s */
    assert_in_range(wait_ms, 595000, 600200);
    must_fetch(&other, &others);
    assert_int_equal(vault_fake_asked(&fake, "GET /v1/database/creds/app"), 2);
    assert_false(holds(&others, "a", user));
    store->ops->release(store, "v1");
    must_fetch(&wish, &after);
    assert_int_equal(vault_fake_asked(&fake, "GET /v1/database/creds/app"), 3);
    assert_false(holds(&after, "a", user));
}

static void a_lease_ends_with_the_token_it_was_given_to(void **state)
{
    struct wish wish = { .role = "short", .objects = PAIR("database/creds/brief"), .pod = "brief" };
    struct fileset first CLEANUP(fileset_done) = { 0 };
    struct fileset later CLEANUP(fileset_done) = { 0 };
    autofree char *user = NULL;

    (void)state;
    must_fetch(&wish, &first); /* the token lives 3 s, the lease 900 s */
    user = text_of(&first, "a");
    assert_true(first.refresh_at_unix_ms - clock_unix_ms() <= 5000);
    clock_sleep_ms(2100);
    must_fetch(&wish, &later);
    assert_false(holds(&later, "a", user));
    assert_int_equal(vault_fake_asked(&fake, "GET /v1/database/creds/brief"), 2);
}

static void what_is_not_lent_is_read_each_time(void **state)
{
    static const char *const paths[] = { "secret/data/db", "kv/db", "database/static-creds/app" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        autofree char *objects = str_printf("[{objectName: a, secretPath: %s}]", paths[i]);
        autofree char *call = str_printf("GET /v1/%s", paths[i]);
        struct wish wish = { .objects = objects, .pod = "plain" };
        long before = vault_fake_asked(&fake, call);

        for (int n = 0; n < 3; n++) {
            struct fileset set CLEANUP(fileset_done) = { 0 };

            must_fetch(&wish, &set);
            assert_true(set.refresh_at_unix_ms == 0);
        }
        assert_int_equal(vault_fake_asked(&fake, call) - before, 3);
    }
}

static void other_arguments_are_another_call(void **state)
{
    /* Upstream hands the first call's answer to both (fault 1.3). */
    struct wish wish = { .objects =
                             "[{objectName: a, secretPath: pki/issue/x, secretKey: certificate, "
                             "method: PUT, secretArgs: {common_name: one}}, "
                             "{objectName: k, secretPath: pki/issue/x, secretKey: private_key, "
                             "method: PUT, secretArgs: {common_name: one}}, "
                             "{objectName: b, secretPath: pki/issue/x, secretKey: certificate, "
                             "method: PUT, secretArgs: {common_name: two}}]" };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    autofree char *one = NULL;
    autofree char *two = NULL;

    (void)state;
    must_fetch(&wish, &set);
    one = text_of(&set, "a");
    two = text_of(&set, "b");
    assert_non_null(strstr(one, "crt one"));
    assert_non_null(strstr(two, "crt two"));
    assert_int_equal(vault_fake_asked(&fake, "PUT /v1/pki/issue/x"), 2);
}

/* --- TLS ---------------------------------------------------------------------------------------
 */

static const struct {
    const char *says;
    const char *path;
    bool client_cert;
    const char *ca;
    int code;
    const char *text;
} tls_rows[] = {
    { "a client's certificate is shown", "secret/data/db", true, "ca", CODE_OK, NULL },
    { "none is shown where one is wanted", "secret/data/db", false, "ca", 0, "" },
    { "a server that nobody vouches for", "secret/data/db", true, "other-ca",
      CODE_FAILED_PRECONDITION, "certificate" },
    { "a redirect from HTTPS to plain HTTP", "fault/elsewhere", true, "ca",
      CODE_FAILED_PRECONDITION, "plain HTTP is refused" },
};

static void tls_is_never_given_up(void **state)
{
    char folder[] = "/tmp/locket-vault-tls-XXXXXX";
    autofree char *elsewhere = str_printf("%s/v1/secret/data/db", fake.server.url);
    const char *args[] = { "--tls", folder, "--client-ca", "--elsewhere", elsewhere, NULL };
    struct provider_config plain = config;
    struct vault_fake server;
    long before = vault_fake_asked(&fake, "GET /v1/secret/data/db");

    (void)state;
    assert_non_null(mkdtemp(folder));
    vault_fake_start(&server, args);
    for (size_t i = 0; i < COUNT_OF(tls_rows); i++) {
        autofree char *objects = str_printf(ONE("%s"), tls_rows[i].path);
        autofree char *ca = str_printf("%s/%s.pem", folder, tls_rows[i].ca);
        autofree char *cert = str_printf("%s/client.pem", folder);
        autofree char *key = str_printf("%s/client.key", folder);
        autofree char *pod = str_printf("tls-%zu", i);
        struct wish wish = { .objects = objects, .pod = pod };
        struct fileset set CLEANUP(fileset_done) = { 0 };
        struct error err = { 0 };
        int result;

        config.vault_addr = server.server.url;
        config.vault_ca_file = ca;
        config.vault_client_cert = tls_rows[i].client_cert ? cert : NULL;
        config.vault_client_key = tls_rows[i].client_cert ? key : NULL;
        result = fetch(&wish, &set, &err);
        config = plain;
        if ((result == 0) != !tls_rows[i].text ||
            (tls_rows[i].code && (int)err.code != tls_rows[i].code) ||
            (tls_rows[i].text && !strstr(err.msg, tls_rows[i].text)))
            fail_msg("%s: %s: %s", tls_rows[i].says, code_name(err.code), err.msg);
    }
    assert_int_equal(vault_fake_asked(&fake, "GET /v1/secret/data/db"), before);
    vault_fake_stop(&server);
    assert_int_equal(fs_remove_tree(AT_FDCWD, folder, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_tells_where_as_what_and_by_which_requests),
        cmocka_unit_test(a_lease_that_is_kept_costs_no_call_and_tells_its_end),
        cmocka_unit_test(a_login_that_fails_is_told),
        cmocka_unit_test(an_id_that_is_none_of_a_store_is_not_told),
        cmocka_unit_test(pods_that_are_not_named_share_no_login),
        cmocka_unit_test(a_flag_that_is_empty_says_nothing),
        cmocka_unit_test(classes_that_trust_another_server_share_no_login),
        cmocka_unit_test(tls_is_never_given_up),
        cmocka_unit_test(a_store_that_says_when_to_come_again_is_taken_at_its_word),
        cmocka_unit_test(each_answer_is_a_file_or_an_error),
        cmocka_unit_test(dynamic_credentials_are_made_once_per_lease_and_volume),
        cmocka_unit_test(a_lease_ends_with_the_token_it_was_given_to),
        cmocka_unit_test(what_is_not_lent_is_read_each_time),
        cmocka_unit_test(other_arguments_are_another_call),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
