/* SPDX-License-Identifier: Apache-2.0
 *
 * volume_metrics.h - the driver's metrics as one table, upstream's names first.
 * Does not know how they are served (admin) or scraped (the agent).
 */
#ifndef LOCKET_VOLUME_METRICS_H
#define LOCKET_VOLUME_METRICS_H

#include "lib/base/metrics.h"

/* Rows of the table, in its order.
 * Source: secrets-store-csi-driver docs/book topics/metrics and
 * pkg/secrets-store/stats_reporter.go. */
enum volume_metric {
    VM_NODE_PUBLISH,             /* provider, os_type */
    VM_NODE_PUBLISH_ERROR,       /* provider, error_type, os_type */
    VM_NODE_UNPUBLISH,           /* os_type */
    VM_NODE_UNPUBLISH_ERROR,     /* os_type */
    VM_ROTATION_RECONCILE,       /* provider, os_type, rotated */
    VM_ROTATION_RECONCILE_ERROR, /* provider, error_type, os_type, rotated */
    VM_ROTATION_SECONDS,         /* os_type */
    VM_PUBLISH_SECONDS,          /* provider, result, cached */
    VM_UNPUBLISH_SECONDS,
    VM_FETCH_SECONDS, /* provider, op: publish, refresh; code; cached */
    VM_REPUBLISH,     /* result: noop, repaired, adopted */
    VM_ROTATION,      /* provider; result: changed, unchanged, error; reason: refresh_reason_name */
    VM_ROTATION_LAG_SECONDS,
    VM_STALENESS_SECONDS,
    VM_TOKEN_MISMATCH,
    VM_TOKENS_DROPPED, /* reason: volume_context, secrets, audience */
    VM_RECORDS_SET_ASIDE,
    VM_REPORTS_DROPPED,
    VM_REGISTRATION, /* state: registered, pending; none where registration is off */
    VM_KUBELET_SILENT_SECONDS,
    VM_STORE_CALLS,  /* provider */
    VM_STORE_LOGINS, /* provider; result: ok, error */
    VM_STORE_LEASES, /* provider; result: new, kept, error */
    VM_NEXT_EXPIRY,  /* provider */
    VM_EXPIRING_VOLUMES,
    VM_CREDENTIAL_BYTES,
    VM_PROVIDER_INFLIGHT,  /* provider */
    VM_PROVIDER_CONNECTED, /* provider */
    VM_VOLUMES,            /* state */
    VM_STALE_VOLUMES,
    VM_OLDEST_CHECK_SECONDS,
    VM_TMPFS_BYTES,
    VM_TMPFS_BUDGET_BYTES,
    VM_REFUSED_CALLS,
    VM_BUILD_INFO, /* version */
    VM_COUNT,
};

extern const struct metric_row volume_metric_rows[VM_COUNT];

/* Rows of what --volume-metrics adds: a series per volume. Labels: pod_namespace, pod_name, volume,
 * class. */
enum volume_series {
    VS_CONTENT_AGE_SECONDS,
    VS_CHECK_AGE_SECONDS,
    VS_NEXT_REFRESH_SECONDS,
    VS_VERSION,
    VS_FAILURES, /* and error_type */
    VS_LEFT_OUT, /* no labels */
    VS_COUNT,
};

extern const struct metric_row volume_series_rows[VS_COUNT];

enum { VOLUME_SERIES_MAX = 250 }; /* volumes that are told of, of a node's up to 10,000 */

#define OS_TYPE "linux"

#endif
