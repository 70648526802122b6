/* SPDX-License-Identifier: Apache-2.0
 *
 * What a refresh makes of what the provider answers now.
 */
#include "driver/volume/atomic_writer.h"
#include "driver/volume/recovery.h"
#include "driver/volume/rotation.h"
#include "lib/base/clock.h"
#include "tests/unit/volume/life.h"

/* --- versions ----------------------------------------------------------------------------------
 */

static void expect_versions(size_t n, const char *want)
{
    struct volume *v autovolume = life_volume(n);
    struct strbuf got autostrbuf = { 0 };

    for (size_t i = 0; i < v->record.version_count; i++)
        strbuf_printf(&got, "%s=%s ", v->record.versions[i].id, v->record.versions[i].version);
    assert_string_equal(strbuf_text(&got), want);
}

static void restart(void)
{
    life_stop();
    life_start();
    assert_int_equal(recovery_run(&w.app, NULL), 0);
}

static void a_provider_with_another_key_moves_the_version_of_what_changed_alone(void **state)
{
    (void)state;
    source_double_put(w.app.source, "b", "old");
    life_publish(1);
    expect_versions(1, "a=v-old b=v-old ");
    source_double_key(w.app.source, "w-");
    assert_int_equal(life_refresh(1), 0);
    expect_versions(1, "a=v-old b=v-old ");
    source_double_put(w.app.source, "b", "new");
    source_double_put(w.app.source, "c", "new");
    assert_int_equal(life_refresh(1), 0);
    expect_versions(1, "a=v-old b=w-new c=w-new ");
    restart(); /* of the driver too: a record of its versions is enough */
    source_double_key(w.app.source, "x-");
    source_double_put(w.app.source, "c", "newer");
    assert_int_equal(life_refresh(1), 0);
    expect_versions(1, "a=v-old b=w-new c=x-newer ");
}

/* As after a crash between the swap and its record: what the record says of versions is of the
 * bytes before. */
static void versions_of_bytes_that_are_gone_are_not_kept(void **state)
{
    autoclose int dir_fd = -1;
    struct fileset swapped autofileset = { 0 };
    struct writer_options options = { .fs_group = (gid_t)-1 };
    struct write_result result = { 0 };
    struct file_spec spec = { .path = "a",
                              .path_len = 1,
                              .mode = 0644,
                              .uid = FILE_OWNER_UNSET,
                              .gid = (gid_t)FILE_OWNER_UNSET,
                              .contents = secret_copy("new", 3) };

    (void)state;
    life_publish(1);
    dir_fd = open(w.target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fileset_add(&swapped, &spec, NULL), 0);
    assert_int_equal(atomic_writer_write(dir_fd, &swapped, &options, &result, NULL), 0);
    restart();
    expect_versions(1, "a=v-old ");
    source_double_put(w.app.source, "a", "new");
    assert_int_equal(life_refresh(1), 0);
    expect_versions(1, "a=v-new ");
    assert_string_equal(cluster_double_last(w.app.cluster, "csi-1")->versions[0].version, "v-new");
}

/* --- numbers -----------------------------------------------------------------------------------
 */

static double counted(enum volume_metric row, const char *a, const char *b, const char *c)
{
    const char *labels[] = { a, b, c };

    return metrics_value(w.app.metrics, row, labels);
}

static void wait_for_rotation(const char *result, const char *reason)
{
    int64_t end = clock_mono_ms() + 10000;

    while (counted(VM_ROTATION, "double", result, reason) == 0 && clock_mono_ms() < end)
        clock_sleep_ms(5);
    if (counted(VM_ROTATION, "double", result, reason) != 1)
        fail_msg("%s by %s", result, reason);
}

static void a_refresh_is_counted_by_why_it_was(void **state)
{
    struct volume *v autovolume = NULL;

    (void)state;
    life_publish(1);
    v = life_volume(1);
    rotation_hasten(&w.app, v, 0, false);
    wait_for_rotation("unchanged", "class");
    source_double_put(w.app.source, "a", "new");
    rotation_hasten(&w.app, v, 0, true);
    wait_for_rotation("changed", "asked");
    source_double_fail(w.app.source, &(struct error){ .code = CODE_UNAVAILABLE });
    assert_int_equal(life_refresh(1), -1);
    wait_for_rotation("error", "asked");
    assert_int_equal(v->why, REFRESH_RETRY); /* the next */
    source_double_fail(w.app.source, NULL);
    assert_int_equal(life_refresh(1), 0);
    assert_int_equal(v->why, REFRESH_POLL);
}

static void what_a_fetch_cost_at_the_store_is_counted(void **state)
{
    struct source_told told = { .how = { .store = "s", .logins = 1, .leases_kept = 2 } };

    (void)state;
    source_double_tell(w.app.source, &told);
    life_publish(1);
    assert_true(counted(VM_PUBLISH_SECONDS, "double", "ok", "true") == 1); /* it asked nobody */
    assert_true(counted(VM_STORE_LEASES, "double", "kept", NULL) == 2);
    told.how = (struct fetch_how){ .store = "s", .calls = 3, .logins_failed = 1 };
    source_double_tell(w.app.source, &told);
    assert_int_equal(life_refresh(1), 0);
    assert_true(counted(VM_STORE_CALLS, "double", NULL, NULL) == 3);
    assert_true(counted(VM_STORE_LOGINS, "double", "ok", NULL) == 1);
    assert_true(counted(VM_STORE_LOGINS, "double", "error", NULL) == 1);
    told = (struct source_told){ 0 };
    source_double_tell(w.app.source, &told);
    life_publish(2); /* of one that tells nothing it is not known */
    assert_true(counted(VM_PUBLISH_SECONDS, "double", "ok", "false") == 1);
}

static void the_end_of_a_lease_is_remembered_until_there_is_another(void **state)
{
    int64_t now = clock_unix_ms();
    struct source_told told = { .how = { .store = "s", .expires_at_unix_ms = now + 100000 } };
    struct volume *v autovolume = NULL;

    (void)state;
    source_double_tell(w.app.source, &told);
    life_publish(1);
    v = life_volume(1);
    assert_in_range(v->expires_life_ms, 90000, 100000);
    v->expires_life_ms = 7;
    told.how.expires_at_unix_ms += 50; /* the same, by another clock */
    source_double_tell(w.app.source, &told);
    assert_int_equal(life_refresh(1), 0);
    assert_int_equal(v->expires_life_ms, 7);
    told.how.expires_at_unix_ms += 60000;
    source_double_tell(w.app.source, &told);
    assert_int_equal(life_refresh(1), 0);
    assert_in_range(v->expires_life_ms, 150000, 160100);
    told.how.expires_at_unix_ms = 0;
    source_double_tell(w.app.source, &told);
    assert_int_equal(life_refresh(1), 0);
    assert_int_equal(v->expires_at_unix_ms + v->expires_life_ms, 0);
}

/* --- wishes ------------------------------------------------------------------------------------
 */

enum { MANY = 40, WITHIN_MS = 300, PATIENCE_MS = 20000 };

static void wait_fetches(size_t want)
{
    int64_t end = clock_mono_ms() + PATIENCE_MS;

    while (source_double_fetches(w.app.source) < want && clock_mono_ms() < end)
        clock_sleep_ms(5);
    assert_int_equal(source_double_fetches(w.app.source), want);
}

static void hasten_all(void)
{
    for (size_t n = 1; n <= MANY; n++) {
        struct volume *v autovolume = life_volume(n);

        rotation_hasten(&w.app, v, WITHIN_MS, false);
    }
}

static void two_edits_close_together_are_one_fetch_of_each_volume(void **state)
{
    (void)state;
    for (size_t n = 1; n <= MANY; n++)
        life_publish(n);
    hasten_all();
    if (source_double_fetches(w.app.source) > MANY)
        skip(); /* the machine is too slow: some were refreshed between the two */
    hasten_all();
    wait_fetches((size_t)2 * MANY);
    clock_sleep_ms((int64_t)2 * WITHIN_MS);
    wait_fetches((size_t)2 * MANY);
}

/* Until somebody works on the volume. */
static void begin_refresh(struct volume *v)
{
    enum volume_state seen = VOLUME_IDLE;

    rotation_hasten(&w.app, v, 0, false);
    for (int64_t end = clock_mono_ms() + PATIENCE_MS;
         seen != VOLUME_FETCHING && clock_mono_ms() < end; clock_sleep_ms(1)) {
        (void)pthread_mutex_lock(&v->lock);
        seen = v->state;
        (void)pthread_mutex_unlock(&v->lock);
    }
    assert_int_equal(seen, VOLUME_FETCHING);
}

static void hang_in_refresh(struct volume *v)
{
    source_double_hang(w.app.source, true);
    begin_refresh(v);
}

/* An edit while the volume is refreshed by the form before: that refresh does not count. */
static void an_edit_during_a_refresh_is_followed_by_another(void **state)
{
    struct volume *v autovolume = NULL;

    (void)state;
    life_publish(1);
    v = life_volume(1);
    hang_in_refresh(v);
    rotation_hasten(&w.app, v, WITHIN_MS, false);
    source_double_hang(w.app.source, false);
    wait_fetches(3);
    clock_sleep_ms((int64_t)2 * WITHIN_MS);
    wait_fetches(3);
}

/* Its next time is set when the queue has ended. */
static void a_stop_during_a_refresh_ends_it(void **state)
{
    struct volume *v autovolume = NULL;

    (void)state;
    life_publish(1);
    v = life_volume(1);
    hang_in_refresh(v);
    life_stop();
    life_start();
    assert_int_equal(source_double_fetches(w.app.source), 1); /* the second was cancelled */
}

/* An agent that took the question and says nothing has 20 s for it, which an end has not. */
static void a_stop_while_the_class_is_asked_for_ends_it_too(void **state)
{
    struct volume *v autovolume = NULL;

    (void)state;
    life_publish(1);
    v = life_volume(1);
    cluster_double_hang(w.app.cluster, true);
    begin_refresh(v);
    life_stop();
    life_start();
    assert_int_equal(source_double_fetches(w.app.source), 1);
    assert_int_equal(cluster_double_noted(w.app.cluster, NOTE_REFRESHED).count, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        in_life(a_provider_with_another_key_moves_the_version_of_what_changed_alone),
        in_life(versions_of_bytes_that_are_gone_are_not_kept),
        in_life(a_refresh_is_counted_by_why_it_was),
        in_life(what_a_fetch_cost_at_the_store_is_counted),
        in_life(the_end_of_a_lease_is_remembered_until_there_is_another),
        in_life(two_edits_close_together_are_one_fetch_of_each_volume),
        in_life(an_edit_during_a_refresh_is_followed_by_another),
        in_life(a_stop_during_a_refresh_ends_it),
        in_life(a_stop_while_the_class_is_asked_for_ends_it_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
