/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/cluster/note_queue.h"

#include <pthread.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/work.h"

enum { DRAIN_STEP_MS = 5, NS_PER_S = 1000000000 };

typedef Locket__Cluster__V1__NoteRequest Note;
typedef Locket__Cluster__V1__NoteObject Object;

struct note_queue {
    note_send *send;
    void *arg;
    struct work_pool *pool; /* one thread */
    struct cancel cancel;
    pthread_mutex_t lock;
    size_t bytes; /* guarded by lock: of those that wait */
    int64_t lost; /* guarded by lock: not told of yet */
};

struct job {
    struct note_queue *queue;
    Note *note;
    size_t bytes;
};

static const Locket__Cluster__V1__NoteRequest__Kind kinds[] = {
    [NOTE_PUBLISHED] = LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__PUBLISHED,
    [NOTE_REPAIRED] = LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__REPAIRED,
    [NOTE_REFRESHED] = LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__REFRESHED,
    [NOTE_UNPUBLISHED] = LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__UNPUBLISHED,
    [NOTE_CREDENTIALS_REFUSED] = LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__CREDENTIALS_REFUSED,
    [NOTE_STALE] = LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__STALE,
    [NOTE_REPUBLISH_OFF] = LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__REPUBLISH_OFF,
    [NOTE_PEER_CHANGED] = LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__PEER_CHANGED,
};

static char *copy(const char *text)
{
    return xstrdup(text ? text : "");
}

static Object *object_new(const struct note_object *from)
{
    Object *o = xmalloc(sizeof(*o));

    locket__cluster__v1__note_object__init(o);
    o->id = copy(from->id);
    o->version = copy(from->version);
    o->before = copy(from->before);
    o->path = copy(from->path);
    o->bytes = from->bytes;
    return o;
}

static void set_error(Note *n, const struct error *err)
{
    n->code = err ? (int32_t)err->code : 0;
    n->reason = copy(err ? err->reason : NULL);
    n->error = copy(err ? err->msg : NULL);
}

static int64_t now_unix_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static Note *note_new(const struct volume_note *from)
{
    Note *n = xmalloc(sizeof(*n));

    locket__cluster__v1__note_request__init(n);
    n->kind = kinds[from->kind];
    n->volume_id = copy(from->volume_id);
    n->pod_namespace = copy(from->pod_ns);
    n->pod_name = copy(from->pod_name);
    n->pod_uid = copy(from->pod_uid);
    n->service_account = copy(from->service_account);
    n->class_name = copy(from->class_name);
    n->provider = copy(from->provider);
    n->store = copy(from->store);
    n->auth_method = copy(from->auth_method);
    n->role = copy(from->role);
    n->request = copy(from->request);
    n->peer = copy(from->peer);
    n->generation = from->generation;
    n->took_ms = from->took_ms;
    n->changed = from->changed;
    n->failed_before = from->failed_before;
    n->class_edited = from->class_edited;
    n->waiting = from->waiting;
    n->at_unix_ms = from->at_unix_ms;
    n->peer_uid = from->peer_uid;
    n->when_unix_ns = now_unix_ns();
    n->credential = copy(from->credential);
    set_error(n, from->err);
    n->objects = xcalloc(from->object_count + 1, sizeof(*n->objects));
    for (size_t i = 0; i < from->object_count; i++)
        n->objects[i] = object_new(&from->objects[i]);
    n->n_objects = from->object_count;
    return n;
}

static void job_free(struct job *j)
{
    locket__cluster__v1__note_request__free_unpacked(j->note, NULL);
    free(j);
}

/* --- the thread --------------------------------------------------------------------------------
 */

/* What was lost is told with the note that is sent now, and owed again when that one is not. */
static int64_t take_lost(struct note_queue *q)
{
    int64_t lost;

    (void)pthread_mutex_lock(&q->lock);
    lost = q->lost;
    q->lost = 0;
    (void)pthread_mutex_unlock(&q->lock);
    return lost;
}

static void add_lost(struct note_queue *q, int64_t more)
{
    (void)pthread_mutex_lock(&q->lock);
    q->lost += more;
    (void)pthread_mutex_unlock(&q->lock);
}

static bool try_send(struct job *j, struct error *err)
{
    j->note->lost = take_lost(j->queue);
    if (j->queue->send(j->queue->arg, j->note, &j->queue->cancel, err) == 0)
        return true;
    add_lost(j->queue, j->note->lost);
    return false;
}

static void insist(struct job *j)
{
    struct note_queue *q = j->queue;
    int64_t pause_ms = NOTE_RETRY_MS;
    struct error err = { 0 };

    while (!cancel_is_raised(&q->cancel) && !try_send(j, &err)) {
        if (!code_is_maybe(err.code)) {
            log_failure(LOG_WARN, "a note was refused", KEY_VOLUME, j->note->volume_id, &err);
            add_lost(q, 1);
            return;
        }
        (void)cancel_sleep_ms(&q->cancel, pause_ms + clock_jitter_ms(pause_ms, 25));
        pause_ms = pause_ms * 2 < NOTE_RETRY_MAX_MS ? pause_ms * 2 : NOTE_RETRY_MAX_MS;
    }
}

static void job_run(void *arg)
{
    struct job *j = arg;
    struct note_queue *q = j->queue;

    insist(j);
    (void)pthread_mutex_lock(&q->lock);
    q->bytes -= j->bytes;
    (void)pthread_mutex_unlock(&q->lock);
    job_free(j);
}

/* --- putting -----------------------------------------------------------------------------------
 */

static bool reserve(struct note_queue *q, size_t bytes)
{
    bool room;

    (void)pthread_mutex_lock(&q->lock);
    room = q->bytes + bytes <= NOTE_QUEUE_BYTES_MAX;
    q->bytes += room ? bytes : 0;
    (void)pthread_mutex_unlock(&q->lock);
    return room;
}

void note_queue_put(struct note_queue *queue, const struct volume_note *note)
{
    struct job *j = xcalloc(1, sizeof(*j));

    j->queue = queue;
    j->note = note_new(note);
    j->bytes = locket__cluster__v1__note_request__get_packed_size(j->note);
    if (reserve(queue, j->bytes)) {
        if (work_submit(queue->pool, job_run, j, NULL) == 0)
            return;
        (void)pthread_mutex_lock(&queue->lock);
        queue->bytes -= j->bytes;
        (void)pthread_mutex_unlock(&queue->lock);
    }
    add_lost(queue, 1);
    job_free(j);
}

int64_t note_queue_lost(struct note_queue *queue)
{
    int64_t lost;

    (void)pthread_mutex_lock(&queue->lock);
    lost = queue->lost;
    (void)pthread_mutex_unlock(&queue->lock);
    return lost;
}

struct note_queue *note_queue_new(note_send *send, void *arg)
{
    struct work_pool_config pool = { .name = "notes",
                                     .threads_max = 1,
                                     .queue_max = NOTE_QUEUE_MAX };
    struct note_queue *q = xcalloc(1, sizeof(*q));

    q->send = send;
    q->arg = arg;
    cancel_init(&q->cancel);
    (void)pthread_mutex_init(&q->lock, NULL);
    q->pool = work_pool_new(&pool);
    return q;
}

void note_queue_free(struct note_queue *queue)
{
    if (!queue)
        return;
    for (int64_t end = clock_mono_ms() + NOTE_DRAIN_MS;
         work_pool_busy(queue->pool) && clock_mono_ms() < end;)
        clock_sleep_ms(DRAIN_STEP_MS);
    cancel_raise(&queue->cancel);
    work_pool_free(queue->pool);
    cancel_done(&queue->cancel);
    (void)pthread_mutex_destroy(&queue->lock);
    free(queue);
}
