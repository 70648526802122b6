/* SPDX-License-Identifier: Apache-2.0
 *
 * audit_line.h - an access as the members of one JSON object. docs/man/locketctl.1 lists them.
 * Does not know chains, queues or files.
 */
#ifndef LOCKET_AGENT_AUDIT_LINE_H
#define LOCKET_AGENT_AUDIT_LINE_H

#include "agent/audit.h"

/* What every line begins with: now, what it is, and where. Borrowed. */
struct audit_place {
    const char *cluster;
    const char *node;
};

/* Appends `"time":"...","event":"...","cluster":...,"node":...`; event: static text. */
void audit_line_begin(const struct audit_place *place, const char *event, struct strbuf *out);

/* Appends the whole of an entry. key: for digests of values; NULL: none are made. At most
 * CHAIN_LINE_MAX - CHAIN_FRAME_MAX bytes when out is empty. */
void audit_line_write(const struct audit_place *place, const struct audit_entry *entry,
                      const struct chain_key *key, struct strbuf *out);

#endif
