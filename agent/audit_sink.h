/* SPDX-License-Identifier: Apache-2.0
 *
 * audit_sink.h - where audit lines go: a file that is rotated by size, or standard output.
 * Does not know what a line tells, nor when to try again. For one thread.
 */
#ifndef LOCKET_AGENT_AUDIT_SINK_H
#define LOCKET_AGENT_AUDIT_SINK_H

#include "lib/base/error.h"
#include "lib/base/strbuf.h"

enum { AUDIT_ROTATED_MAX = 100 }; /* files kept beside the one that is written */

struct audit_sink_config {
    const char *path;     /* "-": standard output, which is not rotated */
    int64_t rotate_bytes; /* a file of this size becomes PATH.1, that PATH.2, ...; 0: never */
    int64_t rotated;      /* how many of these are kept, 1 to AUDIT_ROTATED_MAX */
};

struct audit_sink;

/* Opens it; the file is made with mode 0600 and is nobody else's while it is open (flock).
 * Ownership: audit_sink_free. Errors: by errno; FAILED_PRECONDITION: no regular file; UNAVAILABLE:
 * another process writes it. */
must_check int audit_sink_open(const struct audit_sink_config *config, struct audit_sink **ret,
                               struct error *err);
void audit_sink_free(struct audit_sink *sink);

/* The last whole line, without its line break, of the file or else of its PATH.1; empty when there
 * is none. Call before the first write. *ret_cut: bytes of a line that a crash left half written,
 * which are cut off (only what begins as our lines do). */
must_check int audit_sink_last(struct audit_sink *sink, struct strbuf *ret_line, size_t *ret_cut,
                               struct error *err);

/* Writes a line, rotating first where it is time; a file that somebody moved away is made anew.
 * Blocks    at most wait_ms for a reader of standard output, then UNAVAILABLE.
 * Errors    by errno. The next call must be for the same line: it goes on where this one ended. */
must_check int audit_sink_write(struct audit_sink *sink, const struct strbuf *line, int64_t wait_ms,
                                struct error *err);

#endif
