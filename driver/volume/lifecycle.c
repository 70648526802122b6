/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/lifecycle.h"

#include <errno.h>
#include <fcntl.h>

#include "driver/volume/atomic_writer.h"
#include "driver/volume/note.h"
#include "driver/volume/operation.h"
#include "driver/volume/report.h"
#include "driver/volume/rotation.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"

enum { ROTATION_THREADS = 4, ROTATION_QUEUE = VOLUMES_MAX, SEND_QUEUE = 1000 };

void lifecycle_start(struct lifecycle *app)
{
    struct work_pool_config rotators = {
        .name = "rotation",
        .threads_max =
            app->config.rotation_threads ? app->config.rotation_threads : ROTATION_THREADS,
        .queue_max = ROTATION_QUEUE,
    };

    struct work_pool_config senders = { .name = "senders",
                                        .threads_max = 1,
                                        .queue_max = SEND_QUEUE };

    app->halted = false;
    app->started_unix_ms = clock_unix_ms();
    lifecycle_kubelet_called(app);
    budget_init(&app->budget, app->config.tmpfs_budget_bytes);
    token_trust_init(&app->trust, app->metrics);
    app->volumes = volume_table_new(app);
    app->rotators = work_pool_new(&rotators);
    app->senders = work_pool_new(&senders);
    app->due = due_queue_new(rotation_due, app);
}

static void cancel_work(void *arg, struct volume *v)
{
    (void)arg;
    pthread_mutex_lock(&v->lock);
    if (v->work)
        cancel_raise(v->work);
    pthread_mutex_unlock(&v->lock);
}

/* Who begins work shows it in its volume, and then looks at the flag: each is found, or finds it.
 */
void lifecycle_halt(struct lifecycle *app)
{
    __atomic_store_n(&app->halted, true, __ATOMIC_RELEASE);
    volume_table_each(app->volumes, cancel_work, NULL);
}

bool lifecycle_is_halted(struct lifecycle *app)
{
    return __atomic_load_n(&app->halted, __ATOMIC_ACQUIRE);
}

void lifecycle_stop(struct lifecycle *app)
{
    lifecycle_halt(app);
    due_queue_end(app->due);
    work_pool_free(app->rotators); /* what it ends with sets its next time */
    work_pool_free(app->senders);
    volume_table_free(app->volumes);
    due_queue_free(app->due);
    app->due = NULL;
    budget_done(&app->budget);
    token_trust_done(&app->trust);
}

/* --- republish ---------------------------------------------------------------------------------
 */

int lifecycle_is_whole(struct lifecycle *app, const char *target, bool *ret_whole,
                       struct error *err)
{
    struct target t autotarget = { .parent_fd = -1 };
    struct mount_state state = { 0 };
    autoclose int dir_fd = -1;
    bool found = false;

    *ret_whole = false;
    if (target_open(&app->root, target, false, &t, &found, err) < 0)
        return -1;
    if (!found || app->mounter->ops->look(app->mounter, &t, false, &state, NULL) < 0 ||
        !state.is_mount || !state.is_tmpfs || target_open_dir(&t, &dir_fd, NULL) < 0 || dir_fd < 0)
        return 0;
    *ret_whole = atomic_writer_has_files(dir_fd);
    return 0;
}

/* Is it the same volume? Tokens differ from call to call; what the pod's author wrote may not. */
static int check_same(const struct volume *v, const struct publish_request *req, struct error *err)
{
    const char *class_name = publish_request_get(req, CONTEXT_CLASS);
    const char *uid = publish_request_get(req, CONTEXT_POD_UID);

    if (strcmp(v->record.target, req->target) != 0)
        return error_set(err, CODE_ALREADY_EXISTS,
                         "volume %.100s is published at another target_path already: unpublish it "
                         "there first",
                         v->id);
    if (!str_same(v->record.class_name, class_name) ||
        (*uid && v->record.pod_uid && *v->record.pod_uid && strcmp(v->record.pod_uid, uid) != 0))
        return error_set(err, CODE_ALREADY_EXISTS,
                         "volume %.100s is published for another class or pod already: unpublish "
                         "it first",
                         v->id);
    return 0;
}

/* Takes newer credentials over. Those that speak for another pod are counted and refused, and the
 * volume goes on with what it has: a live pod must not suffer from it. */
static void take_credentials(struct lifecycle *app, struct volume *v,
                             const struct publish_request *req)
{
    struct error err = { 0 };
    int result = 0;

    pthread_mutex_lock(&v->lock);
    if (!credentials_same(&v->credentials, req))
        result = credentials_take(&v->credentials, req, &app->trust, &err);
    if (result < 0 && !v->refused)
        note_refused(app, v, &err);
    v->refused = result < 0;
    pthread_mutex_unlock(&v->lock);
    if (result < 0) {
        if (err.code == CODE_PERMISSION_DENIED)
            metrics_add(app->metrics, VM_TOKEN_MISMATCH, NULL, 1);
        log_failure(LOG_WARN, "a republish's credentials are refused", KEY_VOLUME, v->id, &err);
        return;
    }
    rotation_credentials_came(app, v);
}

int lifecycle_republish(struct lifecycle *app, const struct publish_request *req, bool *ret_done,
                        struct error *err)
{
    static const char *const noop[] = { "noop" };
    struct volume *v autovolume = volume_table_get(app->volumes, req->volume_id);
    bool published = false;
    int result = 0;

    *ret_done = false;
    if (!v)
        return 0;
    pthread_mutex_lock(&v->lock);
    published = v->record.phase == RECORD_PUBLISHED && v->state != VOLUME_LEAVING;
    if (published)
        result = check_same(v, req, err);
    pthread_mutex_unlock(&v->lock);
    if (!published || result < 0)
        return result;
    if (lifecycle_is_whole(app, req->target, ret_done, err) < 0)
        return -1;
    if (!*ret_done)
        return 0;
    take_credentials(app, v, req);
    metrics_add(app->metrics, VM_REPUBLISH, noop, 1);
    return 0;
}

/* --- publish -----------------------------------------------------------------------------------
 */

/* The inputs of this publish become the record's. */
static void fill_record(struct volume *v, const struct publish_request *req)
{
    struct record *r = &v->record;
    struct {
        char **slot;
        const char *text;
    } texts[] = {
        { &r->class_name, publish_request_get(req, CONTEXT_CLASS) },
        { &r->pod_ns, publish_request_get(req, CONTEXT_POD_NAMESPACE) },
        { &r->pod_name, publish_request_get(req, CONTEXT_POD_NAME) },
        { &r->pod_uid, publish_request_get(req, CONTEXT_POD_UID) },
        { &r->service_account, publish_request_get(req, CONTEXT_SERVICE_ACCOUNT) },
        { &r->mount_flags, req->mount_flags ? req->mount_flags : "" },
    };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        free(*texts[i].slot);
        *texts[i].slot = xstrdup(texts[i].text);
    }
    pairs_done(&r->attributes);
    pairs_copy(&r->attributes, &req->attributes);
    r->fs_group = req->fs_group == (gid_t)-1 ? -1 : (int64_t)req->fs_group;
    r->had_tokens = credentials_has_tokens(&v->credentials);
    r->had_secrets = req->secrets.count > 0;
}

static int operation_begin(struct operation *op, const struct publish_request *req,
                           struct error *err)
{
    struct volume *v = op->volume;
    int result;

    pthread_mutex_lock(&v->lock);
    result = v->record.phase == RECORD_PUBLISHED ? check_same(v, req, err)
                                                 : token_trust_admit(&op->app->trust, err);
    if (result == 0)
        result = credentials_take(&v->credentials, req, &op->app->trust, err);
    if (result == 0) {
        fill_record(v, req);
        credentials_copy(&op->credentials, &v->credentials);
    }
    pthread_mutex_unlock(&v->lock);
    if (result < 0 && err && err->code == CODE_PERMISSION_DENIED)
        metrics_add(op->app->metrics, VM_TOKEN_MISMATCH, NULL, 1);
    return result < 0 ? -1 : FAULT("publish.claimed", err);
}

/* A foreign live tmpfs with files in it belongs to a running pod: it is published as it is, and
 * refreshed afterwards like any other volume. */
static bool is_adopted_whole(struct operation *op)
{
    bool whole = false;

    return op->volume->record.adopted && op->volume->record.generation == 0 &&
           lifecycle_is_whole(op->app, op->volume->record.target, &whole, NULL) == 0 && whole;
}

/* Where each access must have its line of audit, a new volume is not begun without; what lives on
 * is never refused for it. */
static int admit(struct operation *op, const struct publish_request *req, struct error *err)
{
    struct lifecycle *app = op->app;
    bool live = op->volume->record.phase == RECORD_PUBLISHED;

    if (!app->config.audit_required || live)
        return 0;
    if (lifecycle_is_whole(app, req->target, &live, err) < 0)
        return -1;
    return live ? 0 : app->cluster->ops->admit(app->cluster, err);
}

static int steps(struct operation *op, const struct publish_request *req, struct error *err)
{
    static const char *const adopted[] = { "adopted" };

    if (admit(op, req, err) < 0 || operation_begin(op, req, err) < 0 ||
        operation_class(op, err) < 0 || operation_attributes(op, err) < 0 ||
        operation_record_begin(op, err) < 0 || operation_mount(op, err) < 0)
        return -1;
    if (is_adopted_whole(op)) {
        metrics_add(op->app->metrics, VM_REPUBLISH, adopted, 1);
        return operation_record_end(op, err);
    }
    if (operation_fetch(op, err) < 0 || operation_write(op, err) < 0 ||
        operation_record_end(op, err) < 0)
        return -1;
    return 0;
}

static void keep(struct operation *op)
{
    struct volume *v = op->volume;
    bool adopted = v->record.adopted && v->record.generation == 0;

    pthread_mutex_lock(&v->lock);
    v->failures = 0;
    v->good_ms = clock_mono_ms();
    v->stale_told_ms = 0;
    v->refused = false;
    pthread_mutex_unlock(&v->lock);
    report_volume(op->app, &v->record, true, NULL);
    if (op->app->config.rotation && token_trust_lacks_republish(&op->app->trust))
        note_republish_off(op->app, v);
    volume_end(v);
    if (adopted && op->app->config.rotation)
        rotation_schedule_spread(op->app, v);
    else
        rotation_schedule(op->app, v);
}

/* A failed publish of a new volume leaves nothing; a failed repair leaves what there was. */
static void give_up(struct operation *op, bool is_new, struct error *err)
{
    bool live = op->volume->record.phase == RECORD_PUBLISHED;

    operation_undo(op);
    if (is_new && !volume_is_leaving(op->volume))
        volume_table_remove(op->app->volumes, op->volume);
    volume_end(op->volume);
    if (live && err && !code_is_maybe(err->code))
        err->code = CODE_UNAVAILABLE;
}

void lifecycle_kubelet_called(struct lifecycle *app)
{
    __atomic_store_n(&app->kubelet_ms, clock_mono_ms(), __ATOMIC_RELAXED);
}

int64_t lifecycle_kubelet_silent_ms(const struct lifecycle *app)
{
    return clock_mono_ms() - __atomic_load_n(&app->kubelet_ms, __ATOMIC_RELAXED);
}

static void count_publish_error(struct lifecycle *app, const char *provider,
                                const struct error *err)
{
    const char *failed[] = { provider, err && err->reason ? err->reason : "FailedToMount",
                             OS_TYPE };

    metrics_add(app->metrics, VM_NODE_PUBLISH_ERROR, failed, 1);
}

void lifecycle_count_refused(struct lifecycle *app, bool publish, const struct error *err)
{
    static const char *const os[] = { OS_TYPE };

    if (publish)
        count_publish_error(app, "", err);
    else
        metrics_add(app->metrics, VM_NODE_UNPUBLISH_ERROR, os, 1);
}

static void count(struct lifecycle *app, const struct operation *op, const struct error *err,
                  int64_t started_us)
{
    const char *provider = op->class ? op->class->provider : "";
    const char *ok[] = { provider, OS_TYPE };
    const char *timed[] = { provider, err ? "error" : "ok", operation_cached(op) };

    if (err)
        count_publish_error(app, provider, err);
    else
        metrics_add(app->metrics, VM_NODE_PUBLISH, ok, 1);
    metrics_observe(app->metrics, VM_PUBLISH_SECONDS, timed,
                    (double)(clock_mono_us() - started_us) / 1e6);
}

int lifecycle_publish(struct lifecycle *app, const struct publish_request *req, struct error *err)
{
    static const char *const repaired[] = { "repaired" };
    struct operation op autooperation;
    int64_t started = clock_mono_us();
    bool is_new = false;
    bool repair;
    struct error mine = { 0 };
    int result;

    operation_init(&op, app);
    op.urgent = true;
    op.left_ms = req->left_ms;
    if (target_check(&app->root, req->target, publish_request_get(req, CONTEXT_POD_UID), err) < 0 ||
        volume_table_claim(app->volumes, req, &op.cancel, &op.volume, &is_new, err) < 0) {
        lifecycle_count_refused(app, true, err);
        return -1;
    }
    repair = op.volume->record.phase == RECORD_PUBLISHED;
    operation_heed(&op, req->cancel);
    result = steps(&op, req, &mine);
    operation_heed(&op, NULL);
    note_publish(&op, req, repair, result < 0 ? &mine : NULL, (clock_mono_us() - started) / 1000);
    count(app, &op, result < 0 ? &mine : NULL, started);
    if (result == 0) {
        if (repair)
            metrics_add(app->metrics, VM_REPUBLISH, repaired, 1);
        keep(&op);
        return 0;
    }
    give_up(&op, is_new, &mine);
    return error_copy(err, &mine);
}

/* --- unpublish ---------------------------------------------------------------------------------
 */

/* Wipes and removes whatever is at the target, mount or folder. */
static int clear_target(struct lifecycle *app, const struct target *t, struct error *err)
{
    autoclose int dir_fd = -1;

    if (target_open_dir(t, &dir_fd, err) < 0)
        return -1;
    if (dir_fd < 0)
        return 0;
    if (FAULT("unpublish.before_wipe", err) < 0)
        return -1;
    if (atomic_writer_wipe(dir_fd, NULL) < 0)
        log_event(LOG_DEBUG, "not all of a volume could be overwritten",
                  WITH_TEXT(KEY_TARGET, t->path));
    (void)close(take_fd(&dir_fd));
    if (FAULT("unpublish.before_unmount", err) < 0 ||
        app->mounter->ops->unmount(app->mounter, t, err) < 0 ||
        FAULT("unpublish.before_rmdir", err) < 0)
        return -1;
    if (unlinkat(t->parent_fd, t->name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return FAULT("unpublish.after_rmdir", err);
    if (errno != ENOTEMPTY && errno != EEXIST)
        return error_sys(err, errno, "rmdir %s", t->path);
    /* Files under the mount, on disk: an old driver wrote there. They are secrets too. */
    if (target_open_dir(t, &dir_fd, err) < 0 ||
        (dir_fd >= 0 && atomic_writer_wipe(dir_fd, err) < 0))
        return -1;
    if (unlinkat(t->parent_fd, t->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_sys(err, errno, "rmdir %s", t->path);
    return 0;
}

/* Is what is mounted there this volume's (or somebody else's tmpfs, or nothing)? */
static int check_mount(struct lifecycle *app, const struct target *t, const char *volume_id,
                       struct error *err)
{
    struct mount_state state CLEANUP(mount_state_done) = { 0 };
    autofree char *ours = mount_source_of(volume_id);

    if (app->mounter->ops->look(app->mounter, t, true, &state, err) < 0)
        return -1;
    if (!state.is_mount)
        return 0;
    if (!state.is_tmpfs)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "target_path %.200s is a mount point of something else than a tmpfs: not "
                         "touched",
                         t->path);
    if (state.source && str_starts(state.source, MOUNT_SOURCE_PREFIX) &&
        strcmp(state.source, ours) != 0)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "target_path %.200s holds volume %.100s: not touched", t->path,
                         state.source + strlen(MOUNT_SOURCE_PREFIX));
    return 0;
}

static int clear(struct lifecycle *app, const char *volume_id, const char *path, struct error *err)
{
    struct target t autotarget = { .parent_fd = -1 };
    bool found = false;

    if (target_open(&app->root, path, false, &t, &found, err) < 0)
        return -1;
    if (found && (check_mount(app, &t, volume_id, err) < 0 || clear_target(app, &t, err) < 0))
        return -1;
    if (FAULT("unpublish.before_forget", err) < 0)
        return -1;
    return state_remove(&app->state, volume_id, err);
}

struct farewell {
    struct source *source;
    char *provider;
    char *volume_id;
};

static void run_farewell(void *arg)
{
    struct farewell *f = arg;

    f->source->ops->release(f->source, f->provider, f->volume_id);
    free(f->provider);
    free(f->volume_id);
    free(f);
}

/* Tells cluster and provider, off the path of the answer. */
static void say_farewell(struct lifecycle *app, const struct volume *v, int64_t took_ms)
{
    struct farewell *f;

    note_unpublish(app, v, NULL, took_ms);
    report_volume(app, &v->record, false, NULL);
    if (!v->record.provider || !*v->record.provider)
        return;
    f = xcalloc(1, sizeof(*f));
    *f = (struct farewell){ app->source, xstrdup(v->record.provider), xstrdup(v->id) };
    if (work_submit(app->rotators, run_farewell, f, NULL) < 0) {
        free(f->provider);
        free(f->volume_id);
        free(f);
    }
}

/* The volume leaves for good once its target is clear; until then it can be asked to leave again.
 */
static int leave(struct lifecycle *app, struct volume *v, const char *target, struct error *err)
{
    int64_t started = clock_mono_ms();
    struct error mine = { 0 };

    if (!volume_leave(v)) {
        error_set(err, CODE_ABORTED, "volume %.100s: an unpublish is in progress", v->id);
        return error_reason(err, "Busy");
    }
    rotation_forget(app, v);
    if (FAULT("unpublish.left", &mine) < 0 || clear(app, v->id, target, &mine) < 0 ||
        FAULT("unpublish.cleared", &mine) < 0) {
        note_unpublish(app, v, &mine, clock_mono_ms() - started);
        pthread_mutex_lock(&v->lock);
        v->state = VOLUME_IDLE;
        v->work = NULL;
        pthread_mutex_unlock(&v->lock);
        return error_copy(err, &mine);
    }
    budget_change(&app->budget, -v->record.size_bytes);
    say_farewell(app, v, clock_mono_ms() - started);
    volume_table_remove(app->volumes, v);
    return FAULT("unpublish.end", err);
}

static int clear_unknown(struct lifecycle *app, const char *volume_id, const char *target,
                         struct error *err)
{
    int64_t started = clock_mono_ms();
    struct error mine = { 0 };
    int result = clear(app, volume_id, target, &mine);

    note_unpublish_unknown(app, volume_id, target, result < 0 ? &mine : NULL,
                           clock_mono_ms() - started);
    return result < 0 ? error_copy(err, &mine) : 0;
}

int lifecycle_unpublish(struct lifecycle *app, const char *volume_id, const char *target,
                        struct error *err)
{
    struct volume *v autovolume = NULL;
    static const char *const os[] = { OS_TYPE };
    int64_t started = clock_mono_us();
    int result;

    if (target_check(&app->root, target, NULL, err) < 0 || FAULT("unpublish.begin", err) < 0) {
        lifecycle_count_refused(app, false, err);
        return -1;
    }
    v = volume_table_get(app->volumes, volume_id);
    if (v && strcmp(v->record.target, target) == 0)
        result = leave(app, v, target, err);
    else
        result = clear_unknown(app, volume_id, target, err);
    metrics_add(app->metrics, result < 0 ? VM_NODE_UNPUBLISH_ERROR : VM_NODE_UNPUBLISH, os, 1);
    metrics_observe(app->metrics, VM_UNPUBLISH_SECONDS, NULL,
                    (double)(clock_mono_us() - started) / 1e6);
    return result;
}
