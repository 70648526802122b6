/* SPDX-License-Identifier: Apache-2.0
 *
 * event_send.h - one Event told to the API server: made, or counted in the one that is there.
 * Does not know what waits, nor when to try again.
 */
#ifndef LOCKET_AGENT_EVENT_SEND_H
#define LOCKET_AGENT_EVENT_SEND_H

#include "agent/event_object.h"
#include "agent/kube_api.h"

struct event_send {
    struct kube_api *api;
    struct cancel *cancel;
    const struct event *event;
    const char *node;
    const char *when; /* RFC 3339: when it happened */
    bool spoke; /* set: the last answer is a Status of this Event, as a webhook's or a quota's; not
                   that nobody answered, or knows us, or that a server in trouble, or a proxy,
                   looked at nothing: those would meet any Event. Source: apiserver
                   pkg/server/filters maxinflight.go writes no Status with its 429 */
};

/* Tells it. Blocks: up to three calls of kube_call.
 * Errors: kube_call's; ABORTED too where the server forgot the one that was there meanwhile;
 *         INTERNAL without a digest. */
must_check int event_send(struct event_send *send, struct error *err);

#endif
