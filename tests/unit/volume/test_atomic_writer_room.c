/* SPDX-License-Identifier: Apache-2.0
 *
 * The atomic writer and the file system below it: what a write needs, a full one, and its end.
 */
#include <sys/mman.h>

#include "driver/volume/atomic_writer.h"
#include "tests/unit/volume/rig.h"

static const struct writer_options keeping = { .fs_group = (gid_t)-1, .keep_previous = true };

/* A tmpfs of this size on the folder, or larger if there is one already. */
static bool mount_tmpfs(struct folder *f, struct writer_need need, bool again)
{
    autofree char *options =
        str_printf("mode=0755,size=%ld,nr_inodes=%ld", (long)need.bytes, (long)need.inodes);

    if (mount("locket:x", f->path, "tmpfs", again ? MS_REMOUNT : 0, options) < 0)
        return false;
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return f->fd >= 0;
}

/* count files of size bytes, filled with one letter, depth folders down. */
static void fill_set(struct fileset *set, size_t count, size_t size, size_t depth, char letter)
{
    autofree char *text = xcalloc(1, size + 1);

    memset(text, letter, size);
    for (size_t i = 0; i < count; i++) {
        struct strbuf path CLEANUP(strbuf_done) = { 0 };

        for (size_t k = 0; k < depth; k++)
            strbuf_printf(&path, "d%zu-%zu/", i, k);
        strbuf_printf(&path, "f%zu", i);
        add_rows(set, (const struct row[]){ { strbuf_text(&path), text, 0 } }, 1);
    }
}

static const struct {
    const char *says;
    size_t count, size, depth;
} loads[] = {
    { "no file", 0, 0, 0 },
    { "an empty file", 1, 0, 0 },
    { "many empty files", 1000, 0, 0 },
    { "many files of a byte", 1000, 1, 0 },
    { "a page and a byte each", 100, 4097, 0 },
    { "a large one", 1, 3 << 20, 0 },
    { "deep ones", 30, 100, 40 },
};

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static const char *write_each_load_twice(struct folder *f)
{
    static char wrong[256];

    for (size_t i = 0; i < COUNT_OF(loads); i++) {
        struct write_result result = { 0 };
        struct error err = { 0 };

        for (int turn = 0; turn < 3; turn++) {
            struct fileset set CLEANUP(fileset_done) = { 0 };

            fill_set(&set, loads[i].count, loads[i].size, loads[i].depth, (char)('a' + turn));
            if (turn == 0 && !mount_tmpfs(f, atomic_writer_need(-1, &set), false))
                return "no tmpfs";
            if (atomic_writer_write(f->fd, &set, &keeping, &result, &err) == 0)
                continue;
            (void)snprintf(wrong, sizeof(wrong), "%s, turn %d: %.150s", loads[i].says, turn,
                           err.msg);
            return wrong;
        }
    }
    return NULL;
}

static void what_is_needed_holds_two_generations(void **state)
{
    in_namespace(write_each_load_twice, *state);
}

/* A large file stays unchanged while another one grows. */
static const char *write_beside_an_unchanged_file(struct folder *f)
{
    struct writer_need room = { 0 };

    for (int turn = 0; turn < 5; turn++) {
        struct fileset set CLEANUP(fileset_done) = { 0 };
        autofree char *text = xcalloc(1, (1 << 20) + 1);
        struct write_result result = { 0 };
        struct writer_need need;
        struct error err = { 0 };

        memset(text, 'a' + turn, turn ? 2 << 10 : 1 << 20);
        add_file(&set,
                 (struct file_spec){ .path = "big",
                                     .mode = 0600,
                                     .uid = FILE_OWNER_UNSET,
                                     .gid = FILE_OWNER_UNSET,
                                     .unchanged = turn > 0 },
                 turn ? "" : text);
        memset(text, 'a' + turn, 1 << 20);
        text[turn < 2 ? 1 : 1 << 20] = '\0';
        add_rows(&set, (const struct row[]){ { "small", text, 0 } }, 1);
        need = atomic_writer_need(turn ? f->fd : -1, &set);
        room.bytes = larger(room.bytes, need.bytes);
        room.inodes = larger(room.inodes, need.inodes);
        if (!mount_tmpfs(f, room, turn > 0))
            return "no tmpfs";
        if (atomic_writer_write(f->fd, &set, &keeping, &result, &err) < 0)
            return "a write beside an unchanged file finds no room";
    }
    return NULL;
}

static void unchanged_files_need_room_too(void **state)
{
    in_namespace(write_beside_an_unchanged_file, *state);
}

static const char *fill_it_up(struct folder *f)
{
    struct writer_need room = { .bytes = 256 << 10, .inodes = 64 };
    struct fileset old CLEANUP(fileset_done) = { 0 };
    struct fileset large CLEANUP(fileset_done) = { 0 };
    struct fileset many CLEANUP(fileset_done) = { 0 };
    struct fileset *sets[] = { &large, &many };
    struct write_result result = { 0 };
    struct error err = { 0 };

    fill_set(&old, 3, 100, 0, 'o');
    fill_set(&large, 1, 1 << 20, 0, 'l');
    fill_set(&many, 100, 1, 0, 'm');
    if (!mount_tmpfs(f, room, false) ||
        atomic_writer_write(f->fd, &old, &keeping, &result, &err) < 0)
        return "no tmpfs";
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        err = (struct error){ 0 };
        if (atomic_writer_write(f->fd, sets[i], &keeping, &result, &err) == 0)
            return "it fits";
        if (err.code != CODE_RESOURCE_EXHAUSTED || result.changed)
            return "the code is another";
        if (entries(f->fd).all != 5 || !is_there(f->fd, "f2"))
            return "the old files are not as they were";
    }
    return atomic_writer_write(f->fd, &old, &keeping, &result, &err) < 0 || result.changed
               ? "the next write is no success"
               : NULL;
}

static void a_full_file_system_leaves_the_old_files(void **state)
{
    in_namespace(fill_it_up, *state);
}

/* --- the end of a volume -------------------------------------------------------------------------
 */

static bool all_zero(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

static void wiped_contents_are_overwritten_and_everything_goes(void **state)
{
    enum { SIZE = 40000 };
    struct folder *f = *state;
    struct fileset set CLEANUP(fileset_done) = { 0 };
    struct write_result result = { 0 };
    struct error err = { 0 };
    int fd autoclose = -1;
    const char *map;
    char text[16];

    fill_set(&set, 3, SIZE, 2, 's');
    assert_int_equal(atomic_writer_write(f->fd, &set, &keeping, &result, &err), 0);
    put_text(f->fd, "left", "by a provider");
    assert_int_equal(mkdirat(f->fd, "empty", 0700), 0);
    assert_int_equal(mkfifoat(f->fd, "pipe", 0600), 0);
    fd = openat(f->fd, "d0-0/d0-1/f0", O_RDONLY | O_CLOEXEC);
    map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(map[SIZE - 1], 's');
    (void)alarm(20);
    assert_int_equal(atomic_writer_wipe(f->fd, &err), 0);
    (void)alarm(0);
    assert_int_equal(entries(f->fd).all, 0);
    assert_true(all_zero(map, SIZE));
    assert_int_equal(pread(fd, text, sizeof(text), SIZE - 16), sizeof(text));
    assert_true(all_zero(text, sizeof(text)));
    (void)munmap((void *)map, SIZE);
    assert_int_equal(atomic_writer_wipe(f->fd, &err), 0);
}

static void a_wipe_follows_no_link(void **state)
{
    struct folder *f = *state;
    int vol autoclose = -1;

    assert_int_equal(mkdirat(f->fd, "vol", 0700), 0);
    assert_int_equal(mkdirat(f->fd, "outside", 0700), 0);
    put_text(f->fd, "outside/file", "stays");
    vol = openat(f->fd, "vol", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat("../outside", vol, "folder"), 0);
    assert_int_equal(symlinkat("../outside/file", vol, "file"), 0);
    assert_int_equal(symlinkat("../outside", vol, "..data"), 0);
    assert_int_equal(atomic_writer_fold(vol, NULL), 0);
    assert_int_equal(atomic_writer_wipe(vol, NULL), 0);
    assert_int_equal(entries(vol).all, 0);
    assert_true(reads(f->fd, "outside/file", "stays"));
}

static const char *wipe_around_a_mount(struct folder *f)
{
    struct error err = { 0 };
    struct folder inner = { .fd = -1 };

    if (!mount_tmpfs(f, (struct writer_need){ 1 << 20, 64 }, false) ||
        mkdirat(f->fd, "inner", 0700) < 0)
        return "no tmpfs";
    (void)snprintf(inner.path, sizeof(inner.path), "%.50s/inner", f->path);
    if (!mount_tmpfs(&inner, (struct writer_need){ 1 << 20, 64 }, false))
        return "no second tmpfs";
    put_text(inner.fd, "file", "stays");
    put_text(f->fd, "file", "goes");
    if (atomic_writer_wipe(f->fd, &err) < 0)
        return "the wipe fails";
    if (!reads(inner.fd, "file", "stays"))
        return "another file system was entered";
    return entries(f->fd).all == 1 ? NULL : "more than the mount is left";
}

static void a_wipe_enters_no_other_file_system(void **state)
{
    in_namespace(wipe_around_a_mount, *state);
}

static void what_counts_as_files(void **state)
{
    struct folder *f = *state;

    assert_false(atomic_writer_has_files(f->fd));
    assert_int_equal(symlinkat("..gone", f->fd, "..data"), 0);
    assert_false(atomic_writer_has_files(f->fd)); /* it resolves to nothing */
    assert_int_equal(mkdirat(f->fd, "..gone", 0700), 0);
    assert_true(atomic_writer_has_files(f->fd));
    assert_int_equal(unlinkat(f->fd, "..data", 0), 0);
    assert_false(atomic_writer_has_files(f->fd)); /* a half-written generation alone */
    assert_int_equal(symlinkat("..data/file", f->fd, "file"), 0);
    assert_false(atomic_writer_has_files(f->fd)); /* a link of ours that leads nowhere */
    assert_int_equal(unlinkat(f->fd, "file", 0), 0);
    put_text(f->fd, "file", "by a provider");
    assert_true(atomic_writer_has_files(f->fd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(what_is_needed_holds_two_generations),
        in_folder(unchanged_files_need_room_too),
        in_folder(a_full_file_system_leaves_the_old_files),
        in_folder(wiped_contents_are_overwritten_and_everything_goes),
        in_folder(a_wipe_follows_no_link),
        in_folder(a_wipe_enters_no_other_file_system),
        in_folder(what_counts_as_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
