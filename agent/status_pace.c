/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status_pace.h"

#include "agent/kube_retry.h"
#include "lib/base/clock.h"

static int64_t jittered(int64_t ms)
{
    return ms + clock_jitter_ms(ms, 25);
}

static int64_t doubled_ms(int times)
{
    return kube_backoff_ms(STATUS_RETRY_MS, STATUS_RETRY_MAX_MS, times);
}

int64_t status_pace_written(struct status_pace *pace, int64_t now_ms)
{
    pace->failures = 0;
    pace->written_ms = now_ms;
    return jittered(STATUS_AGAIN_MS);
}

int64_t status_pace_failed(struct status_pace *pace, const struct error *err, size_t failing,
                           int64_t now_ms)
{
    int64_t ms = doubled_ms(++pace->failures);
    int64_t share_ms = (int64_t)failing * MS_PER_S / STATUS_RETRY_TRIES_PER_S;

    pace->not_before_ms = now_ms + kube_told_ms(err);
    if (err->retry_after_ms)
        return kube_retry_ms(0, err);
    if (share_ms < STATUS_PROBE_MS)
        share_ms = STATUS_PROBE_MS;
    if (code_is_maybe(err->code) && ms > share_ms)
        ms = share_ms;
    return jittered(ms);
}

int64_t status_pace_soonest(const struct status_pace *pace, int64_t in_ms, int64_t now_ms)
{
    int64_t left_ms = pace->not_before_ms - now_ms;

    return in_ms > left_ms ? in_ms : left_ms;
}

int64_t status_pace_lost(struct status_pace *pace, int64_t now_ms)
{
    bool soon = pace->written_ms && now_ms - pace->written_ms < STATUS_LOST_SOON_MS;

    pace->losses = soon ? pace->losses + 1 : 0;
    return pace->losses < 2 ? 0 : jittered(doubled_ms(pace->losses - 1));
}
