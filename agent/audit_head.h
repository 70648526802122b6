/* SPDX-License-Identifier: Apache-2.0
 *
 * audit_head.h - where the audit's chain stands, noted where nobody on the node can change it: in
 * the annotation of an Event about the node. Does not know what the lines tell.
 */
#ifndef LOCKET_AGENT_AUDIT_HEAD_H
#define LOCKET_AGENT_AUDIT_HEAD_H

#include "agent/audit.h"
#include "agent/events.h"

enum { AUDIT_HEAD_KEEP_MS = EVENTS_OLD_MS / 2 }; /* the API server forgets an Event after an hour */

struct audit_head { /* { 0 } at first; one thread */
    int64_t seq;    /* of the head that was noted last */
    int64_t at_ms;  /* monotonic, of that */
};

/* Notes the head when it has moved and the last note is every_ms old; one that has not, before the
 * API server forgets it: on a quiet node, too, it stays where nobody there can change it. Never
 * blocks. */
void audit_head_note(struct audit_head *head, struct audit *audit, struct events *events,
                     const char *node, int64_t every_ms);

#endif
