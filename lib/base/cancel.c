/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/cancel.h"

#include <stddef.h>
#include <time.h>

#include "lib/base/clock.h"

void cancel_init(struct cancel *c)
{
    *c = (struct cancel){ 0 };
    pthread_mutex_init(&c->lock, NULL);
}

void cancel_done(struct cancel *c)
{
    pthread_mutex_destroy(&c->lock);
}

void cancel_raise(struct cancel *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->raised) {
        c->raised = true;
        for (struct cancel_watch *w = c->watches; w; w = w->next)
            w->raised(w->arg);
    }
    pthread_mutex_unlock(&c->lock);
}

bool cancel_is_raised(struct cancel *c)
{
    bool raised;

    if (!c)
        return false;
    pthread_mutex_lock(&c->lock);
    raised = c->raised;
    pthread_mutex_unlock(&c->lock);
    return raised;
}

void cancel_watch(struct cancel *c, struct cancel_watch *watch)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    watch->next = c->watches;
    c->watches = watch;
    if (c->raised)
        watch->raised(watch->arg);
    pthread_mutex_unlock(&c->lock);
}

void cancel_unwatch(struct cancel *c, struct cancel_watch *watch)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    for (struct cancel_watch **slot = &c->watches; *slot; slot = &(*slot)->next)
        if (*slot == watch) {
            *slot = watch->next;
            break;
        }
    pthread_mutex_unlock(&c->lock);
}

struct sleeper {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool raised; /* guarded by lock */
};

static void wake(void *arg)
{
    struct sleeper *s = arg;

    pthread_mutex_lock(&s->lock);
    s->raised = true;
    (void)pthread_cond_signal(&s->woken);
    pthread_mutex_unlock(&s->lock);
}

bool cancel_sleep_ms(struct cancel *c, int64_t ms)
{
    struct sleeper s = { .lock = PTHREAD_MUTEX_INITIALIZER, .woken = PTHREAD_COND_INITIALIZER };
    struct cancel_watch watch = { .raised = wake, .arg = &s };
    struct timespec until = clock_mono_until(clock_mono_ms() + ms);
    int late = 0;

    cancel_watch(c, &watch);
    pthread_mutex_lock(&s.lock);
    while (!s.raised && !late)
        late = pthread_cond_clockwait(&s.woken, &s.lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&s.lock);
    cancel_unwatch(c, &watch);
    return !s.raised;
}
