/* SPDX-License-Identifier: Apache-2.0
 *
 * events.h - Events on pods, on their way to the API server: bounded, limited per pod as client-go
 * limits them, one call at a time. An Event that is there already is counted in it.
 * Those of a namespace are told in their order. Where one cannot be told, for what the server says
 * of it (a webhook fails, a limit is reached), it is tried again later and those of its namespace
 * wait behind it; the other namespaces take their turns as before, and wait for no more than the
 * call itself. A server that answers nothing, or does not know us, is left alone for all.
 * Does not know what happened, nor whether it was told before: whoever calls tells each transition
 * once.
 */
#ifndef LOCKET_AGENT_EVENTS_H
#define LOCKET_AGENT_EVENTS_H

#include "agent/event_object.h"
#include "agent/kube_api.h"

enum {
    EVENTS_QUEUE_MAX = 1000, /* of all namespaces; who has most of a full one gives up its newest */
    EVENTS_POD_BURST = 25,   /* Events of one pod at once, then one each */
    EVENTS_POD_REFILL_MS =
        300000,             /* 5 min. Source: client-go tools/record EventSourceObjectSpamFilter */
    EVENTS_PODS_MAX = 1000, /* pods whose allowance is remembered */
    EVENTS_PACE_MS = 200,   /* between two of this node: statuses and classes go before */
    EVENTS_OLD_MS = 60 * 60 * 1000, /* one that could not be told for so long is dropped: the API
                                       server forgets Events after an hour, too */
};

struct events_metrics {
    struct metrics *metrics; /* NULL: nothing is counted */
    size_t total;            /* row with label result: written, failed, dropped, limited */
};

struct events;

/* Ownership: events_free, which gives up what was not sent. Never fails. */
struct events *events_new(struct kube_api *api, const char *node_name,
                          const struct events_metrics *metrics);
void events_free(struct events *events);

/* Queues a copy. Never blocks: what is over a pod's allowance, or does not fit, is dropped and
 * counted. NULL events: nobody is told. Any thread. */
void events_put(struct events *events, const struct event *event);

#endif
