/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/rpc_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { BACKLOG = 128 };

static int address_of(const char *path, struct sockaddr_un *ret, struct error *err)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(ret->sun_path))
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "socket path %.120s has more than %zu bytes: use a shorter one", path,
                         sizeof(ret->sun_path) - 1);
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return 0;
}

int rpc_peer_of(int fd, struct rpc_peer *ret, struct error *err)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return error_sys(err, errno, "SO_PEERCRED");
    *ret = (struct rpc_peer){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid };
    return 0;
}

/* SO_PEERGROUPS tells all groups that the peer had when it connected. Source: unix(7). */
bool rpc_peer_has_group(int fd, const struct rpc_peer *peer, gid_t group)
{
    autofree gid_t *groups = NULL;
    socklen_t len = 0;

    if (peer->gid == group)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE)
        return false; /* it has none, or the kernel does not tell */
    groups = xmalloc(len);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
        return false;
    for (size_t i = 0; i < len / sizeof(gid_t); i++)
        if (groups[i] == group)
            return true;
    return false;
}

int rpc_socket_connect(const char *path, int *ret_fd, struct error *err)
{
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un addr;

    if (fd < 0)
        return error_sys(err, errno, "socket");
    if (address_of(path, &addr, err) < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int errnum = errno;

        error_sys(err, errnum, "connect %s", path);
        if (err)
            err->code = CODE_UNAVAILABLE;
        return -1;
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

/* Nobody listens only when the kernel says so: a full queue (EAGAIN) or a socket that we may not
 * open (EACCES) has somebody behind it. */
static bool is_stale(const char *path)
{
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un addr;

    return fd >= 0 && address_of(path, &addr, NULL) == 0 &&
           connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 && errno == ECONNREFUSED;
}

void rpc_socket_sweep(const char *path)
{
    struct stat st;

    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && is_stale(path))
        (void)unlink(path);
}

/* Is what lies at the path ours to replace: nothing, or a socket (of a living process, if so told)?
 */
static int check_place(const char *path, bool take_over, struct error *err)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : error_sys(err, errno, "stat %s", path);
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, CODE_FAILED_PRECONDITION, "%s exists and is not a socket", path);
    if (!take_over && !is_stale(path))
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "%s is served by a living process: stop it first", path);
    return 0;
}

static char *lock_path(const char *path)
{
    return str_printf("%s.lock", path);
}

static bool leads_to(const char *path, int fd)
{
    struct stat at;
    struct stat held;

    return lstat(path, &at) == 0 && fstat(fd, &held) == 0 && at.st_dev == held.st_dev &&
           at.st_ino == held.st_ino;
}

/* Who served before took the lock's file along: a lock on a file that is at the path no more binds
 * nobody, and the one that is there now is tried. */
static int take_lock(struct rpc_listener *l, struct error *err)
{
    autofree char *lock = lock_path(l->path);

    for (;;) {
        autoclose int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
            return error_sys(err, errno, "open %s", lock);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            return error_set(err, CODE_FAILED_PRECONDITION,
                             "%s is served by a living process: stop it first", l->path);
        if (leads_to(lock, fd)) {
            l->lock_fd = take_fd(&fd);
            return 0;
        }
    }
}

/* The file goes while its lock is held. */
static void drop_lock(struct rpc_listener *l)
{
    autofree char *lock = l->lock_fd < 0 ? NULL : lock_path(l->path);

    if (lock && leads_to(lock, l->lock_fd))
        (void)unlink(lock);
    close_at(&l->lock_fd);
}

/* The name to bind under before the rename, in the same folder: path~, or .path where the folder is
 * watched. A path of the full length has no room for one more byte: its last one is replaced. */
static char *name_aside(const char *path, bool hidden)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    char *aside =
        hidden ? str_printf("%.*s.%s", (int)folder, path, path + folder) : str_printf("%s~", path);
    size_t len = strlen(path);

    if (len + 1 >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        aside[len] = '\0';
        if (!hidden)
            aside[len - 1] = path[len - 1] == '~' ? '-' : '~';
    }
    return aside;
}

static int bind_aside(struct rpc_listener *l, const char *aside, mode_t mode, struct error *err)
{
    struct sockaddr_un addr;
    struct stat st;

    if (address_of(aside, &addr, err) < 0)
        return -1;
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return error_sys(err, errno, "socket");
    if (lstat(aside, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)unlink(aside); /* left by a start that was cut */
    /* fchmod before bind decides the mode that the file is made with: no moment of another mode. */
    if (fchmod(l->fd, mode) < 0 || bind(l->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return error_sys(err, errno, "bind %s", aside);
    if (chmod(aside, mode) < 0 || listen(l->fd, BACKLOG) < 0)
        return error_sys(err, errno, "listen on %s", aside);
    return 0;
}

static int move_into_place(struct rpc_listener *l, const char *aside, struct error *err)
{
    struct stat st;

    if (stat(aside, &st) < 0 || rename(aside, l->path) < 0) {
        int errnum = errno;

        (void)unlink(aside);
        return error_sys(err, errnum, "rename %s to %s", aside, l->path);
    }
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return 0;
}

static int listener_open(struct rpc_listener *l, const char *path, mode_t mode, bool take_over,
                         struct error *err)
{
    struct sockaddr_un addr;
    autofree char *aside = NULL;

    *l = (struct rpc_listener){ .fd = -1, .lock_fd = -1 };
    if (address_of(path, &addr, err) < 0)
        return -1;
    l->path = xstrdup(path);
    aside = name_aside(path, take_over);
    if (check_place(path, take_over, err) < 0 || (!take_over && take_lock(l, err) < 0) ||
        bind_aside(l, aside, mode, err) < 0 || move_into_place(l, aside, err) < 0) {
        rpc_listener_close(l);
        return -1;
    }
    return 0;
}

int rpc_listener_open(struct rpc_listener *l, const char *path, mode_t mode, struct error *err)
{
    return listener_open(l, path, mode, false, err);
}

int rpc_listener_take_over(struct rpc_listener *l, const char *path, mode_t mode, struct error *err)
{
    return listener_open(l, path, mode, true, err);
}

bool rpc_listener_is_found(const struct rpc_listener *l)
{
    struct stat st;

    return l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino;
}

void rpc_listener_close(struct rpc_listener *l)
{
    if (rpc_listener_is_found(l))
        (void)unlink(l->path);
    close_at(&l->fd);
    drop_lock(l);
    free(l->path);
    *l = (struct rpc_listener){ .fd = -1, .lock_fd = -1 };
}
