/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.h - counters, gauges and histograms as a table, written as Prometheus text.
 * Does not know what is measured. Thread-safe; labels are few and bounded.
 */
#ifndef LOCKET_BASE_METRICS_H
#define LOCKET_BASE_METRICS_H

#include <stdint.h>

#include "lib/base/strbuf.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum {
    METRIC_LABELS_MAX = 5,
    METRIC_SERIES_MAX = 1000, /* per metric; one more is counted under label values "other" */
    METRIC_BUCKETS_MAX = 16,
    METRIC_UPSTREAM_BUCKETS = 11,
};

struct metric_row {
    const char *name;    /* as exposed, such as node_publish_total */
    const char *spelled; /* where its unit is abbreviated: the name with all of it; else NULL */
    enum metric_kind kind;
    const char *help;
    const char *labels[METRIC_LABELS_MAX]; /* names; NULL-ended when fewer */
    const double *buckets;                 /* histograms: upper bounds, ascending, without +Inf */
    size_t bucket_count;
};

/* Bounds of a histogram of seconds as the Secrets Store CSI Driver has them, whose dashboards go
 * on: ExponentialBucketsRange(0.1, 2, 11). Source: its pkg/metrics. */
extern const double metrics_upstream_seconds[METRIC_UPSTREAM_BUCKETS];

struct metrics;

/* A registry over a static table; rows are referred to by index. Ownership: metrics_free. */
struct metrics *metrics_new(const struct metric_row *rows, size_t count);
void metrics_free(struct metrics *m);

/* From now on names are written with their units spelled out, as Prometheus wishes. Call it before
 * others use the registry. */
void metrics_spell_units(struct metrics *m);

/* values: one text per label of the row, in its order (NULL is ""). */
void metrics_add(struct metrics *m, size_t row, const char *const *values, double amount);
void metrics_set(struct metrics *m, size_t row, const char *const *values, double value);
void metrics_observe(struct metrics *m, size_t row, const char *const *values, double value);

/* Forgets the series of a row: only those that are set again are told. */
void metrics_clear(struct metrics *m, size_t row);

/* The current value of one series (0 when there is none): counter, gauge, or a histogram's count.
 */
double metrics_value(struct metrics *m, size_t row, const char *const *values);

/* Appends the exposition text (HELP, TYPE, series sorted by labels), format 0.0.4. A metric without
 * labels is shown with 0 from the start. */
void metrics_write(struct metrics *m, struct strbuf *out);

#endif
