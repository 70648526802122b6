/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "driver/volume/mounter.h"
#include "lib/base/fs.h"

/* One "mounted" folder: what tells it from a plain one lives here, in memory. */
struct folder {
    char *path;
    char *source;
    int64_t size_bytes;
    int64_t inodes;
    struct folder *next;
};

struct mount_folder {
    struct mounter base;
    pthread_mutex_t lock;
    struct folder *folders; /* guarded by lock */
};

static struct folder **find(struct mount_folder *m, const char *path)
{
    struct folder **slot = &m->folders;

    while (*slot && strcmp((*slot)->path, path) != 0)
        slot = &(*slot)->next;
    return slot;
}

static int folder_mount(struct mounter *self, const struct target *t, const struct mount_spec *spec,
                        struct error *err)
{
    struct mount_folder *m = (struct mount_folder *)self;
    struct folder *f;
    struct stat st;

    if (fstatat(t->parent_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_sys(err, errno, "stat %s", t->path);
    if (!S_ISDIR(st.st_mode))
        return error_sys(err, ENOTDIR, "mount on %s", t->path);
    f = xcalloc(1, sizeof(*f));
    *f = (struct folder){
        .path = xstrdup(t->real),
        .source = mount_source_of(spec->volume_id),
        .size_bytes = spec->size_bytes,
        .inodes = spec->inodes,
    };
    pthread_mutex_lock(&m->lock);
    f->next = m->folders;
    m->folders = f;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static int folder_resize(struct mounter *self, const struct target *t,
                         const struct mount_spec *spec, struct error *err)
{
    struct mount_folder *m = (struct mount_folder *)self;
    struct folder *f;

    pthread_mutex_lock(&m->lock);
    f = *find(m, t->real);
    if (f) {
        f->size_bytes = spec->size_bytes;
        f->inodes = spec->inodes;
    }
    pthread_mutex_unlock(&m->lock);
    return f ? 0 : error_set(err, CODE_INTERNAL, "%s is not mounted", t->path);
}

static void folder_drop(struct folder *f)
{
    free(f->path);
    free(f->source);
    free(f);
}

/* Takes every row of the path; false: there was none. */
static bool forget(struct mount_folder *m, const char *path)
{
    struct folder **slot;
    bool found = false;

    pthread_mutex_lock(&m->lock);
    while (*(slot = find(m, path))) {
        struct folder *f = *slot;

        *slot = f->next;
        folder_drop(f);
        found = true;
    }
    pthread_mutex_unlock(&m->lock);
    return found;
}

static int folder_unmount(struct mounter *self, const struct target *t, struct error *err)
{
    if (!forget((struct mount_folder *)self, t->real))
        return 0;
    /* What a tmpfs would take along. */
    if (fs_remove_tree(t->parent_fd, t->name, err) < 0)
        return -1;
    if (mkdirat(t->parent_fd, t->name, 0750) < 0)
        return error_sys(err, errno, "mkdir %s", t->path);
    return 0;
}

static int folder_look(struct mounter *self, const struct target *t, bool want_source,
                       struct mount_state *ret, struct error *err)
{
    struct mount_folder *m = (struct mount_folder *)self;
    const struct folder *f;

    (void)err;
    *ret = (struct mount_state){ 0 };
    pthread_mutex_lock(&m->lock);
    f = *find(m, t->real);
    if (f)
        *ret = (struct mount_state){
            .is_mount = true,
            .is_tmpfs = true,
            .source = want_source ? xstrdup(f->source) : NULL,
            .size_bytes = f->size_bytes,
            .inodes = f->inodes,
        };
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static int folder_each(struct mounter *self, const char *root,
                       void (*say)(void *arg, const struct mount_row *row), void *arg,
                       struct error *err)
{
    struct mount_folder *m = (struct mount_folder *)self;
    size_t len = strlen(root);

    (void)err;
    pthread_mutex_lock(&m->lock);
    for (const struct folder *f = m->folders; f; f = f->next)
        if (strncmp(f->path, root, len) == 0 && f->path[len] == '/')
            say(arg, &(struct mount_row){ f->path, "tmpfs", f->source, f->size_bytes });
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static void folder_free(struct mounter *self)
{
    struct mount_folder *m = (struct mount_folder *)self;

    while (m->folders) {
        struct folder *next = m->folders->next;

        folder_drop(m->folders);
        m->folders = next;
    }
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static const struct mounter_ops folder_ops = {
    .mount = folder_mount,
    .resize = folder_resize,
    .unmount = folder_unmount,
    .look = folder_look,
    .each = folder_each,
    .free = folder_free,
};

struct mounter *mount_folder_new(void)
{
    struct mount_folder *m = xcalloc(1, sizeof(*m));

    m->base.ops = &folder_ops;
    pthread_mutex_init(&m->lock, NULL);
    return &m->base;
}
