/* SPDX-License-Identifier: Apache-2.0
 *
 * What every implementation of the seam `mounter` must do. Mounts are made in a mount namespace of
 * the suite's own, so that nothing outside sees them; a plain user gets one by a user namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "driver/volume/mounter.h"
#include "lib/base/fs.h"
#include "tests/check.h"

enum { SIZE_BYTES = 1 << 20, INODES = 64, ID_BYTES_MAX = 4096 };

struct rig {
    const char *name;
    bool mounts; /* by system calls */
    struct mounter *mounter;
    struct target_root root;
    char folder[64];
};

static bool may_mount; /* set in main */

static struct rig rigs[] = {
    { .name = "libmount", .mounts = true },
    { .name = "folder", .mounts = false },
};

static int make(void **state)
{
    struct rig *rig = *state;
    autofree char *probe = NULL;
    struct error err = { 0 };

    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/locket-contract-XXXXXX");
    if (!mkdtemp(rig->folder) || target_root_open(rig->folder, &rig->root, &err) < 0)
        return -1;
    probe = str_printf("%s/.probe", rig->folder);
    if (!rig->mounts)
        rig->mounter = mount_folder_new();
    else if (may_mount && mount_libmount_new(probe, &rig->mounter, &err) < 0)
        return -1;
    return 0;
}

static int unmake(void **state)
{
    struct rig *rig = *state;
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (rig->mounter)
        rig->mounter->ops->free(rig->mounter);
    rig->mounter = NULL;
    target_root_done(&rig->root);
    /* Leaves no file system: a mount that a test left behind fails here. */
    return fs_remove_tree(tmp, strrchr(rig->folder, '/') + 1, NULL);
}

/* A target below the root, with its folder made. */
static struct target target_at(struct rig *rig, const char *rest, bool folder)
{
    autofree char *path = str_printf("%s/%s", rig->folder, rest);
    struct target t = { .parent_fd = -1 };
    struct error err = { 0 };
    bool found = false;
    bool made = false;

    if (!rig->mounter)
        skip();
    if (target_open(&rig->root, path, true, &t, &found, &err) < 0 ||
        (folder && target_make(&t, &made, &err) < 0))
        fail_msg("%s", err.msg);
    return t;
}

static void mount_as(struct rig *rig, const struct target *t, const char *id, int64_t size_bytes)
{
    struct mount_spec spec = {
        .volume_id = id, .flags = "", .size_bytes = size_bytes, .inodes = INODES
    };
    struct error err = { 0 };

    if (rig->mounter->ops->mount(rig->mounter, t, &spec, &err) < 0)
        fail_msg("%s", err.msg);
}

static void unmount(struct rig *rig, const struct target *t)
{
    struct error err = { 0 };

    if (rig->mounter->ops->unmount(rig->mounter, t, &err) < 0)
        fail_msg("%s", err.msg);
}

static struct mount_state look(struct rig *rig, const struct target *t, bool want_source)
{
    struct mount_state state = { .is_mount = true };
    struct error err = { 0 };

    if (rig->mounter->ops->look(rig->mounter, t, want_source, &state, &err) < 0)
        fail_msg("%s", err.msg);
    return state;
}

static bool is_mounted(struct rig *rig, const struct target *t)
{
    struct mount_state state CLEANUP(mount_state_done) = look(rig, t, false);

    return state.is_mount;
}

/* The folder as it is now: what is mounted there, if anything. */
static int open_now(const struct target *t)
{
    int fd = -1;

    assert_int_equal(target_open_dir(t, &fd, NULL), 0);
    assert_true(fd >= 0);
    return fd;
}

static bool holds(const struct target *t, const char *name)
{
    int fd autoclose = open_now(t);

    return faccessat(fd, name, F_OK, 0) == 0;
}

static void put(const struct target *t, const char *name)
{
    int dir autoclose = open_now(t);
    int fd autoclose = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
}

/* --- the contract --------------------------------------------------------------------------------
 */

static void nothing_and_a_plain_folder_are_no_mounts(void **state)
{
    struct rig *rig = *state;
    struct target missing autotarget = target_at(rig, "none/here", false);
    struct target plain autotarget = target_at(rig, "plain", true);

    assert_false(is_mounted(rig, &missing));
    assert_false(is_mounted(rig, &plain));
    unmount(rig, &missing);
    put(&plain, "stays");
    unmount(rig, &plain);
    assert_true(holds(&plain, "stays"));
}

static void a_mount_is_an_empty_tmpfs_of_the_size_asked_for(void **state)
{
    struct rig *rig = *state;
    struct target t autotarget = target_at(rig, "v", true);
    struct mount_state now CLEANUP(mount_state_done) = { 0 };

    mount_as(rig, &t, "csi-1", SIZE_BYTES);
    now = look(rig, &t, false);
    assert_true(now.is_mount);
    assert_true(now.is_tmpfs);
    assert_null(now.source); /* it was not asked for */
    assert_int_equal(now.size_bytes, SIZE_BYTES);
    assert_int_equal(now.inodes, INODES);
    assert_in_range(now.inodes_used, 0, 1);
    put(&t, "a");
    assert_true(holds(&t, "a"));
    unmount(rig, &t);
}

static void an_unmounted_folder_stays_and_is_empty(void **state)
{
    struct rig *rig = *state;
    struct target t autotarget = target_at(rig, "v", true);

    mount_as(rig, &t, "csi-1", SIZE_BYTES);
    put(&t, "a");
    unmount(rig, &t);
    assert_false(is_mounted(rig, &t));
    assert_false(holds(&t, "a"));
    unmount(rig, &t);
    mount_as(rig, &t, "csi-2", SIZE_BYTES);
    assert_false(holds(&t, "a"));
    unmount(rig, &t);
}

static void a_busy_mount_goes_all_the_same(void **state)
{
    struct rig *rig = *state;
    struct target t autotarget = target_at(rig, "v", true);
    int busy autoclose = -1;

    mount_as(rig, &t, "csi-1", SIZE_BYTES);
    busy = open_now(&t);
    unmount(rig, &t);
    assert_false(is_mounted(rig, &t));
}

static void mounts_over_each_other_all_go(void **state)
{
    struct rig *rig = *state;
    struct target t autotarget = target_at(rig, "v", true);

    for (int i = 0; i < 3; i++)
        mount_as(rig, &t, "csi-1", SIZE_BYTES);
    unmount(rig, &t);
    assert_false(is_mounted(rig, &t));
}

static void what_is_no_folder_is_not_mounted_on(void **state)
{
    struct rig *rig = *state;
    struct target missing autotarget = target_at(rig, "none", false);
    struct target file autotarget = target_at(rig, "file", false);
    struct mount_spec spec = {
        .volume_id = "csi-1", .flags = "", .size_bytes = SIZE_BYTES, .inodes = INODES
    };
    struct error err = { 0 };
    int fd autoclose = openat(file.parent_fd, file.name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(rig->mounter->ops->mount(rig->mounter, &missing, &spec, &err), -1);
    assert_true(err.code != CODE_OK && *err.msg);
    err = (struct error){ 0 };
    assert_int_equal(rig->mounter->ops->mount(rig->mounter, &file, &spec, &err), -1);
    assert_true(err.code != CODE_OK && *err.msg);
    assert_false(is_mounted(rig, &missing));
    assert_false(is_mounted(rig, &file));
}

static void a_resize_raises_in_place(void **state)
{
    struct rig *rig = *state;
    struct target t autotarget = target_at(rig, "v", true);
    struct mount_spec larger = {
        .volume_id = "csi-1", .flags = "", .size_bytes = 4 * SIZE_BYTES, .inodes = 10 * INODES
    };
    struct mount_state now CLEANUP(mount_state_done) = { 0 };
    struct error err = { 0 };

    mount_as(rig, &t, "csi-1", SIZE_BYTES);
    put(&t, "a");
    if (rig->mounter->ops->resize(rig->mounter, &t, &larger, &err) < 0)
        fail_msg("%s", err.msg);
    now = look(rig, &t, true);
    assert_int_equal(now.size_bytes, 4 * SIZE_BYTES);
    assert_int_equal(now.inodes, 10 * INODES);
    assert_string_equal(now.source, MOUNT_SOURCE_PREFIX "csi-1");
    assert_true(holds(&t, "a"));
    unmount(rig, &t);
    assert_false(is_mounted(rig, &t));
    assert_int_equal(rig->mounter->ops->resize(rig->mounter, &t, &larger, &err), -1);
}

static const struct {
    const char *says;
    const char *id;
} ids[] = {
    { "kubelet's", "csi-0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9" },
    { "spaces and tabs", "a b\tc" },
    { "what mountinfo escapes", "#a\\040b\\#" },
    { "what options are made of", "a,size=1,b=\"c" },
    { "a path", "/../x:y//z/" },
    { "UTF-8", "gr\xc3\xbc\xc3\x9f" },
};

static void the_source_names_the_volume_whatever_its_id(void **state)
{
    struct rig *rig = *state;
    struct target t autotarget = target_at(rig, "v w\\#\xc3\xbc/mount", true);
    autofree char *longest = xcalloc(1, ID_BYTES_MAX + 1);
    struct mount_state now CLEANUP(mount_state_done) = { 0 };

    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        autofree char *want = str_printf(MOUNT_SOURCE_PREFIX "%s", ids[i].id);
        struct mount_state one CLEANUP(mount_state_done) = { 0 };

        mount_as(rig, &t, ids[i].id, SIZE_BYTES);
        one = look(rig, &t, true);
        if (!str_same(one.source, want))
            fail_msg("%s: source is %s", ids[i].says, one.source ? one.source : "not there");
        unmount(rig, &t);
    }
    memset(longest, 'i', ID_BYTES_MAX);
    mount_as(rig, &t, longest, SIZE_BYTES);
    now = look(rig, &t, true);
    assert_true(str_starts(now.source, MOUNT_SOURCE_PREFIX));
    unmount(rig, &t);
}

struct seen {
    size_t count;
    const char *wanted;
    bool found;
};

static void see(void *arg, const struct mount_row *row)
{
    struct seen *seen = arg;

    seen->count++;
    if (strcmp(row->path, seen->wanted) != 0)
        return;
    seen->found = strcmp(row->fstype, "tmpfs") == 0 && row->size_bytes == SIZE_BYTES &&
                  strcmp(row->source, MOUNT_SOURCE_PREFIX "csi-2") == 0;
}

static struct seen list(struct rig *rig, const char *root, const char *wanted)
{
    struct seen seen = { .wanted = wanted };
    struct error err = { 0 };

    if (rig->mounter->ops->each(rig->mounter, root, see, &seen, &err) < 0)
        fail_msg("%s", err.msg);
    return seen;
}

static void every_tmpfs_strictly_below_a_root_is_listed(void **state)
{
    struct rig *rig = *state;
    struct target one autotarget = target_at(rig, "root/pods/1", true);
    struct target two autotarget = target_at(rig, "root/pods/2 \\#", true);
    struct target beside autotarget = target_at(rig, "root-beside", true);
    autofree char *root = str_printf("%s/root", rig->root.real);
    struct seen seen;

    assert_int_equal(list(rig, root, "").count, 0);
    mount_as(rig, &one, "csi-1", SIZE_BYTES);
    mount_as(rig, &two, "csi-2", SIZE_BYTES);
    mount_as(rig, &beside, "csi-3", SIZE_BYTES);
    seen = list(rig, root, two.real);
    assert_int_equal(seen.count, 2);
    assert_true(seen.found);
    assert_int_equal(list(rig, one.real, "").count, 0);
    unmount(rig, &one);
    assert_int_equal(list(rig, root, "").count, 1);
    unmount(rig, &two);
    unmount(rig, &beside);
}

static size_t open_fds(void)
{
    size_t count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

static void no_descriptor_is_left(void **state)
{
    struct rig *rig = *state;
    struct target t autotarget = target_at(rig, "v", true);
    size_t before = open_fds();

    for (int i = 0; i < 10; i++) {
        struct mount_state now CLEANUP(mount_state_done) = { 0 };

        mount_as(rig, &t, "csi-1", SIZE_BYTES);
        now = look(rig, &t, true);
        unmount(rig, &t);
    }
    assert_int_equal(open_fds(), before);
}

/* --- what only real mounts can show --------------------------------------------------------------
 */

static void the_tmpfs_is_closed_for_programs_and_devices_whatever_the_flags(void **state)
{
    static const char *const flags[] = { "", "noatime", "suid,dev,exec,mode=1777,size=64m" };
    enum { WANTED = ST_NOSUID | ST_NODEV | ST_NOEXEC };
    struct rig *rig = *state;
    struct target t autotarget = target_at(rig, "v", true);

    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        struct mount_spec spec = {
            .volume_id = "csi-1", .flags = flags[i], .size_bytes = SIZE_BYTES, .inodes = INODES
        };
        struct error err = { 0 };
        struct statvfs fs;
        struct stat st;

        if (rig->mounter->ops->mount(rig->mounter, &t, &spec, &err) < 0)
            fail_msg("%s", err.msg);
        assert_int_equal(statvfs(t.real, &fs), 0);
        assert_int_equal(stat(t.real, &st), 0);
        if ((fs.f_flag & WANTED) != WANTED || (st.st_mode & 07777) != 0755 ||
            fs.f_blocks * fs.f_frsize != SIZE_BYTES)
            fail_msg("flags \"%s\": %lx, mode %o", flags[i], fs.f_flag, st.st_mode & 07777);
        assert_int_equal(rig->mounter->ops->resize(rig->mounter, &t, &spec, &err), 0);
        assert_int_equal(statvfs(t.real, &fs), 0);
        assert_int_equal(fs.f_flag & WANTED, WANTED);
        unmount(rig, &t);
    }
}

static void a_mount_of_something_else_is_told_from_a_tmpfs(void **state)
{
    struct rig *rig = *state;
    struct target from autotarget = target_at(rig, "from", true);
    struct target t autotarget = target_at(rig, "v", true);
    struct mount_state now CLEANUP(mount_state_done) = { 0 };
    struct statvfs fs;

    if (mount(from.real, t.real, NULL, MS_BIND, NULL) < 0)
        skip();
    (void)statvfs(t.real, &fs);
    now = look(rig, &t, false);
    assert_true(now.is_mount); /* a bind mount within one file system, too */
    unmount(rig, &t);
    assert_false(is_mounted(rig, &t));
}

static void options_that_the_kernel_refuses_leave_nothing_mounted(void **state)
{
    struct rig *rig = *state;
    struct target t autotarget = target_at(rig, "v", true);
    struct mount_spec spec = {
        .volume_id = "csi-1", .flags = "no-such-option", .size_bytes = SIZE_BYTES, .inodes = INODES
    };
    struct error err = { 0 };

    assert_int_equal(rig->mounter->ops->mount(rig->mounter, &t, &spec, &err), -1);
    assert_string_equal(err.reason, "FailedToMount");
    assert_non_null(strstr(err.msg, "mount tmpfs"));
    assert_false(is_mounted(rig, &t));
}

/* A mount namespace, within a user namespace for a plain user. */
static bool enter(void)
{
    autofree char *uids = str_printf("0 %u 1\n", geteuid());
    autofree char *gids = str_printf("0 %u 1\n", getegid());
    struct {
        const char *path;
        const char *text;
    } maps[] = { { "/proc/self/setgroups", "deny" },
                 { "/proc/self/uid_map", uids },
                 { "/proc/self/gid_map", gids } };

    if (unshare(CLONE_NEWNS) < 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
            return false;
        for (size_t i = 0; i < COUNT_OF(maps); i++) {
            int fd autoclose = open(maps[i].path, O_WRONLY | O_CLOEXEC);

            if (fd < 0 || fs_write_all(fd, maps[i].text, strlen(maps[i].text), NULL) < 0)
                return false;
        }
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

#define of_both(test)                                                                              \
    cmocka_unit_test_prestate_setup_teardown(test, make, unmake, &rigs[0]),                        \
        cmocka_unit_test_prestate_setup_teardown(test, make, unmake, &rigs[1])
#define of_libmount(test) cmocka_unit_test_prestate_setup_teardown(test, make, unmake, &rigs[0])

int main(void)
{
    struct CMUnitTest tests[] = {
        of_both(nothing_and_a_plain_folder_are_no_mounts),
        of_both(a_mount_is_an_empty_tmpfs_of_the_size_asked_for),
        of_both(an_unmounted_folder_stays_and_is_empty),
        of_both(a_busy_mount_goes_all_the_same),
        of_both(mounts_over_each_other_all_go),
        of_both(what_is_no_folder_is_not_mounted_on),
        of_both(a_resize_raises_in_place),
        of_both(the_source_names_the_volume_whatever_its_id),
        of_both(every_tmpfs_strictly_below_a_root_is_listed),
        of_both(no_descriptor_is_left),
        of_libmount(the_tmpfs_is_closed_for_programs_and_devices_whatever_the_flags),
        of_libmount(a_mount_of_something_else_is_told_from_a_tmpfs),
        of_libmount(options_that_the_kernel_refuses_leave_nothing_mounted),
    };
    char names[COUNT_OF(tests)][128];

    may_mount = enter();
    for (size_t i = 0; i < COUNT_OF(tests); i++) {
        const struct rig *rig = tests[i].initial_state;

        (void)snprintf(names[i], sizeof(names[i]), "%s_%s", rig->name, tests[i].name);
        tests[i].name = names[i];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
