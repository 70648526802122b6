/* SPDX-License-Identifier: Apache-2.0
 *
 * What a refresh makes of what the provider answers now.
 */
#include "driver/volume/atomic_writer.h"
#include "driver/volume/recovery.h"
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        in_life(a_provider_with_another_key_moves_the_version_of_what_changed_alone),
        in_life(versions_of_bytes_that_are_gone_are_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
