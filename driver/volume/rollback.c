/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/rollback.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "driver/volume/operation.h"
#include "driver/volume/rotation.h"
#include "lib/base/fault.h"

enum { KERNELS_MODE = 01777 }; /* of a tmpfs that was mounted without one */

/* Source: Linux mm/shmem.c, shmem_default_max_blocks and shmem_default_max_inodes. */
static struct mount_spec kernels_limits(const char *volume_id)
{
    struct mount_spec spec = { .volume_id = volume_id };
    struct sysinfo info = { 0 };
    int64_t page = sysconf(_SC_PAGESIZE);

    (void)sysinfo(&info);
    spec.inodes = (int64_t)info.totalram * info.mem_unit / page / 2;
    spec.size_bytes = spec.inodes * page;
    return spec;
}

static int check_whole(struct operation *op, struct error *err)
{
    bool whole = false;

    if (lifecycle_is_whole(op->app, op->volume->record.target, &whole, err) < 0)
        return -1;
    return whole ? 0
                 : error_set(err, CODE_UNAVAILABLE,
                             "nothing is mounted at %.200s, or nothing is in it: kubelet's next "
                             "republish repairs it",
                             op->volume->record.target);
}

/* From here on a swap leaves no old generation; then the one that is left goes. */
static int fold(struct operation *op, struct error *err)
{
    bool writing;

    pthread_mutex_lock(&op->volume->lock);
    op->volume->handed_back = true;
    writing = op->volume->record.writing;
    pthread_mutex_unlock(&op->volume->lock);
    if (writing) /* its layout is the provider's own */
        return operation_open(op, err);
    return rotation_fold(op, err);
}

/* A provider that writes by itself need not be root. */
static int open_folder(struct operation *op, struct error *err)
{
    autoclose int dir_fd = -1;

    if (!op->volume->record.writing)
        return 0;
    if (target_open_dir(&op->target, &dir_fd, err) < 0)
        return -1;
    if (dir_fd < 0 || fchmod(dir_fd, KERNELS_MODE) < 0)
        return error_sys(err, dir_fd < 0 ? ENOENT : errno, "chmod %s", op->target.path);
    return 0;
}

static int lift_limits(struct operation *op, bool *ret_changed, struct error *err)
{
    struct mount_spec spec = kernels_limits(op->volume->id);
    struct mounter *m = op->app->mounter;
    struct mount_state now = { 0 };

    if (m->ops->look(m, &op->target, false, &now, err) < 0)
        return -1;
    if (now.size_bytes < spec.size_bytes || now.inodes < spec.inodes) {
        if (m->ops->resize(m, &op->target, &spec, err) < 0)
            return -1;
        *ret_changed = true;
    }
    return open_folder(op, err);
}

static int record(struct operation *op, bool *ret_changed, struct error *err)
{
    struct record *r = &op->volume->record;
    int result;

    pthread_mutex_lock(&op->volume->lock);
    *ret_changed = *ret_changed || !r->adopted;
    r->adopted = 1;
    result = state_save(&op->app->state, r, err);
    pthread_mutex_unlock(&op->volume->lock);
    return result;
}

/* What touches the volume is within WRITING: an unpublish comes before it or waits. */
static int hand_over(struct operation *op, bool *ret_changed, struct error *err)
{
    int result;

    if (volume_begin_write(op->volume, err) < 0)
        return -1;
    result = lift_limits(op, ret_changed, err);
    if (result == 0)
        result = FAULT("rollback.after_lift", err);
    if (result == 0)
        result = record(op, ret_changed, err);
    volume_end_write(op->volume);
    return result;
}

static int steps(struct operation *op, bool *ret_changed, struct error *err)
{
    if (FAULT("rollback.begin", err) < 0 || check_whole(op, err) < 0 || fold(op, err) < 0 ||
        FAULT("rollback.after_fold", err) < 0 || hand_over(op, ret_changed, err) < 0)
        return -1;
    return FAULT("rollback.end", err);
}

int rollback_prepare(struct lifecycle *app, struct volume *v, int64_t until_ms, bool *ret_changed,
                     struct error *err)
{
    struct operation op autooperation;
    int result;

    *ret_changed = false;
    operation_init(&op, app);
    op.volume = volume_ref(v);
    if (volume_begin_by(v, until_ms, &op.cancel, err) < 0)
        return -1;
    result = steps(&op, ret_changed, err);
    volume_end(v);
    return result;
}
