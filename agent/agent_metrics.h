/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_metrics.h - what the agent counts. docs/METRICS.md has them in words.
 */
#ifndef LOCKET_AGENT_AGENT_METRICS_H
#define LOCKET_AGENT_AGENT_METRICS_H

#include "lib/base/metrics.h"

enum agent_metric {
    AM_SYNC_SECRETS,        /* provider, os_type */
    AM_SYNC_SECRET_SECONDS, /* os_type */
    AM_API_REQUESTS,        /* method, code */
    AM_API_THROTTLED_SECONDS,
    AM_STATUS_WRITES, /* result */
    AM_STATUS_BEHIND,
    AM_SECRET_SYNCS, /* result: those of secret_result_name */
    AM_SECRETS_BEHIND,
    AM_CLASS_WATCHES,
    AM_VOLUMES,
    AM_REFRESHES, /* reason: class, class-annotation, pod-annotation */
    AM_EVENTS,    /* result: written, failed, dropped, limited */
    AM_AUDIT_WRITTEN,
    AM_AUDIT_DROPPED,
    AM_AUDIT_BLOCKED_SECONDS,
    AM_AUDIT_QUEUED,
    AM_AUDIT_FAILING,
    AM_AUDIT_SEQ,
    AM_AUDIT_HEAD,
    AM_READY, /* check: api-server, classes, driver, registration */
    AM_DRIVER_SILENT_SECONDS,
    AM_BUILD_INFO, /* version */
    AM_COUNT,
};

extern const struct metric_row agent_metric_rows[AM_COUNT];

#endif
