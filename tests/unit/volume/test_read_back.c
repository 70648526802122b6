/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of a volume as they are given to whoever asks for them: of one generation, never what lies
 * outside, never of a volume that is not published, and only where that is switched on.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "driver/volume/read_back.h"
#include "driver/volume/rotation.h"
#include "driver/volume/send_files.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/fakes/cluster_double.h"
#include "tests/fakes/source_double.h"
#include "tests/unit/volume/rig.h"
#include "tests/unit/volume/web.h"

enum { SWAPS = 400, SEND_MS = 5000, LARGE_BYTES = READ_BACK_BYTES_MAX / 2 + 1 };

static struct {
    char *root;
    char *target;
    char *records;
    struct lifecycle app;
} w;

static void must(int result, const struct error *err)
{
    if (result < 0)
        fail_msg("%s: %s", code_name(err->code), err->msg);
}

static void publish(void)
{
    struct publish_request req = web_request("csi-1", w.target);
    struct error err = { 0 };

    must(lifecycle_publish(&w.app, &req, &err), &err);
    pairs_done(&req.attributes);
}

static int set_up(void **state)
{
    struct lifecycle *app = &w.app;
    struct folder *f;

    if (folder_make(state) < 0)
        return -1;
    log_setup(LOG_ERROR, false);
    f = *state;
    w.root = str_printf("%s/root", f->path);
    w.target = str_printf("%s/pods/1/v/mount", w.root);
    w.records = str_printf("%s/state", f->path);
    *app = (struct lifecycle){ .root = { .fd = -1 }, .state = { .fd = -1 } };
    app->mounter = mount_folder_new();
    app->metrics = metrics_new(volume_metric_rows, VM_COUNT);
    app->source = source_double_new();
    app->cluster = cluster_double_new();
    web_put_class(app->cluster);
    source_double_put(app->source, "a", "one");
    source_double_put(app->source, "folder/b", "one");
    lifecycle_start(app);
    if (mkdirat(f->fd, "root", 0700) < 0 || target_root_open(w.root, &app->root, NULL) < 0 ||
        state_open(w.records, &app->state, NULL) < 0)
        return -1;
    publish();
    return 0;
}

static int tear_down(void **state)
{
    struct lifecycle *app = &w.app;

    lifecycle_stop(app);
    app->source->ops->free(app->source);
    app->cluster->ops->free(app->cluster);
    app->mounter->ops->free(app->mounter);
    metrics_free(app->metrics);
    state_close(&app->state);
    target_root_done(&app->root);
    free(w.root);
    free(w.target);
    free(w.records);
    return folder_remove(state);
}

static int read_files(const char *const *paths, size_t count, struct read_back *ret,
                      struct error *err)
{
    struct volume *v autovolume = volume_table_get(w.app.volumes, "csi-1");

    assert_non_null(v);
    return read_back(&w.app, v, paths, count, ret, err);
}

static bool is(const struct volume_file *f, const char *path, const char *text)
{
    return strcmp(f->path, path) == 0 && f->contents.len == strlen(text) &&
           memcmp(f->contents.bytes, text, f->contents.len) == 0;
}

static void what_there_is_of_the_wanted_files_is_read_once(void **state)
{
    static const char *const paths[] = { "folder/b", "a", "a", "nowhere", "a/below", "folder" };
    autoreadback struct read_back got = { 0 };
    struct error err = { 0 };

    (void)state;
    must(read_files(paths, COUNT_OF(paths), &got, &err), &err);
    assert_int_equal(got.count, 2);
    assert_true(is(&got.list[0], "folder/b", "one"));
    assert_true(is(&got.list[1], "a", "one"));
    assert_true(got.changed_at_unix_ms > 0);
    assert_true(got.fetched_at_unix_ms >= got.changed_at_unix_ms);
}

static void nothing_outside_of_the_volume_is_read(void **state)
{
    static const char *const refused[] = { "/etc/passwd", "../../mount", "..data/a", "a/../a", "" };
    static const char *const linked[] = { "away" };
    int dir_fd autoclose = open(w.target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autofree char *live = link_of(dir_fd, "..data");
    int live_fd autoclose = openat(dir_fd, live, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        autoreadback struct read_back got = { 0 };

        assert_int_equal(read_files(&refused[i], 1, &got, &err), -1);
        assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    }
    assert_int_equal(symlinkat("/etc/passwd", live_fd, "away"), 0);
    for (int turn = 0; turn < 2; turn++) {
        autoreadback struct read_back got = { 0 };

        fs_without_openat2(turn == 1);
        must(read_files(linked, 1, &got, &err), &err);
        assert_int_equal(got.count, 0);
    }
    fs_without_openat2(false);
}

/* A provider that writes by itself may have no generations. */
static void plain_files_are_read_where_there_is_no_generation(void **state)
{
    static const char *const paths[] = { "plain" };
    int dir_fd autoclose = open(w.target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autoreadback struct read_back got = { 0 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(unlinkat(dir_fd, "..data", 0), 0);
    put_text(dir_fd, "plain", "by itself");
    must(read_files(paths, 1, &got, &err), &err);
    assert_int_equal(got.count, 1);
    assert_true(is(&got.list[0], "plain", "by itself"));
}

static void too_many_bytes_are_told_not_given(void **state)
{
    static const char *const paths[] = { "a", "folder/b" };
    autofree char *large = xmalloc(LARGE_BYTES + 1);
    int dir_fd autoclose = open(w.target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autoreadback struct read_back one = { 0 };
    autoreadback struct read_back both = { 0 };
    struct error err = { 0 };

    (void)state;
    memset(large, 'x', LARGE_BYTES);
    large[LARGE_BYTES] = '\0';
    put_text(dir_fd, "..data/a", large);
    put_text(dir_fd, "..data/folder/b", large);
    must(read_files(paths, 1, &one, &err), &err);
    assert_int_equal(one.list[0].contents.len, LARGE_BYTES);
    assert_int_equal(read_files(paths, 2, &both, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_int_equal(both.count, 0);
}

/* --- while others write ---------------------------------------------------------------------- */

static atomic_bool over;

static void *rotate(void *arg)
{
    struct volume *v autovolume = volume_table_get(w.app.volumes, "csi-1");

    (void)arg;
    for (int i = 0; i < SWAPS; i++) {
        autofree char *text = str_printf("%d", i);
        bool changed;

        source_double_put(w.app.source, i % 2 ? "a" : "folder/b", text);
        (void)!rotation_refresh(&w.app, v, NULL, &changed, NULL);
    }
    over = true;
    return NULL;
}

/* One file a rotation: in each generation the two numbers follow each other. */
static bool are_of_one(const struct read_back *got)
{
    int numbers[2] = { 0, 0 };

    for (int i = 0; i < 2; i++) {
        const struct secret *bytes = &got->list[i].contents;
        autofree char *text = xstrndup((const char *)bytes->bytes, bytes->len);

        numbers[i] = strcmp(text, "one") == 0 ? -1 : atoi(text);
    }
    return numbers[0] < 0 || numbers[1] < 0 || abs(numbers[0] - numbers[1]) == 1;
}

static void files_are_of_one_generation_while_others_are_swapped_in(void **state)
{
    static const char *const paths[] = { "a", "folder/b" };
    pthread_t thread;
    int whole = 0;

    (void)state;
    over = false;
    assert_int_equal(pthread_create(&thread, NULL, rotate, NULL), 0);
    while (!over || !whole) {
        autoreadback struct read_back got = { 0 };
        struct error err = { 0 };

        if (read_files(paths, 2, &got, &err) < 0) {
            assert_int_equal(err.code, CODE_UNAVAILABLE);
            continue;
        }
        assert_int_equal(got.count, 2);
        assert_true(are_of_one(&got));
        whole++;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void a_volume_that_left_is_not_read(void **state)
{
    static const char *const paths[] = { "a" };
    struct volume *v autovolume = volume_table_get(w.app.volumes, "csi-1");
    autoreadback struct read_back got = { 0 };
    struct error err = { 0 };

    (void)state;
    must(lifecycle_unpublish(&w.app, "csi-1", w.target, &err), &err);
    assert_int_equal(read_back(&w.app, v, paths, 1, &got, &err), -1);
    assert_int_equal(err.code, CODE_NOT_FOUND);
}

/* --- sending ---------------------------------------------------------------------------------- */

static struct sent_files sent_after(size_t times)
{
    int64_t end = clock_mono_ms() + SEND_MS;

    while (cluster_double_sent(w.app.cluster).times < times && clock_mono_ms() < end)
        clock_sleep_ms(1);
    return cluster_double_sent(w.app.cluster);
}

static void files_are_sent_only_where_that_is_switched_on(void **state)
{
    static const char *const paths[] = { "a", "folder/b" };
    static const char *const wrong[] = { "/a" };
    struct sent_files sent;

    (void)state;
    send_files(&w.app, "csi-1", paths, 2);
    assert_true(w.app.told_unsent); /* of this driver, whatever was said of others */
    w.app.config.sync_secrets = true;
    send_files(&w.app, "csi-unknown", paths, 2);
    send_files(&w.app, "csi-1", paths, 2);
    sent = sent_after(1);
    assert_int_equal(sent.times, 1);
    assert_int_equal(sent.count, 2);
    assert_int_equal(sent.err.code, CODE_OK);
    send_files(&w.app, "csi-1", wrong, 1);
    sent = sent_after(2);
    assert_int_equal(sent.count, 0);
    assert_int_equal(sent.err.code, CODE_INVALID_ARGUMENT);
}

#define on_a_volume(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_volume(what_there_is_of_the_wanted_files_is_read_once),
        on_a_volume(nothing_outside_of_the_volume_is_read),
        on_a_volume(plain_files_are_read_where_there_is_no_generation),
        on_a_volume(too_many_bytes_are_told_not_given),
        on_a_volume(files_are_of_one_generation_while_others_are_swapped_in),
        on_a_volume(a_volume_that_left_is_not_read),
        on_a_volume(files_are_sent_only_where_that_is_switched_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
