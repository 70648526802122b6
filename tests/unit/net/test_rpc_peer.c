/* SPDX-License-Identifier: Apache-2.0
 *
 * Our server and our client against grpcio, which shares no code of ours: what it sends that no
 * client of ours would, and what it expects.
 */
#include "lib/base/strbuf.h"
#include "tests/unit/net/rig.h"

#define PUBLISH "/csi.v1.Node/NodePublishVolume"

enum { GROWTH_MAX_KB = 8 << 10 };

static const struct {
    const char *says;
    const char *words; /* after the socket */
    const char *command;
    const char *want;
    const char *with;
} rows[] = {
    { "an empty message is a message", "/csi.v1.Node/NodeGetInfo ''", "call", "OK 0a026e31", "" },
    { "an unknown method is named", "/csi.v1.Node/Nothing ''", "call", "UNIMPLEMENTED",
      "/csi.v1.Node/Nothing" },
    { "so is one of an unknown service", "/nobody.Home/Nothing ''", "call", "UNIMPLEMENTED",
      "/nobody.Home/Nothing" },
    { "a method that the service left out", "/csi.v1.Node/NodeStageVolume ''", "call",
      "UNIMPLEMENTED", "NodeStageVolume" },
    { "a path that is none", "/x ''", "call", "UNIMPLEMENTED", "/x" },
    { "a NUL byte would cut a path", PUBLISH " 2203610063", "call", "INVALID_ARGUMENT",
      "target_path" },
    { "text that is not UTF-8", PUBLISH " 0a02fffe", "call", "INVALID_ARGUMENT", "volume_id" },
    { "half a message", PUBLISH " 0a7f61", "call", "INVALID_ARGUMENT", "not a protobuf message" },
    { "a failure has its metadata", PUBLISH " 0a026e6f1a01392204" /* id no, staging 9 */ "6661696c",
      "call", "FAILED_PRECONDITION no", "'locket-retry-after-ms': '1234'" },
    { "and its reason", PUBLISH " 0a026e6f1a013922046661696c", "call", "FAILED_PRECONDITION no",
      "'locket-reason': 'Test'" },
    { "no message at all", PUBLISH, "messages", "INTERNAL", "no request message" },
    { "of two messages the first is the call", "/csi.v1.Node/NodeGetInfo '' ''", "messages",
      "OK 0a026e31", "" },
};

static void grpcio_gets_the_answers_it_expects(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *words = str_printf("%s %s %s", rows[i].command, rig.path, rows[i].words);
        autofree char *out = peer_run(words);

        if (!str_starts(out, rows[i].want) || !strstr(out, rows[i].with))
            fail_msg("%s: %s", rows[i].says, out);
    }
}

static void more_fields_than_the_budget_are_refused(void **state)
{
    struct strbuf words CLEANUP(strbuf_done) = { 0 };
    autofree char *out = NULL;

    (void)state;
    strbuf_printf(&words, "call %s " PUBLISH " ", rig.path);
    for (int i = 0; i < 20001; i++)
        strbuf_add(&words, "4200", 4);
    out = peer_run(words.text);
    if (!str_starts(out, "RESOURCE_EXHAUSTED"))
        fail_msg("%.300s", out);
}

/* --- compressed messages ---
 *
 * The ceiling of a message counts after inflating, so what is compressed is refused before. */

static long peak_kb(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kb = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (str_starts(line, "VmHWM:"))
            kb = strtol(line + 6, NULL, 10);
    (void)fclose(f);
    return kb;
}

static void forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");

    assert_non_null(f);
    assert_true(fputs("5", f) > 0);
    assert_int_equal(fclose(f), 0);
}

static void a_request_is_refused_before_it_is_inflated(void **state)
{
    autofree char *words = str_printf("bomb %s " PUBLISH, rig.path);
    autofree char *out = NULL;
    long before;

    (void)state;
    check_answer(rig.over_socket);
    forget_peak();
    before = peak_kb();
    out = peer_run(words);
    assert_in_range(peak_kb() - before, 0, GROWTH_MAX_KB);
    if (!str_starts(out, "UNIMPLEMENTED"))
        fail_msg("%s", out);
    check_answer(rig.over_socket);
}

/* Starts grpcio as a server and gives a client of it. */
static struct rpc_client *serve_by_peer(const char *mode, FILE **ret_peer, pid_t *ret_pid)
{
    autofree char *path = str_printf("%s/%s.sock", rig.folder, mode);
    autofree char *words = str_printf("serve %s %s", path, mode);

    *ret_peer = peer_start(words);
    *ret_pid = peer_pid(*ret_peer);
    return rpc_client_new(&(struct rpc_client_config){ .path = path });
}

static void an_answer_is_refused_before_it_is_inflated(void **state)
{
    FILE *peer = NULL;
    pid_t pid = 0;
    struct rpc_client *client = serve_by_peer("bomb", &peer, &pid);
    struct error err = { 0 };
    long before;

    (void)state;
    forget_peak();
    before = peak_kb();
    assert_int_equal(ask_node_id(client, NULL, &err), -1);
    assert_in_range(peak_kb() - before, 0, GROWTH_MAX_KB);
    assert_int_equal(err.code, CODE_UNIMPLEMENTED);
    rpc_client_free(client);
    (void)kill(pid, SIGKILL);
    (void)pclose(peer);
}

static void the_authority_is_localhost(void **state)
{
    FILE *peer = NULL;
    pid_t pid = 0;
    struct rpc_client *client = serve_by_peer("authority", &peer, &pid);
    autofree char *authority = NULL;
    struct error err = { 0 };

    (void)state;
    if (ask_node_id(client, &authority, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(authority, "localhost");
    rpc_client_free(client);
    (void)kill(pid, SIGKILL);
    (void)pclose(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grpcio_gets_the_answers_it_expects),
        cmocka_unit_test(more_fields_than_the_budget_are_refused),
        cmocka_unit_test(a_request_is_refused_before_it_is_inflated),
        cmocka_unit_test(an_answer_is_refused_before_it_is_inflated),
        cmocka_unit_test(the_authority_is_localhost),
    };

    return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
