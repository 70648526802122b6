/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/fs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

enum { TREE_DEPTH_MAX = 64 }; /* folders within folders: file names have at most 4096 bytes */

static int read_fd(int fd, size_t ceiling_bytes, const char *path, struct secret *ret,
                   struct error *err)
{
    size_t room = ceiling_bytes < 4096 ? ceiling_bytes + 1 : 4096;
    struct secret got CLEANUP(secret_done) = secret_adopt(xmalloc(room), 0);

    for (;;) {
        ssize_t n = read(fd, got.bytes + got.len, room - got.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_sys(err, errno, "read %s", path);
        if (n == 0)
            break;
        got.len += (size_t)n;
        if (got.len > ceiling_bytes)
            return error_set(err, CODE_RESOURCE_EXHAUSTED, "%s has more than %zu bytes", path,
                             ceiling_bytes);
        if (got.len == room) {
            uint8_t *bigger = xmalloc(room * 2);

            memcpy(bigger, got.bytes, got.len);
            wipe_free(got.bytes, room);
            got.bytes = bigger;
            room *= 2;
        }
    }
    if (got.len == 0)
        wipe_free(got.bytes, room), got.bytes = NULL;
    *ret = secret_take(&got);
    return 0;
}

int fs_read(int dir_fd, const char *path, size_t ceiling_bytes, bool follow, struct secret *ret,
            struct error *err)
{
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW);
    autoclose int fd = openat(dir_fd, path, flags);
    struct stat st;

    if (fd < 0)
        return error_sys(err, errno, "open %s", path);
    if (fstat(fd, &st) < 0)
        return error_sys(err, errno, "stat %s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, CODE_INVALID_ARGUMENT, "%s is not a regular file", path);
    return read_fd(fd, ceiling_bytes, path, ret, err);
}

int fs_read_text(const char *path, size_t ceiling_bytes, char **ret, struct error *err)
{
    struct secret got CLEANUP(secret_done) = { 0 };

    if (fs_read(AT_FDCWD, path, ceiling_bytes, true, &got, err) < 0)
        return -1;
    while (got.len && isspace(got.bytes[got.len - 1]))
        got.len--;
    if (got.len && memchr(got.bytes, '\0', got.len))
        return error_set(err, CODE_INVALID_ARGUMENT, "%s contains a NUL byte", path);
    *ret = xmalloc(got.len + 1);
    if (got.len)
        memcpy(*ret, got.bytes, got.len);
    (*ret)[got.len] = '\0';
    return 0;
}

int fs_write_all(int fd, const void *bytes, size_t len, struct error *err)
{
    const char *at = bytes;

    while (len) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_sys(err, errno, "write");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static bool no_openat2; /* set by tests before threads start */

void fs_without_openat2(bool without)
{
    no_openat2 = without;
}

static int open_stepwise(int dir_fd, const char *path, int flags, mode_t mode)
{
    autoclose int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    autofree char *copy = xstrdup(path);
    char *rest = copy;
    char *slash;

    if (*path == '/') {
        errno = EXDEV;
        return -1;
    }
    for (; (slash = strchr(rest, '/')); rest = slash + 1) {
        int next;

        *slash = '\0';
        if (strcmp(rest, "..") == 0) {
            errno = EXDEV;
            return -1;
        }
        if (!*rest) /* "a//b" */
            continue;
        next = openat(fd, rest, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -1;
        (void)close(fd);
        fd = next;
    }
    if (strcmp(rest, "..") == 0) {
        errno = EXDEV;
        return -1;
    }
    return openat(fd, *rest ? rest : ".", flags | O_NOFOLLOW | O_CLOEXEC, mode);
}

int fs_open_below(int dir_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;

    if (!no_openat2)
        fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
    /* Kernels before 5.6 say ENOSYS, filters that do not know it EPERM. */
    if (no_openat2 || (fd < 0 && (errno == ENOSYS || errno == EPERM)))
        return open_stepwise(dir_fd, path, flags, mode);
    return (int)fd;
}

int fs_replace(int dir_fd, const char *name, const void *bytes, size_t len, struct error *err)
{
    autofree char *tmp = str_printf(".%s.tmp", name);
    autoclose int fd =
        openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return error_sys(err, errno, "create %s", tmp);
    if (fs_write_all(fd, bytes, len, err) < 0) {
        (void)unlinkat(dir_fd, tmp, 0);
        return error_within(err, "%s", tmp);
    }
    if (renameat(dir_fd, tmp, dir_fd, name) < 0) {
        int errnum = errno;

        (void)unlinkat(dir_fd, tmp, 0);
        return error_sys(err, errnum, "rename %s to %s", tmp, name);
    }
    return 0;
}

int fs_mkdirs(const char *path, mode_t mode, struct error *err)
{
    autofree char *copy = xstrdup(path);

    for (char *slash = strchr(copy + (*copy == '/'), '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return error_sys(err, errno, "mkdir %s", copy);
        if (!slash)
            return 0;
        *slash = '/';
    }
}

int fs_each(int dir_fd, const char *path,
            int (*each)(void *arg, const char *name, struct error *err), void *arg,
            struct error *err)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int result = 0;

    if (!dir) {
        int errnum = errno;

        if (fd >= 0)
            (void)close(fd);
        return error_sys(err, errnum, "open folder %s", path);
    }
    while (result == 0 && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = each(arg, entry->d_name, err);
    (void)closedir(dir);
    return result;
}

struct removal {
    int dir_fd;
    dev_t dev;
    int depth;
};

static int remove_entry(void *arg, const char *name, struct error *err)
{
    struct removal *at = arg;
    struct removal below = { .dev = at->dev, .depth = at->depth + 1 };
    autoclose int fd = -1;
    struct stat st;

    if (unlinkat(at->dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return error_sys(err, errno, "unlink %s", name);
    fd = openat(at->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_sys(err, errno, "open folder %s", name);
    if (st.st_dev != at->dev || below.depth > TREE_DEPTH_MAX)
        return error_set(err, CODE_FAILED_PRECONDITION, "%s is another file system or too deep",
                         name);
    below.dir_fd = fd;
    if (fs_each(fd, ".", remove_entry, &below, err) < 0)
        return -1;
    if (unlinkat(at->dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_sys(err, errno, "rmdir %s", name);
    return 0;
}

int fs_remove_tree(int dir_fd, const char *name, struct error *err)
{
    struct removal at = { .dir_fd = dir_fd };
    struct stat st;

    if (fstatat(dir_fd, ".", &st, 0) < 0) /* dir_fd may be AT_FDCWD */
        return error_sys(err, errno, "stat the folder of %s", name);
    at.dev = st.st_dev;
    return remove_entry(&at, name, err);
}
