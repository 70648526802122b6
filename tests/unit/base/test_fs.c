/* SPDX-License-Identifier: Apache-2.0
 *
 * Small file work in a folder of the test's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "lib/base/fs.h"
#include "lib/base/strbuf.h"
#include "tests/check.h"

static char folder[64];
static int dir_fd = -1;

static int enter(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/locket-fs-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0 ? -1 : 0;
}

static int leave(void **state)
{
    (void)state;
    (void)close(dir_fd);
    return fs_remove_tree(AT_FDCWD, folder, NULL);
}

static void put(const char *name, const char *text)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text), NULL), 0);
    assert_int_equal(close(fd), 0);
}

static void whole_files_are_read_under_a_ceiling(void **state)
{
    static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 10000 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        autofree char *text = xcalloc(1, sizes[i] + 1);
        struct secret got CLEANUP(secret_done) = { 0 };
        struct error err = { 0 };

        memset(text, 'x', sizes[i]);
        put("f", text);
        assert_int_equal(fs_read(dir_fd, "f", sizes[i], false, &got, &err), 0);
        assert_int_equal(got.len, sizes[i]);
        if (!sizes[i]) {
            assert_null(got.bytes);
            continue;
        }
        assert_memory_equal(got.bytes, text, sizes[i]);
        secret_done(&got);
        assert_int_equal(fs_read(dir_fd, "f", sizes[i] - 1, false, &got, &err), -1);
        assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(err.msg, "f has more than"));
        assert_null(got.bytes);
    }
}

static void only_regular_files_are_read(void **state)
{
    struct secret got CLEANUP(secret_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(fs_read(dir_fd, "none", 10, true, &got, &err), -1);
    assert_int_equal(err.code, CODE_NOT_FOUND);
    assert_int_equal(fs_read(dir_fd, ".", 10, true, &got, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_int_equal(mkfifoat(dir_fd, "pipe", 0600), 0);
    assert_int_equal(fs_read(dir_fd, "pipe", 10, true, &got, &err), -1); /* and does not hang */
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
}

static void a_link_is_followed_only_when_asked(void **state)
{
    struct secret got CLEANUP(secret_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    put("f", "abc");
    assert_int_equal(symlinkat("f", dir_fd, "link"), 0);
    assert_int_equal(fs_read(dir_fd, "link", 10, false, &got, &err), -1);
    assert_int_equal(fs_read(dir_fd, "link", 10, true, &got, &err), 0);
    assert_memory_equal(got.bytes, "abc", 3);
}

static void text_loses_its_trailing_white_space(void **state)
{
    static const struct {
        const char *file;
        const char *text;
    } rows[] = {
        { "abc\n", "abc" },
        { " a b \r\n\t ", " a b" },
        { "\n", "" },
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *path = str_printf("%s/f", folder);
        autofree char *text = NULL;

        put("f", rows[i].file);
        assert_int_equal(fs_read_text(path, 100, &text, NULL), 0);
        assert_string_equal(text, rows[i].text);
    }
}

static void text_with_a_nul_byte_is_refused(void **state)
{
    autofree char *path = str_printf("%s/f", folder);
    autofree char *text = NULL;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(fs_replace(dir_fd, "f", "a\0b", 3, &err), 0);
    assert_int_equal(fs_read_text(path, 100, &text, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_null(text);
}

static int count_entry(void *arg, const char *name, struct error *err)
{
    (void)name;
    (void)err;
    ++*(size_t *)arg;
    return 0;
}

static size_t entries(void)
{
    size_t count = 0;

    assert_int_equal(fs_each(dir_fd, ".", count_entry, &count, NULL), 0);
    return count;
}

static void replacing_leaves_one_file_with_mode_0600(void **state)
{
    struct secret got CLEANUP(secret_done) = { 0 };
    size_t before;
    struct stat st;

    (void)state;
    put("f", "old");
    put(".f.tmp", "left behind by a crash, and longer");
    before = entries();
    assert_int_equal(fs_replace(dir_fd, "f", "new", 3, NULL), 0);
    assert_int_equal(entries(), before - 1);
    assert_int_equal(fs_read(dir_fd, "f", 10, false, &got, NULL), 0);
    assert_int_equal(got.len, 3);
    assert_memory_equal(got.bytes, "new", 3);
    assert_int_equal(fstatat(dir_fd, "f", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_failed_replacing_leaves_the_old_file_and_no_other(void **state)
{
    struct error err = { 0 };
    size_t before;

    (void)state;
    assert_int_equal(mkdirat(dir_fd, "d", 0700), 0);
    before = entries();
    assert_int_equal(fs_replace(dir_fd, "d", "x", 1, &err), -1);
    assert_non_null(strstr(err.msg, "rename .d.tmp to d"));
    assert_int_equal(entries(), before);
    assert_int_equal(unlinkat(dir_fd, "d", AT_REMOVEDIR), 0);
    assert_int_equal(fs_replace(dir_fd, "no/such", "x", 1, &err), -1);
}

static void writing_says_when_nobody_reads(void **state)
{
    struct error err = { 0 };
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    (void)close(ends[0]);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(fs_write_all(ends[1], "x", 1, &err), -1);
    assert_int_equal(fs_write_all(ends[1], "", 0, &err), 0);
    (void)close(ends[1]);
}

static void folders_are_made_with_their_parents(void **state)
{
    autofree char *deep = str_printf("%s/a/b//c/", folder);
    autofree char *below = str_printf("%s/f/x", folder);
    struct error err = { 0 };
    struct stat st;

    (void)state;
    assert_int_equal(fs_mkdirs(deep, 0700, &err), 0);
    assert_int_equal(fs_mkdirs(deep, 0700, &err), 0);
    assert_int_equal(fstatat(dir_fd, "a/b/c", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    put("f", "");
    assert_int_equal(fs_mkdirs(below, 0700, &err), -1);
    assert_int_equal(fs_mkdirs("", 0700, &err), -1);
    assert_int_equal(err.code, CODE_NOT_FOUND);
}

/* Opens below the folder in both ways and expects the same of both. */
static const struct {
    const char *path;
    int flags;
    bool opens;
} belows[] = {
    { "f", O_RDONLY, true },
    { "sub/f", O_RDONLY, true },
    { "sub//f", O_RDONLY, true },
    { "./sub/./f", O_RDONLY, true },
    { "sub", O_RDONLY | O_DIRECTORY, true },
    { "sub", O_PATH | O_DIRECTORY, true },
    { "none", O_RDONLY, false },
    { "sub/none/f", O_RDONLY, false },
    { "f/x", O_RDONLY, false },
    { "..", O_RDONLY | O_DIRECTORY, false },
    { "../", O_RDONLY | O_DIRECTORY, false },
    { "sub/../..", O_RDONLY | O_DIRECTORY, false },
    { "../f", O_RDONLY, false },
    { "/etc/passwd", O_RDONLY, false },
    { "link-f", O_RDONLY, false },
    { "link-sub/f", O_RDONLY, false },
    { "link-sub", O_PATH | O_DIRECTORY, false },
    { "link-root/etc/passwd", O_RDONLY, false },
};

static void opening_below_never_leaves_the_folder_nor_follows_a_link(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, "sub", 0700), 0);
    put("f", "1");
    put("sub/f", "2");
    assert_int_equal(symlinkat("f", dir_fd, "link-f"), 0);
    assert_int_equal(symlinkat("sub", dir_fd, "link-sub"), 0);
    assert_int_equal(symlinkat("/", dir_fd, "link-root"), 0);
    for (int without = 0; without < 2; without++) {
        fs_without_openat2(without);
        for (size_t i = 0; i < COUNT_OF(belows); i++) {
            autoclose int fd = fs_open_below(dir_fd, belows[i].path, belows[i].flags, 0);

            if ((fd >= 0) != belows[i].opens)
                fail_msg("%s %s openat2: %s", belows[i].path, without ? "without" : "with",
                         fd >= 0 ? "was opened" : strerrordesc_np(errno));
            if (fd >= 0)
                assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        }
    }
    fs_without_openat2(false);
}

static void files_can_be_made_below(void **state)
{
    (void)state;
    for (int without = 0; without < 2; without++) {
        autofree char *name = str_printf("sub/new%d", without);
        struct stat st;
        int fd;

        fs_without_openat2(without);
        (void)mkdirat(dir_fd, "sub", 0700);
        fd = fs_open_below(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0640);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_int_equal(close(fd), 0);
    }
    fs_without_openat2(false);
}

static int stop_at_once(void *arg, const char *name, struct error *err)
{
    ++*(size_t *)arg;
    return error_set(err, CODE_ABORTED, "stopped at %zu", strlen(name));
}

static void a_walk_stops_at_the_first_error(void **state)
{
    struct error err = { 0 };
    size_t count = 0;

    (void)state;
    put("one", "");
    put("two", "");
    assert_int_equal(fs_each(dir_fd, ".", stop_at_once, &count, &err), -1);
    assert_int_equal(count, 1);
    assert_string_equal(err.msg, "stopped at 3");
    assert_int_equal(fs_each(dir_fd, "one", count_entry, &count, &err), -1);
    assert_int_equal(symlinkat(".", dir_fd, "link"), 0);
    assert_int_equal(fs_each(dir_fd, "link", count_entry, &count, &err), -1);
    assert_int_equal(fs_each(dir_fd, "none", count_entry, &count, &err), -1);
    assert_int_equal(err.code, CODE_NOT_FOUND);
}

static void a_tree_is_removed_without_following_links(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, "keep", 0700), 0);
    put("keep/f", "1");
    assert_int_equal(mkdirat(dir_fd, "t", 0700), 0);
    assert_int_equal(mkdirat(dir_fd, "t/sub", 0700), 0);
    put("t/sub/f", "1");
    assert_int_equal(symlinkat("../keep", dir_fd, "t/link"), 0);
    assert_int_equal(fs_remove_tree(dir_fd, "t", NULL), 0);
    assert_int_equal(faccessat(dir_fd, "t", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    assert_int_equal(faccessat(dir_fd, "keep/f", F_OK, 0), 0);
    assert_int_equal(fs_remove_tree(dir_fd, "t", NULL), 0);
    assert_int_equal(fs_remove_tree(-1, "t", NULL), -1);
}

static void a_tree_that_is_too_deep_is_refused(void **state)
{
    struct strbuf path CLEANUP(strbuf_done) = { 0 };
    struct error err = { 0 };

    (void)state;
    strbuf_add_text(&path, folder);
    for (int i = 0; i < 66; i++)
        strbuf_add_text(&path, "/d");
    assert_int_equal(fs_mkdirs(path.text, 0700, NULL), 0);
    assert_int_equal(fs_remove_tree(dir_fd, "d", &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    for (; path.len > strlen(folder); path.text[path.len] = '\0') {
        assert_int_equal(rmdir(path.text), 0);
        path.len -= 2;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_files_are_read_under_a_ceiling, enter, leave),
        cmocka_unit_test_setup_teardown(only_regular_files_are_read, enter, leave),
        cmocka_unit_test_setup_teardown(a_link_is_followed_only_when_asked, enter, leave),
        cmocka_unit_test_setup_teardown(text_loses_its_trailing_white_space, enter, leave),
        cmocka_unit_test_setup_teardown(text_with_a_nul_byte_is_refused, enter, leave),
        cmocka_unit_test_setup_teardown(replacing_leaves_one_file_with_mode_0600, enter, leave),
        cmocka_unit_test_setup_teardown(a_failed_replacing_leaves_the_old_file_and_no_other, enter,
                                        leave),
        cmocka_unit_test(writing_says_when_nobody_reads),
        cmocka_unit_test_setup_teardown(folders_are_made_with_their_parents, enter, leave),
        cmocka_unit_test_setup_teardown(opening_below_never_leaves_the_folder_nor_follows_a_link,
                                        enter, leave),
        cmocka_unit_test_setup_teardown(files_can_be_made_below, enter, leave),
        cmocka_unit_test_setup_teardown(a_walk_stops_at_the_first_error, enter, leave),
        cmocka_unit_test_setup_teardown(a_tree_is_removed_without_following_links, enter, leave),
        cmocka_unit_test_setup_teardown(a_tree_that_is_too_deep_is_refused, enter, leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
