/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "driver/volume/atomic_writer.h"
#include "driver/volume/rotation.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"

struct found {
    struct target target;
    struct mount_state state;
    bool here;  /* the target's parent exists */
    bool ours;  /* a tmpfs with this volume's source */
    bool whole; /* it holds files */
};

static void found_done(struct found *f)
{
    target_done(&f->target);
    mount_state_done(&f->state);
}

static int find(struct lifecycle *app, const struct record *r, struct found *ret, struct error *err)
{
    autofree char *ours = mount_source_of(r->volume_id);
    autoclose int dir_fd = -1;

    if (FAULT("recovery.before_look", err) < 0)
        return -1;
    if (target_open(&app->root, r->target, false, &ret->target, &ret->here, err) < 0)
        return -1;
    if (!ret->here)
        return 0;
    if (app->mounter->ops->look(app->mounter, &ret->target, true, &ret->state, err) < 0)
        return -1;
    ret->ours = ret->state.is_tmpfs && str_same(ret->state.source, ours);
    if (ret->state.is_tmpfs && target_open_dir(&ret->target, &dir_fd, err) < 0)
        return -1;
    if (dir_fd >= 0)
        ret->whole = atomic_writer_has_files(dir_fd);
    return 0;
}

static int forget(struct lifecycle *app, const struct record *r, struct error *err)
{
    if (FAULT("recovery.before_forget", err) < 0)
        return -1;
    return state_remove(&app->state, r->volume_id, err);
}

/* A publish that a crash cut short: its tmpfs goes, and the folder when that publish made it. */
static int undo(struct lifecycle *app, const struct record *r, const struct found *f,
                struct error *err)
{
    autoclose int dir_fd = -1;

    if (FAULT("recovery.before_undo", err) < 0)
        return -1;
    if (f->ours) {
        if (target_open_dir(&f->target, &dir_fd, NULL) == 0 && dir_fd >= 0)
            (void)!atomic_writer_wipe(dir_fd, NULL);
        (void)close(take_fd(&dir_fd));
        if (FAULT("recovery.after_wipe", err) < 0 ||
            app->mounter->ops->unmount(app->mounter, &f->target, err) < 0 ||
            FAULT("recovery.after_unmount", err) < 0)
            return -1;
    }
    /* The folder of a publish that did not end is empty, or not ours: rmdir tells which. */
    if (f->here && (f->ours || !f->state.is_mount))
        (void)unlinkat(f->target.parent_fd, f->target.name, AT_REMOVEDIR);
    app->undone++;
    log_event(LOG_INFO, "undone: a publish that did not end", WITH_TEXT(KEY_VOLUME, r->volume_id));
    return forget(app, r, err);
}

/* Who swapped since the record was written? One who left the recorded generation beside the live
 * one was us, and a crash came before the record: the next refresh sees to it. The driver before
 * leaves none, and we none where no grace is wanted. Of what others wrote the record knows nothing:
 * what the cluster is told of it stands until it changes. */
static void doubt(const struct lifecycle *app, struct record *r, int dir_fd)
{
    char live[FILESET_NAME_MAX + 1];
    struct stat st;

    if (!r->live || (!app->config.grace_ms && !r->adopted) ||
        atomic_writer_live_name(dir_fd, live, NULL) < 0 || str_same(live, r->live) ||
        fstatat(dir_fd, r->live, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return;
    r->generation = 0;
    record_set_versions(r, NULL, 0);
    free(r->live);
    r->live = NULL;
}

/* The volume lives on. Leftovers of a write that was cut short go now; readers of a previous
 * generation had their grace while we were away. */
static int adopt(struct lifecycle *app, struct record *r, const struct found *f, struct error *err)
{
    struct volume *v autovolume = volume_new(app, r->volume_id, r->target);
    autoclose int dir_fd = -1;

    if (FAULT("recovery.before_adopt", err) < 0)
        return -1;
    record_done(&v->record);
    v->record = *r;
    *r = (struct record){ 0 };
    if (target_open_dir(&f->target, &dir_fd, NULL) == 0 && dir_fd >= 0)
        doubt(app, &v->record, dir_fd);
    if (dir_fd >= 0 && !v->record.writing && (f->ours || v->record.generation > 0) &&
        atomic_writer_fold(dir_fd, err) < 0)
        return -1;
    v->record.size_bytes =
        budget_share(f->state.size_bytes, f->state.used_bytes, v->record.adopted);
    v->record.inodes = f->state.inodes;
    v->fetched_at_unix_ms = v->record.fetched_at_unix_ms;
    v->unsure = true;
    v->state = VOLUME_IDLE;
    if (volume_table_add(app->volumes, v, err) < 0)
        return -1;
    budget_change(&app->budget, v->record.size_bytes);
    rotation_schedule_spread(app, v);
    app->recovered++;
    (void)volume_ref(v); /* the table's */
    return FAULT("recovery.after_adopt", err);
}

static int recover(struct lifecycle *app, struct record *r, struct error *err)
{
    struct found f CLEANUP(found_done) = { .target = { .parent_fd = -1 } };

    if (find(app, r, &f, err) < 0)
        return -1;
    if (r->phase == RECORD_PUBLISHED && f.state.is_tmpfs && (f.ours || r->adopted) && f.whole)
        return adopt(app, r, &f, err);
    if (r->phase == RECORD_PUBLISHED && !f.state.is_mount)
        return forget(app, r, err); /* a reboot took the tmpfs */
    if (r->phase == RECORD_PUBLISHING || f.ours)
        return undo(app, r, &f, err);
    return forget(app, r, err);
}

static void recover_one(void *arg, struct record *r)
{
    struct lifecycle *app = arg;
    struct error err = { 0 };
    autofree char *id = xstrdup(r->volume_id);

    if (recover(app, r, &err) < 0)
        log_failure(LOG_ERROR, "a volume could not be recovered: left as it is", KEY_VOLUME, id,
                    &err);
}

static void say_unknown(void *arg, const struct mount_row *row)
{
    struct lifecycle *app = arg;
    struct volume *v autovolume = NULL;

    if (!str_starts(row->source, MOUNT_SOURCE_PREFIX))
        return;
    v = volume_table_get(app->volumes, row->source + strlen(MOUNT_SOURCE_PREFIX));
    if (!v)
        log_event(LOG_WARN, "a tmpfs of ours without a record: left alone until its unpublish",
                  WITH_TEXT(KEY_TARGET, row->path));
}

int recovery_run(struct lifecycle *app, struct error *err)
{
    if (FAULT("recovery.begin", err) < 0 ||
        state_load(&app->state, recover_one, app, &app->set_aside, err) < 0)
        return -1;
    if (app->set_aside)
        metrics_add(app->metrics, VM_RECORDS_SET_ASIDE, NULL, (double)app->set_aside);
    if (app->mounter->ops->each(app->mounter, app->root.real, say_unknown, app, err) < 0)
        return -1;
    app->ready = true;
    return FAULT("recovery.end", err);
}
