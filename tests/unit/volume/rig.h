/* SPDX-License-Identifier: Apache-2.0
 *
 * rig.h - what the suites of this folder share: a folder of a test's own, filesets by table,
 * looking at trees, and a child in a namespace of its own. Does not know what is tested.
 */
#ifndef LOCKET_TESTS_UNIT_VOLUME_RIG_H
#define LOCKET_TESTS_UNIT_VOLUME_RIG_H

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/fs.h"
#include "lib/base/strbuf.h"
#include "lib/model/fileset.h"
#include "tests/check.h"

enum { RIG_BYTES_MAX = 4 << 20, NAMESPACE_SKIPPED = 77 };

struct folder {
    char path[64];
    int fd;
};

/* A tmpfs, where there is one: what volumes are, and fast. */
static inline const char *folder_base(void)
{
    return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

static inline int folder_make(void **state)
{
    static struct folder f;

    (void)snprintf(f.path, sizeof(f.path), "%s/locket-volume-XXXXXX", folder_base());
    if (!mkdtemp(f.path))
        return -1;
    f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &f;
    return f.fd < 0 ? -1 : 0;
}

static inline int folder_remove(void **state)
{
    struct folder *f = *state;
    int base autoclose = open(folder_base(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)close(f->fd);
    return fs_remove_tree(base, strrchr(f->path, '/') + 1, NULL);
}

/* Runs a test in a folder of its own. */
#define in_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

/* One row of a wanted set of files. */
struct row {
    const char *path;
    const char *text;
    mode_t mode; /* 0: 0644 */
};

static inline void add_file(struct fileset *set, struct file_spec spec, const char *text)
{
    struct error err = { 0 };

    spec.path_len = strlen(spec.path);
    spec.contents = secret_copy(text, strlen(text));
    if (fileset_add(set, &spec, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Adds count rows, owned by nobody in particular. */
static inline void add_rows(struct fileset *set, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_file(set,
                 (struct file_spec){ .path = rows[i].path,
                                     .mode = rows[i].mode ? rows[i].mode : 0644,
                                     .uid = FILE_OWNER_UNSET,
                                     .gid = FILE_OWNER_UNSET },
                 rows[i].text);
}

/* The text of a file as a pod reads it, through every link; NULL when it cannot be read. */
static inline char *text_of(int dir_fd, const char *path)
{
    struct secret got CLEANUP(secret_done) = { 0 };

    if (fs_read(dir_fd, path, RIG_BYTES_MAX, true, &got, NULL) < 0)
        return NULL;
    return xstrndup(got.bytes ? (const char *)got.bytes : "", got.len);
}

static inline bool reads(int dir_fd, const char *path, const char *want)
{
    autofree char *text = text_of(dir_fd, path);

    return str_same(text, want);
}

static inline void put_text(int dir_fd, const char *path, const char *text)
{
    int fd autoclose = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text), NULL), 0);
}

/* The text of a link; NULL when there is none. */
static inline char *link_of(int dir_fd, const char *name)
{
    char text[PATH_MAX];
    ssize_t len = readlinkat(dir_fd, name, text, sizeof(text));

    return len < 0 ? NULL : xstrndup(text, (size_t)len);
}

static inline bool links_to(int dir_fd, const char *name, const char *want)
{
    autofree char *text = link_of(dir_fd, name);

    return str_same(text, want);
}

static inline bool is_there(int dir_fd, const char *path)
{
    struct stat st;

    return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline mode_t mode_of(int dir_fd, const char *path)
{
    struct stat st;

    return fstatat(dir_fd, path, &st, 0) < 0 ? (mode_t)-1 : st.st_mode & 07777;
}

struct entry_count {
    size_t all;
    size_t dotted; /* begin with ".." */
};

static inline int count_one(void *arg, const char *name, struct error *err)
{
    struct entry_count *n = arg;

    (void)err;
    n->all++;
    n->dotted += str_starts(name, "..") ? 1 : 0;
    return 0;
}

static inline struct entry_count entries(int dir_fd)
{
    struct entry_count n = { 0 };

    assert_int_equal(fs_each(dir_fd, ".", count_one, &n, NULL), 0);
    return n;
}

static inline size_t open_fds(void)
{
    struct entry_count n = { 0 };

    assert_int_equal(fs_each(AT_FDCWD, "/proc/self/fd", count_one, &n, NULL), 0);
    return n.all;
}

static inline bool put_line(const char *path, const char *text)
{
    int fd autoclose = open(path, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Leaves for a user namespace that maps the own ids to 0 and no other, and a mount namespace. */
static inline bool enter_namespace(void)
{
    autofree char *uids = str_printf("0 %u 1\n", geteuid());
    autofree char *gids = str_printf("0 %u 1\n", getegid());

    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && put_line("/proc/self/setgroups", "deny") &&
           put_line("/proc/self/uid_map", uids) && put_line("/proc/self/gid_map", gids) &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Runs work in a child within such a namespace. It answers NULL, or what it found wrong: asserts
 * are the parent's. Skips the test where the system gives plain users no namespaces. */
static inline void in_namespace(const char *(*work)(struct folder *f), struct folder *f)
{
    char text[512] = "";
    int pipe_fds[2];
    int status = 0;
    pid_t pid;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        const char *wrong;

        if (!enter_namespace())
            _exit(NAMESPACE_SKIPPED);
        /* The old descriptor would see the mounts of the old namespace. */
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        wrong = work(f);
        if (wrong)
            (void)!write(pipe_fds[1], wrong, strlen(wrong));
        _exit(wrong ? 1 : 0);
    }
    (void)close(pipe_fds[1]);
    (void)!read(pipe_fds[0], text, sizeof(text) - 1);
    (void)close(pipe_fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NAMESPACE_SKIPPED)
        skip();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("in the namespace: %s (status %d)", text, status);
}

#endif
