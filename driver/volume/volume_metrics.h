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
    VM_SYNC_SECRET,              /* provider, os_type */
    VM_SYNC_SECRET_SECONDS,      /* os_type */
    VM_PUBLISH_SECONDS,          /* provider, result */
    VM_UNPUBLISH_SECONDS,
    VM_FETCH_SECONDS, /* provider, result */
    VM_REPUBLISH,     /* result: noop, repaired, adopted */
    VM_TOKEN_MISMATCH,
    VM_TOKENS_DROPPED, /* reason: volume_context, secrets, audience */
    VM_RECORDS_SET_ASIDE,
    VM_VOLUMES, /* state */
    VM_STALE_VOLUMES,
    VM_OLDEST_CHECK_SECONDS,
    VM_TMPFS_BYTES,
    VM_TMPFS_BUDGET_BYTES,
    VM_REFUSED_CALLS,
    VM_BUILD_INFO, /* version */
    VM_COUNT,
};

extern const struct metric_row volume_metric_rows[VM_COUNT];

#define OS_TYPE "linux"

#endif
