/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/foreign.h"

#include <fcntl.h>

#include "driver/volume/atomic_writer.h"
#include "lib/base/fs.h"
#include "lib/base/json.h"

enum { VOL_DATA_MAX = 64 << 10 };

struct search {
    struct lifecycle *app;
    const char *driver_name;
    struct pairs ours; /* targets of volumes that are known */
    struct pairs seen; /* several mounts may lie over each other */
    char **targets;    /* of mounts that may be meant */
    size_t count;
};

static void search_done(struct search *s)
{
    pairs_done(&s->ours);
    pairs_done(&s->seen);
    for (size_t i = 0; i < s->count; i++)
        free(s->targets[i]);
    free(s->targets);
}

static void add_ours(void *arg, struct volume *v)
{
    struct search *s = arg;

    pthread_mutex_lock(&v->lock);
    pairs_set(&s->ours, v->record.target, "");
    pthread_mutex_unlock(&v->lock);
}

/* Source: Kubernetes pkg/volume/csi/csi_mounter.go, GetPath. */
static bool is_inline_volume(const char *path)
{
    const char *folder = strstr(path, "/volumes/kubernetes.io~csi/");

    return folder && str_ends(path, "/mount") && strlen(strrchr(folder, '/')) == strlen("/mount");
}

/* The mounter may not be asked from here: only remembers. */
static void add_mount(void *arg, const struct mount_row *row)
{
    struct search *s = arg;
    autofree char *target =
        str_printf("%s%s", s->app->root.path, row->path + strlen(s->app->root.real));

    if (str_starts(row->source, MOUNT_SOURCE_PREFIX) || !is_inline_volume(target) ||
        pairs_get(&s->ours, target) || pairs_get(&s->seen, target))
        return;
    pairs_set(&s->seen, target, "");
    s->targets = xrealloc(s->targets, (s->count + 1) * sizeof(char *));
    s->targets[s->count++] = xstrdup(target);
}

/* What kubelet wrote beside the mount; NULL: nothing that can be read.
 * Source: Kubernetes pkg/volume/csi/csi_util.go, saveVolumeData. */
static struct tree *vol_data(const struct target *t)
{
    struct secret text CLEANUP(secret_done) = { 0 };
    struct tree *tree = NULL;

    if (fs_read(t->parent_fd, "vol_data.json", VOL_DATA_MAX, false, &text, NULL) < 0 ||
        json_parse((const char *)text.bytes, text.len, &tree, NULL) < 0)
        return NULL;
    return tree;
}

static void look(struct search *s, const struct target *t, struct foreign_volume *ret)
{
    struct mounter *m = s->app->mounter;
    struct mount_state state = { 0 };
    autoclose int dir_fd = -1;

    if (m->ops->look(m, t, false, &state, NULL) < 0 || !state.is_tmpfs ||
        target_open_dir(t, &dir_fd, NULL) < 0 || dir_fd < 0) {
        ret->problem = "cannot be looked at, or is no tmpfs any more";
        return;
    }
    ret->size_bytes = state.size_bytes;
    ret->used_bytes = state.used_bytes;
    ret->has_files = atomic_writer_has_files(dir_fd);
}

static void tell(struct search *s, const char *path,
                 void (*say)(void *arg, const struct foreign_volume *found), void *arg)
{
    struct foreign_volume found = { .target = path, .volume_id = "", .problem = "" };
    struct target t autotarget = { .parent_fd = -1 };
    struct tree *data autotree = NULL;
    struct error err = { 0 };
    const char *driver = NULL;
    bool here = false;

    if (target_open(&s->app->root, path, false, &t, &here, &err) < 0)
        found.problem = err.msg;
    if (here) {
        data = vol_data(&t);
        driver = tree_get_text(data, "driverName");
        look(s, &t, &found);
    }
    if (driver && strcmp(driver, s->driver_name) != 0)
        return;
    if (driver && tree_get_text(data, "volumeHandle"))
        found.volume_id = tree_get_text(data, "volumeHandle");
    if (here && !driver && !*found.problem)
        found.problem = "kubelet's vol_data.json does not say whose it is";
    if (here || *found.problem)
        say(arg, &found);
}

int foreign_each(struct lifecycle *app, const char *driver_name,
                 void (*say)(void *arg, const struct foreign_volume *found), void *arg,
                 struct error *err)
{
    struct search s CLEANUP(search_done) = { .app = app, .driver_name = driver_name };

    volume_table_each(app->volumes, add_ours, &s);
    if (app->mounter->ops->each(app->mounter, app->root.real, add_mount, &s, err) < 0)
        return -1;
    for (size_t i = 0; i < s.count; i++)
        tell(&s, s.targets[i], say, arg);
    return 0;
}
