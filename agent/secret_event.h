/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_event.h - tells people what became of a Secret that a pod's class wished for: the one
 * place that does. Does not know whether it was told before.
 */
#ifndef LOCKET_AGENT_SECRET_EVENT_H
#define LOCKET_AGENT_SECRET_EVENT_H

#include "agent/events.h"
#include "agent/secret_apply.h"

/* Everything is borrowed. */
struct secret_event {
    enum secret_result result; /* APPLIED or KEPT: it works again */
    const char *ns;
    const char *pod_name;
    const char *pod_uid;
    const char *class_name;
    const char *secret;      /* its name */
    const struct error *err; /* NULL: none */
};

/* A line of the log and an Event on the pod; once per transition. events may be NULL. Never blocks.
 */
void secret_event(struct events *events, const struct secret_event *event);

#endif
