/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/cancel.h"

#include <stddef.h>

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
