/* SPDX-License-Identifier: Apache-2.0
 *
 * What every implementation of the seam `cluster` must do.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "driver/cluster/cluster.h"
#include "lib/base/fs.h"
#include "lib/net/rpc_server.h"
#include "tests/check.h"
#include "tests/fakes/agent_double.h"
#include "tests/fakes/cluster_double.h"

enum { THREADS = 8, GETS = 200 };

/* How a test puts classes into an implementation. */
struct rig {
    const char *name;
    struct cluster *(*make)(struct rig *rig);
    void (*put)(struct rig *rig, const char *name, const char *provider);
    void (*remove)(struct rig *rig, const char *name);
    void (*unmake)(struct rig *rig);
    struct cluster *cluster;
    char folder[64];
    struct cluster *behind;     /* whose classes an agent has */
    struct agent_double *agent; /* or NULL */
};

static char *class_text(const char *name, const char *provider)
{
    return str_printf("apiVersion: secrets-store.csi.x-k8s.io/v1\n"
                      "kind: SecretProviderClass\n"
                      "metadata: {name: %s, namespace: shop, annotations: {k: v}}\n"
                      "spec: {provider: %s, parameters: {rotationPollInterval: 90s, a: b}}\n",
                      name, provider);
}

static struct cluster *make_local(struct rig *rig)
{
    struct error err = { 0 };

    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/locket-contract-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    if (cluster_local_new(rig->folder, &rig->cluster, &err) < 0)
        fail_msg("%s", err.msg);
    return rig->cluster;
}

static void put_local(struct rig *rig, const char *name, const char *provider)
{
    autofree char *text = class_text(name, provider);
    autofree char *file = str_printf("%s.yaml", name);
    int fd autoclose = open(rig->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(fs_replace(fd, file, text, strlen(text), NULL), 0);
}

static void remove_local(struct rig *rig, const char *name)
{
    autofree char *path = str_printf("%s/%s.yaml", rig->folder, name);

    assert_int_equal(unlink(path), 0);
}

static void unmake_local(struct rig *rig)
{
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(fs_remove_tree(tmp, strrchr(rig->folder, '/') + 1, NULL), 0);
}

static struct cluster *make_double(struct rig *rig)
{
    rig->cluster = cluster_double_new();
    return rig->cluster;
}

static void put_double(struct rig *rig, const char *name, const char *provider)
{
    autofree char *text = class_text(name, provider);

    cluster_double_put(rig->cluster, text);
}

static void remove_double(struct rig *rig, const char *name)
{
    cluster_double_remove(rig->cluster, "shop", name);
}

static void unmake_double(struct rig *rig)
{
    (void)rig;
}

static struct cluster *make_agent(struct rig *rig)
{
    struct error err = { 0 };
    autofree char *socket = NULL;

    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/locket-contract-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    socket = str_printf("%s/agent.sock", rig->folder);
    rig->behind = cluster_double_new();
    if (agent_double_new(socket, rig->behind, &rig->agent, &err) < 0)
        fail_msg("%s", err.msg);
    rig->cluster = cluster_agent_new(socket, &(struct cluster_metrics){ 0 });
    return rig->cluster;
}

static void put_agent(struct rig *rig, const char *name, const char *provider)
{
    autofree char *text = class_text(name, provider);

    cluster_double_put(rig->behind, text);
}

static void remove_agent(struct rig *rig, const char *name)
{
    cluster_double_remove(rig->behind, "shop", name);
}

static void unmake_agent(struct rig *rig)
{
    agent_double_free(rig->agent);
    rig->behind->ops->free(rig->behind);
    unmake_local(rig);
}

static struct rig rigs[] = {
    { .name = "local",
      .make = make_local,
      .put = put_local,
      .remove = remove_local,
      .unmake = unmake_local },
    { .name = "agent",
      .make = make_agent,
      .put = put_agent,
      .remove = remove_agent,
      .unmake = unmake_agent },
    { .name = "double",
      .make = make_double,
      .put = put_double,
      .remove = remove_double,
      .unmake = unmake_double },
};

static int make(void **state)
{
    struct rig *rig = *state;

    return rig->make(rig) ? 0 : -1;
}

static int unmake(void **state)
{
    struct rig *rig = *state;

    rig->cluster->ops->free(rig->cluster);
    rig->unmake(rig);
    return 0;
}

static void a_class_is_the_callers_own_and_whole(void **state)
{
    struct rig *rig = *state;
    struct class *one autoclass = NULL;
    struct class *two autoclass = NULL;
    struct error err = { 0 };

    rig->put(rig, "app", "vault");
    assert_int_equal(rig->cluster->ops->get_class(rig->cluster, "shop", "app", NULL, &one, &err),
                     0);
    assert_int_equal(rig->cluster->ops->get_class(rig->cluster, "shop", "app", NULL, &two, &err),
                     0);
    assert_ptr_not_equal(one, two);
    class_free(take(one));
    assert_string_equal(two->name, "app");
    assert_string_equal(two->ns, "shop");
    assert_string_equal(two->provider, "vault");
    assert_string_equal(pairs_get(&two->parameters, "a"), "b");
    assert_string_equal(pairs_get(&two->annotations, "k"), "v");
    assert_int_equal(two->rotation_interval_ms, 90000);
    assert_true(two->has_parameters);
}

static void a_class_that_is_not_there_is_told_in_the_known_words(void **state)
{
    static const char *const absent[][2] = { { "shop", "none" }, { "other", "app" } };
    struct rig *rig = *state;

    rig->put(rig, "app", "vault");
    for (size_t i = 0; i < COUNT_OF(absent); i++) {
        struct class *c = NULL;
        struct error err = { 0 };
        autofree char *want =
            str_printf("failed to get secretproviderclass %s/%s, error: "
                       "secretproviderclasses.secrets-store.csi.x-k8s.io \"%s\" not found",
                       absent[i][0], absent[i][1], absent[i][1]);

        assert_int_equal(
            rig->cluster->ops->get_class(rig->cluster, absent[i][0], absent[i][1], NULL, &c, &err),
            -1);
        assert_null(c);
        assert_int_equal(err.code, CODE_NOT_FOUND);
        assert_string_equal(err.reason, "SecretProviderClassNotFound");
        assert_string_equal(err.msg, want);
    }
}

static void each_get_tells_how_it_is_now(void **state)
{
    struct rig *rig = *state;

    for (int i = 0; i < 50; i++) {
        autofree char *provider = str_printf("p%02d", i);
        struct class *c autoclass = NULL;

        rig->put(rig, "app", provider);
        assert_int_equal(rig->cluster->ops->get_class(rig->cluster, "shop", "app", NULL, &c, NULL),
                         0);
        assert_string_equal(c->provider, provider);
    }
    rig->remove(rig, "app");
    struct class *gone = NULL;

    assert_int_equal(rig->cluster->ops->get_class(rig->cluster, "shop", "app", NULL, &gone, NULL),
                     -1);
}

static void *get_many(void *arg)
{
    struct cluster *cluster = arg;
    size_t found = 0;

    for (int i = 0; i < GETS; i++) {
        struct class *c autoclass = NULL;

        if (cluster->ops->get_class(cluster, "shop", "app", NULL, &c, NULL) == 0)
            found += strcmp(c->provider, "one") == 0 || strcmp(c->provider, "two") == 0;
    }
    return found == GETS ? arg : NULL;
}

static void many_threads_ask_while_the_class_is_replaced(void **state)
{
    struct rig *rig = *state;
    pthread_t threads[THREADS];
    int good = 0;

    rig->put(rig, "app", "one");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_many, rig->cluster), 0);
    for (int i = 0; i < 100; i++)
        rig->put(rig, "app", i % 2 ? "one" : "two");
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        good += result != NULL;
    }
    assert_int_equal(good, THREADS);
}

static void a_report_borrows_and_never_fails(void **state)
{
    struct rig *rig = *state;
    char id[] = "csi-1";
    struct object_version version = { .id = id, .version = id };
    struct error failure = { .code = CODE_UNAVAILABLE, .msg = "store is away" };
    struct volume_report report = { .volume_id = id,
                                    .pod_ns = "shop",
                                    .pod_name = "web",
                                    .pod_uid = "u",
                                    .class_name = "app",
                                    .target = "/t",
                                    .mounted = true,
                                    .versions = &version,
                                    .version_count = 1 };

    rig->cluster->ops->report(rig->cluster, &report);
    report.err = &failure;
    report.versions = NULL;
    report.version_count = 0;
    rig->cluster->ops->report(rig->cluster, &report);
    report.mounted = false;
    report.err = NULL;
    rig->cluster->ops->report(rig->cluster, &report);
    memset(id, 'x', sizeof(id) - 1); /* what was borrowed is given back */
}

/* Its own memory, for when its agent is away. */
static void what_an_agent_said_serves_when_it_is_away(void **state)
{
    static const char *const names[] = { "app", "none", "gone" };
    struct rig rig = { 0 };
    struct cluster *c = make_agent(&rig);
    struct class *gone autoclass = NULL;

    (void)state;
    put_agent(&rig, "app", "vault");
    put_agent(&rig, "gone", "vault");
    assert_int_equal(c->ops->get_class(c, "shop", "gone", NULL, &gone, NULL), 0);
    remove_agent(&rig, "gone"); /* and the agent says so below: it serves no more */
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct class *got autoclass = NULL;

        assert_int_equal(c->ops->get_class(c, "shop", names[i], NULL, &got, NULL), i ? -1 : 0);
    }
    agent_double_free(rig.agent);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct class *got autoclass = NULL;
        struct error err = { 0 };

        assert_int_equal(c->ops->get_class(c, "shop", names[i], NULL, &got, &err), i ? -1 : 0);
        assert_int_equal(err.code, i ? CODE_UNAVAILABLE : CODE_OK);
    }
    c->ops->free(c);
    rig.behind->ops->free(rig.behind);
    unmake_local(&rig);
}

/* The double's own memory, on which other suites rely. */
static void the_double_remembers_what_it_was_told(void **state)
{
    struct cluster *c = cluster_double_new();
    struct object_version version = { .id = (char *)"a", .version = (char *)"1" };
    struct error failure = { .code = CODE_UNAVAILABLE, .msg = "away" };
    struct volume_report report = { .volume_id = "v", .versions = &version, .version_count = 1 };
    struct class *got = NULL;
    struct error err = { 0 };

    (void)state;
    c->ops->report(c, &report);
    report.err = &failure;
    report.mounted = true;
    c->ops->report(c, &report);
    assert_int_equal(cluster_double_reports(c), 2);
    assert_string_equal(cluster_double_last(c, "v")->err.msg, "away");
    assert_string_equal(cluster_double_last(c, "v")->versions[0].version, "1");
    assert_true(cluster_double_last(c, "v")->mounted);
    assert_null(cluster_double_last(c, "w"));
    cluster_double_fail(c, &failure);
    assert_int_equal(c->ops->get_class(c, "a", "b", NULL, &got, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_int_equal(cluster_double_gets(c), 1);
    c->ops->free(c);
}

int main(void)
{
    static void (*const suite[])(void **) = {
        a_class_is_the_callers_own_and_whole, a_class_that_is_not_there_is_told_in_the_known_words,
        each_get_tells_how_it_is_now,         many_threads_ask_while_the_class_is_replaced,
        a_report_borrows_and_never_fails,
    };
    static const char *const says[] = {
        "a_class_is_the_callers_own_and_whole",
        "a_class_that_is_not_there_is_told_in_the_known_words",
        "each_get_tells_how_it_is_now",
        "many_threads_ask_while_the_class_is_replaced",
        "a_report_borrows_and_never_fails",
    };
    struct CMUnitTest tests[COUNT_OF(rigs) * COUNT_OF(suite) + 2];
    char names[COUNT_OF(tests)][128];
    size_t count = 0;

    for (size_t r = 0; r < COUNT_OF(rigs); r++) {
        for (size_t t = 0; t < COUNT_OF(suite); t++) {
            (void)snprintf(names[count], sizeof(names[count]), "%s: %s", rigs[r].name, says[t]);
            tests[count] = (struct CMUnitTest){ names[count], suite[t], make, unmake, &rigs[r] };
            count++;
        }
    }
    rpc_process_setup();
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(what_an_agent_said_serves_when_it_is_away);
    tests[count] = (struct CMUnitTest)cmocka_unit_test(the_double_remembers_what_it_was_told);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
