/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kube_retry.h"

#include "lib/base/clock.h"

enum { SPREAD_PERCENT = 25 };

int64_t kube_backoff_ms(int64_t first_ms, int64_t most_ms, int times)
{
    int64_t ms = first_ms;

    for (int i = 1; i < times && ms < most_ms; i++)
        ms *= 2;
    return ms < most_ms ? ms : most_ms;
}

int64_t kube_told_ms(const struct error *err)
{
    return err->retry_after_ms < KUBE_RETRY_AFTER_MAX_MS ? err->retry_after_ms
                                                         : KUBE_RETRY_AFTER_MAX_MS;
}

int64_t kube_retry_ms(int64_t own_ms, const struct error *err)
{
    int64_t told_ms = kube_told_ms(err);
    int64_t ms = own_ms > told_ms ? own_ms : told_ms;
    int64_t spread_ms = clock_jitter_ms(ms, SPREAD_PERCENT);

    return ms + spread_ms < told_ms ? ms - spread_ms : ms + spread_ms;
}
