/* SPDX-License-Identifier: Apache-2.0
 *
 * What a start makes of a publish that a crash cut short: a driver hangs in its fetch, and another
 * starts over the same records and mounts.
 */
#include <pthread.h>

#include "driver/volume/lifecycle.h"
#include "driver/volume/recovery.h"
#include "driver/volume/report.h"
#include "driver/volume/rotation.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/fakes/cluster_double.h"
#include "tests/fakes/source_double.h"
#include "tests/unit/volume/rig.h"
#include "tests/unit/volume/web.h"

enum { FETCH_MS = 5000 };

static struct {
    char *root;
    char *target;
    char *records;
    struct mounter *mounter; /* the kernel's part: outlives each driver */
} w;

static void must(int result, const struct error *err)
{
    if (result < 0)
        fail_msg("%s: %s", code_name(err->code), err->msg);
}

static void start(struct lifecycle *app)
{
    struct error err = { 0 };

    *app = (struct lifecycle){ .root = { .fd = -1 }, .state = { .fd = -1 }, .mounter = w.mounter };
    app->metrics = metrics_new(volume_metric_rows, VM_COUNT);
    app->config.grace_ms = 600000;
    app->source = source_double_new();
    app->cluster = cluster_double_new();
    web_put_class(app->cluster);
    source_double_put(app->source, "a", "old");
    lifecycle_start(app);
    must(target_root_open(w.root, &app->root, &err), &err);
    must(state_open(w.records, &app->state, &err), &err);
    must(recovery_run(app, &err), &err);
}

static void stop(struct lifecycle *app)
{
    lifecycle_stop(app);
    app->source->ops->free(app->source);
    app->cluster->ops->free(app->cluster);
    metrics_free(app->metrics);
    state_close(&app->state);
    target_root_done(&app->root);
}

static int publish(struct lifecycle *app, struct error *err)
{
    struct publish_request req = web_request("csi-1", w.target);
    int result;

    result = lifecycle_publish(app, &req, err);
    pairs_done(&req.attributes);
    return result;
}

static void *publish_in_thread(void *arg)
{
    struct error err = { 0 };

    return publish(arg, &err) == 0 ? NULL : arg;
}

/* Is the volume's fetch under way? Its mount is there by then, and its record if it has one. */
static bool is_fetching(struct lifecycle *app)
{
    struct volume *v autovolume = volume_table_get(app->volumes, "csi-1");
    struct target t autotarget = { .parent_fd = -1 };
    struct mount_state state = { 0 };
    bool found = false;
    bool fetching;

    if (!v || target_open(&app->root, w.target, false, &t, &found, NULL) < 0 || !found ||
        w.mounter->ops->look(w.mounter, &t, false, &state, NULL) < 0)
        return false;
    pthread_mutex_lock(&v->lock);
    fetching = v->state == VOLUME_FETCHING && v->record.size_bytes > 0;
    pthread_mutex_unlock(&v->lock);
    return fetching && state.is_mount;
}

static bool pod_sees(const char *want)
{
    int dir_fd autoclose = open(w.target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autofree char *text = dir_fd < 0 ? NULL : text_of(dir_fd, "a");

    return str_same(text, want);
}

/* A publish hangs in its fetch while the next driver starts, and ends in nobody's favour. */
static void start_during_a_publish(struct lifecycle *app)
{
    int64_t end = clock_mono_ms() + FETCH_MS;
    struct lifecycle next;
    pthread_t thread;
    void *failed;

    source_double_hang(app->source, true);
    assert_int_equal(pthread_create(&thread, NULL, publish_in_thread, app), 0);
    while (!is_fetching(app) && clock_mono_ms() < end)
        clock_sleep_ms(1);
    assert_true(is_fetching(app));
    start(&next);
    stop(&next);
    source_double_hang(app->source, false);
    assert_int_equal(pthread_join(thread, &failed), 0);
}

static int set_up(void **state)
{
    struct folder *f;

    if (folder_make(state) < 0)
        return -1;
    log_setup(LOG_ERROR, false);
    f = *state;
    w.root = str_printf("%s/root", f->path);
    w.target = str_printf("%s/pods/1/v/mount", w.root);
    w.records = str_printf("%s/state", f->path);
    w.mounter = mount_folder_new();
    return mkdirat(f->fd, "root", 0700);
}

static int tear_down(void **state)
{
    w.mounter->ops->free(w.mounter);
    free(w.root);
    free(w.target);
    free(w.records);
    return folder_remove(state);
}

static void a_first_publish_that_a_crash_cut_short_is_undone(void **state)
{
    struct lifecycle app;

    (void)state;
    start(&app);
    start_during_a_publish(&app);
    assert_true(pod_sees(NULL));
    stop(&app);
}

static void a_live_volume_whose_record_was_lost_outlives_a_crash_in_its_publish(void **state)
{
    struct error err = { 0 };
    struct lifecycle app;

    (void)state;
    start(&app);
    must(publish(&app, &err), &err);
    must(state_remove(&app.state, "csi-1", &err), &err);
    stop(&app);
    start(&app);
    assert_int_equal(volume_table_count(app.volumes), 0);
    start_during_a_publish(&app);
    assert_true(pod_sees("old"));
    must(lifecycle_unpublish(&app, "csi-1", w.target, &err), &err);
    assert_true(pod_sees(NULL));
    stop(&app);
}

static void refresh(struct lifecycle *app, bool changed)
{
    struct volume *v autovolume = volume_table_get(app->volumes, "csi-1");
    struct error err = { 0 };
    bool got = false;

    assert_non_null(v);
    must(rotation_refresh(app, v, NULL, &got, &err), &err);
    assert_int_equal(got, changed);
}

/* What the cluster was told last: version NULL for none. */
static void expect_told(struct lifecycle *app, const char *version, bool taken_over)
{
    const struct reported *last = cluster_double_last(app->cluster, "csi-1");

    assert_non_null(last);
    assert_int_equal(last->version_count, version ? 1 : 0);
    if (version)
        assert_string_equal(last->versions[0].version, version);
    assert_int_equal(last->taken_over, taken_over);
}

/* As kubelet's own writer does it: the old generation goes with the swap. */
static void swap_by_another_driver(const char *text)
{
    int dir_fd autoclose = open(w.target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autofree char *before = link_of(dir_fd, "..data");
    int gen_fd autoclose = -1;

    assert_int_equal(mkdirat(dir_fd, "..2026_01_02_03_04_05.7", 0755), 0);
    gen_fd = openat(dir_fd, "..2026_01_02_03_04_05.7", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put_text(gen_fd, "a", text);
    assert_int_equal(fchmodat(gen_fd, "a", 0644, 0), 0);
    assert_int_equal(symlinkat("..2026_01_02_03_04_05.7", dir_fd, "..data_tmp"), 0);
    assert_int_equal(renameat(dir_fd, "..data_tmp", dir_fd, "..data"), 0);
    assert_int_equal(fs_remove_tree(dir_fd, before, NULL), 0);
}

static void of_what_another_driver_wrote_since_the_record_nothing_is_told_but_that(void **state)
{
    struct error err = { 0 };
    struct lifecycle app;

    (void)state;
    start(&app);
    must(publish(&app, &err), &err);
    expect_told(&app, "v-old", false);
    stop(&app);
    swap_by_another_driver("theirs");
    start(&app);
    report_all(&app);
    expect_told(&app, NULL, true);
    source_double_put(app.source, "a", "theirs");
    refresh(&app, false);
    expect_told(&app, "v-theirs", true);
    source_double_put(app.source, "a", "new");
    refresh(&app, true);
    expect_told(&app, "v-new", false);
    stop(&app);
    start(&app);
    report_all(&app);
    expect_told(&app, "v-new", false);
    must(lifecycle_unpublish(&app, "csi-1", w.target, &err), &err);
    stop(&app);
}

static void a_rotation_that_a_crash_kept_from_the_record_is_told_after_the_next_fetch(void **state)
{
    struct secret record CLEANUP(secret_done) = { 0 };
    struct error err = { 0 };
    struct lifecycle app;

    (void)state;
    start(&app);
    must(publish(&app, &err), &err);
    must(fs_read(app.state.fd, "csi-1.vol", RIG_BYTES_MAX, false, &record, &err), &err);
    source_double_put(app.source, "a", "new");
    refresh(&app, true);
    must(fs_replace(app.state.fd, "csi-1.vol", record.bytes, record.len, &err), &err);
    stop(&app);
    start(&app);
    source_double_put(app.source, "a", "new");
    report_all(&app);
    expect_told(&app, "v-old", false);
    refresh(&app, false);
    expect_told(&app, "v-new", false);
    must(lifecycle_unpublish(&app, "csi-1", w.target, &err), &err);
    stop(&app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_first_publish_that_a_crash_cut_short_is_undone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_live_volume_whose_record_was_lost_outlives_a_crash_in_its_publish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            of_what_another_driver_wrote_since_the_record_nothing_is_told_but_that, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            a_rotation_that_a_crash_kept_from_the_record_is_told_after_the_next_fetch, set_up,
            tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
