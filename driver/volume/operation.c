/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "driver/volume/atomic_writer.h"
#include "driver/volume/rotation.h"
#include "driver/volume/versions.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"

enum {
    FIRST_INODES = 1024,
    FETCH_TIMEOUT_MS = 110000, /* kubelet gives a call 2 min */
    SAME_LEASE_MS = 2000,
    ANSWER_SLACK_MS = 500, /* for undoing and answering before the caller's deadline */
};

void operation_init(struct operation *op, struct lifecycle *app)
{
    *op = (struct operation){ .app = app, .target = { .parent_fd = -1 }, .left_ms = INT64_MAX };
    cancel_init(&op->cancel);
}

static void forward_cancel(void *arg)
{
    cancel_raise(arg);
}

void operation_heed(struct operation *op, struct cancel *caller)
{
    cancel_unwatch(op->caller, &op->watch);
    op->caller = caller;
    op->watch = (struct cancel_watch){ .raised = forward_cancel, .arg = &op->cancel };
    cancel_watch(caller, &op->watch);
}

void operation_done(struct operation *op)
{
    operation_heed(op, NULL);
    class_free(op->class);
    pairs_done(&op->attributes);
    credentials_done(&op->credentials);
    fileset_done(&op->files);
    for (size_t i = 0; i < op->before_count; i++) {
        free(op->before[i].id);
        free(op->before[i].version);
    }
    free(op->before);
    target_done(&op->target);
    volume_unref(op->volume);
    cancel_done(&op->cancel);
}

int operation_class(struct operation *op, struct error *err)
{
    const struct record *r = &op->volume->record;

    if (FAULT("class.before_get", err) < 0)
        return -1;
    if (!r->class_name || !*r->class_name)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "secretProviderClass is not set in volumeAttributes");
    if (lifecycle_is_halted(op->app))
        cancel_raise(&op->cancel);
    if (op->app->cluster->ops->get_class(op->app->cluster, r->pod_ns, r->class_name, &op->cancel,
                                         &op->class, err) < 0)
        return error_reason(err, "SecretProviderClassNotFound");
    if (class_check(op->class, err) < 0)
        return -1;
    pthread_mutex_lock(&op->volume->lock);
    op->volume->interval_ms = op->class->rotation_interval_ms;
    free(op->volume->record.provider);
    op->volume->record.provider = xstrdup(op->class->provider);
    free(op->volume->form);
    op->volume->form = op->class->stamp ? xstrdup(op->class->stamp) : NULL;
    pthread_mutex_unlock(&op->volume->lock);
    return FAULT("class.after_get", err);
}

/* The words that users look for in what a pod's events say of its provider. A provider that misses
 * a token does not know that there was one. */
static int of_pod(const struct operation *op, struct error *err)
{
    const struct record *r = &op->volume->record;

    if (op->credentials.refusal)
        (void)error_within(err, "tokens came with the volume that do not count, since %s",
                           op->credentials.refusal);
    return error_within(err, "failed to mount secrets store objects for pod %s/%s, err",
                        r->pod_ns ? r->pod_ns : "", r->pod_name ? r->pod_name : "");
}

static void override_warned(void *arg, const struct class *class, const char *key)
{
    const struct operation *op = arg;

    log_event(LOG_WARN, "a pod overrides a parameter of its class",
              WITH_TEXT(KEY_VOLUME, op->volume->id), WITH_TEXT(KEY_CLASS, class->name),
              WITH_TEXT(KEY_FLAG, key));
}

int operation_attributes(struct operation *op, struct error *err)
{
    struct attribute_rules rules = {
        .override = op->app->config.attribute_override,
        .warned = override_warned,
        .arg = op,
    };

    if (attributes_merge(op->class, &op->volume->record.attributes, &rules, &op->attributes, err) <
        0)
        return -1;
    if (op->app->source->ops->find(op->app->source, op->class->provider, err) < 0)
        return of_pod(op, err);
    return 0;
}

int operation_record_begin(struct operation *op, struct error *err)
{
    struct record *r = &op->volume->record;
    bool live = false;
    int result;

    if (r->phase == RECORD_PUBLISHED) /* a repair: recovery must not undo a live pod's volume */
        return 0;
    if (lifecycle_is_whole(op->app, r->target, &live, err) < 0)
        return error_reason(err, "FailedToEnsureMountPoint");
    if (live) /* nor one whose record was lost: without one it is left alone */
        return 0;
    if (FAULT("publish.before_record", err) < 0 || volume_begin_write(op->volume, err) < 0)
        return -1;
    result = state_save(&op->app->state, r, err);
    volume_end_write(op->volume);
    return result < 0 ? -1 : FAULT("publish.after_record", err);
}

/* --- mounting ----------------------------------------------------------------------------------
 */

static int open_target(struct operation *op, bool create, struct error *err)
{
    bool found = false;

    if (target_open(&op->app->root, op->volume->record.target, create, &op->target, &found, err) <
        0)
        return -1;
    if (!found)
        return error_set(err, CODE_UNAVAILABLE,
                         "target_path %.200s: a folder on the way is missing",
                         op->volume->record.target);
    return 0;
}

/* Takes over what is mounted at the target already, or says why it cannot be. */
static int take_over(struct operation *op, const struct mount_state *state, struct error *err)
{
    struct record *r = &op->volume->record;
    autofree char *ours = mount_source_of(op->volume->id);
    bool known = r->size_bytes > 0;

    if (!state->is_tmpfs)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "target_path %.200s is a mount point of something else than a tmpfs",
                         r->target);
    if (!str_same(state->source, ours)) {
        if (state->source && str_starts(state->source, MOUNT_SOURCE_PREFIX))
            return error_set(err, CODE_FAILED_PRECONDITION,
                             "target_path %.200s holds the tmpfs of volume %.100s", r->target,
                             state->source + strlen(MOUNT_SOURCE_PREFIX));
        r->adopted = 1;
    }
    if (!known) {
        r->size_bytes = budget_share(state->size_bytes, state->used_bytes, r->adopted);
        r->inodes = state->inodes;
        budget_change(&op->app->budget, r->size_bytes);
    }
    return 0;
}

static int mount_new(struct operation *op, struct error *err)
{
    struct record *r = &op->volume->record;
    struct mount_spec spec = {
        .volume_id = op->volume->id,
        .flags = r->mount_flags,
        .size_bytes = r->size_bytes ? r->size_bytes : BUDGET_SHARE_MIN,
        .inodes = r->inodes ? r->inodes : FIRST_INODES,
    };

    if (!r->size_bytes && budget_reserve(&op->app->budget, spec.size_bytes, err) < 0)
        return -1;
    if (!r->size_bytes)
        op->reserved_bytes = spec.size_bytes;
    if (target_make(&op->target, &op->made_target, err) < 0 ||
        op->app->mounter->ops->mount(op->app->mounter, &op->target, &spec, err) < 0)
        return error_reason(err, "FailedToEnsureMountPoint");
    op->mounted = true;
    r->adopted = 0; /* these limits are ours, whoever's were there before */
    r->size_bytes = spec.size_bytes;
    r->inodes = spec.inodes;
    r->made_target = r->made_target || op->made_target;
    return 0;
}

static int mount_or_take_over(struct operation *op, struct error *err)
{
    struct mount_state state CLEANUP(mount_state_done) = { 0 };

    if (FAULT("publish.before_mount", err) < 0 || open_target(op, true, err) < 0 ||
        op->app->mounter->ops->look(op->app->mounter, &op->target, true, &state, err) < 0)
        return error_reason(err, "FailedToEnsureMountPoint");
    if (state.is_mount)
        return take_over(op, &state, err);
    return mount_new(op, err);
}

/* Within WRITING, so that an unpublish either comes before (nothing is mounted) or waits and sees
 * it. */
int operation_mount(struct operation *op, struct error *err)
{
    int result;

    if (volume_begin_write(op->volume, err) < 0)
        return -1;
    pthread_mutex_lock(&op->volume->lock);
    result = mount_or_take_over(op, err);
    pthread_mutex_unlock(&op->volume->lock);
    volume_end_write(op->volume);
    return result < 0 ? -1 : FAULT("publish.after_mount", err);
}

int operation_open(struct operation *op, struct error *err)
{
    return open_target(op, false, err);
}

/* --- fetching ----------------------------------------------------------------------------------
 */

const char *operation_cached(const struct operation *op)
{
    return *op->told.how.store && !op->told.how.calls ? "true" : "false";
}

/* What the fetch cost at the store, as the provider says. */
static void count_store(struct operation *op)
{
    const struct fetch_how *how = &op->told.how;
    struct {
        enum volume_metric row;
        const char *result;
        int64_t count;
    } rows[] = {
        { VM_STORE_CALLS, NULL, how->calls },
        { VM_STORE_LOGINS, "ok", how->logins },
        { VM_STORE_LOGINS, "error", how->logins_failed },
        { VM_STORE_LEASES, "new", how->leases },
        { VM_STORE_LEASES, "kept", how->leases_kept },
        { VM_STORE_LEASES, "error", how->leases_failed },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *labels[] = { op->class->provider, rows[i].result };

        if (rows[i].count)
            metrics_add(op->app->metrics, rows[i].row, labels, (double)rows[i].count);
    }
}

static void observe_fetch(struct operation *op, int64_t started_us, enum code code)
{
    const char *labels[] = { op->class->provider, op->urgent ? "publish" : "refresh",
                             code_name(code), operation_cached(op) };

    count_store(op);

    metrics_observe(op->app->metrics, VM_FETCH_SECONDS, labels,
                    (double)(clock_mono_us() - started_us) / 1e6);
}

int operation_fetch(struct operation *op, struct error *err)
{
    struct record *r = &op->volume->record;
    int64_t left = op->left_ms == INT64_MAX ? FETCH_TIMEOUT_MS : op->left_ms - ANSWER_SLACK_MS;
    struct source_request req = {
        .provider = op->class->provider,
        .volume_id = op->volume->id,
        .target = r->target,
        .attributes = &op->attributes,
        .credentials = &op->credentials,
        .versions = r->versions,
        .version_count = op->volume->unsure ? 0 : r->version_count,
        .accepts_unchanged = r->phase == RECORD_PUBLISHED && !r->writing && !op->volume->unsure,
        .urgent = op->urgent,
        .timeout_ms = left > FETCH_TIMEOUT_MS ? FETCH_TIMEOUT_MS : left,
        .cancel = &op->cancel,
        .told = &op->told,
    };
    int64_t started = clock_mono_us();
    int result;

    if (lifecycle_is_halted(op->app))
        cancel_raise(&op->cancel);
    if (cancel_is_raised(&op->cancel))
        return error_set(err, CODE_CANCELLED, "cancelled before the fetch");
    if (left <= 0)
        return error_set(err, CODE_DEADLINE_EXCEEDED, "no time is left to ask provider %s",
                         op->class->provider);
    if (FAULT("fetch.begin", err) < 0)
        return -1;
    op->told = (struct source_told){ 0 };
    result = op->app->source->ops->fetch(op->app->source, &req, &op->files, err);
    observe_fetch(op, started, result == 0 ? CODE_OK : err ? err->code : CODE_UNKNOWN);
    if (result < 0)
        return of_pod(op, err);
    op->fetched = true;
    return FAULT("fetch.end", err);
}

/* --- writing -----------------------------------------------------------------------------------
 */

/* Limits that somebody else set may be far above ours, and are never lowered. */
static int raise_limits(struct operation *op, const struct mount_spec *spec, struct error *err)
{
    struct mounter *m = op->app->mounter;
    struct mount_spec wanted = *spec;
    struct mount_state now = { 0 };

    if (op->volume->record.adopted && m->ops->look(m, &op->target, false, &now, err) < 0)
        return -1;
    if (now.size_bytes >= spec->size_bytes && now.inodes >= spec->inodes)
        return 0;
    wanted.size_bytes = now.size_bytes > spec->size_bytes ? now.size_bytes : spec->size_bytes;
    wanted.inodes = now.inodes > spec->inodes ? now.inodes : spec->inodes;
    return m->ops->resize(m, &op->target, &wanted, err);
}

/* Raises the tmpfs to what two generations need. A first publish asks the budget, a rotation takes.
 */
static int make_room(struct operation *op, int dir_fd, struct error *err)
{
    struct writer_need need = atomic_writer_need(dir_fd, &op->files);
    struct record *r = &op->volume->record;
    struct mount_spec spec = {
        .volume_id = op->volume->id,
        .size_bytes = need.bytes > r->size_bytes ? need.bytes : r->size_bytes,
        .inodes = need.inodes > r->inodes ? need.inodes : r->inodes,
    };
    int64_t more = spec.size_bytes - r->size_bytes;

    if (more == 0 && spec.inodes == r->inodes)
        return 0;
    if (r->phase == RECORD_PUBLISHED || r->adopted)
        budget_change(&op->app->budget, more);
    else if (budget_reserve(&op->app->budget, more, err) < 0)
        return -1;
    if (raise_limits(op, &spec, err) < 0) {
        budget_change(&op->app->budget, -more);
        return -1;
    }
    op->reserved_bytes += more;
    r->size_bytes = spec.size_bytes;
    r->inodes = spec.inodes;
    return 0;
}

static int may_swap(void *arg, struct error *err)
{
    struct operation *op = arg;

    if (cancel_is_raised(&op->cancel))
        return error_set(err, CODE_CANCELLED, "cancelled before the files were swapped");
    return 0;
}

static int swap_files(struct operation *op, int dir_fd, struct error *err)
{
    struct record *r = &op->volume->record;
    struct writer_options options = {
        .fs_group = r->fs_group < 0 ? (gid_t)-1 : (gid_t)r->fs_group,
        .keep_previous = op->app->config.grace_ms > 0 && !op->volume->handed_back,
        .may_swap = may_swap,
        .arg = op,
    };
    struct write_result result = { 0 };

    /* A provider that returned nothing but left something in our empty tmpfs wrote it itself. */
    r->writing = op->files.count == 0 && (r->writing || op->mounted || r->adopted) &&
                 atomic_writer_has_files(dir_fd) && r->generation == 0;
    if (r->writing)
        return 0;
    if (make_room(op, dir_fd, err) < 0)
        return -1;
    if (atomic_writer_write(dir_fd, &op->files, &options, &result, err) < 0) {
        op->changed = result.changed;
        return error_reason(err, "FileWriteError");
    }
    op->changed = result.changed;
    op->gone = result.gone;
    op->unrecorded = r->live && strcmp(r->live, result.before) != 0;
    memcpy(op->live, result.live, sizeof(op->live));
    if (result.changed)
        r->generation++;
    if (result.previous)
        rotation_keep_previous(op->app, op->volume);
    return 0;
}

int operation_write(struct operation *op, struct error *err)
{
    autoclose int dir_fd = -1;
    int result;

    if (FAULT("write.begin", err) < 0 || volume_begin_write(op->volume, err) < 0)
        return -1;
    result = target_open_dir(&op->target, &dir_fd, err);
    if (result == 0 && dir_fd < 0)
        result =
            error_set(err, CODE_UNAVAILABLE, "target_path %.200s has vanished", op->target.path);
    if (result == 0)
        result = swap_files(op, dir_fd, err);
    volume_end_write(op->volume);
    return result < 0 ? -1 : FAULT("write.done", err);
}

/* Did anything that the record holds change? */
static bool same_versions(const struct record *r, const struct fileset *files)
{
    if (r->version_count != files->version_count)
        return false;
    for (size_t i = 0; i < r->version_count; i++)
        if (strcmp(r->versions[i].id, files->versions[i].id) != 0 ||
            strcmp(r->versions[i].version, files->versions[i].version) != 0)
            return false;
    return true;
}

/* Moves the record's versions out, for whoever is told what changed. */
static void keep_before(struct operation *op)
{
    struct record *r = &op->volume->record;

    if (op->before)
        return;
    op->before = r->versions;
    op->before_count = r->version_count;
    r->versions = NULL;
    r->version_count = 0;
}

static void remember(struct operation *op, int64_t now)
{
    struct volume *v = op->volume;
    struct record *r = &v->record;

    v->fetched_at_unix_ms = now;
    v->refresh_at_unix_ms = op->files.refresh_at_unix_ms;
    if (op->changed || op->unrecorded || r->phase != RECORD_PUBLISHED) {
        r->changed_at_unix_ms = now;
        r->fetched_at_unix_ms = now;
    }
    if (r->phase != RECORD_PUBLISHED)
        r->published_at_unix_ms = now;
    keep_before(op);
    record_set_versions(r, op->files.versions, op->files.version_count);
    r->had_tokens = credentials_has_tokens(&op->credentials);
    r->had_secrets = credentials_has_secrets(&op->credentials);
    r->phase = RECORD_PUBLISHED;
}

static void set_text(char **slot, const char *text)
{
    free(*slot);
    *slot = xstrdup(text);
}

/* What the record says of the files beside their versions. True: it is news. */
static bool remember_form(struct operation *op)
{
    struct record *r = &op->volume->record;
    const char *stamp = op->fetched ? op->class->stamp : NULL;
    bool is_news = stamp && !str_same(r->class_stamp, stamp);

    if (is_news)
        set_text(&r->class_stamp, stamp);
    if (*op->live && !str_same(r->live, op->live)) {
        set_text(&r->live, op->live);
        is_news = true;
    }
    return is_news;
}

/* Does the record tell of the files that were there before this write? One of an older version of
 * the driver does not say of which it tells. */
static bool is_of_record(const struct operation *op)
{
    return op->volume->record.live ? !op->unrecorded : !op->volume->unsure;
}

/* The same lease is told a little differently each time. Caller holds the lock. */
static void remember_lease(struct operation *op)
{
    struct volume *v = op->volume;
    int64_t at = op->told.how.expires_at_unix_ms;

    if (llabs(at - v->expires_at_unix_ms) > SAME_LEASE_MS)
        v->expires_life_ms = at ? at - clock_unix_ms() : 0;
    v->expires_at_unix_ms = at;
    v->own_versions = op->told.how.own_versions != 0;
}

int operation_record_end(struct operation *op, struct error *err)
{
    struct record *r = &op->volume->record;
    int64_t phase = r->phase;
    bool save;
    int result = 0;

    fileset_sort(&op->files);
    if (FAULT("publish.before_published", err) < 0 || volume_begin_write(op->volume, err) < 0)
        return -1;
    pthread_mutex_lock(&op->volume->lock);
    /* Versions are sticky: a new text over the same bytes is no change, of a volume or an object.
     * Where the provider writes itself they are all we know of the bytes. */
    if (op->changed && is_of_record(op))
        versions_keep(r->versions, r->version_count, op->gone, &op->files);
    if (r->writing && r->phase == RECORD_PUBLISHED && r->version_count &&
        !same_versions(r, &op->files))
        op->changed = true;
    op->recorded = op->changed || op->unrecorded || r->phase != RECORD_PUBLISHED ||
                   (!r->version_count && op->files.version_count);
    if (op->recorded)
        remember(op, clock_unix_ms());
    else
        op->volume->fetched_at_unix_ms = clock_unix_ms();
    op->volume->refresh_at_unix_ms = op->files.refresh_at_unix_ms;
    remember_lease(op);
    op->volume->unsure = false;
    save = remember_form(op) || op->recorded;
    if (save)
        result = state_save(&op->app->state, r, err);
    if (result < 0)
        r->phase = phase; /* a first publish is undone with its record */
    pthread_mutex_unlock(&op->volume->lock);
    volume_end_write(op->volume);
    return result < 0 ? -1 : FAULT("publish.after_published", err);
}

void operation_undo(struct operation *op)
{
    struct record *r = &op->volume->record;
    autoclose int dir_fd = -1;

    if (volume_begin_write(op->volume, NULL) < 0)
        return; /* an unpublish has come: it cleans up */
    if (op->mounted) {
        if (target_open_dir(&op->target, &dir_fd, NULL) == 0 && dir_fd >= 0)
            (void)!atomic_writer_wipe(dir_fd, NULL);
        close_at(&dir_fd);
        dir_fd = -1;
        (void)!op->app->mounter->ops->unmount(op->app->mounter, &op->target, NULL);
    }
    if (op->made_target)
        (void)unlinkat(op->target.parent_fd, op->target.name, AT_REMOVEDIR);
    budget_change(&op->app->budget, -op->reserved_bytes);
    if (r->phase != RECORD_PUBLISHED)
        (void)!state_remove(&op->app->state, op->volume->id, NULL);
    volume_end_write(op->volume);
}
