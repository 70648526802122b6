/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/work.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "lib/base/clock.h"

enum { IDLE_MS = 10000, STACK_BYTES = 256 << 10 };

struct job {
    void (*run)(void *arg);
    void *arg;
    struct job *next;
};

struct work_pool {
    struct work_pool_config config;
    char name[16]; /* the kernel's limit for thread names */
    pthread_mutex_t lock;
    pthread_cond_t work;  /* a job came, or the pool ends */
    pthread_cond_t ended; /* a thread has left */
    struct job *first;    /* guarded by lock, like all below */
    struct job *last;
    size_t waiting;
    size_t threads;
    size_t running; /* threads inside a job; the others are free to take one */
    bool ending;
};

/* Threads must not take the signals that main waits for. */
static int start_thread(size_t stack, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t old;
    int result;

    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGSYS); /* see lib/base/sandbox.h */
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, stack);
    result = pthread_create(&thread, &attr, run, arg);
    (void)pthread_attr_destroy(&attr);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return result;
}

struct work_pool *work_pool_new(const struct work_pool_config *config)
{
    struct work_pool *pool = xcalloc(1, sizeof(*pool));

    pool->config = *config;
    if (!pool->config.idle_ms)
        pool->config.idle_ms = IDLE_MS;
    if (!pool->config.stack_bytes)
        pool->config.stack_bytes = STACK_BYTES;
    (void)snprintf(pool->name, sizeof(pool->name), "%s", config->name);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->ended, NULL);
    return pool;
}

/* Waits for a job; false when this thread is to leave. Caller holds the lock. */
static bool wait_for_job(struct work_pool *pool)
{
    struct timespec until = clock_mono_until(clock_mono_ms() + pool->config.idle_ms);

    while (!pool->first) {
        bool keep = pool->threads <= pool->config.threads_kept;
        bool late = false;

        if (pool->ending)
            return false;
        if (keep)
            (void)pthread_cond_wait(&pool->work, &pool->lock);
        else
            late = pthread_cond_clockwait(&pool->work, &pool->lock, CLOCK_MONOTONIC, &until) != 0;
        if (late && !pool->first && pool->threads > pool->config.threads_kept)
            return false;
    }
    return true;
}

static void *pool_thread(void *arg)
{
    struct work_pool *pool = arg;

    (void)pthread_setname_np(pthread_self(), pool->name);
    pthread_mutex_lock(&pool->lock);
    while (wait_for_job(pool)) {
        struct job *job = pool->first;

        pool->first = job->next;
        if (!pool->first)
            pool->last = NULL;
        pool->waiting--;
        pool->running++;
        pthread_mutex_unlock(&pool->lock);
        job->run(job->arg);
        free(job);
        pthread_mutex_lock(&pool->lock);
        pool->running--;
    }
    pool->threads--;
    (void)pthread_cond_signal(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int work_submit(struct work_pool *pool, void (*run)(void *arg), void *arg, struct error *err)
{
    struct job *job = xcalloc(1, sizeof(*job));
    size_t can_take; /* threads without a job, also those that have just been made */
    bool full;

    *job = (struct job){ .run = run, .arg = arg };
    pthread_mutex_lock(&pool->lock);
    if (pool->waiting >= pool->threads - pool->running &&
        pool->threads < pool->config.threads_max &&
        start_thread(pool->config.stack_bytes, pool_thread, pool) == 0)
        pool->threads++;
    can_take = pool->threads - pool->running;
    full = pool->threads == 0 || pool->waiting >= pool->config.queue_max + can_take;
    if (!full) {
        if (pool->last)
            pool->last->next = job;
        else
            pool->first = job;
        pool->last = job;
        pool->waiting++;
        (void)pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!full)
        return 0;
    free(job);
    return error_set(err, CODE_UNAVAILABLE, "the %s queue is full (%zu waiting)", pool->name,
                     pool->config.queue_max);
}

size_t work_pool_busy(struct work_pool *pool)
{
    size_t busy;

    pthread_mutex_lock(&pool->lock);
    busy = pool->running + pool->waiting;
    pthread_mutex_unlock(&pool->lock);
    return busy;
}

struct work_pool_view work_pool_view_of(struct work_pool *pool)
{
    return (struct work_pool_view){
        .name = pool->name,
        .busy = work_pool_busy(pool),
        .threads_max = pool->config.threads_max,
        .queue_max = pool->config.queue_max,
    };
}

void work_pool_free(struct work_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    (void)pthread_cond_broadcast(&pool->work);
    while (pool->threads)
        (void)pthread_cond_wait(&pool->ended, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* --- the due-queue: a binary heap by time ------------------------------------------------------
 */

struct due_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;  /* the earliest time changed, or the queue ends */
    pthread_cond_t returned; /* due() came back */
    struct due_item **heap;  /* guarded by lock, like all below; heap[slot - 1] */
    size_t count;
    size_t room;
    struct due_item *calling; /* due() is running for this one */
    bool ending;
    bool ended;
    void (*due)(void *arg, struct due_item *item);
    void *arg;
};

static void place(struct due_queue *q, size_t index, struct due_item *item)
{
    q->heap[index] = item;
    item->slot = index + 1;
}

static void sift_up(struct due_queue *q, size_t index)
{
    struct due_item *item = q->heap[index];

    while (index && q->heap[(index - 1) / 2]->due_ms > item->due_ms) {
        place(q, index, q->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(q, index, item);
}

static void sift_down(struct due_queue *q, size_t index)
{
    struct due_item *item = q->heap[index];

    for (;;) {
        size_t child = index * 2 + 1;

        if (child + 1 < q->count && q->heap[child + 1]->due_ms < q->heap[child]->due_ms)
            child++;
        if (child >= q->count || q->heap[child]->due_ms >= item->due_ms)
            break;
        place(q, index, q->heap[child]);
        index = child;
    }
    place(q, index, item);
}

static void take_out(struct due_queue *q, struct due_item *item)
{
    size_t index = item->slot - 1;
    struct due_item *last = q->heap[--q->count];

    item->slot = 0;
    if (last == item)
        return;
    place(q, index, last);
    sift_up(q, index);
    sift_down(q, last->slot - 1);
}

static void *due_thread(void *arg)
{
    struct due_queue *q = arg;

    (void)pthread_setname_np(pthread_self(), "due-queue");
    pthread_mutex_lock(&q->lock);
    while (!q->ending) {
        struct due_item *item = q->count ? q->heap[0] : NULL;

        if (!item) {
            (void)pthread_cond_wait(&q->changed, &q->lock);
        } else if (item->due_ms > clock_mono_ms()) {
            int64_t look_ms = clock_mono_ms() + DUE_LOOK_MS;
            struct timespec until =
                clock_mono_until(item->due_ms < look_ms ? item->due_ms : look_ms);

            (void)pthread_cond_clockwait(&q->changed, &q->lock, CLOCK_MONOTONIC, &until);
        } else {
            take_out(q, item);
            q->calling = item;
            pthread_mutex_unlock(&q->lock);
            q->due(q->arg, item);
            pthread_mutex_lock(&q->lock);
            q->calling = NULL;
            (void)pthread_cond_broadcast(&q->returned);
        }
    }
    q->ended = true;
    (void)pthread_cond_broadcast(&q->returned);
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

struct due_queue *due_queue_new(void (*due)(void *arg, struct due_item *item), void *arg)
{
    struct due_queue *q = xcalloc(1, sizeof(*q));

    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    pthread_cond_init(&q->returned, NULL);
    q->due = due;
    q->arg = arg;
    if (start_thread(STACK_BYTES, due_thread, q) != 0)
        abort(); /* at start, with no thread to be had, there is nothing to run */
    return q;
}

static void set_locked(struct due_queue *q, struct due_item *item, int64_t due_ms)
{
    if (item->slot)
        take_out(q, item);
    if (q->count == q->room) {
        q->room = q->room ? q->room * 2 : 16;
        q->heap = xrealloc(q->heap, q->room * sizeof(struct due_item *));
    }
    item->due_ms = due_ms;
    q->heap[q->count++] = item;
    sift_up(q, q->count - 1);
    if (q->heap[0] == item)
        (void)pthread_cond_signal(&q->changed);
}

void due_queue_set(struct due_queue *q, struct due_item *item, int64_t due_ms)
{
    pthread_mutex_lock(&q->lock);
    set_locked(q, item, due_ms);
    pthread_mutex_unlock(&q->lock);
}

void due_queue_hasten(struct due_queue *q, struct due_item *item, int64_t due_ms)
{
    pthread_mutex_lock(&q->lock);
    if (!item->slot || due_ms < item->due_ms)
        set_locked(q, item, due_ms);
    pthread_mutex_unlock(&q->lock);
}

void due_queue_remove(struct due_queue *q, struct due_item *item)
{
    pthread_mutex_lock(&q->lock);
    while (q->calling == item)
        (void)pthread_cond_wait(&q->returned, &q->lock);
    if (item->slot)
        take_out(q, item);
    pthread_mutex_unlock(&q->lock);
}

int64_t due_queue_left_ms(struct due_queue *q, const struct due_item *item)
{
    int64_t left = -1;

    pthread_mutex_lock(&q->lock);
    if (item->slot) {
        left = item->due_ms - clock_mono_ms();
        left = left < 0 ? 0 : left;
    }
    pthread_mutex_unlock(&q->lock);
    return left;
}

void due_queue_end(struct due_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->ending = true;
    (void)pthread_cond_signal(&q->changed);
    while (!q->ended)
        (void)pthread_cond_wait(&q->returned, &q->lock);
    pthread_mutex_unlock(&q->lock);
}

void due_queue_free(struct due_queue *q)
{
    if (!q)
        return;
    due_queue_end(q);
    pthread_cond_destroy(&q->changed);
    pthread_cond_destroy(&q->returned);
    pthread_mutex_destroy(&q->lock);
    free(q->heap);
    free(q);
}
