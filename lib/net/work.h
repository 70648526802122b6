/* SPDX-License-Identifier: Apache-2.0
 *
 * work.h - bounded pools of threads and a queue of things due at a time.
 * Does not know what the work is. Threads are made on demand and leave after an idle while, so an
 * idle program has few.
 */
#ifndef LOCKET_NET_WORK_H
#define LOCKET_NET_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"

struct work_pool;

struct work_pool_config {
    const char *name;    /* thread name and error text; at most 15 bytes */
    size_t threads_max;  /* bound of threads */
    size_t queue_max;    /* bound of jobs waiting for a thread */
    size_t threads_kept; /* this many stay when idle */
    int64_t idle_ms;     /* others leave after this long without a job; 0: 10 s */
    size_t stack_bytes;  /* 0: 256 KiB */
};

/* A pool as operators see it. */
struct work_pool_view {
    const char *name;
    size_t busy; /* running and waiting */
    size_t threads_max;
    size_t queue_max;
};

/* A pool without threads yet. Ownership: work_pool_free. Never fails. */
struct work_pool *work_pool_new(const struct work_pool_config *config);

/* Hands over a job, which runs once on a thread of the pool.
 * Errors: UNAVAILABLE "<name> queue is full (N waiting)" - the job will not run. */
must_check int work_submit(struct work_pool *pool, void (*run)(void *arg), void *arg,
                           struct error *err);

/* Jobs running and waiting now. */
size_t work_pool_busy(struct work_pool *pool);

/* The same with its bounds. The name is the pool's own. */
struct work_pool_view work_pool_view_of(struct work_pool *pool);

/* Runs what is queued, waits for all, joins the threads, frees. NULL is fine. No submit may race.
 */
void work_pool_free(struct work_pool *pool);

/* Things due at a monotonic time, kept in a heap; one thread that sleeps until the earliest. */
struct due_queue;

enum { DUE_LOOK_MS = 30000 }; /* a machine that slept so long or longer is noticed by then */

struct due_item {   /* embedded in the owner's struct; zero it before first use */
    int64_t due_ms; /* clock_mono_ms(); guarded by the queue's lock */
    size_t slot;    /* place in the heap + 1; 0: not queued */
};

/* due(arg, item) is called on the queue's thread, with no lock held, once per time set; it must
 * only hand over (work_submit) and never block. */
struct due_queue *due_queue_new(void (*due)(void *arg, struct due_item *item), void *arg);

/* Sets or moves the time of an item; an earlier setting is replaced. Any thread. */
void due_queue_set(struct due_queue *q, struct due_item *item, int64_t due_ms);

/* Moves it only when that makes it earlier (or it is not queued). */
void due_queue_hasten(struct due_queue *q, struct due_item *item, int64_t due_ms);

/* Takes it out. When this returns due() is not running for it and will not be called. */
void due_queue_remove(struct due_queue *q, struct due_item *item);

/* Milliseconds until the item is due (0: overdue), -1 when not queued. */
int64_t due_queue_left_ms(struct due_queue *q, const struct due_item *item);

/* Stops the thread: due() is called no more. Items may be set and taken out as before, for those
 * whom due() had handed something to. */
void due_queue_end(struct due_queue *q);

/* Ends it and frees; items stay the owners'. NULL is fine. */
void due_queue_free(struct due_queue *q);

#endif
