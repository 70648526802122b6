/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/audit_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/crypto_chain.h"

enum { WINDOW_BYTES = 2 * CHAIN_LINE_MAX }; /* of a file's end: its last line, and a torn one */

struct audit_sink {
    char *path; /* NULL: standard output */
    int64_t rotate_bytes;
    int64_t rotated;
    int fd;
    size_t done; /* bytes of the line at hand that are written */
};

/* --- the file --- */

static int open_file(const char *path, int *ret, struct error *err)
{
    int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    autoclose int fd = open(path, flags, 0600);
    struct stat st;

    if (fd < 0)
        return error_sys(err, errno, "open %s", path);
    if (fstat(fd, &st) < 0)
        return error_sys(err, errno, "stat %s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, CODE_FAILED_PRECONDITION, "%s is not a regular file", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, CODE_UNAVAILABLE, "%s is being written by another process", path);
    *ret = take_fd(&fd);
    return 0;
}

int audit_sink_open(const struct audit_sink_config *config, struct audit_sink **ret,
                    struct error *err)
{
    struct audit_sink *sink;
    int fd = STDOUT_FILENO;
    bool is_file = strcmp(config->path, "-") != 0;

    if (config->rotated < 1 || config->rotated > AUDIT_ROTATED_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT, "1 to %d old files may be kept",
                         AUDIT_ROTATED_MAX);
    if (is_file && open_file(config->path, &fd, err) < 0)
        return -1;
    sink = xcalloc(1, sizeof(*sink));
    *sink = (struct audit_sink){
        .path = is_file ? xstrdup(config->path) : NULL,
        .rotate_bytes = config->rotate_bytes,
        .rotated = config->rotated,
        .fd = fd,
    };
    *ret = sink;
    return 0;
}

void audit_sink_free(struct audit_sink *sink)
{
    if (!sink)
        return;
    if (sink->path)
        (void)close(sink->fd);
    free(sink->path);
    free(sink);
}

/* --- what it held before --- */

/* The last bytes of a file and where they begin. */
static int read_end(int fd, const char *path, struct strbuf *ret, off_t *ret_from,
                    struct error *err)
{
    autofree char *bytes = xmalloc(WINDOW_BYTES);
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > WINDOW_BYTES ? size - WINDOW_BYTES : 0;
    size_t len = 0;

    while (from + (off_t)len < size) {
        ssize_t n = pread(fd, bytes + len, (size_t)(size - from) - len, from + (off_t)len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_sys(err, errno, "read %s", path);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    strbuf_add(ret, bytes, len);
    *ret_from = from;
    return 0;
}

/* Puts right what stands after the last line break: cuts off a piece of a line of ours, and ends a
 * line that is not. */
static int end_last_line(const struct audit_sink *sink, const struct strbuf *end, off_t from,
                         size_t *ret_cut, struct error *err)
{
    const char *last = end->len ? memrchr(end->text, '\n', end->len) : NULL;
    size_t whole = last ? (size_t)(last - end->text) + 1 : 0;
    size_t torn = end->len - whole;
    size_t known = torn < sizeof(CHAIN_BEGIN) - 1 ? torn : sizeof(CHAIN_BEGIN) - 1;

    *ret_cut = 0;
    if (!torn)
        return 0;
    if ((!last && from) || memcmp(end->text + whole, CHAIN_BEGIN, known) != 0) {
        if (write(sink->fd, "\n", 1) != 1)
            return error_sys(err, errno, "write %s", sink->path);
        return 0;
    }
    if (ftruncate(sink->fd, from + (off_t)whole) < 0)
        return error_sys(err, errno, "cut %s", sink->path);
    *ret_cut = torn;
    return 0;
}

/* The line before the last line break. */
static void last_line(const struct strbuf *end, struct strbuf *ret)
{
    const char *stop = end->len ? memrchr(end->text, '\n', end->len) : NULL;
    const char *start;

    if (!stop)
        return;
    start = memrchr(end->text, '\n', (size_t)(stop - end->text));
    start = start ? start + 1 : end->text;
    strbuf_add(ret, start, (size_t)(stop - start));
}

/* A crash between two steps of a rotation leaves an empty file, and the chain's end in PATH.1. */
static int last_of_rotated(const struct audit_sink *sink, struct strbuf *ret, struct error *err)
{
    autofree char *path = str_printf("%s.1", sink->path);
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct strbuf end CLEANUP(strbuf_done) = { 0 };
    off_t from = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (read_end(fd, path, &end, &from, err) < 0)
        return -1;
    last_line(&end, ret);
    return 0;
}

int audit_sink_last(struct audit_sink *sink, struct strbuf *ret_line, size_t *ret_cut,
                    struct error *err)
{
    struct strbuf end CLEANUP(strbuf_done) = { 0 };
    off_t from = 0;

    *ret_cut = 0;
    if (!sink->path)
        return 0;
    if (read_end(sink->fd, sink->path, &end, &from, err) < 0 ||
        end_last_line(sink, &end, from, ret_cut, err) < 0)
        return -1;
    last_line(&end, ret_line);
    return ret_line->len ? 0 : last_of_rotated(sink, ret_line, err);
}

/* --- writing --- */

static int reopen(struct audit_sink *sink, struct error *err)
{
    int fd = -1;

    if (open_file(sink->path, &fd, err) < 0)
        return -1;
    (void)close(sink->fd);
    sink->fd = fd;
    sink->done = 0;
    return 0;
}

static char *numbered(const struct audit_sink *sink, int64_t i)
{
    return i ? str_printf("%s.%d", sink->path, (int)i) : xstrdup(sink->path);
}

static bool is_free(const struct audit_sink *sink, int64_t i)
{
    autofree char *path = numbered(sink, i);
    struct stat st;

    return lstat(path, &st) < 0 && errno == ENOENT;
}

/* PATH.1 to PATH.2, PATH to PATH.1: up to the first number that is free, else over the oldest. So a
 * rotation that ended half way costs no file when it is begun again. */
static int shift(const struct audit_sink *sink, struct error *err)
{
    int64_t last = 1;

    while (last < sink->rotated && !is_free(sink, last))
        last++;
    for (int64_t i = last; i > 0; i--) {
        autofree char *to = numbered(sink, i);
        autofree char *from = numbered(sink, i - 1);

        if (rename(from, to) < 0 && errno != ENOENT)
            return error_sys(err, errno, "rename %s to %s", from, to);
    }
    return 0;
}

/* Before a line: is the file still the one that its path names, and has it room? */
static int make_ready(struct audit_sink *sink, struct error *err)
{
    struct stat open_one;
    struct stat named;

    if (!sink->path)
        return 0;
    if (fstat(sink->fd, &open_one) < 0)
        return error_sys(err, errno, "stat %s", sink->path);
    if (stat(sink->path, &named) < 0 || named.st_ino != open_one.st_ino ||
        named.st_dev != open_one.st_dev)
        return reopen(sink, err);
    if (!sink->rotate_bytes || sink->done || open_one.st_size < sink->rotate_bytes)
        return 0;
    return shift(sink, err) < 0 ? -1 : reopen(sink, err);
}

/* A pipe that poll finds writable takes PIPE_BUF bytes without blocking. */
static int wait_for_room(const struct audit_sink *sink, int64_t until_ms, struct error *err)
{
    struct pollfd room = { .fd = sink->fd, .events = POLLOUT };

    for (;;) {
        int64_t left = until_ms - clock_mono_ms();
        int ready = poll(&room, 1, left > 0 ? (int)left : 0);

        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return error_sys(err, errno, "poll");
        if (ready == 0)
            return error_set(err, CODE_UNAVAILABLE, "nobody reads standard output");
    }
}

/* As much of the rest of a line as one call takes. */
static int write_some(struct audit_sink *sink, const struct strbuf *line, struct error *err)
{
    size_t left = line->len - sink->done;
    size_t piece = sink->path || left < PIPE_BUF ? left : PIPE_BUF;
    ssize_t n = write(sink->fd, line->text + sink->done, piece);

    if (n < 0 && errno != EINTR && errno != EAGAIN)
        return error_sys(err, errno, "write %s", sink->path ? sink->path : "standard output");
    sink->done += n > 0 ? (size_t)n : 0;
    return 0;
}

int audit_sink_write(struct audit_sink *sink, const struct strbuf *line, int64_t wait_ms,
                     struct error *err)
{
    int64_t until_ms = clock_mono_ms() + wait_ms;

    if (make_ready(sink, err) < 0)
        return -1;
    while (sink->done < line->len) {
        if (!sink->path && wait_for_room(sink, until_ms, err) < 0)
            return -1;
        if (write_some(sink, line, err) < 0)
            return -1;
    }
    sink->done = 0;
    return 0;
}
