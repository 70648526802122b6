/* SPDX-License-Identifier: Apache-2.0
 *
 * life.h - a driver's volumes without kubelet, cluster, provider or mounts: a lifecycle over
 * doubles and plain folders, for suites of what becomes of a volume that is published.
 */
#ifndef LOCKET_TESTS_LIFE_H
#define LOCKET_TESTS_LIFE_H

#include <sys/stat.h>

#include "driver/volume/lifecycle.h"
#include "driver/volume/rotation.h"
#include "lib/base/fs.h"
#include "tests/check.h"
#include "tests/fakes/cluster_double.h"
#include "tests/fakes/source_double.h"
#include "tests/unit/volume/rig.h"
#include "tests/unit/volume/web.h"

enum { SECOND_MS = 1000 };

static struct {
    char folder[64];
    char *root;
    char *target; /* of the volume csi-1 */
    struct lifecycle app;
} w;

static inline void life_start(void)
{
    w.app.metrics = metrics_new(volume_metric_rows, VM_COUNT);
    lifecycle_start(&w.app);
}

static inline void life_stop(void)
{
    lifecycle_stop(&w.app);
    metrics_free(w.app.metrics);
}

/* A store with the object a, and the class app in ns, of which nothing is due within an hour. */
static inline int life_set_up(void **state)
{
    autofree char *records = NULL;

    (void)state;
    (void)snprintf(w.folder, sizeof(w.folder), "/tmp/locket-life-XXXXXX");
    assert_non_null(mkdtemp(w.folder));
    w.root = str_printf("%s/root", w.folder);
    w.target = str_printf("%s/pods/u1/volumes/kubernetes.io~csi/v/mount", w.root);
    records = str_printf("%s/state", w.folder);
    assert_int_equal(mkdir(w.root, 0755), 0);
    w.app = (struct lifecycle){ .config = { .rotation = true, .rotation_interval_ms = SECOND_MS } };
    assert_int_equal(target_root_open(w.root, &w.app.root, NULL), 0);
    assert_int_equal(state_open(records, &w.app.state, NULL), 0);
    w.app.mounter = mount_folder_new();
    w.app.source = source_double_new();
    w.app.cluster = cluster_double_new();
    life_start();
    cluster_double_put(w.app.cluster,
                       "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"
                       "metadata: {name: app, namespace: ns}\n"
                       "spec: {provider: double, parameters: {rotationPollInterval: 1h}}\n");
    source_double_put(w.app.source, "a", "old");
    return 0;
}

static inline int life_tear_down(void **state)
{
    autoclose int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    life_stop();
    w.app.source->ops->free(w.app.source);
    w.app.cluster->ops->free(w.app.cluster);
    w.app.mounter->ops->free(w.app.mounter);
    state_close(&w.app.state);
    target_root_done(&w.app.root);
    free(w.root);
    free(w.target);
    return fs_remove_tree(tmp, strrchr(w.folder, '/') + 1, NULL);
}

#define in_life(test) cmocka_unit_test_setup_teardown(test, life_set_up, life_tear_down)

/* As kubelet does, again and again: a publish of a volume that is whole is answered at once. */
static inline int life_publish_with(const char *id, const char *target, const char *tokens,
                                    struct error *err)
{
    struct publish_request req = web_request(id, target);
    bool done = false;
    int result;

    req.tokens = tokens;
    pairs_set(&req.attributes, CONTEXT_POD_UID, "u1");
    result = lifecycle_republish(&w.app, &req, &done, err);
    if (result == 0 && !done)
        result = lifecycle_publish(&w.app, &req, err);
    pairs_done(&req.attributes);
    return result;
}

static inline char *life_target(size_t n)
{
    return n == 1 ? xstrdup(w.target)
                  : str_printf("%s/pods/u1/volumes/kubernetes.io~csi/v%zu/mount", w.root, n);
}

/* The volume csi-N at a target of its own; csi-1 is the one that most tests have. */
static inline void life_publish(size_t n)
{
    autofree char *id = str_printf("csi-%zu", n);
    autofree char *target = life_target(n);
    struct error err = { 0 };

    if (life_publish_with(id, target, NULL, &err) < 0)
        fail_msg("%s", err.msg);
}

static inline void life_unpublish(size_t n)
{
    autofree char *id = str_printf("csi-%zu", n);
    autofree char *target = life_target(n);

    assert_int_equal(lifecycle_unpublish(&w.app, id, target, NULL), 0);
}

/* Borrowed by a reference: autovolume. */
static inline struct volume *life_volume(size_t n)
{
    autofree char *id = str_printf("csi-%zu", n);
    struct volume *v = volume_table_get(w.app.volumes, id);

    assert_non_null(v);
    return v;
}

static inline int life_refresh(size_t n)
{
    struct volume *v autovolume = life_volume(n);
    bool changed = false;
    struct error err = { 0 };

    return rotation_refresh(&w.app, v, NULL, &changed, &err);
}

#endif
