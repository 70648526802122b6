/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmount/libmount.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "driver/volume/mounter.h"
#include "lib/base/encode.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"

enum {
    STACKED_MAX = 16,     /* mounts over each other at one target: kubelet and we make one */
    SOURCE_ID_MAX = 3000, /* bytes; mount(2) takes a source of less than a page */
};

char *mount_source_of(const char *volume_id)
{
    size_t len = strlen(volume_id);

    if (len <= SOURCE_ID_MAX)
        return str_printf(MOUNT_SOURCE_PREFIX "%s", volume_id);
    return str_printf(MOUNT_SOURCE_PREFIX "%.*s+%08x", SOURCE_ID_MAX, volume_id,
                      crc32_update(0, volume_id, len));
}

void mount_state_done(struct mount_state *s)
{
    free(s->source);
    *s = (struct mount_state){ 0 };
}

static void context_free(struct libmnt_context **ctx)
{
    mnt_free_context(*ctx);
}

/* A context that does nothing but the system call: no helpers (never fork), no mtab, no lookup. */
static struct libmnt_context *context_new(void)
{
    struct libmnt_context *ctx = mnt_new_context();

    if (!ctx)
        abort();
    (void)mnt_context_disable_helpers(ctx, 1);
    (void)mnt_context_disable_mtab(ctx, 1);
    (void)mnt_context_disable_canonicalize(ctx, 1);
    return ctx;
}

static int mount_tmpfs(const char *source, const char *path, const char *options, bool remount,
                       struct error *err)
{
    struct libmnt_context *ctx CLEANUP(context_free) = context_new();
    char text[200] = "";
    int rc;

    (void)mnt_context_set_fstype(ctx, "tmpfs");
    (void)mnt_context_set_source(ctx, source);
    (void)mnt_context_set_target(ctx, path);
    (void)mnt_context_set_options(ctx, options);
    if (remount)
        (void)mnt_context_set_mflags(ctx, MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC);
    rc = mnt_context_mount(ctx);
    if (rc == 0 && mnt_context_get_status(ctx) == 1)
        return 0;
    (void)mnt_context_get_excode(ctx, rc, text, sizeof(text));
    error_sys(err, mnt_context_get_syscall_errno(ctx) ? mnt_context_get_syscall_errno(ctx) : EIO,
              "mount tmpfs on %s", path);
    return error_reason(err, "FailedToMount");
}

static char *options_of(const struct mounter *self, const struct mount_spec *spec, bool remount)
{
    const char *flags = spec->flags && *spec->flags ? spec->flags : NULL;

    if (remount)
        return str_printf("size=%" PRId64 ",nr_inodes=%" PRId64, spec->size_bytes, spec->inodes);
    /* The last of two options wins. */
    return str_printf("%s%snosuid,nodev,noexec,mode=0755,size=%" PRId64 ",nr_inodes=%" PRId64 "%s",
                      flags ? flags : "", flags ? "," : "", spec->size_bytes, spec->inodes,
                      self->noswap ? ",noswap" : "");
}

/* The target by its descriptor: no component of the path is looked up again. */
static char *fd_path(const struct target *t)
{
    return str_printf("/proc/self/fd/%d/%s", t->parent_fd, t->name);
}

static int libmount_mount(struct mounter *self, const struct target *t,
                          const struct mount_spec *spec, struct error *err)
{
    autofree char *options = options_of(self, spec, false);
    autofree char *source = mount_source_of(spec->volume_id);
    autofree char *path = fd_path(t);

    if (FAULT("mount.before", err) < 0 || mount_tmpfs(source, path, options, false, err) < 0)
        return -1;
    if (FAULT("mount.after", err) < 0) {
        (void)self->ops->unmount(self, t, NULL);
        return -1;
    }
    return 0;
}

static int libmount_resize(struct mounter *self, const struct target *t,
                           const struct mount_spec *spec, struct error *err)
{
    autofree char *options = options_of(self, spec, true);
    autofree char *source = mount_source_of(spec->volume_id);
    autofree char *path = fd_path(t);

    if (FAULT("mount.before_resize", err) < 0 || mount_tmpfs(source, path, options, true, err) < 0)
        return -1;
    return FAULT("mount.after_resize", err);
}

static int umount_all(const char *path, struct error *err)
{
    for (int i = 0; i < STACKED_MAX; i++) {
        if (umount2(path, UMOUNT_NOFOLLOW) == 0)
            continue;
        if (errno == EBUSY && umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) == 0)
            continue;
        if (errno == EINVAL || errno == ENOENT)
            return 0;
        return error_sys(err, errno, "unmount %s", path);
    }
    return error_set(err, CODE_INTERNAL, "unmount %s: more than %d mounts over each other", path,
                     STACKED_MAX);
}

static int libmount_unmount(struct mounter *self, const struct target *t, struct error *err)
{
    autofree char *path = fd_path(t);

    (void)self;
    if (FAULT("unmount.before", err) < 0)
        return -1;
    if (umount_all(path, err) < 0)
        return error_within(err, "%s", t->path);
    return FAULT("unmount.after", err);
}

static int source_of(const char *path, char **ret, struct error *err)
{
    struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
    struct libmnt_fs *fs;

    if (!table)
        return error_set(err, CODE_INTERNAL, "mountinfo cannot be read");
    fs = mnt_table_find_target(table, path, MNT_ITER_BACKWARD);
    *ret = fs && mnt_fs_get_source(fs) ? xstrdup(mnt_fs_get_source(fs)) : NULL;
    mnt_unref_table(table);
    return 0;
}

/* Kernels before 5.8 do not say what is the root of a mount; a tmpfs is a device of its own. */
static bool is_mount_root(const struct target *t, const struct statx *stx)
{
    struct stat parent;

    if (stx->stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
        return (stx->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    return fstat(t->parent_fd, &parent) == 0 &&
           parent.st_dev != makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

static int libmount_look(struct mounter *self, const struct target *t, bool want_source,
                         struct mount_state *ret, struct error *err)
{
    struct mount_state state = { 0 };
    struct statx stx;
    autoclose int fd = -1;
    struct statfs fs;

    (void)self;
    *ret = state;
    if (FAULT("mount.before_look", err) < 0)
        return -1;
    if (statx(t->parent_fd, t->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &stx) < 0)
        return errno == ENOENT ? 0 : error_sys(err, errno, "stat %s", t->path);
    state.is_mount = is_mount_root(t, &stx);
    if (!state.is_mount) {
        *ret = state;
        return 0;
    }
    fd = openat(t->parent_fd, t->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstatfs(fd, &fs) < 0)
        return error_sys(err, errno, "look at %s", t->path);
    state.is_tmpfs = fs.f_type == TMPFS_MAGIC;
    state.size_bytes = (int64_t)fs.f_blocks * (int64_t)fs.f_bsize;
    state.used_bytes = (int64_t)(fs.f_blocks - fs.f_bfree) * (int64_t)fs.f_bsize;
    state.inodes = (int64_t)fs.f_files;
    state.inodes_used = (int64_t)(fs.f_files - fs.f_ffree);
    if ((want_source && source_of(t->real, &state.source, err) < 0) ||
        FAULT("mount.after_look", err) < 0) {
        free(state.source);
        return -1;
    }
    *ret = state;
    return 0;
}

static int64_t size_of_mount(const char *path)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 ? (int64_t)fs.f_blocks * (int64_t)fs.f_bsize : 0;
}

static int libmount_each(struct mounter *self, const char *root,
                         void (*say)(void *arg, const struct mount_row *row), void *arg,
                         struct error *err)
{
    struct libmnt_table *table = NULL;
    struct libmnt_iter *iter = NULL;
    struct libmnt_fs *fs;
    size_t len = strlen(root);

    (void)self;
    if (FAULT("mount.before_each", err) < 0)
        return -1;
    table = mnt_new_table_from_file("/proc/self/mountinfo");
    iter = mnt_new_iter(MNT_ITER_FORWARD);
    while (table && iter && mnt_table_next_fs(table, iter, &fs) == 0) {
        const char *path = mnt_fs_get_target(fs);
        const char *type = mnt_fs_get_fstype(fs);

        if (!path || !type || strcmp(type, "tmpfs") != 0 || strncmp(path, root, len) != 0 ||
            path[len] != '/')
            continue;
        say(arg, &(struct mount_row){ .path = path,
                                      .fstype = type,
                                      .source = mnt_fs_get_source(fs) ? mnt_fs_get_source(fs) : "",
                                      .size_bytes = size_of_mount(path) });
    }
    mnt_free_iter(iter);
    if (!table)
        return error_set(err, CODE_INTERNAL, "mountinfo cannot be read");
    mnt_unref_table(table);
    return FAULT("mount.after_each", err);
}

static void libmount_free(struct mounter *self)
{
    free(self);
}

static const struct mounter_ops libmount_ops = {
    .mount = libmount_mount,
    .resize = libmount_resize,
    .unmount = libmount_unmount,
    .look = libmount_look,
    .each = libmount_each,
    .free = libmount_free,
};

/* Mounts an empty tmpfs once with these options and takes it off again. */
static int probe(const char *folder, const char *options, struct error *err)
{
    if (FAULT("mount.before_probe", err) < 0 ||
        mount_tmpfs(MOUNT_SOURCE_PREFIX "probe", folder, options, false, err) < 0)
        return -1;
    if (FAULT("mount.probed", err) < 0) {
        (void)!umount_all(folder, NULL);
        return -1;
    }
    return umount_all(folder, err);
}

int mount_libmount_new(const char *probe_folder, struct mounter **ret, struct error *err)
{
    struct mounter *m;
    bool noswap;

    if (fs_mkdirs(probe_folder, 0700, err) < 0)
        return -1;
    noswap = probe(probe_folder, "nosuid,nodev,noexec,size=4096,noswap", NULL) == 0;
    if (!noswap && probe(probe_folder, "nosuid,nodev,noexec,size=4096", err) < 0)
        return -1;
    m = xcalloc(1, sizeof(*m));
    m->ops = &libmount_ops;
    m->noswap = noswap;
    *ret = m;
    return 0;
}
