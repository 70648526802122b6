/* SPDX-License-Identifier: Apache-2.0
 *
 * note_queue.h - notes on their way to somebody who may be away: in their order, by one thread that
 * leaves when there are none, each sent until it is taken. Bounded: what does not fit is counted,
 * and the next note tells how many. Does not know how a note is sent.
 */
#ifndef LOCKET_CLUSTER_NOTE_QUEUE_H
#define LOCKET_CLUSTER_NOTE_QUEUE_H

#include "driver/cluster/cluster.h"
#include "lib/base/cancel.h"
#include "locket/cluster.pb-c.h"

enum {
    NOTE_QUEUE_MAX = 4096,           /* notes; the most that the agent's audit lets wait */
    NOTE_QUEUE_BYTES_MAX = 16 << 20, /* of them as messages */
    NOTE_RETRY_MS = 500,             /* after the first failure; doubled up to */
    NOTE_RETRY_MAX_MS = 4000,
    NOTE_DRAIN_MS = 1000, /* what note_queue_free gives those that wait */
};

struct note_queue;

/* Sends one; -1 with a code that says "maybe" (code_is_maybe): it is sent again. On the queue's
 * thread; may block until cancel is raised, which is when the queue gives up. */
typedef int note_send(void *arg, const Locket__Cluster__V1__NoteRequest *note,
                      struct cancel *cancel, struct error *err);

/* Ownership: note_queue_free, which waits NOTE_DRAIN_MS for what is to be sent, gives the rest up,
 * cancels a send that runs and waits for it. No put may race. */
struct note_queue *note_queue_new(note_send *send, void *arg);
void note_queue_free(struct note_queue *queue);

/* Takes a copy. Never blocks. Any thread. */
void note_queue_put(struct note_queue *queue, const struct volume_note *note);

/* Notes that there was no room for, and that nobody was told of yet. */
int64_t note_queue_lost(struct note_queue *queue);

#endif
