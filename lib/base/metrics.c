/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>

#include "lib/base/encode.h"
#include "lib/base/hash.h"

const double metrics_upstream_seconds[METRIC_UPSTREAM_BUCKETS] = {
    .1, .1349, .1821, .2456, .3314, .4472, .6034, .8142, 1.0986, 1.4823, 2,
};

struct series {
    char *labels;    /* rendered: a="x",b="y"; "" when there are none */
    double value;    /* counter, gauge, sum of a histogram */
    uint64_t count;  /* histogram */
    uint64_t *cells; /* histogram: one per bound, not cumulative */
    UT_hash_handle hh;
};

struct metrics {
    pthread_mutex_t lock;
    const struct metric_row *rows;
    size_t count;
    bool spell_units;
    struct series **series; /* per row; guarded by lock */
};

static void free_series(struct metrics *m, size_t row)
{
    struct series *s;
    struct series *next;

    HASH_ITER(hh, m->series[row], s, next)
    {
        HASH_DELETE(hh, m->series[row], s);
        free(s->labels);
        free(s->cells);
        free(s);
    }
}

void metrics_free(struct metrics *m)
{
    for (size_t i = 0; m && i < m->count; i++)
        free_series(m, i);
    if (!m)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m->series);
    free(m);
}

/* Source: Prometheus exposition format 0.0.4, escaping of label values. */
static void add_label(struct strbuf *out, const char *name, const char *value)
{
    size_t left = strlen(value);

    strbuf_printf(out, "%s%s=\"", out->len ? "," : "", name);
    while (left) {
        size_t used = utf8_next(value, left);

        if (!used)
            strbuf_add_text(out, "\xef\xbf\xbd"); /* one bad byte would void the whole scrape */
        else if (*value == '\n')
            strbuf_add_text(out, "\\n");
        else if (*value == '"' || *value == '\\')
            strbuf_printf(out, "\\%c", *value);
        else
            strbuf_add(out, value, used);
        value += used ? used : 1;
        left -= used ? used : 1;
    }
    strbuf_add_char(out, '"');
}

static char *render_labels(const struct metric_row *row, const char *const *values, bool other)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };

    for (size_t i = 0; i < METRIC_LABELS_MAX && row->labels[i]; i++)
        add_label(&text, row->labels[i], other ? "other" : values && values[i] ? values[i] : "");
    return strbuf_take(&text);
}

/* The series of these labels, made when new. Caller holds the lock. */
static struct series *series_of(struct metrics *m, size_t row, const char *const *values,
                                bool create)
{
    autofree char *labels = render_labels(&m->rows[row], values, false);
    struct series *s = NULL;

    HASH_FIND_STR(m->series[row], labels, s);
    if (s || !create)
        return s;
    if (HASH_COUNT(m->series[row]) >= METRIC_SERIES_MAX) {
        free(labels);
        labels = render_labels(&m->rows[row], values, true);
        HASH_FIND_STR(m->series[row], labels, s);
        if (s)
            return s;
    }
    s = xcalloc(1, sizeof(*s));
    s->labels = take(labels);
    if (m->rows[row].kind == METRIC_HISTOGRAM)
        s->cells = xcalloc(m->rows[row].bucket_count, sizeof(*s->cells));
    HASH_ADD_KEYPTR(hh, m->series[row], s->labels, strlen(s->labels), s);
    return s;
}

struct metrics *metrics_new(const struct metric_row *rows, size_t count)
{
    struct metrics *m = xcalloc(1, sizeof(*m));

    pthread_mutex_init(&m->lock, NULL);
    m->rows = rows;
    m->count = count;
    m->series = xcalloc(count, sizeof(struct series *));
    for (size_t i = 0; i < count; i++)
        if (!rows[i].labels[0])
            (void)series_of(m, i, NULL, true);
    return m;
}

void metrics_spell_units(struct metrics *m)
{
    m->spell_units = true;
}

void metrics_add(struct metrics *m, size_t row, const char *const *values, double amount)
{
    pthread_mutex_lock(&m->lock);
    series_of(m, row, values, true)->value += amount;
    pthread_mutex_unlock(&m->lock);
}

void metrics_set(struct metrics *m, size_t row, const char *const *values, double value)
{
    pthread_mutex_lock(&m->lock);
    series_of(m, row, values, true)->value = value;
    pthread_mutex_unlock(&m->lock);
}

void metrics_clear(struct metrics *m, size_t row)
{
    pthread_mutex_lock(&m->lock);
    free_series(m, row);
    pthread_mutex_unlock(&m->lock);
}

void metrics_observe(struct metrics *m, size_t row, const char *const *values, double value)
{
    const struct metric_row *r = &m->rows[row];
    struct series *s;

    pthread_mutex_lock(&m->lock);
    s = series_of(m, row, values, true);
    s->value += value;
    s->count++;
    for (size_t i = 0; i < r->bucket_count; i++)
        if (value <= r->buckets[i]) {
            s->cells[i]++;
            break;
        }
    pthread_mutex_unlock(&m->lock);
}

double metrics_value(struct metrics *m, size_t row, const char *const *values)
{
    struct series *s;
    double value = 0;

    pthread_mutex_lock(&m->lock);
    s = series_of(m, row, values, false);
    if (s)
        value = m->rows[row].kind == METRIC_HISTOGRAM ? (double)s->count : s->value;
    pthread_mutex_unlock(&m->lock);
    return value;
}

static int by_labels(const struct series *a, const struct series *b)
{
    return strcmp(a->labels, b->labels);
}

static void write_plain(const char *name, const struct series *s, struct strbuf *out)
{
    strbuf_printf(out, "%s%s%s%s %.17g\n", name, *s->labels ? "{" : "", s->labels,
                  *s->labels ? "}" : "", s->value);
}

static void write_histogram(const char *name, const struct metric_row *row, const struct series *s,
                            struct strbuf *out)
{
    const char *comma = *s->labels ? "," : "";
    uint64_t total = 0;

    for (size_t i = 0; i < row->bucket_count; i++) {
        total += s->cells[i];
        strbuf_printf(out, "%s_bucket{%s%sle=\"%.15g\"} %" PRIu64 "\n", name, s->labels, comma,
                      row->buckets[i], total);
    }
    strbuf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, s->labels, comma,
                  s->count);
    strbuf_printf(out, "%s_sum%s%s%s %.17g\n", name, *s->labels ? "{" : "", s->labels,
                  *s->labels ? "}" : "", s->value);
    strbuf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", name, *s->labels ? "{" : "", s->labels,
                  *s->labels ? "}" : "", s->count);
}

void metrics_write(struct metrics *m, struct strbuf *out)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };

    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->count; i++) {
        const struct metric_row *row = &m->rows[i];
        const char *name = m->spell_units && row->spelled ? row->spelled : row->name;

        if (!m->series[i])
            continue;
        strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, row->help, name, kinds[row->kind]);
        HASH_SORT(m->series[i], by_labels);
        for (const struct series *s = m->series[i]; s; s = s->hh.next) {
            if (row->kind == METRIC_HISTOGRAM)
                write_histogram(name, row, s, out);
            else
                write_plain(name, s, out);
        }
    }
    pthread_mutex_unlock(&m->lock);
}
