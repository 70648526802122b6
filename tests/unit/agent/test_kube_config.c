/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/kube_config.h"
#include "lib/base/cleanup.h"
#include "tests/check.h"

static char path[] = "/tmp/locket-kubeconfig-XXXXXX";

#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
#define CONTEXT "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
#define CLUSTER "clusters: [{name: k, cluster: {server: 'https://h:6443'}}]\n"

static int read_text(const char *text, struct kube_config *ret, struct error *err)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return kube_config_read(path, ret, err);
}

static void a_pod_has_its_server_in_the_environment_and_its_token_in_a_folder(void **state)
{
    static const struct {
        const char *host;
        const char *port;
        const char *server; /* NULL: not in a cluster */
    } rows[] = {
        { "10.0.0.1", "443", "https://10.0.0.1:443" },
        { "kube.test", "6443", "https://kube.test:6443" },
        { "fd00::1", "443", "https://[fd00::1]:443" },
        { NULL, "443", NULL },
        { "10.0.0.1", NULL, NULL },
        { "", "443", NULL },
        { "10.0.0.1", "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct kube_config c autokubeconfig = { 0 };
        struct error err = { 0 };
        int result = kube_config_in_cluster(rows[i].host, rows[i].port, "/run/token", &c, &err);

        assert_int_equal(result, rows[i].server ? 0 : -1);
        if (result < 0) {
            assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
            assert_non_null(strstr(err.msg, "--kubeconfig"));
            continue;
        }
        assert_string_equal(c.server, rows[i].server);
        assert_string_equal(c.ca_file, "/run/token/ca.crt");
        assert_string_equal(c.token_file, "/run/token/token");
    }
}

static void the_current_context_decides(void **state)
{
    struct kube_config c autokubeconfig = { 0 };
    struct error err = { 0 };

    (void)state;
    if (read_text("current-context: two\n"
                  "contexts:\n"
                  "- {name: one, context: {cluster: a, user: a}}\n"
                  "- {name: two, context: {cluster: b, user: b}}\n"
                  "clusters:\n"
                  "- {name: a, cluster: {server: 'https://a'}}\n"
                  "- name: b\n"
                  "  cluster: {server: 'https://b:1//', tls-server-name: kube.test,\n"
                  "    certificate-authority: pki/ca.crt, insecure-skip-tls-verify: true}\n"
                  "users:\n"
                  "- {name: a, user: {token: wrong}}\n"
                  "- {name: b, user: {tokenFile: /abs/token, client-certificate: c.pem,\n"
                  "    client-key: k.pem}}\n",
                  &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(c.server, "https://b:1");
    assert_string_equal(c.server_name, "kube.test");
    assert_string_equal(c.ca_file, "/tmp/pki/ca.crt");
    assert_string_equal(c.token_file, "/abs/token");
    assert_string_equal(c.cert_file, "/tmp/c.pem");
    assert_string_equal(c.key_file, "/tmp/k.pem");
    assert_true(c.skip_verify);
    assert_int_equal(c.token.len, 0);
}

static void what_stands_in_the_file_itself_is_taken_from_it(void **state)
{
    struct kube_config c autokubeconfig = { 0 };
    struct error err = { 0 };

    (void)state;
    if (read_text(HEAD CONTEXT
                  "clusters: [{name: k, cluster: {server: 'https://h',\n"
                  "  certificate-authority-data: Y2E=}}]\n"
                  "users: [{name: u, user: {token: t, client-certificate-data: Y2VydA==,\n"
                  "  client-key-data: a2V5}}]\n",
                  &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_memory_equal(c.ca.bytes, "ca", c.ca.len);
    assert_memory_equal(c.token.bytes, "t", c.token.len);
    assert_memory_equal(c.cert.bytes, "cert", c.cert.len);
    assert_memory_equal(c.key.bytes, "key", c.key.len);
    assert_null(c.ca_file);
    assert_false(c.skip_verify);
}

static void what_is_wrong_is_said_with_its_field_and_nothing_secret(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        { "", "current-context names no context" },
        { "[]", "current-context names no context" },
        { "a: [", "line" },
        { HEAD, "current-context names no context" },
        { HEAD "contexts: {c: 1}\n", "current-context names no context" },
        { HEAD CONTEXT, "the current context names no cluster" },
        { HEAD CONTEXT "clusters: [{name: k, cluster: {}}]\n", "clusters: server is not set" },
        { HEAD CONTEXT "clusters: [{name: k, cluster: {server: [1]}}]\n",
          "clusters: server is not set" },
        { HEAD CONTEXT "clusters: [{name: k, cluster: {server: s, certificate-authority-data: '%'}"
                       "}]\n",
          "certificate-authority-data" },
        { HEAD CONTEXT CLUSTER "users: [{name: u, user: {exec: {command: hunter2}}}]\n",
          "exec and auth-provider run commands" },
        { HEAD CONTEXT CLUSTER "users: [{name: u, user: {auth-provider: {name: hunter2}}}]\n",
          "exec and auth-provider run commands" },
        { HEAD CONTEXT CLUSTER "users: [{name: u, user: {client-key-data: 'hunter2%'}}]\n",
          "client-key-data" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct kube_config c autokubeconfig = { 0 };
        struct error err = { 0 };

        assert_int_equal(read_text(rows[i].text, &c, &err), -1);
        assert_null(c.server);
        if (!strstr(err.msg, rows[i].says) || !strstr(err.msg, path) || strstr(err.msg, "hunter2"))
            fail_msg("%zu: %s", i, err.msg);
    }
}

static void a_file_that_is_too_large_or_not_there_is_none(void **state)
{
    autofree char *large = xmalloc(KUBE_CONFIG_BYTES_MAX + 2);
    struct kube_config c autokubeconfig = { 0 };
    struct error err = { 0 };

    (void)state;
    memset(large, '#', KUBE_CONFIG_BYTES_MAX + 1);
    large[KUBE_CONFIG_BYTES_MAX + 1] = '\0';
    assert_int_equal(read_text(large, &c, &err), -1);
    assert_non_null(strstr(err.msg, "kubeconfig"));
    assert_int_equal(kube_config_read("/nowhere/config", &c, &err), -1);
    assert_non_null(strstr(err.msg, "/nowhere/config"));
}

static int make(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    return close(fd);
}

static int unmake(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_has_its_server_in_the_environment_and_its_token_in_a_folder),
        cmocka_unit_test(the_current_context_decides),
        cmocka_unit_test(what_stands_in_the_file_itself_is_taken_from_it),
        cmocka_unit_test(what_is_wrong_is_said_with_its_field_and_nothing_secret),
        cmocka_unit_test(a_file_that_is_too_large_or_not_there_is_none),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
