/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/audit_head.h"

#include <inttypes.h>

#include "lib/base/clock.h"

void audit_head_note(struct audit_head *head, struct audit *audit, struct events *events,
                     const char *node, int64_t every_ms)
{
    struct audit_view view = audit_view_of(audit);
    int64_t now = clock_mono_ms();
    int64_t wait_ms = view.head.seq == head->seq ? AUDIT_HEAD_KEEP_MS : every_ms;
    autofree char *text = NULL;
    autofree char *note = NULL;

    if (!view.head.seq || (head->at_ms && now - head->at_ms < wait_ms))
        return;
    text = str_printf("The audit of this node has %" PRId64 " lines; the last ends with %.16s. "
                      "`locketctl audit verify --head` checks its files against the annotation.",
                      view.head.seq, view.head.hash);
    note = str_printf("%" PRId64 " %s", view.head.seq, view.head.hash);
    events_put(events, &(struct event){ .reason = EVENT_AUDIT_HEAD,
                                        .name = node,
                                        .uid = node,
                                        .text = text,
                                        .series = "head",
                                        .note = note });
    *head = (struct audit_head){ view.head.seq, now };
}
