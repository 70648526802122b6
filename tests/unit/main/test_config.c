/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/main/config.h"
#include "tests/check.h"

/* Upstream's command line, each flag once. Source: secrets-store-csi-driver v1.6. */
static char *upstream[] = {
    (char *)"locket-driver",
    (char *)"--classes=/classes",
    (char *)"--endpoint=unix:///csi/csi.sock",
    (char *)"--drivername",
    (char *)"other.csi.k8s.io",
    (char *)"--nodeid=n1",
    (char *)"--log-format-json=false",
    (char *)"--provider-volume=/var/run/secrets-store-csi-providers",
    (char *)"--additional-provider-volume-paths=/etc/kubernetes/secrets-store-csi-providers",
    (char *)"--metrics-addr=:8095",
    (char *)"--metrics-backend=Prometheus",
    (char *)"--enable-secret-rotation=true",
    (char *)"--rotation-poll-interval=1m30s",
    (char *)"--enable-pprof=false",
    (char *)"--pprof-port=6065",
    (char *)"--max-call-recv-msg-size=8388608",
    (char *)"--provider-health-check=false",
    (char *)"--provider-health-check-interval=2m",
    (char *)"-v=5",
    (char *)"-vmodule",
    (char *)"x=1",
    (char *)"-logtostderr",
    (char *)"-alsologtostderr=false",
    (char *)"-stderrthreshold=2",
    (char *)"-log_dir=/tmp",
    (char *)"-log_file=x",
    (char *)"-log_file_max_size=1800",
    (char *)"-log_backtrace_at=:0",
    (char *)"-add_dir_header",
    (char *)"-skip_headers",
    (char *)"-skip_log_headers",
    (char *)"-one_output",
    (char *)"--kubeconfig=",
};

static void count_one(void *arg, const char *name, const char *help)
{
    (void)name;
    assert_true(*help != '\0');
    (*(int *)arg)++;
}

static void every_upstream_flag_is_served_or_taken_with_a_warning(void **state)
{
    struct config config CLEANUP(config_done) = { 0 };
    struct error err = { 0 };
    int ignored = 0;

    (void)state;
    if (config_parse(COUNT_OF(upstream), upstream, &config, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(config.socket, "/csi/csi.sock");
    assert_string_equal(config.driver_name, "other.csi.k8s.io");
    assert_true(config.rotation);
    assert_int_equal(config.rotation_interval_ms, 90000);
    assert_int_equal(config.reply_bytes_max, 8 << 20);
    assert_int_equal(config.verbosity, 5);
    assert_true(config.require_readonly);
    assert_int_equal(config.grace_ms, 2000);
    assert_int_equal(config.override, OVERRIDE_DENY);
    assert_int_equal(config.finder.count, 3);
    assert_string_equal(config.finder.folders[0].path, LOCKET_PROVIDER_FOLDER);
    assert_false(config.finder.folders[0].lenient);
    assert_string_equal(config.finder.folders[1].path,
                        "/etc/kubernetes/secrets-store-csi-providers");
    config_each_ignored(COUNT_OF(upstream), upstream, count_one, &ignored);
    assert_int_equal(ignored, 19);
}

#define LONG "a-folder-of-a-name-that-leaves-a-socket-in-it-no-room-for-a-name-of-its-own"

static const struct {
    const char *flag;
    const char *word;
} wrong[] = {
    { "--endpoint=tcp://0.0.0.0:10000", "TCP" },
    { "--rotation-poll-interval=0", "--rotation-poll-interval" },
    { "--rotation-poll-interval=fast", "rotation-poll-interval" },
    { "--attribute-override=maybe", "--attribute-override" },
    { "--send-current-versions=some", "--send-current-versions" },
    { "--provider-folder=vault", "--provider-folder" },
    { "--provider-folder=a/b=/x", "provider-folder" },
    { "--provider-folder=vault=relative", "--provider-folder" },
    { "--provider-audiences=vault=", "--provider-audiences" },
    { "--additional-provider-volume-paths=relative", "absolute" },
    { "--max-call-recv-msg-size=99999999999", "--max-call-recv-msg-size" },
    { "--tmpfs-budget=much", "tmpfs-budget" },
    { "--rotation-poll=1m", "unknown flag" },
    { "--registration-folder=plugins_registry", "--registration-folder" },
    { "--registration-folder=/" LONG "/plugins_registry", "107" },
    { "--kubelet-endpoint=tcp://127.0.0.1:1", "--kubelet-endpoint" },
};

static void a_wrong_flag_is_named_with_what_it_wants(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char *argv[] = { (char *)"locket-driver", (char *)"--classes=/c", (char *)wrong[i].flag };
        struct config config CLEANUP(config_done) = { 0 };
        struct error err = { 0 };

        if (config_parse(COUNT_OF(argv), argv, &config, &err) == 0 ||
            err.code != CODE_INVALID_ARGUMENT || !strstr(err.msg, wrong[i].word))
            fail_msg("%s: %s", wrong[i].flag, err.msg);
    }
}

static void upstreams_spelling_of_an_endpoint_is_taken(void **state)
{
    static const char *const rows[][2] = {
        { "--endpoint=unix://tmp/csi.sock", "/tmp/csi.sock" },
        { "--endpoint=unix:///tmp/csi.sock", "/tmp/csi.sock" },
        { "--endpoint=/tmp/csi.sock", "/tmp/csi.sock" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *argv[] = { (char *)"locket-driver", (char *)"--classes=/c", (char *)rows[i][0] };
        struct config config CLEANUP(config_done) = { 0 };

        assert_int_equal(config_parse(COUNT_OF(argv), argv, &config, NULL), 0);
        assert_string_equal(config.socket, rows[i][1]);
    }
}

static const struct {
    const char *says;
    const char *flags[3];
    const char *socket; /* kubelet's; NULL: refused */
} kubelets[] = {
    { "off by default", { 0 }, "/csi/csi.sock" },
    { "our own path", { "--registration-folder=/reg" }, "/csi/csi.sock" },
    { "kubelet's path", { "--registration-folder=/reg", "--kubelet-endpoint=/k/s" }, "/k/s" },
    { "with a scheme", { "--registration-folder=/reg", "--kubelet-endpoint=unix:///k/s" }, "/k/s" },
    { "a name that leaves the folder",
      { "--registration-folder=/reg", "--drivername=../x" },
      NULL },
    { "a name like a hidden file's", { "--registration-folder=/reg", "--drivername=.x" }, NULL },
    { "no name", { "--registration-folder=/reg", "--drivername=" }, NULL },
    { "a path too long to dial",
      { "--registration-folder=/reg", "--kubelet-endpoint=/" LONG "/" LONG },
      NULL },
};

static void kubelet_is_told_its_own_path_of_the_socket(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kubelets); i++) {
        char *argv[5] = { (char *)"locket-driver", (char *)"--classes=/c" };
        struct config config CLEANUP(config_done) = { 0 };
        int argc = 2;
        bool taken;

        for (size_t n = 0; kubelets[i].flags[n]; n++)
            argv[argc++] = (char *)kubelets[i].flags[n];
        taken = config_parse(argc, argv, &config, NULL) == 0;
        if (taken != !!kubelets[i].socket ||
            (taken && strcmp(config.kubelet_socket, kubelets[i].socket) != 0))
            fail_msg("%s: %s", kubelets[i].says, taken ? config.kubelet_socket : "refused");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_upstream_flag_is_served_or_taken_with_a_warning),
        cmocka_unit_test(a_wrong_flag_is_named_with_what_it_wants),
        cmocka_unit_test(upstreams_spelling_of_an_endpoint_is_taken),
        cmocka_unit_test(kubelet_is_told_its_own_path_of_the_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
