/* SPDX-License-Identifier: Apache-2.0
 *
 * cancel.h - a flag that stops work in progress, and whom to tell when it is raised.
 * Does not know who raises it (a caller that left, an unpublish) or what is stopped.
 */
#ifndef LOCKET_BASE_CANCEL_H
#define LOCKET_BASE_CANCEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct cancel;

/* Somebody to tell; lives in the watcher's own memory between watch and unwatch. */
struct cancel_watch {
    void (*raised)(void *arg); /* called at most once, by the raiser, with no lock of ours but the
                                  cancel's own held: must not block and must not touch the cancel */
    void *arg;
    struct cancel_watch *next;
};

struct cancel {
    pthread_mutex_t lock;
    struct cancel_watch *watches; /* guarded by lock */
    bool raised;                  /* guarded by lock */
};

/* Not raised, nobody watches. cancel_done when nobody watches any more. */
void cancel_init(struct cancel *c);
void cancel_done(struct cancel *c);

/* Raises the flag and tells all watchers. Again is fine. Any thread. */
void cancel_raise(struct cancel *c);

/* Is it raised? NULL is a flag that never is. */
bool cancel_is_raised(struct cancel *c);

/* Waits so long. False when the flag was raised meanwhile, or before. NULL waits it out. */
bool cancel_sleep_ms(struct cancel *c, int64_t ms);

/* Adds a watcher; one added after the raising is told at once. NULL cancel: no-op. */
void cancel_watch(struct cancel *c, struct cancel_watch *watch);

/* Removes it. When this returns its function is not running and will not run. */
void cancel_unwatch(struct cancel *c, struct cancel_watch *watch);

#endif
