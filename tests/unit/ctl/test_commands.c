/* SPDX-License-Identifier: Apache-2.0
 *
 * locketctl's commands against a driver of the test's own, over real sockets.
 */
#include <fcntl.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "lib/base/fs.h"
#include "lib/base/json.h"
#include "tests/check.h"
#include "tests/unit/ctl/driver_double.h"

enum { WORDS_MAX = 24, DRAIN_MS = 1000 };

static char folder[] = "/tmp/locket-ctl-XXXXXX";
static struct rpc_server *server;

static int start(void **state)
{
    static ProtobufCService *const services[] = { &node.base, &admin.base };
    autofree char *path = NULL;
    struct error err = { 0 };

    (void)state;
    rpc_process_setup();
    assert_non_null(mkdtemp(folder));
    path = str_printf("%s/sock", folder);
    struct rpc_server_config config = { .path = path, .services = services, .service_count = 2 };

    if (rpc_server_start(&config, &server, &err) < 0)
        fail_msg("%s", err.msg);
    return 0;
}

static int stop(void **state)
{
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    rpc_server_free(server, DRAIN_MS);
    rpc_process_done();
    strbuf_done(&driver.publish);
    free(driver.unpublished);
    free(driver.refreshed);
    return fs_remove_tree(tmp, strrchr(folder, '/') + 1, NULL);
}

/* --- running a command --- */

static struct {
    enum ctl_exit exit;
    char *out;
    char *err;
} ran;

static void forget_run(void)
{
    free(ran.out);
    free(ran.err);
    ran.out = ran.err = NULL;
}

/* Runs a line of words; @ stands for the test's folder, ' ' parts words. */
static void run(const char *line, const char *input)
{
    char *words[WORDS_MAX] = { xstrdup("locketctl") };
    int count = 1;
    size_t out_len = 0;
    size_t err_len = 0;
    struct ctl ctl = { .in = fmemopen((char *)(*input ? input : "\n"), *input ? strlen(input) : 1,
                                      "r") };

    forget_run();
    ctl.out = open_memstream(&ran.out, &out_len);
    ctl.err = open_memstream(&ran.err, &err_len);
    while (*line && count < WORDS_MAX - 1) {
        size_t len = strcspn(line, " ");
        const char *at = memchr(line, '@', len);

        words[count++] = at ? str_printf("%.*s%s%.*s", (int)(at - line), line, folder,
                                         (int)(len - (size_t)(at - line)) - 1, at + 1)
                            : xstrndup(line, len);
        line += len + (line[len] == ' ');
    }
    in_turn();
    ran.exit = ctl_run(&ctl, count, words);
    in_turn();
    (void)fclose(ctl.in);
    (void)fclose(ctl.out);
    (void)fclose(ctl.err);
    while (count)
        free(words[--count]);
}

static int reset(void **state)
{
    (void)state;
    driver.refusal = (struct error){ 0 };
    strbuf_reset(&driver.publish);
    return 0;
}

static int tidy(void **state)
{
    (void)state;
    forget_run();
    return 0;
}

static void has(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text ? text : "");
}

/* --- publish and unpublish --- */

static void publish_asks_as_kubelet_does(void **state)
{
    (void)state;
    run("publish app --pod shop/web --uid u1 --service-account sa --attribute region=eu "
        "--token vault=- --secret key=/dev/null --fs-group 2000 --volume-id csi-1 "
        "--target-root @ --csi-socket @/sock",
        "opaque-token\n");
    assert_string_equal(ran.err, "");
    assert_int_equal(ran.exit, CTL_DONE);
    has(strbuf_text(&driver.publish), "id=csi-1 target=/tmp/");
    has(strbuf_text(&driver.publish),
        "/pods/u1/volumes/kubernetes.io~csi/app/mount readonly=1 mode=1 group=2000\n");
    has(strbuf_text(&driver.publish), "\nsecretProviderClass=app\n");
    has(strbuf_text(&driver.publish), "\nregion=eu\n");
    has(strbuf_text(&driver.publish), "\ncsi.storage.k8s.io/pod.name=web\n");
    has(strbuf_text(&driver.publish), "\ncsi.storage.k8s.io/pod.namespace=shop\n");
    has(strbuf_text(&driver.publish), "\ncsi.storage.k8s.io/pod.uid=u1\n");
    has(strbuf_text(&driver.publish), "\ncsi.storage.k8s.io/serviceAccount.name=sa\n");
    has(strbuf_text(&driver.publish), "\ncsi.storage.k8s.io/ephemeral=true\n");
    has(strbuf_text(&driver.publish), "\ncsi.storage.k8s.io/serviceAccount.tokens="
                                      "{\"vault\":{\"token\":\"opaque-token\"}}\n");
    has(strbuf_text(&driver.publish), "\nsecret key=\n");
    has(ran.out, "volume\tcsi-1\ntarget\t/tmp/");
    assert_null(strstr(ran.out, "opaque-token"));
}

static void tokens_may_go_as_a_secret(void **state)
{
    (void)state;
    run("publish app --pod web --token vault=- --tokens-in-secrets --read-only=false "
        "--target-root @ --csi-socket @/sock -o json",
        "t");
    assert_int_equal(ran.exit, CTL_DONE);
    has(strbuf_text(&driver.publish), " readonly=0 ");
    has(strbuf_text(&driver.publish), "pod.namespace=default\n");
    has(strbuf_text(&driver.publish),
        "\nsecret csi.storage.k8s.io/serviceAccount.tokens={\"vault\":");
    assert_null(strstr(strbuf_text(&driver.publish), "\ncsi.storage.k8s.io/serviceAccount.tokens"));
    has(ran.out, "\"volume_id\":\"csi-");
    assert_null(strstr(ran.out, "\t"));
}

static bool is_there(const char *below)
{
    autofree char *path = str_printf("%s/%s", folder, below);

    return access(path, F_OK) == 0;
}

static void a_refused_publish_leaves_no_folder_and_a_doubtful_one_does(void **state)
{
    static const struct {
        enum code code;
        bool kept;
        const char *says;
    } rows[] = {
        { CODE_PERMISSION_DENIED, false, "locketctl: PERMISSION_DENIED: no, because\n" },
        { CODE_UNAVAILABLE, true, "locketctl: UNAVAILABLE: no, because\n" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)error_set(&driver.refusal, rows[i].code, "no, because");
        run("publish app --pod web --uid u2 --target-root @ --csi-socket @/sock", "");
        assert_int_equal(ran.exit, CTL_FAILED);
        assert_string_equal(ran.err, rows[i].says);
        assert_string_equal(ran.out, "");
        assert_int_equal(is_there("pods/u2/volumes"), rows[i].kept);
    }
    run("unpublish x --csi-socket @/sock --target @/pods/u2/volumes/kubernetes.io~csi/app/mount",
        "");
    assert_int_equal(ran.exit, CTL_DONE);
    assert_false(is_there("pods/u2"));
}

static void unpublish_asks_the_driver_where_a_volume_is(void **state)
{
    (void)state;
    run("unpublish csi-1 --csi-socket @/sock --admin-socket @/sock", "");
    assert_int_equal(ran.exit, CTL_DONE);
    assert_string_equal(driver.unpublished, "csi-1 /nowhere/target");
    run("unpublish csi-9 --csi-socket @/sock --admin-socket @/sock", "");
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.err, "locketctl: NOT_FOUND: the driver has no volume csi-9; give --target");
}

/* --- questions --- */

static void list_shows_volumes_and_obeys_no_text_of_theirs(void **state)
{
    (void)state;
    run("list --admin-socket @/sock", "");
    assert_int_equal(ran.exit, CTL_DONE);
    assert_string_equal(ran.out,
                        "POD\tCLASS\tPROVIDER\tSTATE\tGENERATION\tCHECKED\tCHANGED\tNEXT\tVOLUME\t"
                        "PROBLEM\n"
                        "shop/web\tapp\tvault\tidle\t3\t-\t-\t-\tcsi-1\t403: permission?[2J "
                        "denied\n");
    run("list --admin-socket=@/sock -o json", "");
    has(ran.out, "{\"volumes\":[{\"volume_id\":\"csi-1\",\"target\":\"/nowhere/target\"");
    assert_null(strchr(ran.out, '\033'));
}

static void status_tells_of_driver_and_providers(void **state)
{
    (void)state;
    run("status --admin-socket @/sock", "");
    assert_int_equal(ran.exit, CTL_DONE);
    has(ran.out, "version\t9.8.7\n");
    has(ran.out, "tmpfs budget\t8 of 64 MiB\n");
    has(ran.out, "rotation\tevery 2m0s\n");
    has(ran.out, "kubelet\tregistered\n");
    has(ran.out, "vault\tyes\t0\t65532\t/run/v.sock\n");
    run("status --admin-socket @/sock -o json", "");
    has(ran.out, "\"version\":\"9.8.7\"");
}

static void metrics_are_printed_as_they_are(void **state)
{
    (void)state;
    run("metrics --admin-socket @/sock", "");
    assert_int_equal(ran.exit, CTL_DONE);
    assert_string_equal(ran.out, "# TYPE a counter\na 1\n");
}

static void refresh_names_what_it_is_asked_and_fails_when_one_does(void **state)
{
    static const struct {
        const char *line;
        const char *asked;
    } rows[] = {
        { "refresh csi-1 --admin-socket @/sock", "volume=csi-1 class=/ pod=/" },
        { "refresh --class shop/app --admin-socket @/sock", "volume= class=shop/app pod=/" },
        { "refresh --pod web --admin-socket @/sock", "volume= class=/ pod=default/web" },
        { "refresh --all --admin-socket @/sock", "volume= class=/ pod=/" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        run(rows[i].line, "");
        assert_int_equal(ran.exit, CTL_DONE);
        assert_string_equal(driver.refreshed, rows[i].asked);
        assert_string_equal(ran.out, "csi-1\tchanged\t\n");
    }
    driver.refusal.code = CODE_UNAVAILABLE;
    run("refresh --all --admin-socket @/sock", "");
    assert_int_equal(ran.exit, CTL_FAILED);
    assert_string_equal(ran.out, "csi-1\tchanged\t\ncsi-2\tUNAVAILABLE\tthe store is away\n");
    assert_string_equal(ran.err, "locketctl: FAILED_PRECONDITION: 1 of 2 volumes were not "
                                 "refreshed; the first failed with UNAVAILABLE\n");
}

static void doctor_looks_itself_and_asks_the_driver(void **state)
{
    (void)state;
    run("doctor --admin-socket @/sock --csi-socket @/sock --target-root @", "");
    assert_int_equal(ran.exit, CTL_FAILED); /* the driver's own check fails */
    has(ran.out, "ok\tkernel\tLinux ");
    has(ran.out, "ok\tadmin socket\t/tmp/");
    has(ran.out, "FAILED\tstate folder\tcannot be written\tchmod it\n");
    has(ran.out, "ok\tmount propagation\t/tmp/"); /* no kubelet is there */
    run("doctor --admin-socket @/none --csi-socket @ --target-root @", "");
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.out, "FAILED\tadmin socket\t/tmp/");
    has(ran.out, "/none: is not there\t");
    has(ran.out, "FAILED\tCSI socket\t/tmp/");
    has(ran.out, ": no socket, owner ");
    has(ran.out, "FAILED\tdriver\tdoes not answer: ");
    run("doctor --admin-socket @/sock --csi-socket @/sock --target-root @ -o json", "");
    has(ran.out, "{\"checks\":[{\"name\":\"kernel\",\"ok\":true,");
}

/* --- validate --- */

#define CLASS(name_, spec_)                                                                        \
    "apiVersion: secrets-store.csi.x-k8s.io/v1\n"                                                  \
    "kind: SecretProviderClass\n"                                                                  \
    "metadata: {name: " name_ "}\n"                                                                \
    "spec: " spec_ "\n"

static const struct {
    const char *says;
    const char *text;
    const char *out; /* whole */
    const char *err;
} validations[] = {
    { "good classes are counted",
      CLASS("a", "{provider: x, parameters: {k: v}}") "---\nkind: ConfigMap\n---\n" CLASS(
          "b", "{provider: x, parameters: {k: v}}"),
      "2 classes in 1 file: no mistakes\n", "" },
    { "mistakes come in the order of the file", CLASS("a", "{parameters: {k: 1}, provider: x!}"),
      "-:4:24: spec.parameters.k: must be a string, not a number; put it in quotes\n"
      "-:4:38: spec.provider: must be 1 to 30 of letters, digits, '-' and '_'\n",
      "locketctl: INVALID_ARGUMENT: 2 mistakes in 1 of 1 file\n" },
    { "a class that is there twice",
      CLASS("a", "{provider: x, parameters: {k: v}}") "---\n" CLASS(
          "a", "{provider: x, parameters: {k: v}}"),
      "-:6:1: class default/a is at -:1 already; keep one\n",
      "locketctl: INVALID_ARGUMENT: 1 mistake in 1 of 1 file\n" },
    { "no class at all", "kind: ConfigMap\n", "-:0:0: holds no SecretProviderClass\n",
      "locketctl: INVALID_ARGUMENT: 1 mistake in 1 of 1 file\n" },
};

static void validate_tells_file_line_and_column(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(validations); i++) {
        run("validate -", validations[i].text);
        if (strcmp(ran.out, validations[i].out) != 0 || strcmp(ran.err, validations[i].err) != 0)
            fail_msg("%s:\n%s%s", validations[i].says, ran.out, ran.err);
        assert_int_equal(ran.exit, *validations[i].err ? CTL_FAILED : CTL_DONE);
    }
}

static void validate_says_it_in_json(void **state)
{
    struct tree *t autotree = NULL;

    (void)state;
    run("validate - -o json", CLASS("a", "{parameters: {k: 1}, provider: x!}"));
    assert_int_equal(ran.exit, CTL_FAILED);
    assert_int_equal(json_parse(ran.out, strlen(ran.out), &t, NULL), 0);
    assert_int_equal(tree_count(t), 2);
    assert_string_equal(tree_get(t->child, "line")->text, "4");
    run("validate - -o json", CLASS("a", "{parameters: {k: v}, provider: x}"));
    assert_string_equal(ran.out, "[]\n");
    assert_int_equal(ran.exit, CTL_DONE);
    run("validate /nowhere/at/all", "");
    has(ran.err, "locketctl: NOT_FOUND: open /nowhere/at/all: ");
}

/* --- the command line itself --- */

static void wrong_command_lines_end_with_2_and_say_why(void **state)
{
    static const struct {
        const char *line;
        const char *err;
    } rows[] = {
        { "lists", "locketctl: unknown command \"lists\": did you mean list?\n" },
        { "mount", "locketctl: unknown command \"mount\": see locketctl --help\n" },
        { "publish", "locketctl: publish: takes CLASS; it is missing (see locketctl publish --help)"
                     "\n" },
        { "publish a b", "locketctl: publish: takes CLASS (see locketctl publish --help)\n" },
        { "publish a", "locketctl: publish: --pod NS/NAME is needed (see locketctl publish "
                       "--help)\n" },
        { "publish a --pod /x", "locketctl: publish: --pod takes NS/NAME (see " },
        { "publish a --pod x --token t", "locketctl: publish: --token takes AUDIENCE=FILE" },
        { "publish a --pod x --attribute k", "locketctl: publish: --attribute takes KEY=VALUE" },
        { "publish a --pod x --target t", "locketctl: publish: --target takes an absolute path" },
        { "list --nonsense", "locketctl: list: unknown flag --nonsense: see --help" },
        { "list -o yaml", "locketctl: list: -o takes text or json, not \"yaml\"" },
        { "list extra", "locketctl: list: takes no words" },
        { "refresh", "locketctl: refresh: name a volume, --class, --pod or --all" },
        { "refresh x --all", "locketctl: refresh: --all stands alone" },
        { "validate", "locketctl: validate: takes FILE...; it is missing" },
        { "", "Asks Locket's driver" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        run(rows[i].line, "");
        if (ran.exit != CTL_USAGE || !strstr(ran.err, rows[i].err))
            fail_msg("\"%s\" ended with %d:\n%s", rows[i].line, (int)ran.exit, ran.err);
        assert_string_equal(ran.out, "");
    }
}

static void help_and_version_are_no_failures(void **state)
{
    (void)state;
    run("--help", "");
    assert_int_equal(ran.exit, CTL_DONE);
    has(ran.out, "  publish     mounts a class's secrets");
    run("version", "");
    assert_string_equal(ran.out, "locketctl " LOCKET_VERSION "\n");
    run("version -o json", "");
    assert_string_equal(ran.out, "{\"version\":\"" LOCKET_VERSION "\"}\n");
}

static void a_driver_that_is_not_there_is_named(void **state)
{
    (void)state;
    run("list --admin-socket @/none", "");
    assert_int_equal(ran.exit, CTL_FAILED);
    has(ran.err, "locketctl: UNAVAILABLE: ");
    has(ran.err, "/none");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(publish_asks_as_kubelet_does, reset, tidy),
        cmocka_unit_test_setup_teardown(tokens_may_go_as_a_secret, reset, tidy),
        cmocka_unit_test_setup_teardown(a_refused_publish_leaves_no_folder_and_a_doubtful_one_does,
                                        reset, tidy),
        cmocka_unit_test_setup_teardown(unpublish_asks_the_driver_where_a_volume_is, reset, tidy),
        cmocka_unit_test_setup_teardown(list_shows_volumes_and_obeys_no_text_of_theirs, reset,
                                        tidy),
        cmocka_unit_test_setup_teardown(status_tells_of_driver_and_providers, reset, tidy),
        cmocka_unit_test_setup_teardown(metrics_are_printed_as_they_are, reset, tidy),
        cmocka_unit_test_setup_teardown(refresh_names_what_it_is_asked_and_fails_when_one_does,
                                        reset, tidy),
        cmocka_unit_test_setup_teardown(doctor_looks_itself_and_asks_the_driver, reset, tidy),
        cmocka_unit_test_setup_teardown(validate_tells_file_line_and_column, reset, tidy),
        cmocka_unit_test_setup_teardown(validate_says_it_in_json, reset, tidy),
        cmocka_unit_test_setup_teardown(wrong_command_lines_end_with_2_and_say_why, reset, tidy),
        cmocka_unit_test_setup_teardown(help_and_version_are_no_failures, reset, tidy),
        cmocka_unit_test_setup_teardown(a_driver_that_is_not_there_is_named, reset, tidy),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
