/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/atomic_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "driver/volume/generation.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"

/* How a swap goes, and what a crash between any two steps leaves: sweep what an earlier crash left;
 * compare with the live generation and stop when nothing differs; write a whole new generation
 * aside (a crash leaves an orphan, swept next time); link the names that are new, to nothing as yet
 * (swept next time); link ..data_tmp to it (swept next time); rename it over ..data, the one step
 * that changes what a reader can open: all names and bytes at once; put the visible links right
 * (done again every time); remove the old generation, or leave it for a grace.
 */
#define DATA "..data"
#define DATA_TMP "..data_tmp"
#define LINK_TMP "..link_tmp"

enum { PAGE_BYTES = 4096, HEADROOM_BYTES = 256 << 10, HEADROOM_INODES = 64, ZERO_BYTES = 16 << 10 };

/* What ..data links to, unless that is no generation's. An error is not "none": the live generation
 * would be swept. */
int atomic_writer_live_name(int dir_fd, char name[GENERATION_NAME_MAX], struct error *err)
{
    ssize_t len = readlinkat(dir_fd, DATA, name, GENERATION_NAME_MAX - 1);

    if (len < 0 && errno != ENOENT && errno != EINVAL)
        return error_sys(err, errno, "read link " DATA);
    if (len < 0)
        len = 0;
    name[len] = '\0';
    if (!str_starts(name, "..") || strchr(name, '/') || strcmp(name, DATA) == 0)
        name[0] = '\0';
    return 0;
}

static int open_live(int dir_fd, const char *live)
{
    return *live ? openat(dir_fd, live, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
}

/* --- sweeping ----------------------------------------------------------------------------------
 */

struct sweep {
    int dir_fd;
    const char *live;
};

/* A ..data that is no link is nobody's layout, and no rename could replace it. */
static bool is_swept(const struct sweep *s, const char *name)
{
    char text;

    if (strcmp(name, DATA) == 0)
        return readlinkat(s->dir_fd, DATA, &text, 1) < 0 && errno == EINVAL;
    return str_starts(name, "..") && strcmp(name, s->live) != 0;
}

static bool link_is(int dir_fd, const char *name, const char *want)
{
    char have[FILESET_NAME_MAX + sizeof(DATA "/")];
    ssize_t len = readlinkat(dir_fd, name, have, sizeof(have));

    return len >= 0 && (size_t)len == strlen(want) && memcmp(have, want, (size_t)len) == 0;
}

/* Is this a link of ours that leads nowhere: of a swap that did not come, or a file that went? */
static bool is_dangling(int dir_fd, const char *name)
{
    autofree char *ours = str_printf(DATA "/%s", name);
    struct stat st;

    return !str_starts(name, "..") && link_is(dir_fd, name, ours) &&
           fstatat(dir_fd, name, &st, 0) < 0 && errno == ENOENT;
}

static int sweep_entry(void *arg, const char *name, struct error *err)
{
    const struct sweep *s = arg;

    if (!is_swept(s, name) && !is_dangling(s->dir_fd, name))
        return 0;
    if (FAULT("fold.before_remove", err) < 0 || fs_remove_tree(s->dir_fd, name, err) < 0)
        return -1;
    return FAULT("fold.after_remove", err);
}

static int sweep(int dir_fd, const char *live, struct error *err)
{
    struct sweep s = { .dir_fd = dir_fd, .live = live };

    return fs_each(dir_fd, ".", sweep_entry, &s, err);
}

int atomic_writer_fold(int dir_fd, struct error *err)
{
    char live[GENERATION_NAME_MAX];

    if (atomic_writer_live_name(dir_fd, live, err) < 0)
        return -1;
    return sweep(dir_fd, live, err);
}

/* --- visible links -----------------------------------------------------------------------------
 */

static size_t first_len(const char *path)
{
    return strcspn(path, "/");
}

/* Links the names that nothing has yet. They lead nowhere until the swap, which so brings all new
 * files into sight at once; and what cannot be made fails before it. */
static int announce_links(int dir_fd, const struct fileset *files, struct error *err)
{
    if (FAULT("links.before_announce", err) < 0)
        return -1;
    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->files[i].path;
        autofree char *name = xstrndup(path, first_len(path));
        autofree char *want = str_printf(DATA "/%s", name);

        if (symlinkat(want, dir_fd, name) < 0 && errno != EEXIST)
            return error_sys(err, errno, "link %s", name);
    }
    return FAULT("links.after_announce", err);
}

/* Puts a link in place of whatever has its name: nothing, a wrong link, or a file that a writing
 * provider left. */
static int place_link(int dir_fd, const char *name, const char *want, struct error *err)
{
    if (FAULT("links.before_place", err) < 0)
        return -1;
    (void)unlinkat(dir_fd, LINK_TMP, 0);
    if (symlinkat(want, dir_fd, LINK_TMP) < 0)
        return error_sys(err, errno, "link %s", name);
    if (renameat(dir_fd, LINK_TMP, dir_fd, name) == 0)
        return FAULT("links.after_place", err);
    if (fs_remove_tree(dir_fd, name, err) < 0)
        return -1;
    if (renameat(dir_fd, LINK_TMP, dir_fd, name) < 0)
        return error_sys(err, errno, "link %s", name);
    return FAULT("links.after_replace", err);
}

struct stale {
    int dir_fd;
    const struct fileset *files;
};

static bool is_wanted(const struct fileset *files, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < files->count; i++)
        if (first_len(files->files[i].path) == len && memcmp(files->files[i].path, name, len) == 0)
            return true;
    return false;
}

static int remove_stale(void *arg, const char *name, struct error *err)
{
    const struct stale *s = arg;
    autofree char *ours = NULL;

    if (str_starts(name, "..") || is_wanted(s->files, name))
        return 0;
    ours = str_printf(DATA "/%s", name);
    if (!link_is(s->dir_fd, name, ours))
        return 0;
    if (FAULT("links.before_remove", err) < 0)
        return -1;
    if (unlinkat(s->dir_fd, name, 0) < 0 && errno != ENOENT)
        return error_sys(err, errno, "unlink %s", name);
    return 0;
}

static int reconcile_links(int dir_fd, const struct fileset *files, struct error *err)
{
    struct stale s = { .dir_fd = dir_fd, .files = files };

    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->files[i].path;
        autofree char *name = xstrndup(path, first_len(path));
        autofree char *want = str_printf(DATA "/%s", name);

        if (!link_is(dir_fd, name, want) && place_link(dir_fd, name, want, err) < 0)
            return -1;
    }
    return fs_each(dir_fd, ".", remove_stale, &s, err);
}

/* --- the swap ----------------------------------------------------------------------------------
 */

static int swap(int dir_fd, const char *name, const struct writer_options *options,
                struct error *err)
{
    if (FAULT("write.before_link", err) < 0)
        return -1;
    if (symlinkat(name, dir_fd, DATA_TMP) < 0)
        return error_sys(err, errno, "link " DATA_TMP);
    if (FAULT("write.before_rename", err) < 0 ||
        (options->may_swap && options->may_swap(options->arg, err) < 0)) {
        (void)unlinkat(dir_fd, DATA_TMP, 0);
        return -1;
    }
    if (renameat(dir_fd, DATA_TMP, dir_fd, DATA) < 0) {
        int errnum = errno;

        (void)unlinkat(dir_fd, DATA_TMP, 0);
        return error_sys(err, errnum, "rename " DATA_TMP);
    }
    return 0;
}

static struct generation_owner owner_of(const struct writer_options *options)
{
    return (struct generation_owner){
        .uid = geteuid(),
        .gid = options->fs_group == (gid_t)-1 ? getegid() : options->fs_group,
    };
}

/* One write in progress. */
struct writing {
    int dir_fd;
    int live_fd; /* -1: there is no live generation */
    char live[GENERATION_NAME_MAX];
    const struct fileset *files;
    const struct writer_options *options;
};

static int write_new(const struct writing *w, struct write_result *ret, struct error *err)
{
    struct generation_owner owner = owner_of(w->options);
    int dir_fd = w->dir_fd;
    char name[GENERATION_NAME_MAX];

    if (generation_write(dir_fd, w->live_fd, w->files, &owner, name, err) < 0)
        return -1;
    if (announce_links(dir_fd, w->files, err) < 0 || swap(dir_fd, name, w->options, err) < 0) {
        (void)!sweep(dir_fd, w->live, NULL);
        return -1;
    }
    ret->changed = true;
    (void)snprintf(ret->live, sizeof(ret->live), "%s", name);
    ret->previous = *w->live && w->options->keep_previous;
    if (FAULT("write.after_rename", err) < 0 || reconcile_links(dir_fd, w->files, err) < 0 ||
        FAULT("write.after_links", err) < 0)
        return -1;
    if (!ret->previous && *w->live && fs_remove_tree(dir_fd, w->live, err) < 0)
        return -1;
    return FAULT("write.end", err);
}

static void writing_done(struct writing *w)
{
    close_at(&w->live_fd);
}

int atomic_writer_write(int dir_fd, struct fileset *files, const struct writer_options *options,
                        struct write_result *ret, struct error *err)
{
    struct generation_owner owner = owner_of(options);
    struct writing w CLEANUP(
        writing_done) = { .dir_fd = dir_fd, .files = files, .options = options };
    struct generation_diff diff = { 0 };

    w.live_fd = -1;
    if (atomic_writer_live_name(dir_fd, w.live, err) < 0)
        return -1;
    w.live_fd = open_live(dir_fd, w.live);
    if (FAULT("write.before_sweep", err) < 0 || sweep(dir_fd, w.live, err) < 0 ||
        FAULT("write.after_sweep", err) < 0)
        return -1;
    if (w.live_fd >= 0 && generation_compare(w.live_fd, files, &owner, &diff, err) < 0)
        return -1;
    if (FAULT("write.after_compare", err) < 0)
        return -1;
    *ret = (struct write_result){ .gone = diff.gone };
    (void)snprintf(ret->before, sizeof(ret->before), "%s", w.live);
    (void)snprintf(ret->live, sizeof(ret->live), "%s", w.live);
    if (diff.same)
        return reconcile_links(dir_fd, files, err);
    return write_new(&w, ret, err);
}

/* --- unpublish ---------------------------------------------------------------------------------
 */

struct wipe {
    int dir_fd;
    dev_t dev;
    struct error first;
};

static void overwrite(int fd, off_t size)
{
    static const char zeros[ZERO_BYTES];

    for (off_t at = 0; at < size; at += ZERO_BYTES) {
        size_t part = size - at < ZERO_BYTES ? (size_t)(size - at) : ZERO_BYTES;

        if (pwrite(fd, zeros, part, at) < 0)
            return; /* what cannot be overwritten still goes with the tmpfs */
    }
}

static int wipe_entry(void *arg, const char *name, struct error *err)
{
    struct wipe *w = arg;
    struct wipe below = { .dev = w->dev };
    autoclose int fd = -1;
    struct stat st;

    if (FAULT("wipe.entry", err) < 0)
        return -1;
    if (fstatat(w->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != w->dev)
        return 0;
    if (S_ISREG(st.st_mode)) {
        fd = openat(w->dir_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0)
            overwrite(fd, st.st_size);
    } else if (S_ISDIR(st.st_mode)) {
        fd = openat(w->dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        below.dir_fd = fd;
        if (fd >= 0 && fs_each(fd, ".", wipe_entry, &below, err) < 0)
            return -1;
    }
    if (unlinkat(w->dir_fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 && !w->first.code)
        error_sys(&w->first, errno, "remove %s", name);
    return 0;
}

int atomic_writer_wipe(int dir_fd, struct error *err)
{
    struct wipe w = { .dir_fd = dir_fd };
    struct stat st;

    if (fstat(dir_fd, &st) < 0)
        return error_sys(err, errno, "stat the volume");
    w.dev = st.st_dev;
    if (fs_each(dir_fd, ".", wipe_entry, &w, err) < 0)
        return -1;
    return w.first.code ? error_copy(err, &w.first) : 0;
}

/* --- looking -----------------------------------------------------------------------------------
 */

struct plain {
    int dir_fd;
    bool found;
};

/* A link of ours leads through ..data: without it, it is no file. */
static int find_plain(void *arg, const char *name, struct error *err)
{
    struct plain *p = arg;
    autofree char *ours = str_printf(DATA "/%s", name);

    (void)err;
    p->found = p->found || (!str_starts(name, "..") && !link_is(p->dir_fd, name, ours));
    return 0;
}

bool atomic_writer_has_files(int dir_fd)
{
    char live[GENERATION_NAME_MAX];
    struct stat st;
    struct plain plain = { .dir_fd = dir_fd };

    if (atomic_writer_live_name(dir_fd, live, NULL) < 0)
        return true;
    if (*live)
        return fstatat(dir_fd, live, &st, AT_SYMLINK_NOFOLLOW) == 0 ? S_ISDIR(st.st_mode)
                                                                    : errno != ENOENT;
    return fs_each(dir_fd, ".", find_plain, &plain, NULL) < 0 || plain.found;
}

int atomic_writer_open_live(int dir_fd, char name[GENERATION_NAME_MAX], int *ret_fd,
                            struct error *err)
{
    if (atomic_writer_live_name(dir_fd, name, err) < 0)
        return -1;
    *ret_fd =
        *name ? open_live(dir_fd, name) : openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? error_sys(err, errno, "open %s", *name ? name : "the volume") : 0;
}

static int64_t size_of(int live_fd, const struct file *f)
{
    autoclose int fd = -1;
    struct stat st;

    if (!f->unchanged)
        return (int64_t)f->contents.len;
    fd = live_fd < 0 ? -1 : fs_open_below(live_fd, f->path, O_PATH, 0);
    return fd < 0 || fstat(fd, &st) < 0 ? 0 : st.st_size;
}

struct writer_need atomic_writer_need(int dir_fd, const struct fileset *files)
{
    struct writer_need need = { .bytes = HEADROOM_BYTES, .inodes = HEADROOM_INODES };
    char live[GENERATION_NAME_MAX];
    autoclose int live_fd = -1;

    live_fd = atomic_writer_live_name(dir_fd, live, NULL) < 0 ? -1 : open_live(dir_fd, live);

    for (size_t i = 0; i < files->count; i++) {
        const struct file *f = &files->files[i];
        int64_t pages = (size_of(live_fd, f) + PAGE_BYTES - 1) / PAGE_BYTES;

        need.bytes += 2 * pages * PAGE_BYTES;
        need.inodes += 3;
        for (const char *c = f->path; *c; c++)
            need.inodes += *c == '/' ? 2 : 0;
    }
    return need;
}
