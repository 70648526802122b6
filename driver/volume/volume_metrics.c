/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/volume_metrics.h"

static const double local_s[] = { .0005, .001, .0025, .005, .01, .025, .05, .1,
                                  .25,   .5,   1,     2.5,  5,   10,   30 };
static const double age_s[] = { 10, 30, 60, 120, 300, 600, 1200, 3600, 7200, 21600, 86400 };

/* What follows the help are the names of the labels. */
#define COUNTER(name_, help_, ...)                                                                 \
    {                                                                                              \
        .name = (name_), .kind = METRIC_COUNTER, .help = (help_), .labels = { __VA_ARGS__ }        \
    }
#define GAUGE(name_, help_, ...)                                                                   \
    {                                                                                              \
        .name = (name_), .kind = METRIC_GAUGE, .help = (help_), .labels = { __VA_ARGS__ }          \
    }
#define SECONDS(name_, buckets_, help_, ...)                                                       \
    {                                                                                              \
        .name = (name_), .kind = METRIC_HISTOGRAM, .help = (help_), .labels = { __VA_ARGS__ },     \
        .buckets = (buckets_), .bucket_count = sizeof(buckets_) / sizeof((buckets_)[0])            \
    }

const struct metric_row volume_metric_rows[VM_COUNT] = {
    [VM_NODE_PUBLISH] = COUNTER("node_publish_total",
                                "Volumes published; republishes of whole volumes are not counted.",
                                "provider", "os_type"),
    [VM_NODE_PUBLISH_ERROR] =
        COUNTER("node_publish_error_total", "Publishes that were answered with an error.",
                "provider", "error_type", "os_type"),
    [VM_NODE_UNPUBLISH] = COUNTER("node_unpublish_total", "Volumes unpublished.", "os_type"),
    [VM_NODE_UNPUBLISH_ERROR] = COUNTER("node_unpublish_error_total",
                                        "Unpublishes that were answered with an error.", "os_type"),
    [VM_ROTATION_RECONCILE] =
        COUNTER("rotation_reconcile_total",
                "Refreshes that succeeded; rotated says whether a file changed.", "provider",
                "os_type", "rotated"),
    [VM_ROTATION_RECONCILE_ERROR] = COUNTER("rotation_reconcile_error_total",
                                            "Refreshes that failed; the files stayed as they were.",
                                            "provider", "error_type", "os_type", "rotated"),
    [VM_ROTATION_SECONDS] = { .name = "rotation_reconcile_duration_sec",
                              .spelled = "rotation_reconcile_duration_seconds",
                              .kind = METRIC_HISTOGRAM,
                              .help = "Seconds from the start of a refresh to its end.",
                              .labels = { "os_type" },
                              .buckets = metrics_upstream_seconds,
                              .bucket_count = METRIC_UPSTREAM_BUCKETS },
    [VM_PUBLISH_SECONDS] =
        SECONDS("locket_publish_seconds", local_s,
                "Seconds from the call of a publish to its answer; cached: no store was asked.",
                "provider", "result", "cached"),
    [VM_UNPUBLISH_SECONDS] = SECONDS("locket_unpublish_seconds", local_s,
                                     "Seconds from the call of an unpublish to its answer.", NULL),
    [VM_FETCH_SECONDS] =
        SECONDS("locket_provider_request_seconds", local_s,
                "Seconds that a provider took to answer a fetch, by what it was for and its code; "
                "cached: it asked no store.",
                "provider", "op", "code", "cached"),
    [VM_REPUBLISH] = COUNTER("locket_republish_total",
                             "Publishes of volumes that were published already.", "result"),
    [VM_ROTATION] =
        COUNTER("locket_rotation_total", "Refreshes by what came of them and why they were.",
                "provider", "result", "reason"),
    [VM_ROTATION_LAG_SECONDS] =
        SECONDS("locket_rotation_lag_seconds", local_s,
                "Seconds from a provider's answer with a change to the files in place.", NULL),
    [VM_STALENESS_SECONDS] =
        SECONDS("locket_volume_staleness_seconds", age_s,
                "Seconds that a volume had not been checked for when a refresh succeeded.", NULL),
    [VM_TOKEN_MISMATCH] =
        COUNTER("locket_token_mismatch_total", "Requests whose token spoke for another pod.", NULL),
    [VM_TOKENS_DROPPED] =
        COUNTER("locket_tokens_dropped_total",
                "Tokens that, by the CSIDriver object, kubelet did not write.", "reason"),
    [VM_RECORDS_SET_ASIDE] = COUNTER("locket_records_set_aside_total",
                                     "Unreadable records that recovery set aside.", NULL),
    [VM_REPORTS_DROPPED] = COUNTER(
        "locket_reports_dropped_total",
        "Reports of volumes that the agent never got: too many waited, or it refused them.", NULL),
    [VM_REGISTRATION] = GAUGE("locket_registration",
                              "1 for the state that registration with kubelet is in.", "state"),
    [VM_KUBELET_SILENT_SECONDS] =
        GAUGE("locket_kubelet_silent_seconds",
              "Seconds since kubelet last called, or since the start when it never has.", NULL),
    [VM_STORE_CALLS] =
        COUNTER("locket_store_calls_total", "Calls of a store, as its provider says.", "provider"),
    [VM_STORE_LOGINS] = COUNTER("locket_store_logins_total",
                                "Logins at a store, as its provider says.", "provider", "result"),
    [VM_STORE_LEASES] =
        COUNTER("locket_store_leases_total",
                "Leases handed out: new ones, those kept from before, and of these those that "
                "could not be had anew in time.",
                "provider", "result"),
    [VM_NEXT_EXPIRY] = GAUGE("locket_next_expiry_seconds",
                             "Seconds to the first end of a lease that a volume lives on; none is "
                             "shown where nothing is lent.",
                             "provider"),
    [VM_EXPIRING_VOLUMES] =
        GAUGE("locket_expiring_volumes",
              "Volumes with a lease that has less than a tenth of its life left.", NULL),
    [VM_CREDENTIAL_BYTES] =
        GAUGE("locket_credential_bytes",
              "Bytes of tokens and secrets of pods that wait, sealed, for the next refresh.", NULL),
    [VM_PROVIDER_INFLIGHT] =
        GAUGE("locket_provider_inflight", "Calls of a provider that are under way.", "provider"),
    [VM_PROVIDER_CONNECTED] =
        GAUGE("locket_provider_connected", "1 when a provider has been reached since the start.",
              "provider"),
    [VM_VOLUMES] = GAUGE("locket_volumes", "Volumes by state.", "state"),
    [VM_STALE_VOLUMES] =
        GAUGE("locket_stale_volumes", "Volumes not refreshed for twice their interval.", NULL),
    [VM_OLDEST_CHECK_SECONDS] =
        GAUGE("locket_oldest_check_seconds",
              "Seconds since the longest unrefreshed volume was refreshed.", NULL),
    [VM_TMPFS_BYTES] = GAUGE("locket_tmpfs_bytes", "Sum of the sizes of all volumes' tmpfs.", NULL),
    [VM_TMPFS_BUDGET_BYTES] = GAUGE("locket_tmpfs_budget_bytes",
                                    "What that sum may reach before publishes are refused.", NULL),
    [VM_REFUSED_CALLS] =
        COUNTER("locket_refused_calls_total",
                "System calls that the driver's sandbox refused: any is worth a look.", NULL),
    [VM_BUILD_INFO] = GAUGE("locket_build_info", "1, with the version as label.", "version"),
};

#define VOLUME_LABELS "pod_namespace", "pod_name", "volume", "class"

const struct metric_row volume_series_rows[VS_COUNT] = {
    [VS_CONTENT_AGE_SECONDS] = GAUGE("locket_volume_content_age_seconds",
                                     "Seconds since a volume's files changed.", VOLUME_LABELS),
    [VS_CHECK_AGE_SECONDS] =
        GAUGE("locket_volume_check_age_seconds",
              "Seconds since a provider last said what a volume holds.", VOLUME_LABELS),
    [VS_NEXT_REFRESH_SECONDS] = GAUGE(
        "locket_volume_next_refresh_seconds",
        "Seconds to a volume's next refresh; none is shown where none is due.", VOLUME_LABELS),
    [VS_VERSION] =
        GAUGE("locket_volume_version",
              "A number for the versions of a volume's objects: equal where these are; none is "
              "shown where they are not to be compared.",
              VOLUME_LABELS),
    [VS_FAILURES] = GAUGE("locket_volume_failures",
                          "Refreshes of a volume that failed in a row, and why the last did.",
                          VOLUME_LABELS, "error_type"),
    [VS_LEFT_OUT] = GAUGE("locket_volume_series_left_out",
                          "Volumes that have no series of their own: there are too many.", NULL),
};
