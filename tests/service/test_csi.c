/* SPDX-License-Identifier: Apache-2.0
 *
 * CSI's Identity and Node services over plain folders and a provider in memory. The same suite runs
 * in-process and over the socket, by the same generated calls.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "driver/serve/admin.h"
#include "driver/serve/identity.h"
#include "driver/serve/node.h"
#include "driver/volume/recovery.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/net/rpc_client.h"
#include "lib/net/rpc_server.h"
#include "tests/check.h"
#include "tests/fakes/cluster_double.h"
#include "tests/fakes/source_double.h"

#define UID "0a1b-2c3d"

struct world {
    char folder[64];
    char *root;
    char *target;
    struct lifecycle app;
    struct identity identity;
    struct node node;
    struct admin admin;
    ProtobufCService *services[3];
    struct rpc_server *server;
    struct rpc_client *client;
};

static struct world w;

static void make_app(void)
{
    autofree char *state = str_printf("%s/state", w.folder);
    struct error err = { 0 };

    w.app = (struct lifecycle){ .config = { .rotation = true, .rotation_interval_ms = 3600000 } };
    if (target_root_open(w.root, &w.app.root, &err) < 0 ||
        state_open(state, &w.app.state, &err) < 0)
        fail_msg("%s", err.msg);
    w.app.mounter = mount_folder_new();
    w.app.source = source_double_new();
    w.app.cluster = cluster_double_new();
    w.app.metrics = metrics_new(volume_metric_rows, VM_COUNT);
    lifecycle_start(&w.app);
    if (recovery_run(&w.app, &err) < 0)
        fail_msg("%s", err.msg);
    cluster_double_put(w.app.cluster,
                       "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"
                       "metadata: {name: app, namespace: ns}\n"
                       "spec: {provider: double, parameters: {objects: '', region: here}}\n");
    source_double_put(w.app.source, "a", "old");
}

static int set_up(bool socket)
{
    struct node_config config = { .node_id = "n1", .require_readonly = true, .publish_threads = 8 };
    struct rpc_server_config server = { .services = w.services, .service_count = 3 };
    autofree char *path = NULL;

    (void)snprintf(w.folder, sizeof(w.folder), "/tmp/locket-csi-XXXXXX");
    assert_non_null(mkdtemp(w.folder));
    w.root = str_printf("%s/root", w.folder);
    w.target = str_printf("%s/pods/" UID "/volumes/kubernetes.io~csi/v/mount", w.root);
    assert_int_equal(mkdir(w.root, 0755), 0);
    make_app();
    identity_init(&w.identity, "secrets-store.csi.k8s.io", &w.app);
    node_init(&w.node, &config, &w.app);
    admin_init(&w.admin, &w.app);
    w.services[0] = &w.identity.service.base;
    w.services[1] = &w.node.service.base;
    w.services[2] = &w.admin.service.base;
    if (!socket) {
        w.client = rpc_client_new_local(w.services, 3);
        return 0;
    }
    path = str_printf("%s/s.sock", w.folder);
    server.path = path;
    assert_int_equal(rpc_server_start(&server, &w.server, NULL), 0);
    w.client = rpc_client_new(&(struct rpc_client_config){ .path = path });
    return 0;
}

static int set_up_local(void **state)
{
    (void)state;
    return set_up(false);
}

static int set_up_socket(void **state)
{
    (void)state;
    return set_up(true);
}

static int tear_down(void **state)
{
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    rpc_client_free(w.client);
    rpc_server_free(w.server, 1000);
    admin_done(&w.admin);
    node_done(&w.node);
    lifecycle_stop(&w.app);
    w.app.source->ops->free(w.app.source);
    w.app.cluster->ops->free(w.app.cluster);
    w.app.mounter->ops->free(w.app.mounter);
    metrics_free(w.app.metrics);
    state_close(&w.app.state);
    target_root_done(&w.app.root);
    (void)!fs_remove_tree(tmp, strrchr(w.folder, '/') + 1, NULL);
    free(w.root);
    free(w.target);
    w = (struct world){ 0 };
    return 0;
}

/* --- calls --------------------------------------------------------------------------------------
 */

static int call(const ProtobufCServiceDescriptor *service, const char *method,
                const ProtobufCMessage *in, ProtobufCMessage **ret, struct error *err)
{
    struct rpc_request request = {
        .service = service, .method = method, .in = in, .timeout_ms = 5000
    };

    return rpc_client_call(w.client, &request, ret, err);
}

/* What a publish may differ in from a good one. */
struct change {
    const char *id;
    const char *target;
    const char *class_name;
    const char *key;
    const char *value;
    const char *group;
    const char *flag;
    bool no_capability, no_context, block, writable;
};

enum { CONTEXT = 7 };

static int publish(const struct change *c, struct error *err)
{
    typedef Csi__V1__NodePublishVolumeRequest__VolumeContextEntry Entry;
    const char *context[CONTEXT][2] = {
        { CONTEXT_CLASS, c->class_name ? c->class_name : "app" },
        { CONTEXT_POD_NAME, "web" },
        { CONTEXT_POD_NAMESPACE, "ns" },
        { CONTEXT_POD_UID, UID },
        { CONTEXT_SERVICE_ACCOUNT, "sa" },
        { CONTEXT_EPHEMERAL, "true" },
        { c->key ? c->key : "k", c->value ? c->value : "v" },
    };
    Csi__V1__NodePublishVolumeRequest in = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
    Csi__V1__VolumeCapability capability = CSI__V1__VOLUME_CAPABILITY__INIT;
    Csi__V1__VolumeCapability__MountVolume mount = CSI__V1__VOLUME_CAPABILITY__MOUNT_VOLUME__INIT;
    Csi__V1__VolumeCapability__BlockVolume block = CSI__V1__VOLUME_CAPABILITY__BLOCK_VOLUME__INIT;
    char *flags[] = { (char *)c->flag };
    Entry entries[CONTEXT];
    Entry *refs[CONTEXT];
    ProtobufCMessage *reply = NULL;
    int result;

    for (size_t i = 0; i < CONTEXT; i++) {
        csi__v1__node_publish_volume_request__volume_context_entry__init(&entries[i]);
        entries[i].key = (char *)context[i][0];
        entries[i].value = (char *)context[i][1];
        refs[i] = &entries[i];
    }
    mount.volume_mount_group = (char *)(c->group ? c->group : "");
    mount.n_mount_flags = c->flag ? 1 : 0;
    mount.mount_flags = flags;
    capability.access_type_case = c->block ? CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK
                                           : CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
    if (c->block)
        capability.block = &block;
    else
        capability.mount = &mount;
    in.volume_id = (char *)(c->id ? c->id : "csi-1");
    in.target_path = (char *)(c->target ? c->target : w.target);
    in.volume_capability = c->no_capability ? NULL : &capability;
    in.readonly = !c->writable;
    in.n_volume_context = c->no_context ? 0 : CONTEXT;
    in.volume_context = refs;
    result = call(&csi__v1__node__descriptor, "NodePublishVolume", &in.base, &reply, err);
    rpc_reply_free(reply);
    return result;
}

static int unpublish(const char *id, const char *target, struct error *err)
{
    Csi__V1__NodeUnpublishVolumeRequest in = CSI__V1__NODE_UNPUBLISH_VOLUME_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    int result;

    in.volume_id = (char *)id;
    in.target_path = (char *)target;
    result = call(&csi__v1__node__descriptor, "NodeUnpublishVolume", &in.base, &reply, err);
    rpc_reply_free(reply);
    return result;
}

static void must(int result, const struct error *err)
{
    if (result < 0)
        fail_msg("%s: %s", code_name(err->code), err->msg);
}

static void expect_file(const char *name, const char *want)
{
    autofree char *path = str_printf("%s/%s", w.target, name);
    autofree char *have = NULL;
    struct error err = { 0 };

    must(fs_read_text(path, 4096, &have, &err), &err);
    assert_string_equal(have, want);
}

static size_t records(void)
{
    autofree char *path = str_printf("%s/state", w.folder);
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    while ((entry = readdir(dir)))
        count += (size_t)(str_ends(entry->d_name, ".vol") != 0);
    (void)closedir(dir);
    return count;
}

static void expect_nothing_left(void)
{
    assert_int_equal(access(w.target, F_OK), -1);
    assert_int_equal(records(), 0);
    assert_int_equal(volume_table_count(w.app.volumes), 0);
    assert_int_equal(budget_used(&w.app.budget), 0);
}

/* --- identity ------------------------------------------------------------------------------------
 */

static void the_plugin_tells_name_and_no_capabilities_and_is_ready(void **state)
{
    Csi__V1__GetPluginInfoRequest info = CSI__V1__GET_PLUGIN_INFO_REQUEST__INIT;
    Csi__V1__GetPluginCapabilitiesRequest can = CSI__V1__GET_PLUGIN_CAPABILITIES_REQUEST__INIT;
    Csi__V1__ProbeRequest probe = CSI__V1__PROBE_REQUEST__INIT;
    const ProtobufCServiceDescriptor *d = &csi__v1__identity__descriptor;
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    (void)state;
    must(call(d, "GetPluginInfo", &info.base, &reply, &err), &err);
    assert_string_equal(((Csi__V1__GetPluginInfoResponse *)reply)->name,
                        "secrets-store.csi.k8s.io");
    rpc_reply_free(reply);
    must(call(d, "GetPluginCapabilities", &can.base, &reply, &err), &err);
    assert_int_equal(((Csi__V1__GetPluginCapabilitiesResponse *)reply)->n_capabilities, 0);
    rpc_reply_free(reply);
    must(call(d, "Probe", &probe.base, &reply, &err), &err);
    assert_true(((Csi__V1__ProbeResponse *)reply)->ready->value);
    rpc_reply_free(reply);
}

static void the_node_tells_its_id_and_two_capabilities(void **state)
{
    Csi__V1__NodeGetInfoRequest info = CSI__V1__NODE_GET_INFO_REQUEST__INIT;
    Csi__V1__NodeGetCapabilitiesRequest can = CSI__V1__NODE_GET_CAPABILITIES_REQUEST__INIT;
    const ProtobufCServiceDescriptor *d = &csi__v1__node__descriptor;
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    (void)state;
    must(call(d, "NodeGetInfo", &info.base, &reply, &err), &err);
    assert_string_equal(((Csi__V1__NodeGetInfoResponse *)reply)->node_id, "n1");
    rpc_reply_free(reply);
    must(call(d, "NodeGetCapabilities", &can.base, &reply, &err), &err);
    assert_int_equal(((Csi__V1__NodeGetCapabilitiesResponse *)reply)->n_capabilities, 2);
    rpc_reply_free(reply);
}

/* --- publish -------------------------------------------------------------------------------------
 */

static const struct {
    const char *says;
    struct change change;
    enum code code;
    const char *text;
} bad_requests[] = {
    { "no capability",
      { .no_capability = true },
      CODE_INVALID_ARGUMENT,
      "Volume capability missing in request" },
    { "no id", { .id = "" }, CODE_INVALID_ARGUMENT, "Volume ID missing in request" },
    { "no target", { .target = "" }, CODE_INVALID_ARGUMENT, "Target path missing in request" },
    { "no context",
      { .no_context = true },
      CODE_INVALID_ARGUMENT,
      "Volume attributes missing in request" },
    { "not read-only",
      { .writable = true },
      CODE_INVALID_ARGUMENT,
      "Readonly is not true in request" },
    { "a block volume", { .block = true }, CODE_INVALID_ARGUMENT, "block" },
    { "no class", { .class_name = "" }, CODE_INVALID_ARGUMENT, "secretProviderClass is not set" },
    { "not ephemeral",
      { .key = CONTEXT_EPHEMERAL, .value = "false" },
      CODE_INVALID_ARGUMENT,
      "ephemeral" },
    { "a group that is no number",
      { .group = "wheel" },
      CODE_INVALID_ARGUMENT,
      "volume_mount_group" },
    { "a negative group", { .group = "-1" }, CODE_INVALID_ARGUMENT, "volume_mount_group" },
    { "an option that undoes noexec", { .flag = "exec" }, CODE_INVALID_ARGUMENT, "mount_flags" },
    { "tokens that are no JSON",
      { .key = CONTEXT_TOKENS, .value = "{" },
      CODE_INVALID_ARGUMENT,
      "serviceAccount.tokens" },
    { "tokens that are a list",
      { .key = CONTEXT_TOKENS, .value = "[]" },
      CODE_INVALID_ARGUMENT,
      "serviceAccount.tokens" },
    { "an overridden parameter",
      { .key = "region", .value = "there" },
      CODE_INVALID_ARGUMENT,
      "region" },
    { "an id with a line break", { .id = "a\nb" }, CODE_INVALID_ARGUMENT, "volume_id" },
    { "a target elsewhere", { .target = "/etc/x" }, CODE_INVALID_ARGUMENT, "target_path" },
    { "a class that is not there",
      { .class_name = "none" },
      CODE_NOT_FOUND,
      "failed to get secretproviderclass ns/none" },
};

static void bad_requests_are_refused_before_any_side_effect(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad_requests); i++) {
        struct error err = { 0 };

        if (publish(&bad_requests[i].change, &err) == 0 || err.code != bad_requests[i].code ||
            !strstr(err.msg, bad_requests[i].text))
            fail_msg("%s: %s: %s", bad_requests[i].says, code_name(err.code), err.msg);
        expect_nothing_left();
    }
    assert_int_equal(source_double_fetches(w.app.source), 0);
}

static void a_volume_lives_from_publish_to_unpublish(void **state)
{
    struct error err = { 0 };

    (void)state;
    must(publish(&(struct change){ 0 }, &err), &err);
    expect_file("a", "old");
    assert_int_equal(records(), 1);
    must(publish(&(struct change){ 0 }, &err), &err);
    assert_int_equal(source_double_fetches(w.app.source), 1); /* a republish fetches nothing */
    assert_int_equal(publish(&(struct change){ .class_name = "other" }, &err), -1);
    assert_int_equal(err.code, CODE_ALREADY_EXISTS);
    must(unpublish("csi-1", w.target, &err), &err);
    must(unpublish("csi-1", w.target, &err), &err);
    expect_nothing_left();
    assert_false(cluster_double_last(w.app.cluster, "csi-1")->mounted);
}

static void a_failed_fetch_undoes_the_publish_and_keeps_its_code(void **state)
{
    static const enum code codes[] = { CODE_UNKNOWN, CODE_NOT_FOUND, CODE_PERMISSION_DENIED,
                                       CODE_UNAVAILABLE, CODE_UNAUTHENTICATED };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        struct error planned = { .code = codes[i], .msg = "the store says no" };
        struct error err = { 0 };

        source_double_fail(w.app.source, &planned);
        assert_int_equal(publish(&(struct change){ 0 }, &err), -1);
        assert_int_equal(err.code, codes[i]);
        assert_non_null(strstr(
            err.msg, "failed to mount secrets store objects for pod ns/web, err: the store"));
        expect_nothing_left();
    }
}

static void a_volume_that_is_not_whole_is_repaired_or_unavailable(void **state)
{
    autofree char *data = str_printf("%s/..data", w.target);
    struct error planned = { .code = CODE_PERMISSION_DENIED, .msg = "no" };
    struct error err = { 0 };

    (void)state;
    must(publish(&(struct change){ 0 }, &err), &err);
    assert_int_equal(unlink(data), 0);
    source_double_fail(w.app.source, &planned);
    assert_int_equal(publish(&(struct change){ 0 }, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE); /* never a final code: a pod lives on it */
    assert_int_equal(records(), 1);
    source_double_fail(w.app.source, NULL);
    must(publish(&(struct change){ 0 }, &err), &err);
    expect_file("a", "old");
    must(unpublish("csi-1", w.target, &err), &err);
    expect_nothing_left();
}

/* The sum of all series of a metric. */
static double counted(const char *name)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };
    size_t len = strlen(name);
    double sum = 0;

    metrics_write(w.app.metrics, &text);
    for (const char *line = strbuf_text(&text); line && *line; line = strchr(line, '\n')) {
        const char *end;

        line += *line == '\n';
        end = line + strcspn(line, "\n");
        if (strncmp(line, name, len) == 0 && (line[len] == '{' || line[len] == ' '))
            sum += strtod((const char *)memrchr(line, ' ', (size_t)(end - line)), NULL);
    }
    return sum;
}

static void every_answer_is_counted_once_as_what_it_was(void **state)
{
    const char *repaired[] = { "repaired" };
    const char *noop[] = { "noop" };
    autofree char *data = str_printf("%s/..data", w.target);
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad_requests); i++)
        (void)!publish(&bad_requests[i].change, NULL);
    assert_true(counted("node_publish_error_total") == COUNT_OF(bad_requests));
    must(publish(&(struct change){ 0 }, &err), &err);
    must(publish(&(struct change){ 0 }, &err), &err);
    assert_int_equal(unlink(data), 0);
    must(publish(&(struct change){ 0 }, &err), &err);
    assert_true(counted("node_publish_total") == 2);
    assert_true(metrics_value(w.app.metrics, VM_REPUBLISH, noop) == 1);
    assert_true(metrics_value(w.app.metrics, VM_REPUBLISH, repaired) == 1);
    assert_int_equal(unpublish("", w.target, &err), -1);
    assert_int_equal(unpublish("csi-1", "/elsewhere", &err), -1);
    assert_true(counted("node_unpublish_error_total") == 2);
    must(unpublish("csi-1", w.target, &err), &err);
    assert_true(counted("node_unpublish_total") == 1);
    assert_true(counted("node_publish_error_total") == COUNT_OF(bad_requests));
}

static void run_publish(void *arg)
{
    (void)!publish(&(struct change){ 0 }, arg);
}

static void an_unpublish_ends_a_hanging_publish(void **state)
{
    struct work_pool_config config = { .name = "caller", .threads_max = 1, .queue_max = 1 };
    struct work_pool *pool = work_pool_new(&config);
    struct error hung = { 0 };
    struct error err = { 0 };
    int64_t until = clock_mono_ms() + 3000;
    int64_t before;

    (void)state;
    source_double_hang(w.app.source, true);
    assert_int_equal(work_submit(pool, run_publish, &hung, NULL), 0);
    while (records() == 0 && clock_mono_ms() < until)
        clock_sleep_ms(1);
    assert_int_equal(publish(&(struct change){ 0 }, &err), -1);
    assert_int_equal(err.code, CODE_ABORTED);
    before = clock_mono_ms();
    must(unpublish("csi-1", w.target, &err), &err);
    assert_in_range(clock_mono_ms() - before, 0, 1000);
    work_pool_free(pool);
    assert_true(hung.code == CODE_CANCELLED || hung.code == CODE_ABORTED);
    expect_nothing_left();
}

/* --- stats and admin -----------------------------------------------------------------------------
 */

static void stats_are_of_published_volumes_alone(void **state)
{
    Csi__V1__NodeGetVolumeStatsRequest in = CSI__V1__NODE_GET_VOLUME_STATS_REQUEST__INIT;
    const ProtobufCServiceDescriptor *d = &csi__v1__node__descriptor;
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    (void)state;
    in.volume_id = (char *)"csi-1";
    assert_int_equal(call(d, "NodeGetVolumeStats", &in.base, &reply, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    in.volume_path = w.target;
    assert_int_equal(call(d, "NodeGetVolumeStats", &in.base, &reply, &err), -1);
    assert_int_equal(err.code, CODE_NOT_FOUND);
    must(publish(&(struct change){ 0 }, &err), &err);
    must(call(d, "NodeGetVolumeStats", &in.base, &reply, &err), &err);
    assert_int_equal(((Csi__V1__NodeGetVolumeStatsResponse *)reply)->n_usage, 2);
    rpc_reply_free(reply);
}

static size_t refresh(struct error *err, bool *ret_changed, char code[32])
{
    Locket__Admin__V1__RefreshRequest in = LOCKET__ADMIN__V1__REFRESH_REQUEST__INIT;
    Locket__Admin__V1__RefreshResponse *out;
    ProtobufCMessage *reply = NULL;
    size_t count;

    if (call(&locket__admin__v1__admin__descriptor, "Refresh", &in.base, &reply, err) < 0)
        return 0;
    out = (Locket__Admin__V1__RefreshResponse *)reply;
    count = out->n_results;
    *ret_changed = out->results[0]->changed;
    (void)snprintf(code, 32, "%s", out->results[0]->code);
    rpc_reply_free(reply);
    return count;
}

static void a_refresh_swaps_or_keeps_and_tells(void **state)
{
    struct error planned = { .code = CODE_UNAVAILABLE, .msg = "sealed" };
    struct error err = { 0 };
    bool changed = false;
    char code[32];

    (void)state;
    assert_int_equal(refresh(&err, &changed, code), 0);
    assert_int_equal(err.code, CODE_NOT_FOUND);
    must(publish(&(struct change){ 0 }, &err), &err);
    assert_int_equal(refresh(&err, &changed, code), 1);
    assert_false(changed);
    source_double_put(w.app.source, "a", "new");
    source_double_put(w.app.source, "b", "more");
    assert_int_equal(refresh(&err, &changed, code), 1);
    assert_true(changed);
    expect_file("a", "new");
    expect_file("b", "more");
    source_double_fail(w.app.source, &planned);
    assert_int_equal(refresh(&err, &changed, code), 1);
    assert_string_equal(code, "UNAVAILABLE");
    expect_file("a", "new");
    must(publish(&(struct change){ 0 }, &err), &err); /* OK whatever the refresh did */
}

#define BOTH(test_)                                                                                \
    { "in process: " #test_, test_, set_up_local, tear_down, NULL },                               \
    {                                                                                              \
        "over the socket: " #test_, test_, set_up_socket, tear_down, NULL                          \
    }

/* test_csi [GLOB]: the tests whose name matches. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_plugin_tells_name_and_no_capabilities_and_is_ready),
        BOTH(the_node_tells_its_id_and_two_capabilities),
        BOTH(bad_requests_are_refused_before_any_side_effect),
        BOTH(a_volume_lives_from_publish_to_unpublish),
        BOTH(a_failed_fetch_undoes_the_publish_and_keeps_its_code),
        BOTH(a_volume_that_is_not_whole_is_repaired_or_unavailable),
        BOTH(every_answer_is_counted_once_as_what_it_was),
        BOTH(an_unpublish_ends_a_hanging_publish),
        BOTH(stats_are_of_published_volumes_alone),
        BOTH(a_refresh_swaps_or_keeps_and_tells),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    rpc_process_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
