/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "lib/base/fault.h"
#include "lib/base/fs.h"

static int refuse(struct error *err, const char *path, const char *why)
{
    return error_set(err, CODE_INVALID_ARGUMENT, "target_path %.200s: %s", path, why);
}

int target_root_open(const char *path, struct target_root *ret, struct error *err)
{
    autofree char *real = realpath(path, NULL);
    autofree char *copy = xstrdup(path);
    autoclose int fd = -1;

    while (strlen(copy) > 1 && str_ends(copy, "/"))
        copy[strlen(copy) - 1] = '\0';
    if (!real)
        return error_sys(err, errno, "--target-root %s", path);
    if (strcmp(real, "/") == 0)
        return error_set(err, CODE_INVALID_ARGUMENT, "--target-root must not be /");
    fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_sys(err, errno, "--target-root %s", path);
    *ret = (struct target_root){ .path = take(copy), .real = take(real), .fd = take_fd(&fd) };
    return 0;
}

void target_root_done(struct target_root *root)
{
    close_at(&root->fd);
    free(root->path);
    free(root->real);
    *root = (struct target_root){ .fd = -1 };
}

void target_done(struct target *t)
{
    if (t->path)
        close_at(&t->parent_fd);
    free(t->path);
    free(t->name);
    free(t->real);
    *t = (struct target){ .parent_fd = -1 };
}

static bool is_clean(const char *path)
{
    for (const char *at = path; *at;) {
        size_t len = strcspn(at + 1, "/");

        if (*at != '/' || len == 0 || (len == 1 && at[1] == '.') ||
            (len == 2 && at[1] == '.' && at[2] == '.') || len > NAME_MAX)
            return false;
        at += 1 + len;
    }
    return true;
}

/* The part of a path below the root; NULL when it is not strictly below. Both spellings of the root
 * are taken: as configured and as resolved. */
static const char *below(const struct target_root *root, const char *path)
{
    const char *roots[] = { root->path, root->real };

    for (size_t i = 0; i < COUNT_OF(roots); i++) {
        size_t len = strlen(roots[i]);

        if (strncmp(path, roots[i], len) == 0 && path[len] == '/' && path[len + 1])
            return path + len + 1;
    }
    return NULL;
}

/* kubelet's shape: .../pods/<uid>/volumes/... Source: kubernetes pkg/volume/csi/csi_mounter.go. */
static const char *pod_of(const char *rest, size_t *ret_len)
{
    const char *uid = str_starts(rest, "pods/") ? rest + 5 : NULL;

    *ret_len = uid ? strcspn(uid, "/") : 0;
    return uid && str_starts(uid + *ret_len, "/volumes/") ? uid : NULL;
}

static bool is_of_other_pod(const char *rest, const char *pod_uid)
{
    size_t len;
    const char *uid = pod_of(rest, &len);

    if (!uid || !pod_uid || !*pod_uid)
        return false;
    return strlen(pod_uid) != len || memcmp(uid, pod_uid, len) != 0;
}

char *target_pod_uid(const struct target_root *root, const char *path)
{
    const char *rest = below(root, path);
    size_t len = 0;
    const char *uid = rest ? pod_of(rest, &len) : NULL;

    return uid ? xstrndup(uid, len) : xstrdup("");
}

int target_check(const struct target_root *root, const char *path, const char *pod_uid,
                 struct error *err)
{
    const char *rest;

    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return refuse(err, path, "must not contain control characters");
    if (path[0] != '/')
        return refuse(err, path, "must be an absolute path");
    if (strlen(path) >= PATH_MAX)
        return refuse(err, path, "must be at most 4095 bytes");
    if (!is_clean(path))
        return refuse(err, path, "must be clean, without //, . or ..");
    rest = below(root, path);
    if (!rest)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "target_path %.200s: must lie below --target-root %s", path, root->path);
    if (is_of_other_pod(rest, pod_uid))
        return refuse(err, path, "belongs to another pod than the one in volume_context");
    return 0;
}

/* Walks to the parent of the last component. Each step is one name, so that a missing folder can be
 * made and a link told from a missing one. */
static int walk(int root_fd, char *rest, bool create, int *ret_fd, struct error *err)
{
    autoclose int fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
    char *slash;

    for (; (slash = strchr(rest, '/')); rest = slash + 1) {
        int next;

        *slash = '\0';
        next = fs_open_below(fd, rest, O_PATH | O_DIRECTORY, 0);
        if (next < 0 && errno == ENOENT && create &&
            (mkdirat(fd, rest, 0750) == 0 || errno == EEXIST))
            next = fs_open_below(fd, rest, O_PATH | O_DIRECTORY, 0);
        if (next < 0 && errno == ENOENT)
            return 0;
        if (next < 0 && (errno == ELOOP || errno == ENOTDIR || errno == EXDEV))
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "target_path: \"%.64s\" is a link or no folder: links are refused "
                             "below --target-root",
                             rest);
        if (next < 0)
            return error_sys(err, errno, "target_path: open %.64s", rest);
        (void)close(fd);
        fd = next;
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

int target_open(const struct target_root *root, const char *path, bool create, struct target *ret,
                bool *ret_found, struct error *err)
{
    const char *rest = below(root, path);
    autofree char *copy = NULL;
    int fd = -1;

    if (target_check(root, path, NULL, err) < 0 || FAULT("target.open", err) < 0)
        return -1;
    copy = xstrdup(rest);
    if (walk(root->fd, copy, create, &fd, err) < 0)
        return -1;
    *ret_found = fd >= 0;
    if (fd < 0) {
        *ret = (struct target){ .parent_fd = -1 };
        return 0;
    }
    *ret = (struct target){
        .path = xstrdup(path),
        .parent_fd = fd,
        .name = xstrdup(strrchr(path, '/') + 1),
        .real = str_printf("%s/%s", root->real, rest),
    };
    return 0;
}

int target_make(const struct target *t, bool *ret_made, struct error *err)
{
    struct stat st;

    if (FAULT("target.mkdir", err) < 0)
        return -1;
    if (mkdirat(t->parent_fd, t->name, 0750) == 0) {
        *ret_made = true;
        return FAULT("target.after_mkdir", err);
    }
    if (errno != EEXIST)
        return error_sys(err, errno, "mkdir %s", t->path);
    if (fstatat(t->parent_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_sys(err, errno, "stat %s", t->path);
    if (!S_ISDIR(st.st_mode))
        return refuse(err, t->path, "exists and is no folder (a link?): remove it");
    *ret_made = false;
    return 0;
}

int target_open_dir(const struct target *t, int *ret_fd, struct error *err)
{
    int fd = fs_open_below(t->parent_fd, t->name, O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0 && errno != ENOENT)
        return error_sys(err, errno, "open %s", t->path);
    *ret_fd = fd;
    return 0;
}
