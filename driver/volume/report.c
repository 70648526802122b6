/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/report.h"

/* Is what is there from before us (another driver, or a record that was lost)? One whose provider
 * writes itself is known by its versions alone. */
static bool is_taken_over(const struct record *record)
{
    return record->generation == 0 && !(record->writing && record->version_count);
}

static struct volume_report row_of(const struct record *record, bool mounted,
                                   const struct error *err)
{
    return (struct volume_report){
        .volume_id = record->volume_id,
        .pod_ns = record->pod_ns,
        .pod_name = record->pod_name,
        .pod_uid = record->pod_uid,
        .class_name = record->class_name,
        .target = record->target,
        .mounted = mounted,
        .versions = record->versions,
        .version_count = record->version_count,
        .taken_over = is_taken_over(record),
        .err = err,
        .changed_at_unix_ms = record->changed_at_unix_ms,
    };
}

void report_volume(struct lifecycle *app, const struct record *record, bool mounted,
                   const struct error *err)
{
    struct volume_report row = row_of(record, mounted, err);

    app->cluster->ops->report(app->cluster, &row);
}

static void report_one(void *arg, struct volume *v)
{
    struct lifecycle *app = arg;
    struct volume_report row;

    pthread_mutex_lock(&v->lock);
    if (v->record.phase == RECORD_PUBLISHED && v->state != VOLUME_LEAVING) {
        row = row_of(&v->record, true, v->failures ? &v->last_error : NULL);
        row.resent = true;
        app->cluster->ops->report(app->cluster, &row);
    }
    pthread_mutex_unlock(&v->lock);
}

void report_all(struct lifecycle *app)
{
    volume_table_each(app->volumes, report_one, app);
}
