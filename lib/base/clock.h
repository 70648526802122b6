/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.h - the only source of time, in milliseconds; durations and timestamps as text.
 */
#ifndef LOCKET_BASE_CLOCK_H
#define LOCKET_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "lib/base/error.h"

enum { MS_PER_S = 1000, CLOCK_STAMP_MAX = 48 };

/* Monotonic milliseconds: for deadlines and intervals. Never goes back, and counts the time that
 * the machine sleeps: leases and tokens end in it. */
int64_t clock_mono_ms(void);

/* Monotonic microseconds: for measuring. */
int64_t clock_mono_us(void);

/* Milliseconds since 1970: for what is shown or compared with a peer's timestamps. */
int64_t clock_unix_ms(void);

/* How long, as the timespec that sigtimedwait takes. For an instant it is clock_mono_until. */
struct timespec duration_timespec(int64_t ms);

/* The monotonic instant as the timespec that pthread_cond_clockwait(CLOCK_MONOTONIC) takes. Made
 * for the next wait: a machine that sleeps after it makes it that much too late. */
struct timespec clock_mono_until(int64_t mono_ms);

/* Sleeps; for tests and delays of whole processes, never on an RPC's path. */
void clock_sleep_ms(int64_t ms);

/* A random time from -percent to +percent of ms, so that many do not do a thing at once. 0 when the
 * kernel has no random bytes yet. */
int64_t clock_jitter_ms(int64_t ms, int percent);

/* Reads a duration as Go writes it: "2m30s", "1.5h", "300ms", "0". Units ns us ms s m h; a unit is
 * needed unless the value is 0; negative ones are refused. Source: Go time.ParseDuration. */
must_check int duration_parse(const char *text, int64_t *ret_ms, struct error *err);

/* Writes a duration as Go does, such as "2m0s". */
void duration_format(int64_t ms, char text[CLOCK_STAMP_MAX]);

/* RFC 3339 in UTC with milliseconds, such as 2026-02-01T15:04:05.123Z. */
void stamp_format(int64_t unix_ms, char text[CLOCK_STAMP_MAX]);

/* Reads RFC 3339 ("Z" or a numeric offset, optional fraction). INVALID_ARGUMENT otherwise. */
must_check int stamp_parse(const char *text, int64_t *ret_unix_ms, struct error *err);

#endif
