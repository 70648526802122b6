/* SPDX-License-Identifier: Apache-2.0
 *
 * report_queue.h - reports on their way to somebody who may be away: the last one of each volume,
 * sent by one thread, again and again until it is taken. Does not know how it is sent.
 */
#ifndef LOCKET_CLUSTER_REPORT_QUEUE_H
#define LOCKET_CLUSTER_REPORT_QUEUE_H

#include "driver/cluster/cluster.h"
#include "locket/cluster.pb-c.h"

enum {
    REPORT_QUEUE_MAX = 20000, /* volumes; twice what the volume table holds */
    REPORT_RETRY_MS = 1000,   /* after the first failure; doubled up to */
    REPORT_RETRY_MAX_MS = 4000,
};

struct report_queue;

/* Sends one; -1 with a code that says "maybe" (code_is_maybe): it is sent again. On the queue's
 * thread; may block. */
typedef int report_send(void *arg, const Locket__Cluster__V1__ReportRequest *report,
                        struct error *err);

/* Starts its thread. Ownership: report_queue_free, which gives up what was not sent, and waits for
 * a send that runs; *metrics is copied. */
struct report_queue *report_queue_new(report_send *send, void *arg,
                                      const struct cluster_metrics *metrics);
void report_queue_free(struct report_queue *queue);

/* Takes a copy; replaces one of the same volume that waits. Never blocks: one that there is no room
 * for is dropped and counted, as is one that was refused. */
void report_queue_put(struct report_queue *queue, const struct volume_report *report);

/* Reports that wait. */
size_t report_queue_count(struct report_queue *queue);

#endif
