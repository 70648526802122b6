/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/volume.h"

#include "lib/base/clock.h"

const char *refresh_reason_name(enum refresh_reason reason)
{
    static const char *const names[] = {
        [REFRESH_POLL] = "poll",   [REFRESH_LEASE] = "lease",
        [REFRESH_RETRY] = "retry", [REFRESH_CREDENTIALS] = "credentials",
        [REFRESH_CLASS] = "class", [REFRESH_ASKED] = "asked",
    };

    return names[reason];
}

const char *volume_state_name(enum volume_state state)
{
    static const char *const names[] = { "idle", "fetching", "writing", "leaving" };

    return names[state];
}

struct volume *volume_new(struct lifecycle *app, const char *id, const char *target)
{
    struct volume *v = xcalloc(1, sizeof(*v));

    v->id = xstrdup(id);
    v->app = app;
    v->refs = 1;
    v->state = VOLUME_FETCHING;
    v->good_ms = clock_mono_ms();
    v->record = (struct record){
        .volume_id = xstrdup(id),
        .target = xstrdup(target),
        .fs_group = -1,
    };
    v->refresh = (struct volume_timer){ .volume = v, .kind = TIMER_REFRESH };
    v->fold = (struct volume_timer){ .volume = v, .kind = TIMER_FOLD };
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->calmer, NULL);
    return v;
}

struct volume *volume_ref(struct volume *v)
{
    pthread_mutex_lock(&v->lock);
    v->refs++;
    pthread_mutex_unlock(&v->lock);
    return v;
}

void volume_unref(struct volume *v)
{
    bool last;

    if (!v)
        return;
    pthread_mutex_lock(&v->lock);
    last = --v->refs == 0;
    pthread_mutex_unlock(&v->lock);
    if (!last)
        return;
    record_done(&v->record);
    credentials_done(&v->credentials);
    pthread_mutex_destroy(&v->lock);
    pthread_cond_destroy(&v->calmer);
    free(v->form);
    free(v->id);
    free(v);
}

void volume_unref_at(struct volume **slot)
{
    volume_unref(*slot);
}

static int busy(const struct volume *v, struct error *err)
{
    error_set(err, CODE_ABORTED, "volume %.100s: %s is in progress", v->id,
              v->state == VOLUME_LEAVING ? "an unpublish" : "another operation");
    return error_reason(err, "Busy");
}

/* Caller holds the lock. */
static int begin(struct volume *v, struct cancel *work, struct error *err)
{
    if (v->state != VOLUME_IDLE)
        return busy(v, err);
    v->state = VOLUME_FETCHING;
    v->work = work;
    free(take(v->form));
    return 0;
}

int volume_begin(struct volume *v, struct cancel *work, struct error *err)
{
    int result;

    pthread_mutex_lock(&v->lock);
    result = begin(v, work, err);
    pthread_mutex_unlock(&v->lock);
    return result;
}

int volume_begin_by(struct volume *v, int64_t until_ms, struct cancel *work, struct error *err)
{
    struct timespec until = clock_mono_until(until_ms);
    int late = 0;
    int result;

    pthread_mutex_lock(&v->lock);
    while ((v->state == VOLUME_FETCHING || v->state == VOLUME_WRITING) && !late)
        late = pthread_cond_clockwait(&v->calmer, &v->lock, CLOCK_MONOTONIC, &until);
    result = begin(v, work, err);
    pthread_mutex_unlock(&v->lock);
    return result;
}

int volume_begin_write(struct volume *v, struct error *err)
{
    int result = 0;

    pthread_mutex_lock(&v->lock);
    if (v->state == VOLUME_FETCHING)
        v->state = VOLUME_WRITING;
    else
        result = busy(v, err);
    pthread_mutex_unlock(&v->lock);
    return result;
}

static void set_state(struct volume *v, enum volume_state from, enum volume_state to)
{
    pthread_mutex_lock(&v->lock);
    if (v->state == from)
        v->state = to;
    if (to == VOLUME_IDLE)
        v->work = NULL;
    (void)pthread_cond_broadcast(&v->calmer);
    pthread_mutex_unlock(&v->lock);
}

void volume_end_write(struct volume *v)
{
    set_state(v, VOLUME_WRITING, VOLUME_FETCHING);
}

void volume_end(struct volume *v)
{
    set_state(v, VOLUME_FETCHING, VOLUME_IDLE);
}

bool volume_leave(struct volume *v)
{
    bool mine;

    pthread_mutex_lock(&v->lock);
    while (v->state == VOLUME_WRITING)
        (void)pthread_cond_wait(&v->calmer, &v->lock);
    mine = v->state != VOLUME_LEAVING;
    v->state = VOLUME_LEAVING;
    if (mine && v->work)
        cancel_raise(v->work);
    (void)pthread_cond_broadcast(&v->calmer); /* for whoever waits to begin */
    pthread_mutex_unlock(&v->lock);
    return mine;
}

bool volume_is_leaving(struct volume *v)
{
    bool leaving;

    pthread_mutex_lock(&v->lock);
    leaving = v->state == VOLUME_LEAVING;
    pthread_mutex_unlock(&v->lock);
    return leaving;
}
