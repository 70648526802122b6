/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/rotation.h"

#include "driver/volume/atomic_writer.h"
#include "driver/volume/note.h"
#include "driver/volume/operation.h"
#include "driver/volume/report.h"
#include "lib/base/clock.h"
#include "lib/base/fault.h"
#include "lib/base/log.h"

enum {
    BACKOFF_FIRST_MS = 5000,
    BACKOFF_MAX_MS = 10 * 60 * 1000,
    RETRY_BUSY_MS = 1000,
    STALE_INTERVALS = 2,             /* without a good refresh: its pod is told */
    STALE_AGAIN_MS = 60 * 60 * 1000, /* and again */
    INTERVAL_MIN_MS =
        1000, /* nobody's interval is shorter: a provider is asked once a second at most */
};

int64_t rotation_interval_ms(const struct lifecycle *app, const struct volume *v)
{
    int64_t ms = v->interval_ms ? v->interval_ms : app->config.rotation_interval_ms;

    return ms < INTERVAL_MIN_MS ? INTERVAL_MIN_MS : ms;
}

bool rotation_is_stale(const struct lifecycle *app, const struct volume *v)
{
    return app->config.rotation && v->fetched_at_unix_ms &&
           clock_unix_ms() - v->fetched_at_unix_ms > 2 * rotation_interval_ms(app, v);
}

static int64_t backoff_of(const struct lifecycle *app, const struct volume *v)
{
    int64_t ms = BACKOFF_FIRST_MS;

    for (int64_t i = 1; i < v->failures && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    (void)app;
    return ms > v->last_error.retry_after_ms ? ms : v->last_error.retry_after_ms;
}

/* Were there tokens or a secretRef that this process does not have (any more)? Caller holds the
 * lock. */
static bool lacks_credentials(const struct volume *v)
{
    if (v->record.had_tokens && !credentials_are_fresh(&v->credentials, clock_unix_ms()))
        return true;
    return v->record.had_secrets && !credentials_has_secrets(&v->credentials);
}

/* Milliseconds until its pod is to be told (again) that nothing was fetched for twice its interval.
 * Caller holds the lock. */
static int64_t stale_in_ms(const struct lifecycle *app, const struct volume *v)
{
    int64_t at = v->stale_told_ms ? v->stale_told_ms + STALE_AGAIN_MS
                                  : v->good_ms + STALE_INTERVALS * rotation_interval_ms(app, v);
    int64_t left = at - clock_mono_ms();

    return left > 0 ? left : 0;
}

/* Caller holds the lock. */
static void tell_if_stale(struct lifecycle *app, struct volume *v)
{
    int64_t now = clock_mono_ms();

    if (!app->config.rotation || v->state == VOLUME_LEAVING || stale_in_ms(app, v) > 0)
        return;
    v->stale_told_ms = now;
    note_stale(app, v, clock_unix_ms() - (now - v->good_ms));
}

/* Milliseconds from now to the next refresh, or while it waits for credentials to when that is too
 * long; -1: none. Caller holds the lock. */
static int64_t next_in_ms(const struct lifecycle *app, struct volume *v)
{
    int64_t ms = rotation_interval_ms(app, v);
    int64_t wish = v->refresh_at_unix_ms ? v->refresh_at_unix_ms - clock_unix_ms() : 0;

    v->waiting = lacks_credentials(v);
    if (!app->config.rotation || v->state == VOLUME_LEAVING)
        return -1;
    if (v->waiting)
        return stale_in_ms(app, v) + INTERVAL_MIN_MS;
    v->why = v->failures ? REFRESH_RETRY : REFRESH_POLL;
    if (v->failures) {
        ms = backoff_of(app, v);
    } else if (v->refresh_at_unix_ms && wish < ms) {
        ms = wish < INTERVAL_MIN_MS ? INTERVAL_MIN_MS : wish;
        v->why = REFRESH_LEASE;
    }
    return ms + clock_jitter_ms(ms, 10);
}

/* Sets (or only moves forward) a timer, unless the volume is leaving: then its timers are out of
 * the queue for good. Caller holds the lock. */
static void arm(struct volume_timer *timer, int64_t at_ms, bool only_sooner)
{
    struct volume *v = timer->volume;

    if (v->state == VOLUME_LEAVING)
        return;
    if (only_sooner)
        due_queue_hasten(v->app->due, &timer->item, at_ms);
    else
        due_queue_set(v->app->due, &timer->item, at_ms);
}

static void arm_locked(struct volume_timer *timer, int64_t in_ms, bool only_sooner)
{
    pthread_mutex_lock(&timer->volume->lock);
    arm(timer, clock_mono_ms() + in_ms, only_sooner);
    pthread_mutex_unlock(&timer->volume->lock);
}

/* What was wished for while somebody worked on it. Caller holds the lock. */
static void arm_again(struct volume *v)
{
    if (v->again_ms && !v->waiting) {
        v->why = v->again_why;
        arm(&v->refresh, v->again_ms, true);
    }
    v->again_ms = 0;
}

void rotation_schedule(struct lifecycle *app, struct volume *v)
{
    int64_t ms;

    pthread_mutex_lock(&v->lock);
    ms = next_in_ms(app, v);
    if (ms >= 0)
        arm(&v->refresh, clock_mono_ms() + ms, false);
    arm_again(v);
    pthread_mutex_unlock(&v->lock);
}

void rotation_schedule_spread(struct lifecycle *app, struct volume *v)
{
    int64_t ms;

    pthread_mutex_lock(&v->lock);
    ms = next_in_ms(app, v);
    if (ms >= 0)
        arm(&v->refresh, clock_mono_ms() + ms / 2 + clock_jitter_ms(ms / 2, 100), false);
    arm_again(v);
    pthread_mutex_unlock(&v->lock);
}

void rotation_credentials_came(struct lifecycle *app, struct volume *v)
{
    pthread_mutex_lock(&v->lock);
    if (v->waiting && !lacks_credentials(v)) {
        v->waiting = false;
        v->why = REFRESH_CREDENTIALS;
        if (app->config.rotation)
            arm(&v->refresh, clock_mono_ms(), true);
    }
    pthread_mutex_unlock(&v->lock);
}

void rotation_hasten(struct lifecycle *app, struct volume *v, int64_t within_ms, bool forced)
{
    int64_t at_ms = clock_mono_ms() + within_ms / 2 + clock_jitter_ms(within_ms / 2, 100);
    bool is_busy;

    pthread_mutex_lock(&v->lock);
    is_busy = v->state == VOLUME_FETCHING || v->state == VOLUME_WRITING;
    if (is_busy && (app->config.rotation || forced)) {
        v->again_why = forced ? REFRESH_ASKED : REFRESH_CLASS;
        v->again_ms = v->again_ms && v->again_ms < at_ms ? v->again_ms : at_ms;
    }
    if (!is_busy && v->record.phase == RECORD_PUBLISHED && !v->waiting &&
        (app->config.rotation || forced)) {
        v->class_edited = v->class_edited || !forced;
        v->why = forced ? REFRESH_ASKED : REFRESH_CLASS;
        arm(&v->refresh, at_ms, true);
    }
    pthread_mutex_unlock(&v->lock);
}

void rotation_keep_previous(struct lifecycle *app, struct volume *v)
{
    pthread_mutex_lock(&v->lock);
    v->fold_at_ms = clock_mono_ms() + app->config.grace_ms;
    arm(&v->fold, v->fold_at_ms, false);
    pthread_mutex_unlock(&v->lock);
}

void rotation_forget(struct lifecycle *app, struct volume *v)
{
    due_queue_remove(app->due, &v->refresh.item);
    due_queue_remove(app->due, &v->fold.item);
}

/* --- folding -----------------------------------------------------------------------------------
 */

static int fold_files(struct operation *op, struct error *err)
{
    autoclose int dir_fd = -1;
    int result;

    if (operation_open(op, err) < 0 || volume_begin_write(op->volume, err) < 0)
        return -1;
    result = target_open_dir(&op->target, &dir_fd, err);
    if (result == 0 && dir_fd >= 0)
        result = atomic_writer_fold(dir_fd, err);
    pthread_mutex_lock(&op->volume->lock);
    op->volume->fold_at_ms = 0;
    pthread_mutex_unlock(&op->volume->lock);
    volume_end_write(op->volume);
    return result;
}

/* When the old generation goes; 0: there is none. */
static int64_t fold_at(struct volume *v)
{
    int64_t at;

    pthread_mutex_lock(&v->lock);
    at = v->fold_at_ms;
    pthread_mutex_unlock(&v->lock);
    return at;
}

int rotation_fold(struct operation *op, struct error *err)
{
    int64_t left = fold_at(op->volume) - clock_mono_ms();

    if (left > 0)
        clock_sleep_ms(left);
    return fold_files(op, err);
}

static void run_fold(void *arg)
{
    struct volume_timer *timer = arg;
    struct volume *v = timer->volume;
    struct operation op autooperation;
    struct lifecycle *app = v->app;
    struct error err = { 0 };

    operation_init(&op, app);
    op.volume = v; /* the reference that rotation_due took */
    if (volume_begin(v, &op.cancel, NULL) < 0) {
        arm_locked(timer, RETRY_BUSY_MS / 10, false); /* somebody works on it: again soon */
        return;
    }
    if (fold_files(&op, &err) < 0)
        log_failure(LOG_WARN, "an old generation could not be removed", KEY_VOLUME, v->id, &err);
    volume_end(v);
}

/* --- refreshing --------------------------------------------------------------------------------
 */

static int error_waiting(struct error *err)
{
    (void)error_set(err, CODE_FAILED_PRECONDITION,
                    "waiting for credentials: kubelet's next republish brings them");
    return error_reason(err, "WaitingForCredentials");
}

/* Swaps the files, and measures how long a change that was seen took to be there. */
static int write_files(struct operation *op, struct error *err)
{
    int64_t seen_us = clock_mono_us();

    if (FAULT("rotate.after_fetch", err) < 0 || operation_write(op, err) < 0)
        return -1;
    if (op->changed)
        metrics_observe(op->app->metrics, VM_ROTATION_LAG_SECONDS, NULL,
                        (double)(clock_mono_us() - seen_us) / 1e6);
    return 0;
}

static int steps(struct operation *op, struct error *err)
{
    struct volume *v = op->volume;
    bool lacks;

    pthread_mutex_lock(&v->lock);
    lacks = lacks_credentials(v);
    credentials_copy(&op->credentials, &v->credentials);
    pthread_mutex_unlock(&v->lock);
    if (lacks)
        return error_waiting(err);
    if (FAULT("rotate.begin", err) < 0)
        return -1;
    if (fold_at(v) && rotation_fold(op, err) < 0) /* at most one old generation exists */
        return -1;
    target_done(&op->target);
    if (operation_class(op, err) < 0 || operation_attributes(op, err) < 0 ||
        operation_open(op, err) < 0 || FAULT("rotate.before_fetch", err) < 0 ||
        operation_fetch(op, err) < 0 || write_files(op, err) < 0 ||
        FAULT("rotate.after_write", err) < 0 || operation_record_end(op, err) < 0)
        return -1;
    return FAULT("rotate.end", err);
}

static void count(struct operation *op, enum refresh_reason why, const struct error *err,
                  int64_t started_us)
{
    struct lifecycle *app = op->app;
    const struct volume *v = op->volume;
    bool changed = op->changed;
    const char *provider = v->record.provider ? v->record.provider : "";
    const char *rotated[] = { provider, OS_TYPE, changed ? "true" : "false" };
    const char *failed[] = { provider, err->reason ? err->reason : "FailedToRotate", OS_TYPE,
                             "false" };
    const char *os[] = { OS_TYPE };
    const char *reasons[] = { provider,
                              err->code ? "error"
                              : changed ? "changed"
                                        : "unchanged",
                              refresh_reason_name(why) };

    metrics_add(app->metrics, VM_ROTATION, reasons, 1);
    if (err->code)
        metrics_add(app->metrics, VM_ROTATION_RECONCILE_ERROR, failed, 1);
    else
        metrics_add(app->metrics, VM_ROTATION_RECONCILE, rotated, 1);
    metrics_observe(app->metrics, VM_ROTATION_SECONDS, os,
                    (double)(clock_mono_us() - started_us) / 1e6);
}

/* How long had the volume not been checked? since_unix_ms 0: never in this process's memory. */
static void count_staleness(struct lifecycle *app, int64_t since_unix_ms)
{
    int64_t ms = clock_unix_ms() - since_unix_ms;

    if (since_unix_ms && ms >= 0)
        metrics_observe(app->metrics, VM_STALENESS_SECONDS, NULL, (double)ms / MS_PER_S);
}

/* Tells of a round, once per change of state: a failing volume is not a line a minute. */
static void tell(const struct volume *v, const struct error *err, bool changed, bool failed_before)
{
    if (err->code && !failed_before)
        log_failure(LOG_WARN, "refresh failed: tried again at the next", KEY_VOLUME, v->id, err);
    else if (!err->code && (changed || failed_before))
        log_event(LOG_INFO, changed ? "rotated" : "refresh works again",
                  WITH_TEXT(KEY_VOLUME, v->id), WITH_TEXT(KEY_CLASS, v->record.class_name),
                  WITH_NUMBER(KEY_COUNT, v->record.generation));
}

/* Takes the result over; how the volume stood before it. */
static struct refresh_before settle(struct volume *v, const struct error *mine)
{
    struct refresh_before before;

    pthread_mutex_lock(&v->lock);
    before = (struct refresh_before){ v->failures > 0 || v->stale_told_ms, v->class_edited };
    v->last_error = *mine;
    v->failures = mine->code ? v->failures + 1 : 0;
    v->class_edited = false;
    if (!mine->code) {
        v->good_ms = clock_mono_ms();
        v->stale_told_ms = 0;
    }
    pthread_mutex_unlock(&v->lock);
    return before;
}

/* Tells log, metrics and cluster of a round. */
static void tell_round(struct operation *op, const struct refresh_before *before,
                       const struct error *mine, int64_t started_us)
{
    struct volume *v = op->volume;

    tell(v, mine, op->changed, before->failed);
    if (op->recorded || mine->code)
        report_volume(op->app, &v->record, true, mine->code ? mine : NULL);
    note_refresh(op, before, mine->code ? mine : NULL, (clock_mono_us() - started_us) / 1000);
    pthread_mutex_lock(&v->lock);
    if (mine->code)
        tell_if_stale(op->app, v);
    pthread_mutex_unlock(&v->lock);
}

/* Takes the round over and tells of it. */
static void end_round(struct operation *op, enum refresh_reason why, const struct error *mine,
                      int64_t started_us)
{
    struct refresh_before before = settle(op->volume, mine);

    if (volume_is_leaving(op->volume))
        return;
    count(op, why, mine, started_us);
    tell_round(op, &before, mine, started_us);
}

static int refresh(struct lifecycle *app, struct volume *v, enum refresh_reason why,
                   struct cancel *caller, bool *ret_changed, struct error *err)
{
    struct operation op autooperation;
    int64_t started = clock_mono_us();
    struct error mine = { 0 };
    int64_t checked_at;

    operation_init(&op, app);
    op.volume = volume_ref(v);
    if (cancel_is_raised(caller) || lifecycle_is_halted(app))
        return error_set(err, CODE_CANCELLED, "nobody waits for the refresh any more");
    if (volume_begin(v, &op.cancel, err) < 0)
        return -1;
    operation_heed(&op, caller);
    checked_at = v->fetched_at_unix_ms; /* whose work it is may read it */
    (void)!steps(&op, &mine);
    if (!mine.code)
        count_staleness(app, checked_at);
    if (!mine.code || !cancel_is_raised(&op.cancel))
        end_round(&op, why, &mine, started);
    volume_end(v);
    rotation_schedule(app, v);
    *ret_changed = op.changed;
    return mine.code ? error_copy(err, &mine) : 0;
}

int rotation_refresh(struct lifecycle *app, struct volume *v, struct cancel *caller,
                     bool *ret_changed, struct error *err)
{
    return refresh(app, v, REFRESH_ASKED, caller, ret_changed, err);
}

static void run_refresh(void *arg)
{
    struct volume_timer *timer = arg;
    struct volume *v autovolume = timer->volume; /* the reference that rotation_due took */
    struct lifecycle *app = v->app;
    enum refresh_reason why;
    struct error err = { 0 };
    bool changed;
    bool waiting;

    pthread_mutex_lock(&v->lock);
    why = v->why;
    v->waiting = lacks_credentials(v);
    waiting = v->waiting;
    if (waiting)
        tell_if_stale(app, v);
    pthread_mutex_unlock(&v->lock);
    if (waiting) { /* the republish that brings them makes it due */
        rotation_schedule(app, v);
        return;
    }
    if (refresh(app, v, why, NULL, &changed, &err) < 0 && err.code == CODE_ABORTED)
        arm_locked(timer, RETRY_BUSY_MS, true);
}

void rotation_due(void *arg, struct due_item *item)
{
    struct lifecycle *app = arg;
    struct volume_timer *timer = (struct volume_timer *)item;
    struct volume *v = volume_ref(timer->volume);

    if (work_submit(app->rotators, timer->kind == TIMER_FOLD ? run_fold : run_refresh, timer,
                    NULL) == 0)
        return;
    arm_locked(timer, RETRY_BUSY_MS, false);
    volume_unref(v);
}
