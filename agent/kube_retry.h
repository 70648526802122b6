/* SPDX-License-Identifier: Apache-2.0
 *
 * kube_retry.h - how long to leave the API server alone after a call that failed.
 * Does not know what was called.
 */
#ifndef LOCKET_AGENT_KUBE_RETRY_H
#define LOCKET_AGENT_KUBE_RETRY_H

#include <stdint.h>

#include "lib/base/error.h"

enum { KUBE_RETRY_AFTER_MAX_MS = 60 * 1000 }; /* longer than that nobody is believed */

/* first_ms, doubled with each further time, at most most_ms. */
int64_t kube_backoff_ms(int64_t first_ms, int64_t most_ms, int times);

/* own_ms, +-25 % so that many do not call at once; but not before the server said (Retry-After). */
int64_t kube_retry_ms(int64_t own_ms, const struct error *err);

/* What the server said, in milliseconds from now; 0: nothing. */
int64_t kube_told_ms(const struct error *err);

#endif
