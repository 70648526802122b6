/* SPDX-License-Identifier: Apache-2.0
 *
 * Target paths: checked by their text, then walked to without following a link below the root, by
 * openat2 and by the way around it.
 */
#include "driver/volume/target.h"
#include "tests/unit/volume/rig.h"

#define UID "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"

static struct target_root root_of(struct folder *f)
{
    struct target_root root = { .fd = -1 };
    struct error err = { 0 };

    if (target_root_open(f->path, &root, &err) < 0)
        fail_msg("%s", err.msg);
    return root;
}

static const struct {
    const char *path; /* ~ stands for the root */
    const char *pod_uid;
    const char *why; /* NULL: it is taken */
} paths[] = {
    { "~/v", NULL, NULL },
    { "~/a/b/c", "other", NULL },
    { "~/pods/" UID "/volumes/kubernetes.io~csi/x/mount", UID, NULL },
    { "~/pods/" UID "/volumes/kubernetes.io~csi/x/mount", NULL, NULL },
    { "~/pods/" UID "/volumes/kubernetes.io~csi/x/mount", "", NULL },
    { "~/pods/" UID "/other/x", "2", NULL },
    { "~/.hidden/..x", NULL, NULL },
    { "~/pods/" UID "/volumes/x/mount", "2", "another pod" },
    { "~/pods/" UID "/volumes/x/mount", UID "0", "another pod" },
    { "~/pods/" UID "0/volumes/x/mount", UID, "another pod" },
    { "", NULL, "absolute" },
    { "v", NULL, "absolute" },
    { "../v", NULL, "absolute" },
    { "~", NULL, "must lie below --target-root" },
    { "~/", NULL, "clean" },
    { "~-beside/v", NULL, "must lie below --target-root" },
    { "/etc", NULL, "must lie below --target-root" },
    { "/", NULL, "clean" },
    { "~/../v", NULL, "clean" },
    { "~/a/..", NULL, "clean" },
    { "~/./v", NULL, "clean" },
    { "~//v", NULL, "clean" },
    { "~/v/", NULL, "clean" },
    { "~/a\nb", NULL, "control characters" },
    { "~/a\x7f", NULL, "control characters" },
};

static void paths_are_checked_by_their_text(void **state)
{
    struct folder *f = *state;
    struct target_root root CLEANUP(target_root_done) = root_of(f);

    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        autofree char *path = paths[i].path[0] == '~'
                                  ? str_printf("%s%s", f->path, paths[i].path + 1)
                                  : xstrdup(paths[i].path);
        struct error err = { 0 };
        bool taken = target_check(&root, path, paths[i].pod_uid, &err) == 0;

        if (taken != !paths[i].why)
            fail_msg("%s: %s", paths[i].path, taken ? "taken" : err.msg);
        if (taken)
            continue;
        assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
        if (!str_starts(err.msg, "target_path ") || !strstr(err.msg, paths[i].why))
            fail_msg("%s: %s", paths[i].path, err.msg);
    }
    assert_int_equal(entries(f->fd).all, 0); /* checking has no side effect */
}

static void too_long_paths_are_refused(void **state)
{
    struct folder *f = *state;
    struct target_root root CLEANUP(target_root_done) = root_of(f);
    struct strbuf path CLEANUP(strbuf_done) = { 0 };
    autofree char *name = NULL;
    autofree char *wide = xcalloc(1, NAME_MAX + 2);
    struct error err = { 0 };

    strbuf_add_text(&path, f->path);
    while (path.len < PATH_MAX - 3)
        strbuf_add_text(&path, "/a");
    path.text[PATH_MAX - 1] = '\0';
    if (strlen(path.text) < PATH_MAX - 1)
        strbuf_add_text(&path, "aa");
    path.text[PATH_MAX - 1] = '\0';
    assert_int_equal(target_check(&root, path.text, NULL, &err), 0);
    strbuf_reset(&path);
    while (path.len < PATH_MAX)
        strbuf_add_text(&path, "/a");
    assert_int_equal(target_check(&root, path.text, NULL, &err), -1);
    assert_non_null(strstr(err.msg, "4095 bytes"));
    memset(wide, 'w', NAME_MAX + 1);
    name = str_printf("%s/%s", f->path, wide);
    assert_int_equal(target_check(&root, name, NULL, &err), -1);
}

/* --- walking -------------------------------------------------------------------------------------
 */

static int open_at(struct folder *f, const struct target_root *root, const char *rest, bool create,
                   struct target *ret, struct error *err)
{
    autofree char *path = str_printf("%s/%s", f->path, rest);
    bool found = false;

    if (target_open(root, path, create, ret, &found, err) < 0)
        return -1;
    return found ? 1 : 0;
}

static void a_missing_folder_is_made_only_when_asked(void **state)
{
    struct folder *f = *state;
    struct target_root root CLEANUP(target_root_done) = root_of(f);
    struct target t autotarget = { .parent_fd = -1 };
    struct target again autotarget = { .parent_fd = -1 };
    autofree char *real = str_printf("%s/a/b/mount", root.real);
    struct error err = { 0 };
    bool made = false;
    int fd = 0;

    assert_int_equal(open_at(f, &root, "a/b/mount", false, &t, &err), 0);
    assert_int_equal(entries(f->fd).all, 0);
    assert_int_equal(open_at(f, &root, "a/b/mount", true, &t, &err), 1);
    assert_int_equal(mode_of(f->fd, "a/b"), 0750);
    assert_false(is_there(f->fd, "a/b/mount"));
    assert_string_equal(t.name, "mount");
    assert_string_equal(t.real, real);
    assert_int_equal(target_open_dir(&t, &fd, &err), 0);
    assert_int_equal(fd, -1);
    assert_int_equal(target_make(&t, &made, &err), 0);
    assert_true(made);
    assert_int_equal(target_make(&t, &made, &err), 0);
    assert_false(made);
    assert_int_equal(target_open_dir(&t, &fd, &err), 0);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(open_at(f, &root, "a/b/mount", false, &again, &err), 1);
}

static void set_up_links(struct folder *f)
{
    assert_int_equal(mkdirat(f->fd, "real", 0755), 0);
    assert_int_equal(symlinkat("real", f->fd, "inner"), 0);
    assert_int_equal(symlinkat("/etc", f->fd, "outer"), 0);
    assert_int_equal(symlinkat("..", f->fd, "up"), 0);
    assert_int_equal(symlinkat("nowhere", f->fd, "broken"), 0);
    assert_int_equal(symlinkat("/proc/self/fd", f->fd, "magic"), 0);
    put_text(f->fd, "file", "");
}

static void links_and_files_on_the_way_are_refused(void **state)
{
    static const char *const ways[] = { "inner/v", "outer/v", "up/v",         "broken/v",
                                        "magic/v", "file/v",  "real/../inner" };
    struct folder *f = *state;
    struct target_root root CLEANUP(target_root_done) = root_of(f);
    size_t before;

    set_up_links(f);
    before = entries(f->fd).all;
    for (int without = 0; without < 2; without++) {
        fs_without_openat2(without);
        for (size_t i = 0; i < COUNT_OF(ways); i++) {
            struct target t autotarget = { .parent_fd = -1 };
            struct error err = { 0 };

            if (open_at(f, &root, ways[i], true, &t, &err) >= 0)
                fail_msg("%s is opened (without openat2: %d)", ways[i], without);
            if (err.code != CODE_INVALID_ARGUMENT || !str_starts(err.msg, "target_path"))
                fail_msg("%s: %s %s", ways[i], code_name(err.code), err.msg);
        }
        assert_int_equal(entries(f->fd).all, before);
    }
    fs_without_openat2(false);
}

static void a_target_that_is_a_link_or_a_file_is_refused(void **state)
{
    static const char *const names[] = { "inner", "outer", "broken", "file" };
    struct folder *f = *state;
    struct target_root root CLEANUP(target_root_done) = root_of(f);

    set_up_links(f);
    for (int without = 0; without < 2; without++)
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            struct target t autotarget = { .parent_fd = -1 };
            struct error err = { 0 };
            bool made = false;
            int fd = -1;

            fs_without_openat2(without);
            assert_int_equal(open_at(f, &root, names[i], true, &t, &err), 1);
            assert_int_equal(target_make(&t, &made, &err), -1);
            assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
            if (target_open_dir(&t, &fd, &err) == 0)
                fail_msg("%s is opened as a target (without openat2: %d)", names[i], without);
        }
    fs_without_openat2(false);
}

static void a_walk_goes_into_other_file_systems(void **state)
{
    struct folder *f = *state;
    struct target_root root CLEANUP(target_root_done) = { .fd = -1 };
    struct target t autotarget = { .parent_fd = -1 };
    struct error err = { 0 };
    bool found = false;

    (void)f; /* kubelet's folder of pods may be a mount of its own: /dev/shm below /dev here */
    assert_int_equal(target_root_open("/dev", &root, &err), 0);
    assert_int_equal(target_open(&root, "/dev/shm/x", false, &t, &found, &err), 0);
    assert_true(found);
}

static void the_root_is_resolved_once_and_has_two_names(void **state)
{
    struct folder *f = *state;
    autofree char *link = str_printf("%s/link", f->path);
    autofree char *slashed = str_printf("%s/link//", f->path);
    autofree char *by_link = str_printf("%s/link/v", f->path);
    autofree char *by_real = str_printf("%s/real/v", f->path);
    struct target_root root CLEANUP(target_root_done) = { .fd = -1 };
    struct target one autotarget = { .parent_fd = -1 };
    struct target two autotarget = { .parent_fd = -1 };
    struct error err = { 0 };
    bool found = false;

    assert_int_equal(mkdirat(f->fd, "real", 0755), 0);
    assert_int_equal(mkdirat(f->fd, "other", 0755), 0);
    assert_int_equal(symlinkat("real", f->fd, "link"), 0);
    assert_int_equal(target_root_open(slashed, &root, &err), 0);
    assert_string_equal(root.path, link);
    assert_int_equal(unlinkat(f->fd, "link", 0), 0);
    assert_int_equal(symlinkat("other", f->fd, "link"), 0); /* too late */
    assert_int_equal(target_open(&root, by_link, false, &one, &found, &err), 0);
    assert_int_equal(target_open(&root, by_real, false, &two, &found, &err), 0);
    assert_string_equal(one.real, two.real);
    assert_string_equal(one.real, by_real);
}

static void a_root_that_cannot_be_is_told(void **state)
{
    static const char *const roots[] = { "/", "/no/such/folder", "/dev/null", "" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(roots); i++) {
        struct target_root root CLEANUP(target_root_done) = { .fd = -1 };
        struct error err = { 0 };

        assert_int_equal(target_root_open(roots[i], &root, &err), -1);
        assert_non_null(strstr(err.msg, "--target-root"));
    }
}

static void no_descriptor_is_left(void **state)
{
    struct folder *f = *state;
    size_t before = open_fds();

    for (int i = 0; i < 10; i++) {
        struct target_root root CLEANUP(target_root_done) = root_of(f);
        struct target t autotarget = { .parent_fd = -1 };
        struct target bad autotarget = { .parent_fd = -1 };
        struct error err = { 0 };

        assert_int_equal(open_at(f, &root, "a/b/c", true, &t, &err), 1);
        assert_int_equal(open_at(f, &root, "a/none/c", false, &bad, &err), 0);
        if (i == 0)
            put_text(f->fd, "file", "");
        assert_int_equal(open_at(f, &root, "file/x/c", true, &bad, &err), -1);
    }
    assert_int_equal(open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(paths_are_checked_by_their_text),
        in_folder(too_long_paths_are_refused),
        in_folder(a_missing_folder_is_made_only_when_asked),
        in_folder(links_and_files_on_the_way_are_refused),
        in_folder(a_target_that_is_a_link_or_a_file_is_refused),
        in_folder(a_walk_goes_into_other_file_systems),
        in_folder(the_root_is_resolved_once_and_has_two_names),
        in_folder(a_root_that_cannot_be_is_told),
        in_folder(no_descriptor_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
