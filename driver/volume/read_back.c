/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/read_back.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "driver/volume/atomic_writer.h"
#include "lib/base/fs.h"

enum { TRIES = 3 };

void read_back_done(struct read_back *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->list[i].path);
        secret_done(&files->list[i].contents);
    }
    free(files->list);
    *files = (struct read_back){ 0 };
}

/* --- one file -------------------------------------------------------------------------------- */

static bool has(const struct read_back *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->list[i].path, path) == 0)
            return true;
    return false;
}

static size_t bytes_of(const struct read_back *files)
{
    size_t bytes = 0;

    for (size_t i = 0; i < files->count; i++)
        bytes += files->list[i].contents.len;
    return bytes;
}

/* As many bytes as it had when it was opened: files of a generation are never written again. */
static int read_bytes(int fd, const char *path, size_t len, struct secret *ret, struct error *err)
{
    *ret = secret_adopt(xmalloc(len + 1), 0);
    while (ret->len < len) {
        ssize_t n = read(fd, ret->bytes + ret->len, len - ret->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_sys(err, n < 0 ? errno : EAGAIN, "read %s", path);
        ret->len += (size_t)n;
    }
    return 0;
}

static int too_many(struct error *err)
{
    return error_set(err, CODE_RESOURCE_EXHAUSTED,
                     "the files for the class's Secrets have more than %d bytes together: make it "
                     "two classes",
                     READ_BACK_BYTES_MAX);
}

static int read_one(int live_fd, const char *path, struct read_back *ret, struct error *err)
{
    autoclose int fd = fs_open_below(live_fd, path, O_RDONLY | O_NONBLOCK, 0);
    struct secret whole CLEANUP(secret_done) = { 0 };
    struct stat st;

    if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        return error_sys(err, errno, "open %s", path);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0; /* there is no such file: whoever wants it says so */
    if ((size_t)st.st_size > READ_BACK_BYTES_MAX - bytes_of(ret))
        return too_many(err);
    if (read_bytes(fd, path, (size_t)st.st_size, &whole, err) < 0)
        return -1;
    ret->list[ret->count++] = (struct volume_file){ xstrdup(path), secret_take(&whole) };
    return 0;
}

static int check_paths(const char *const *paths, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (fileset_check_path(paths[i], strlen(paths[i]), err) < 0)
            return -1;
    return 0;
}

/* --- all of one generation ------------------------------------------------------------------- */

struct reading {
    struct lifecycle *app;
    struct volume *volume;
    const char *const *paths;
    size_t count;
    bool still; /* nothing was swapped meanwhile */
};

static int read_all(const struct reading *r, int live_fd, struct read_back *ret, struct error *err)
{
    ret->list = xcalloc(r->count + 1, sizeof(*ret->list));
    for (size_t i = 0; i < r->count; i++)
        if (!has(ret, r->paths[i]) && read_one(live_fd, r->paths[i], ret, err) < 0)
            return -1;
    return 0;
}

/* *ret_fd -1: the generation went between the look at its name and this. */
static int open_live(int dir_fd, char name[FILESET_NAME_MAX + 1], int *ret_fd, struct error *err)
{
    struct error mine = { 0 };

    *ret_fd = -1;
    if (atomic_writer_open_live(dir_fd, name, ret_fd, &mine) == 0 || mine.code == CODE_NOT_FOUND)
        return 0;
    return error_copy(err, &mine);
}

static int read_folder(struct reading *r, int dir_fd, struct read_back *ret, struct error *err)
{
    char before[FILESET_NAME_MAX + 1];
    char after[FILESET_NAME_MAX + 1];
    autoclose int live_fd = -1;
    autoclose int later_fd = -1;

    r->still = false;
    if (open_live(dir_fd, before, &live_fd, err) < 0)
        return -1;
    if (live_fd < 0)
        return 0;
    if (read_all(r, live_fd, ret, err) < 0 || open_live(dir_fd, after, &later_fd, err) < 0)
        return -1;
    r->still = strcmp(before, after) == 0;
    return 0;
}

/* A copy of its target's path, and the times; false: it is not published. */
static bool snapshot(struct volume *v, char **ret_target, struct read_back *ret)
{
    bool published;

    pthread_mutex_lock(&v->lock);
    published = v->record.phase == RECORD_PUBLISHED && v->state != VOLUME_LEAVING;
    if (published) {
        *ret_target = xstrdup(v->record.target);
        ret->changed_at_unix_ms = v->record.changed_at_unix_ms;
        ret->fetched_at_unix_ms = v->fetched_at_unix_ms;
    }
    pthread_mutex_unlock(&v->lock);
    return published;
}

static int not_published(const struct volume *v, struct error *err)
{
    return error_set(err, CODE_NOT_FOUND, "volume %.100s is not published", v->id);
}

/* The times are taken before the files: of a swap that comes between, the files are newer than what
 * is said of them, never older. */
static int read_volume(struct reading *r, struct read_back *ret, struct error *err)
{
    struct target t autotarget = { .parent_fd = -1 };
    autofree char *path = NULL;
    autoclose int dir_fd = -1;
    bool found = false;

    if (!snapshot(r->volume, &path, ret))
        return not_published(r->volume, err);
    if (target_open(&r->app->root, path, false, &t, &found, err) < 0 ||
        (found && target_open_dir(&t, &dir_fd, err) < 0))
        return -1;
    if (dir_fd < 0)
        return not_published(r->volume, err);
    if (read_folder(r, dir_fd, ret, err) < 0)
        return -1;
    /* Then they may have been wiped while they were read. */
    return volume_is_leaving(r->volume) ? not_published(r->volume, err) : 0;
}

int read_back(struct lifecycle *app, struct volume *v, const char *const *paths, size_t count,
              struct read_back *ret, struct error *err)
{
    struct reading r = { .app = app, .volume = v, .paths = paths, .count = count };

    if (check_paths(paths, count, err) < 0)
        return -1;
    for (int i = 0; i < TRIES; i++) {
        autoreadback struct read_back got = { 0 };

        if (read_volume(&r, &got, err) < 0)
            return -1;
        if (!r.still)
            continue;
        *ret = got;
        got = (struct read_back){ 0 };
        return 0;
    }
    return error_set(err, CODE_UNAVAILABLE, "volume %.100s changes all the time", v->id);
}
