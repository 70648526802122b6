/* SPDX-License-Identifier: Apache-2.0
 *
 * docs/METRICS.md and the tables of metrics say the same; upstream's metrics keep their names,
 * labels and buckets.
 */
#include "agent/agent_metrics.h"
#include "driver/volume/volume_metrics.h"
#include "lib/base/fs.h"
#include "providers/workers.h"
#include "tests/check.h"

enum { PAGE_BYTES_MAX = 1 << 20 };

static const struct table {
    const struct metric_row *rows;
    size_t count;
} tables[] = {
    { volume_metric_rows, VM_COUNT },
    { volume_series_rows, VS_COUNT },
    { agent_metric_rows, AM_COUNT },
    { worker_metric_rows, WM_COUNT },
};

static const char *const kinds[] = { "counter", "gauge", "histogram" };

static char *read_page(void)
{
    struct error err = { 0 };
    char *page = NULL;

    if (fs_read_text("docs/METRICS.md", PAGE_BYTES_MAX, &page, &err) < 0)
        fail_msg("%s (run it in the root of the repository)", err.msg);
    return page;
}

/* A row of the page for a row of a table. */
static char *row_text(const struct metric_row *row)
{
    struct strbuf text autostrbuf = { 0 };

    strbuf_printf(&text, "| `%s` | %s |", row->name, kinds[row->kind]);
    for (size_t i = 0; i < METRIC_LABELS_MAX && row->labels[i]; i++)
        strbuf_printf(&text, "%s `%s`", i ? "," : "", row->labels[i]);
    strbuf_printf(&text, " | %s |\n", row->help);
    return strbuf_take(&text);
}

static void every_metric_has_its_row_in_the_page(void **state)
{
    autofree char *page = read_page();
    size_t missing = 0;

    (void)state;
    for (size_t t = 0; t < COUNT_OF(tables); t++)
        for (size_t i = 0; i < tables[t].count; i++) {
            autofree char *row = row_text(&tables[t].rows[i]);

            if (strstr(page, row))
                continue;
            print_message("docs/METRICS.md lacks: %s", row);
            missing++;
        }
    assert_int_equal(missing, 0);
}

static const struct metric_row *find(const char *name, size_t len, size_t *ret_count)
{
    const struct metric_row *found = NULL;

    *ret_count = 0;
    for (size_t t = 0; t < COUNT_OF(tables); t++)
        for (size_t i = 0; i < tables[t].count; i++)
            if (strlen(tables[t].rows[i].name) == len &&
                strncmp(tables[t].rows[i].name, name, len) == 0) {
                found = &tables[t].rows[i];
                ++*ret_count;
            }
    return found;
}

static void every_row_of_the_page_is_a_metric(void **state)
{
    autofree char *page = read_page();
    size_t rows = 0;
    size_t count;

    (void)state;
    for (const char *at = page; (at = strstr(at, "\n| `")); at++) {
        const char *name = at + strlen("\n| `");

        if (!find(name, strcspn(name, "`"), &count))
            fail_msg("no program has the metric %.60s", name);
        rows++;
    }
    assert_int_equal(rows, VM_COUNT + VS_COUNT + AM_COUNT + WM_COUNT);
}

static void no_name_is_used_twice(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(tables); t++)
        for (size_t i = 0; i < tables[t].count; i++) {
            size_t count;

            (void)find(tables[t].rows[i].name, strlen(tables[t].rows[i].name), &count);
            if (count != 1)
                fail_msg("%s is in %zu rows", tables[t].rows[i].name, count);
        }
}

/* The names with spelled units, which the page tells of in a sentence. */
static void what_is_spelled_out_is_a_name_of_its_own_in_the_page(void **state)
{
    autofree char *page = read_page();
    size_t spelled = 0;

    (void)state;
    for (size_t t = 0; t < COUNT_OF(tables); t++)
        for (size_t i = 0; i < tables[t].count; i++) {
            const struct metric_row *row = &tables[t].rows[i];
            autofree char *quoted = str_printf("`%s`", row->spelled ? row->spelled : row->name);
            size_t others = 0;

            if (!strstr(page, quoted))
                fail_msg("docs/METRICS.md lacks %s", quoted);
            if (!row->spelled)
                continue;
            (void)find(row->spelled, strlen(row->spelled), &others);
            assert_int_equal(others, 0);
            spelled++;
        }
    assert_int_equal(spelled, 2);
}

/* Source: secrets-store-csi-driver v1.6.0, pkg/secrets-store/stats_reporter.go and
 * controllers/stats_reporter.go. */
static const struct metric_row upstream[] = {
    { .name = "node_publish_total", .labels = { "provider", "os_type" } },
    { .name = "node_publish_error_total", .labels = { "provider", "error_type", "os_type" } },
    { .name = "node_unpublish_total", .labels = { "os_type" } },
    { .name = "node_unpublish_error_total", .labels = { "os_type" } },
    { .name = "rotation_reconcile_total", .labels = { "provider", "os_type", "rotated" } },
    { .name = "rotation_reconcile_error_total",
      .labels = { "provider", "error_type", "os_type", "rotated" } },
    { .name = "rotation_reconcile_duration_sec",
      .kind = METRIC_HISTOGRAM,
      .labels = { "os_type" } },
    { .name = "sync_k8s_secret_total", .labels = { "provider", "os_type" } },
    { .name = "k8s_secret_duration_sec", .kind = METRIC_HISTOGRAM, .labels = { "os_type" } },
};

static void upstreams_metrics_keep_names_labels_and_buckets(void **state)
{
    (void)state;
    for (size_t u = 0; u < COUNT_OF(upstream); u++) {
        size_t count;
        const struct metric_row *row = find(upstream[u].name, strlen(upstream[u].name), &count);

        if (!row)
            fail_msg("%s is missing", upstream[u].name);
        assert_int_equal(row->kind, upstream[u].kind);
        for (size_t i = 0; i < METRIC_LABELS_MAX; i++)
            if (!str_same(row->labels[i], upstream[u].labels[i]))
                fail_msg("%s: label %zu", row->name, i);
        if (row->kind != METRIC_HISTOGRAM)
            continue;
        assert_int_equal(row->bucket_count, 11);
        assert_true(row->buckets[0] == .1 && row->buckets[5] == .4472 && row->buckets[10] == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric_has_its_row_in_the_page),
        cmocka_unit_test(every_row_of_the_page_is_a_metric),
        cmocka_unit_test(no_name_is_used_twice),
        cmocka_unit_test(what_is_spelled_out_is_a_name_of_its_own_in_the_page),
        cmocka_unit_test(upstreams_metrics_keep_names_labels_and_buckets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
