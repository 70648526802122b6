/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernel may answer to libmount's mounter, and old kernels do. What mounts do is told by
 * tests/contract/test_mounter.c.
 */
/* WRAP: statx umount2 */
#include <errno.h>
#include <sys/mount.h>

#include "driver/volume/mounter.h"
#include "tests/unit/volume/rig.h"

int __real_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *ret);
int __wrap_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *ret);
int __wrap_umount2(const char *path, int flags);

static bool no_mount_root; /* as kernels before 5.8 */
static const int *answers; /* errno of each umount2 in turn, 0: fine; the last one stays */
static int calls;
static int lazy_calls;

int __wrap_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *ret)
{
    int result = __real_statx(dir_fd, path, flags, mask, ret);

    if (result == 0 && no_mount_root) {
        ret->stx_attributes &= ~(uint64_t)STATX_ATTR_MOUNT_ROOT;
        ret->stx_attributes_mask &= ~(uint64_t)STATX_ATTR_MOUNT_ROOT;
    }
    return result;
}

int __wrap_umount2(const char *path, int flags)
{
    (void)path;
    if (!(flags & UMOUNT_NOFOLLOW))
        abort();
    calls++;
    lazy_calls += flags & MNT_DETACH ? 1 : 0;
    errno = *answers;
    if (answers[1] >= 0)
        answers++;
    return errno ? -1 : 0;
}

static const struct {
    const char *says;
    int answers[8]; /* ends with -1 */
    int calls;
    int lazy_calls;
    enum code code;
} unmounts[] = {
    { "nothing is mounted", { EINVAL, -1 }, 1, 0, CODE_OK },
    { "the folder is gone", { ENOENT, -1 }, 1, 0, CODE_OK },
    { "one mount", { 0, EINVAL, -1 }, 2, 0, CODE_OK },
    { "three over each other", { 0, 0, 0, EINVAL, -1 }, 4, 0, CODE_OK },
    { "a busy one", { EBUSY, 0, EINVAL, -1 }, 3, 1, CODE_OK },
    { "a busy one that cannot be detached", { EBUSY, EPERM, -1 }, 2, 1, CODE_PERMISSION_DENIED },
    { "no right to", { EPERM, -1 }, 1, 0, CODE_PERMISSION_DENIED },
    { "a second one fails", { 0, EIO, -1 }, 2, 0, CODE_INTERNAL },
    { "mounts without an end", { 0, -1 }, 16, 0, CODE_INTERNAL },
};

static struct target target_in(struct folder *f, const char *name)
{
    struct target t = {
        .path = str_printf("%s/%s", f->path, name),
        .parent_fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0),
        .name = xstrdup(name),
        .real = str_printf("%s/%s", f->path, name),
    };

    return t;
}

/* libmount's mounter without its probe, which needs rights: asked for by mounting nowhere. */
static struct mounter *mounter_in(struct folder *f)
{
    static const int fine[] = { EINVAL, -1 };
    autofree char *probe = str_printf("%s/probe", f->path);
    struct mounter *m = NULL;

    answers = fine;
    return mount_libmount_new(probe, &m, NULL) < 0 ? NULL : m;
}

static const char *unmount_by_table(struct folder *f)
{
    struct mounter *m = mounter_in(f);
    struct target t autotarget = target_in(f, "v");
    static char wrong[128];

    if (!m)
        return "no tmpfs can be mounted";
    for (size_t i = 0; i < COUNT_OF(unmounts); i++) {
        struct error err = { 0 };
        int result;

        answers = unmounts[i].answers;
        calls = lazy_calls = 0;
        result = m->ops->unmount(m, &t, &err);
        if ((result < 0) != (unmounts[i].code != CODE_OK) || err.code != unmounts[i].code ||
            calls != unmounts[i].calls || lazy_calls != unmounts[i].lazy_calls) {
            (void)snprintf(wrong, sizeof(wrong), "%s: %s after %d calls", unmounts[i].says,
                           code_name(err.code), calls);
            return wrong;
        }
    }
    m->ops->free(m);
    return NULL;
}

static void an_unmount_goes_on_until_nothing_is_mounted(void **state)
{
    in_namespace(unmount_by_table, *state);
}

static const char *look_with_an_old_kernel(struct folder *f)
{
    struct mounter *m = mounter_in(f);
    struct target t autotarget = target_in(f, "v");
    struct mount_state before = { 0 };
    struct mount_state after = { 0 };

    if (!m)
        return "no tmpfs can be mounted";
    no_mount_root = true;
    if (mkdirat(f->fd, "v", 0700) < 0 || m->ops->look(m, &t, false, &before, NULL) < 0 ||
        before.is_mount)
        return "a plain folder is taken for a mount";
    if (mount("locket:x", t.real, "tmpfs", 0, "size=64k") < 0)
        return "the tmpfs cannot be mounted";
    if (m->ops->look(m, &t, false, &after, NULL) < 0 || !after.is_mount || !after.is_tmpfs)
        return "the tmpfs is not seen";
    m->ops->free(m);
    return NULL;
}

static void a_tmpfs_is_seen_where_the_kernel_does_not_tell_mounts(void **state)
{
    in_namespace(look_with_an_old_kernel, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(an_unmount_goes_on_until_nothing_is_mounted),
        in_folder(a_tmpfs_is_seen_where_the_kernel_does_not_tell_mounts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
