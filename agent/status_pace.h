/* SPDX-License-Identifier: Apache-2.0
 *
 * status_pace.h - when an object is written next: after a success, after failures, and when
 * somebody deletes it again and again. Knows neither the object nor the clock.
 */
#ifndef LOCKET_AGENT_STATUS_PACE_H
#define LOCKET_AGENT_STATUS_PACE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"

enum {
    STATUS_AGAIN_MS = 10 * 60 * 1000, /* +- 25 %: applied although nothing changed */
    STATUS_RETRY_MS = 1000,           /* after the first failure; doubled up to */
    STATUS_RETRY_MAX_MS = 60000,
    STATUS_RETRY_TRIES_PER_S = 5, /* of all that fail together, where the server is in trouble */
    STATUS_PROBE_MS = 3000,       /* the least that this comes to: its end is seen in 5 s */
    STATUS_LOST_SOON_MS = 60000,  /* deleted so soon after it was written: it will be again */
};

struct status_pace {       /* { 0 } at first */
    int failures;          /* in a row */
    int losses;            /* in a row, each soon after it was written */
    int64_t written_ms;    /* 0: never */
    int64_t not_before_ms; /* the server's word; in the past: it has none */
};

/* It was written. Returns in how many milliseconds it is written again, unchanged. */
int64_t status_pace_written(struct status_pace *pace, int64_t now_ms);

/* It was not, for this reason; so many objects fail now, this one too. Returns the milliseconds
 * until the next try: as long as the server says; else doubled from one second to a minute, but for
 * a server in trouble (not: who refuses) no longer than keeps all together at a few tries a second.
 */
int64_t status_pace_failed(struct status_pace *pace, const struct error *err, size_t failing,
                           int64_t now_ms);

/* There is a reason to write it in so many milliseconds. Returns in how many that may be: never
 * before the server said. */
int64_t status_pace_soonest(const struct status_pace *pace, int64_t in_ms, int64_t now_ms);

/* Somebody deleted it. Returns the milliseconds until it is made again: 0, and if that happens soon
 * after it was written (its pod is gone, and the collector removes what we make), more each time.
 */
int64_t status_pace_lost(struct status_pace *pace, int64_t now_ms);

#endif
