/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/fault.h"
#include "lib/base/fs.h"

enum { PART_BYTES = 16 << 10, TRIES = 16 };

static uid_t uid_of(const struct file *f, const struct generation_owner *owner)
{
    return f->uid == FILE_OWNER_UNSET ? owner->uid : f->uid;
}

static gid_t gid_of(const struct file *f, const struct generation_owner *owner)
{
    return f->gid == (gid_t)FILE_OWNER_UNSET ? owner->gid : f->gid;
}

/* --- making ------------------------------------------------------------------------------------
 */

static int make_folder(int dir_fd, char name[GENERATION_NAME_MAX], struct error *err)
{
    time_t now = time(NULL);
    struct tm utc;
    char stamp[32];

    (void)gmtime_r(&now, &utc);
    (void)strftime(stamp, sizeof(stamp), "..%Y_%m_%d_%H_%M_%S", &utc);
    for (int i = 0; i < TRIES; i++) {
        uint32_t random = 0;

        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
            return error_sys(err, errno, "getrandom");
        (void)snprintf(name, GENERATION_NAME_MAX, "%s.%09u", stamp, random % 1000000000U);
        if (mkdirat(dir_fd, name, 0755) == 0)
            return 0;
        if (errno != EEXIST)
            return error_sys(err, errno, "mkdir %s", name);
    }
    return error_set(err, CODE_INTERNAL, "no free name for a generation");
}

/* The folders of a path "a/b/c": a and a/b, 0755 whatever the umask. */
static int make_parents(int gen_fd, const char *path, struct error *err)
{
    autofree char *copy = xstrdup(path);

    for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(gen_fd, copy, 0755) == 0) {
            if (fchmodat(gen_fd, copy, 0755, 0) < 0)
                return error_sys(err, errno, "chmod %s", copy);
        } else if (errno != EEXIST) {
            return error_sys(err, errno, "mkdir %s", copy);
        }
        *slash = '/';
    }
    return 0;
}

static int copy_bytes(int from, int to, const char *path, struct error *err)
{
    uint8_t part[PART_BYTES];
    ssize_t n;
    int result = 0;

    while (result == 0 && (n = read(from, part, sizeof(part))) != 0) {
        if (n < 0 && errno != EINTR)
            result = error_sys(err, errno, "read %s", path);
        else if (n > 0)
            result = fs_write_all(to, part, (size_t)n, err);
    }
    explicit_bzero(part, sizeof(part));
    return result;
}

/* A regular file of the live generation; -1: it has none of that name. A pipe that somebody put
 * there must not block, nor count as an empty file. */
static int open_regular(int live_fd, const char *path, struct stat *st)
{
    autoclose int fd = live_fd < 0 ? -1 : fs_open_below(live_fd, path, O_RDONLY | O_NONBLOCK, 0);

    if (fd < 0 || fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
        return -1;
    return take_fd(&fd);
}

/* Contents come from the fileset, or from the live generation for an `unchanged` file. */
static int fill(int fd, int live_fd, const struct file *f, struct error *err)
{
    autoclose int old = -1;
    struct stat st;

    if (!f->unchanged)
        return fs_write_all(fd, f->contents.bytes, f->contents.len, err);
    old = open_regular(live_fd, f->path, &st);
    if (old < 0)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "the provider says %s is unchanged, but the volume has no such file",
                         f->path);
    return copy_bytes(old, fd, f->path, err);
}

static int set_owner(int fd, const struct file *f, const struct generation_owner *owner,
                     struct error *err)
{
    uid_t uid = uid_of(f, owner);
    gid_t gid = gid_of(f, owner);
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_sys(err, errno, "stat %s", f->path);
    if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0) {
        if (errno == EINVAL)
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "owner %u:%u of %s is not mapped in this user namespace: check the "
                             "pod's fsGroup",
                             uid, gid, f->path);
        return error_sys(err, errno, "chown %s", f->path);
    }
    if (fchmod(fd, f->mode) < 0)
        return error_sys(err, errno, "chmod %s", f->path);
    return 0;
}

static int write_file(int gen_fd, int live_fd, const struct file *f,
                      const struct generation_owner *owner, struct error *err)
{
    autoclose int fd = -1;

    if (FAULT("write.before_file", err) < 0 || make_parents(gen_fd, f->path, err) < 0)
        return -1;
    fd = openat(gen_fd, f->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_sys(err, errno, "create %s", f->path);
    if (FAULT("write.after_create", err) < 0 || fill(fd, live_fd, f, err) < 0 ||
        FAULT("write.after_bytes", err) < 0 || set_owner(fd, f, owner, err) < 0)
        return error_within(err, "%s", f->path);
    return FAULT("write.after_file", err);
}

static int write_files(int dir_fd, const char *name, int live_fd, const struct fileset *files,
                       const struct generation_owner *owner, struct error *err)
{
    autoclose int gen_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (gen_fd < 0)
        return error_sys(err, errno, "open %s", name);
    if (fchmod(gen_fd, 0755) < 0)
        return error_sys(err, errno, "chmod %s", name);
    for (size_t i = 0; i < files->count; i++)
        if (write_file(gen_fd, live_fd, &files->files[i], owner, err) < 0)
            return -1;
    return FAULT("write.after_files", err);
}

int generation_write(int dir_fd, int live_fd, const struct fileset *files,
                     const struct generation_owner *owner, char ret_name[GENERATION_NAME_MAX],
                     struct error *err)
{
    char name[GENERATION_NAME_MAX];

    if (FAULT("write.before_mkdir", err) < 0 || make_folder(dir_fd, name, err) < 0)
        return -1;
    if (FAULT("write.after_mkdir", err) < 0 ||
        write_files(dir_fd, name, live_fd, files, owner, err) < 0) {
        (void)!fs_remove_tree(dir_fd, name, NULL);
        return -1;
    }
    memcpy(ret_name, name, sizeof(name));
    return 0;
}

/* --- comparing ---------------------------------------------------------------------------------
 */

static bool same_bytes(int fd, const struct secret *want)
{
    uint8_t part[PART_BYTES];
    size_t at = 0;
    bool same = true;

    while (same && at < want->len) {
        ssize_t n = read(fd, part, sizeof(part));

        if (n < 0 && errno == EINTR)
            continue;
        same =
            n > 0 && (size_t)n <= want->len - at && memcmp(part, want->bytes + at, (size_t)n) == 0;
        at += n > 0 ? (size_t)n : 0;
    }
    explicit_bzero(part, sizeof(part));
    return same;
}

/* Is it as it shall be? Marks whether its bytes are. *there counts it, if there is one. */
static bool compare_file(int live_fd, struct file *f, const struct generation_owner *owner,
                         size_t *there)
{
    struct stat st;
    autoclose int fd = open_regular(live_fd, f->path, &st);

    f->kept = false;
    if (fd < 0)
        return false;
    ++*there;
    f->kept =
        f->unchanged || ((size_t)st.st_size == f->contents.len && same_bytes(fd, &f->contents));
    return f->kept && (st.st_mode & 07777) == f->mode && st.st_uid == uid_of(f, owner) &&
           st.st_gid == gid_of(f, owner);
}

struct tally {
    int fd;
    size_t files;
};

static int count_entry(void *arg, const char *name, struct error *err)
{
    struct tally *t = arg;
    struct tally below = { .fd = -1 };
    int result;

    below.fd = openat(t->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below.fd < 0) {
        t->files++;
        return 0;
    }
    result = fs_each(below.fd, ".", count_entry, &below, err);
    (void)close(below.fd);
    t->files += below.files;
    return result;
}

int generation_compare(int live_fd, struct fileset *files, const struct generation_owner *owner,
                       struct generation_diff *ret, struct error *err)
{
    struct tally t = { .fd = live_fd };
    size_t there = 0;
    size_t same = 0;

    for (size_t i = 0; i < files->count; i++)
        same += compare_file(live_fd, &files->files[i], owner, &there);
    if (fs_each(live_fd, ".", count_entry, &t, err) < 0)
        return -1;
    ret->gone = t.files > there;
    ret->same = same == files->count && !ret->gone;
    return 0;
}
