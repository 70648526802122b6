/* SPDX-License-Identifier: Apache-2.0
 *
 * The files a pod sees, when nothing goes wrong around them.
 */
#include <errno.h>
#include <sys/inotify.h>

#include "driver/volume/atomic_writer.h"
#include "tests/unit/volume/rig.h"

static const struct writer_options keeping = { .fs_group = (gid_t)-1, .keep_previous = true };
static const struct writer_options plain = { .fs_group = (gid_t)-1 };

static struct write_result write_files(struct folder *f, struct fileset *set,
                                       const struct writer_options *options)
{
    struct write_result result = { 0 };
    struct error err = { 0 };

    if (atomic_writer_write(f->fd, set, options, &result, &err) < 0)
        fail_msg("%s", err.msg);
    return result;
}

static struct write_result write_rows(struct folder *f, const struct row *rows, size_t count)
{
    struct fileset set CLEANUP(fileset_done) = { 0 };

    add_rows(&set, rows, count);
    return write_files(f, &set, &plain);
}

#define WRITE(f, ...)                                                                              \
    write_rows(f, (const struct row[]){ __VA_ARGS__ },                                             \
               COUNT_OF(((const struct row[]){ __VA_ARGS__ })))

static void the_layout_is_kubelets(void **state)
{
    struct folder *f = *state;
    autofree char *live = NULL;
    autofree char *nested = NULL;
    mode_t before = umask(077);
    struct write_result result =
        WRITE(f, { "tls.crt", "cert", 0 }, { "a/b/c", "deep", 0400 }, { "a/d", "", 0777 });

    (void)umask(before);
    assert_true(result.changed);
    assert_false(result.previous);
    live = link_of(f->fd, "..data");
    assert_true(live && str_starts(live, ".."));
    if (!live)
        return;
    /* ..2026_02_01_15_04_05.123456789 */
    assert_int_equal(strspn(live + 2, "0123456789_"), strlen("2026_02_01_15_04_05"));
    assert_int_equal(live[2 + strlen("2026_02_01_15_04_05")], '.');
    assert_true(links_to(f->fd, "tls.crt", "..data/tls.crt"));
    assert_true(links_to(f->fd, "a", "..data/a"));
    assert_int_equal(entries(f->fd).all, 4);
    assert_true(reads(f->fd, "tls.crt", "cert"));
    assert_true(reads(f->fd, "a/b/c", "deep"));
    assert_true(reads(f->fd, "a/d", ""));
    nested = str_printf("%s/a/b", live);
    assert_int_equal(mode_of(f->fd, live), 0755);
    assert_int_equal(mode_of(f->fd, nested), 0755);
    assert_int_equal(mode_of(f->fd, "tls.crt"), 0644);
    assert_int_equal(mode_of(f->fd, "a/b/c"), 0400);
    assert_int_equal(mode_of(f->fd, "a/d"), 0777);
}

static void a_volume_without_files_is_a_volume(void **state)
{
    struct folder *f = *state;
    struct fileset none = { 0 };

    assert_false(atomic_writer_has_files(f->fd));
    assert_true(write_files(f, &none, &plain).changed);
    assert_true(is_there(f->fd, "..data/."));
    assert_true(atomic_writer_has_files(f->fd));
    assert_false(write_files(f, &none, &plain).changed);
    assert_int_equal(entries(f->fd).all, 2);
}

static const struct {
    const char *says;
    struct row rows[3];
    bool changed;
} second_writes[] = {
    { "the same", { { "a", "one", 0 }, { "b/c", "two", 0400 } }, false },
    { "the same in another order", { { "b/c", "two", 0400 }, { "a", "one", 0 } }, false },
    { "other bytes of the same length", { { "a", "onE", 0 }, { "b/c", "two", 0400 } }, true },
    { "a shorter text", { { "a", "on", 0 }, { "b/c", "two", 0400 } }, true },
    { "no text", { { "a", "", 0 }, { "b/c", "two", 0400 } }, true },
    { "a longer text", { { "a", "one1", 0 }, { "b/c", "two", 0400 } }, true },
    { "another mode", { { "a", "one", 0 }, { "b/c", "two", 0440 } }, true },
    { "one file more", { { "a", "one", 0 }, { "b/c", "two", 0400 }, { "d", "", 0 } }, true },
    { "one more in a folder",
      { { "a", "one", 0 }, { "b/c", "two", 0400 }, { "b/d", "", 0 } },
      true },
    { "one file less", { { "a", "one", 0 } }, true },
    { "another name", { { "a", "one", 0 }, { "b/d", "two", 0400 } }, true },
    { "no file at all", { { NULL, NULL, 0 } }, true },
};

static void a_write_changes_exactly_what_differs(void **state)
{
    struct folder *f = *state;

    for (size_t i = 0; i < COUNT_OF(second_writes); i++) {
        const struct row *rows = second_writes[i].rows;
        struct write_result result;
        size_t count = 0;

        while (count < COUNT_OF(second_writes[i].rows) && rows[count].path)
            count++;
        WRITE(f, { "a", "one", 0 }, { "b/c", "two", 0400 });
        result = write_rows(f, rows, count);
        if (result.changed != second_writes[i].changed)
            fail_msg("%s: changed is %d", second_writes[i].says, result.changed);
        for (size_t k = 0; k < count; k++)
            if (!reads(f->fd, rows[k].path, rows[k].text) ||
                mode_of(f->fd, rows[k].path) != (rows[k].mode ? rows[k].mode : 0644))
                fail_msg("%s: %s is not as written", second_writes[i].says, rows[k].path);
        if (entries(f->fd).dotted != 2)
            fail_msg("%s: an old generation is left", second_writes[i].says);
    }
}

static void large_files_differ_in_their_last_byte(void **state)
{
    static const size_t sizes[] = { 1, 4095, 4096, 16383, 16384, 16385, 200 << 10 };
    struct folder *f = *state;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        autofree char *text = xcalloc(1, sizes[i] + 1);

        memset(text, 'x', sizes[i]);
        assert_true(WRITE(f, { "big", text, 0 }).changed);
        assert_false(WRITE(f, { "big", text, 0 }).changed);
        text[sizes[i] - 1] = 'y';
        assert_true(WRITE(f, { "big", text, 0 }).changed);
        assert_true(reads(f->fd, "big", text));
    }
}

static void the_same_again_writes_nothing_at_all(void **state)
{
    enum { WRITES = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVE };
    struct folder *f = *state;
    autofree char *live = str_printf("%s/..data/", f->path);
    int watch autoclose = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    char event[4096];

    WRITE(f, { "a", "one", 0 }, { "b", "two", 0 });
    assert_true(inotify_add_watch(watch, f->path, WRITES) >= 0);
    assert_true(inotify_add_watch(watch, live, WRITES) >= 0);
    for (int i = 0; i < 100; i++)
        assert_false(WRITE(f, { "a", "one", 0 }, { "b", "two", 0 }).changed);
    assert_int_equal(read(watch, event, sizeof(event)), -1);
    assert_int_equal(errno, EAGAIN);
    WRITE(f, { "a", "two", 0 }); /* the watch does see writes */
    assert_true(read(watch, event, sizeof(event)) > 0);
}

static void names_that_vanish_take_their_links_along(void **state)
{
    struct folder *f = *state;

    WRITE(f, { "a", "1", 0 }, { "b/c", "2", 0 }, { "d", "3", 0 });
    put_text(f->fd, "foreign", "stays");
    assert_int_equal(symlinkat("elsewhere", f->fd, "foreign-link"), 0);
    WRITE(f, { "d", "3", 0 }, { "b/e", "4", 0 });
    assert_false(is_there(f->fd, "a"));
    assert_true(reads(f->fd, "b/e", "4"));
    assert_false(is_there(f->fd, "b/c"));
    assert_true(reads(f->fd, "foreign", "stays"));
    assert_true(links_to(f->fd, "foreign-link", "elsewhere"));
}

static void one_previous_generation_stays_until_it_is_folded(void **state)
{
    struct folder *f = *state;
    struct fileset first CLEANUP(fileset_done) = { 0 };
    struct fileset second CLEANUP(fileset_done) = { 0 };
    autofree char *oldest = NULL;
    autofree char *older = NULL;

    add_rows(&first, (const struct row[]){ { "a", "1", 0 } }, 1);
    add_rows(&second, (const struct row[]){ { "a", "2", 0 } }, 1);
    assert_false(write_files(f, &first, &keeping).previous);
    oldest = link_of(f->fd, "..data");
    assert_true(write_files(f, &second, &keeping).previous);
    older = link_of(f->fd, "..data");
    assert_true(is_there(f->fd, oldest));
    /* At most one: the next write takes the one before along. */
    assert_true(write_files(f, &first, &keeping).previous);
    assert_false(is_there(f->fd, oldest));
    assert_true(is_there(f->fd, older));
    assert_int_equal(atomic_writer_fold(f->fd, NULL), 0);
    assert_false(is_there(f->fd, older));
    assert_int_equal(entries(f->fd).dotted, 2);
    assert_true(reads(f->fd, "a", "1"));
    assert_int_equal(atomic_writer_fold(f->fd, NULL), 0);
    assert_int_equal(entries(f->fd).all, 3);
}

static int refuse_swap(void *arg, struct error *err)
{
    struct folder *f = arg;

    assert_true(is_there(f->fd, "..data_tmp"));
    return error_set(err, CODE_ABORTED, "leaving");
}

static void a_swap_that_may_not_be_leaves_the_old_files(void **state)
{
    struct folder *f = *state;
    struct writer_options options = { .fs_group = (gid_t)-1, .may_swap = refuse_swap, .arg = f };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct write_result result = { 0 };
    struct error err = { 0 };

    add_rows(&set, (const struct row[]){ { "a", "new", 0 }, { "b", "new", 0 } }, 2);
    assert_int_equal(atomic_writer_write(f->fd, &set, &options, &result, &err), -1);
    assert_int_equal(entries(f->fd).all, 0);
    WRITE(f, { "a", "old", 0 });
    assert_int_equal(atomic_writer_write(f->fd, &set, &options, &result, &err), -1);
    assert_int_equal(err.code, CODE_ABORTED);
    assert_false(result.changed);
    assert_true(reads(f->fd, "a", "old"));
    assert_int_equal(entries(f->fd).all, 3);
}

static int new_names_lead_nowhere_yet(void *arg, struct error *err)
{
    struct folder *f = arg;

    (void)err;
    assert_true(links_to(f->fd, "b", "..data/b"));
    assert_true(links_to(f->fd, "c", "..data/c"));
    assert_null(text_of(f->fd, "b"));
    assert_true(reads(f->fd, "a", "old"));
    return 0;
}

static void the_swap_alone_brings_new_names_into_sight(void **state)
{
    struct folder *f = *state;
    struct writer_options options = { .fs_group = (gid_t)-1,
                                      .may_swap = new_names_lead_nowhere_yet,
                                      .arg = f };
    struct fileset set CLEANUP(fileset_done) = { 0 };

    WRITE(f, { "a", "old", 0 });
    add_rows(&set, (const struct row[]){ { "b", "new", 0 }, { "c/d", "new", 0 } }, 2);
    assert_true(write_files(f, &set, &options).changed);
    assert_true(reads(f->fd, "b", "new"));
    assert_true(reads(f->fd, "c/d", "new"));
    assert_false(is_there(f->fd, "a"));
}

static void a_name_that_leads_nowhere_is_swept(void **state)
{
    struct folder *f = *state;

    WRITE(f, { "a", "1", 0 });
    assert_int_equal(symlinkat("..data/b", f->fd, "b"), 0); /* of a swap that was killed */
    assert_int_equal(symlinkat("elsewhere", f->fd, "c"), 0);
    assert_int_equal(atomic_writer_fold(f->fd, NULL), 0);
    assert_false(is_there(f->fd, "b"));
    assert_true(is_there(f->fd, "c"));
    assert_true(reads(f->fd, "a", "1"));
}

/* --- files that the provider did not send again --------------------------------------------------
 */

static struct fileset unchanged_set(const char *path)
{
    struct fileset set = { 0 };

    add_file(&set,
             (struct file_spec){ .path = path,
                                 .mode = 0600,
                                 .uid = FILE_OWNER_UNSET,
                                 .gid = FILE_OWNER_UNSET,
                                 .unchanged = true },
             "");
    add_rows(&set, (const struct row[]){ { "b", "new", 0 } }, 1);
    return set;
}

static void unchanged_files_keep_the_bytes_of_the_live_generation(void **state)
{
    struct folder *f = *state;
    struct fileset set CLEANUP(fileset_done) = unchanged_set("x/a");
    autofree char *big = xcalloc(1, (100 << 10) + 1);

    memset(big, 'z', 100 << 10);
    WRITE(f, { "x/a", big, 0640 }, { "b", "old", 0 });
    assert_true(write_files(f, &set, &plain).changed);
    assert_true(reads(f->fd, "x/a", big));
    assert_true(reads(f->fd, "b", "new"));
    assert_int_equal(mode_of(f->fd, "x/a"), 0600);
    assert_false(write_files(f, &set, &plain).changed);
}

static void unchanged_files_that_are_not_there_are_an_error(void **state)
{
    static const char *const paths[] = { "none", "b/c", "link", "fifo", "sub" };
    struct folder *f = *state;

    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct fileset set CLEANUP(fileset_done) = { 0 };
        struct write_result result = { 0 };
        struct error err = { 0 };

        add_file(&set, (struct file_spec){ .path = paths[i], .mode = 0600, .unchanged = true }, "");
        assert_int_equal(atomic_writer_write(f->fd, &set, &plain, &result, &err), -1);
        assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
        assert_non_null(strstr(err.msg, paths[i]));
        if (i == 0) { /* without a live generation, and now with one, odd entries in it */
            assert_int_equal(entries(f->fd).all, 0);
            WRITE(f, { "b", "old", 0 });
            put_text(f->fd, "secret", "of somebody else");
            assert_int_equal(symlinkat("../secret", f->fd, "..data/link"), 0);
            assert_int_equal(mkfifoat(f->fd, "..data/fifo", 0600), 0);
            assert_int_equal(mkdirat(f->fd, "..data/sub", 0700), 0);
        }
        (void)alarm(10);
        assert_int_equal(atomic_writer_write(f->fd, &set, &plain, &result, &err), -1);
        (void)alarm(0);
        if (err.code != CODE_FAILED_PRECONDITION)
            fail_msg("%s: %s", paths[i], err.msg);
        assert_true(reads(f->fd, "b", "old"));
        assert_int_equal(entries(f->fd).dotted, 2);
    }
}

/* --- what others left ----------------------------------------------------------------------------
 */

static void files_of_a_writing_provider_give_way_to_links(void **state)
{
    struct folder *f = *state;

    put_text(f->fd, "a", "by the provider");
    put_text(f->fd, "other", "not ours");
    assert_int_equal(mkdirat(f->fd, "tree", 0700), 0);
    put_text(f->fd, "tree/leaf", "by the provider");
    assert_int_equal(symlinkat("other", f->fd, "link"), 0);
    assert_true(atomic_writer_has_files(f->fd));
    WRITE(f, { "a", "1", 0 }, { "tree/x", "2", 0 }, { "link", "3", 0 });
    assert_true(links_to(f->fd, "a", "..data/a"));
    assert_true(reads(f->fd, "a", "1"));
    assert_true(reads(f->fd, "tree/x", "2"));
    assert_true(reads(f->fd, "link", "3"));
    assert_true(reads(f->fd, "other", "not ours"));
    assert_int_equal(entries(f->fd).dotted, 2);
}

static const struct {
    const char *says;
    const char *data; /* what ..data links to */
} odd_data[] = {
    { "a way out", "../.." },
    { "a path", "/etc" },
    { "a name that is not a generation's", "plain" },
    { "nothing there", "..2020_01_01_00_00_00.1" },
    { "a folder below another", "..old/below" },
    { "itself", "..data" },
};

static void an_odd_data_link_is_replaced(void **state)
{
    struct folder *f = *state;

    for (size_t i = 0; i < COUNT_OF(odd_data); i++) {
        (void)unlinkat(f->fd, "..data", 0);
        assert_int_equal(symlinkat(odd_data[i].data, f->fd, "..data"), 0);
        if (!WRITE(f, { "a", "1", 0 }).changed || !reads(f->fd, "a", "1") ||
            entries(f->fd).dotted != 2)
            fail_msg("%s", odd_data[i].says);
    }
    assert_int_equal(unlinkat(f->fd, "..data", 0), 0);
    assert_int_equal(mkdirat(f->fd, "..data", 0755), 0);
    put_text(f->fd, "..data/a", "in a folder");
    WRITE(f, { "a", "1", 0 });
    assert_true(reads(f->fd, "a", "1"));
}

static void a_live_generation_of_any_name_is_live_until_the_swap(void **state)
{
    struct folder *f = *state;
    struct writer_options options = { .fs_group = (gid_t)-1, .may_swap = refuse_swap, .arg = f };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct write_result result;
    struct error err = { 0 };
    autofree char *name = xcalloc(1, NAME_MAX + 1);
    autofree char *inside = NULL;

    memset(name, '.', 2);
    memset(name + 2, 'g', NAME_MAX - 2);
    inside = str_printf("%s/a", name);
    assert_int_equal(mkdirat(f->fd, name, 0755), 0);
    put_text(f->fd, inside, "old");
    assert_int_equal(symlinkat(name, f->fd, "..data"), 0);
    assert_true(atomic_writer_has_files(f->fd));
    add_rows(&set, (const struct row[]){ { "a", "new", 0 } }, 1);
    assert_int_equal(atomic_writer_write(f->fd, &set, &options, &result, &err), -1);
    assert_int_equal(err.code, CODE_ABORTED);
    assert_true(reads(f->fd, "..data/a", "old"));
    assert_int_equal(atomic_writer_fold(f->fd, NULL), 0);
    assert_true(reads(f->fd, "..data/a", "old"));
    assert_true(write_files(f, &set, &keeping).previous);
    assert_true(reads(f->fd, inside, "old"));
}

static void odd_entries_in_the_live_generation_never_block(void **state)
{
    struct folder *f = *state;

    WRITE(f, { "a", "1", 0 }, { "b", "2", 0 });
    assert_int_equal(unlinkat(f->fd, "..data/a", 0), 0);
    assert_int_equal(mkfifoat(f->fd, "..data/a", 0644), 0);
    assert_int_equal(unlinkat(f->fd, "..data/b", 0), 0);
    assert_int_equal(symlinkat("a", f->fd, "..data/b"), 0);
    (void)alarm(10);
    assert_true(WRITE(f, { "a", "1", 0 }, { "b", "2", 0 }).changed);
    (void)alarm(0);
    assert_true(reads(f->fd, "a", "1"));
    assert_true(reads(f->fd, "b", "2"));
}

/* --- owners --------------------------------------------------------------------------------------
 */

static void a_group_is_set_and_the_mode_stays(void **state)
{
    struct folder *f = *state;
    struct writer_options options = { .fs_group = 4711 };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct stat st;

    if (geteuid() != 0)
        skip();
    add_rows(&set, (const struct row[]){ { "key", "k", 0400 } }, 1);
    add_file(&set, (struct file_spec){ .path = "own", .mode = 0640, .uid = 17, .gid = 18 }, "o");
    assert_true(write_files(f, &set, &options).changed);
    assert_int_equal(fstatat(f->fd, "key", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0400);
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(st.st_gid, 4711);
    assert_int_equal(fstatat(f->fd, "own", &st, 0), 0);
    assert_int_equal(st.st_uid, 17);
    assert_int_equal(st.st_gid, 18);
    assert_false(write_files(f, &set, &options).changed);
    options.fs_group = 4712; /* an owner alone is a change */
    assert_true(write_files(f, &set, &options).changed);
    options.fs_group = (gid_t)-1;
    assert_true(write_files(f, &set, &options).changed);
    assert_int_equal(fstatat(f->fd, "key", &st, 0), 0);
    assert_int_equal(st.st_gid, getegid());
}

static const char *write_with_unmapped_group(struct folder *f)
{
    struct writer_options options = { .fs_group = 4711 };
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct write_result result = { 0 };
    struct error err = { 0 };

    add_rows(&set, (const struct row[]){ { "a", "new", 0 } }, 1);
    if (atomic_writer_write(f->fd, &set, &options, &result, &err) == 0)
        return "it was accepted";
    if (err.code != CODE_INVALID_ARGUMENT || !strstr(err.msg, "4711") ||
        !strstr(err.msg, "not mapped") || !strstr(err.msg, "fsGroup"))
        return "the error does not say what to do";
    if (!reads(f->fd, "a", "old") || entries(f->fd).all != 3)
        return "the old files are gone";
    return NULL;
}

static void a_group_that_is_not_mapped_is_told_before_anything_is_swapped(void **state)
{
    struct folder *f = *state;

    WRITE(f, { "a", "old", 0 });
    in_namespace(write_with_unmapped_group, f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(the_layout_is_kubelets),
        in_folder(a_volume_without_files_is_a_volume),
        in_folder(a_write_changes_exactly_what_differs),
        in_folder(large_files_differ_in_their_last_byte),
        in_folder(the_same_again_writes_nothing_at_all),
        in_folder(names_that_vanish_take_their_links_along),
        in_folder(one_previous_generation_stays_until_it_is_folded),
        in_folder(a_swap_that_may_not_be_leaves_the_old_files),
        in_folder(the_swap_alone_brings_new_names_into_sight),
        in_folder(a_name_that_leads_nowhere_is_swept),
        in_folder(unchanged_files_keep_the_bytes_of_the_live_generation),
        in_folder(unchanged_files_that_are_not_there_are_an_error),
        in_folder(files_of_a_writing_provider_give_way_to_links),
        in_folder(an_odd_data_link_is_replaced),
        in_folder(a_live_generation_of_any_name_is_live_until_the_swap),
        in_folder(odd_entries_in_the_live_generation_never_block),
        in_folder(a_group_is_set_and_the_mode_stays),
        in_folder(a_group_that_is_not_mapped_is_told_before_anything_is_swapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
