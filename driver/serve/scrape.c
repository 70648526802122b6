/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/scrape.h"

#include "driver/serve/admin_rows.h"
#include "driver/volume/rotation.h"
#include "lib/base/clock.h"

typedef Locket__Admin__V1__Volume Volume;

/* --- gauges ------------------------------------------------------------------------------------
 */

struct gauges {
    struct lifecycle *app;
    double by_state[VOLUME_LEAVING + 1];
    double stale;
    double expiring;
    double credential_bytes;
    int64_t oldest_unix_ms;
};

enum { SOON = 10 }; /* of a lease's life: a tenth. It should have been renewed at two thirds. */

/* Caller holds the volume's lock. */
static void gauge_expiry(struct gauges *g, const struct volume *v)
{
    const char *label[] = { v->record.provider ? v->record.provider : "" };
    int64_t left_ms = v->expires_at_unix_ms - clock_unix_ms();
    double left = (double)left_ms / MS_PER_S;
    double least = metrics_value(g->app->metrics, VM_NEXT_EXPIRY, label);

    if (!v->expires_at_unix_ms)
        return;
    if (least == 0 || left < least)
        metrics_set(g->app->metrics, VM_NEXT_EXPIRY, label, left);
    g->expiring += left_ms < v->expires_life_ms / SOON;
}

static void gauge_one(void *arg, struct volume *v)
{
    struct gauges *g = arg;

    pthread_mutex_lock(&v->lock);
    g->by_state[v->state]++;
    gauge_expiry(g, v);
    g->credential_bytes += (double)credentials_bytes(&v->credentials);
    g->stale += rotation_is_stale(g->app, v) ? 1 : 0;
    if (v->fetched_at_unix_ms && (!g->oldest_unix_ms || v->fetched_at_unix_ms < g->oldest_unix_ms))
        g->oldest_unix_ms = v->fetched_at_unix_ms;
    pthread_mutex_unlock(&v->lock);
}

/* A clock that was set back makes no age. */
static double seconds_since(int64_t unix_ms)
{
    int64_t ms = clock_unix_ms() - unix_ms;

    return unix_ms && ms > 0 ? (double)ms / MS_PER_S : 0;
}

static void gauge_volumes(struct lifecycle *app)
{
    struct gauges g = { .app = app };

    metrics_clear(app->metrics, VM_NEXT_EXPIRY);
    volume_table_each(app->volumes, gauge_one, &g);
    for (enum volume_state s = VOLUME_IDLE; s <= VOLUME_LEAVING; s++) {
        const char *label[] = { volume_state_name(s) };

        metrics_set(app->metrics, VM_VOLUMES, label, g.by_state[s]);
    }
    metrics_set(app->metrics, VM_STALE_VOLUMES, NULL, g.stale);
    metrics_set(app->metrics, VM_EXPIRING_VOLUMES, NULL, g.expiring);
    metrics_set(app->metrics, VM_CREDENTIAL_BYTES, NULL, g.credential_bytes);
    metrics_set(app->metrics, VM_OLDEST_CHECK_SECONDS, NULL, seconds_since(g.oldest_unix_ms));
}

static void gauge_provider(void *arg, const struct source_status *row)
{
    struct lifecycle *app = arg;
    const char *label[] = { row->provider };

    metrics_set(app->metrics, VM_PROVIDER_INFLIGHT, label, (double)row->inflight);
    metrics_set(app->metrics, VM_PROVIDER_CONNECTED, label, row->connected ? 1 : 0);
}

static void gauge_registration(struct lifecycle *app, struct registration *registration)
{
    static const char *const registered[] = { "registered" };
    static const char *const pending[] = { "pending" };
    char text[REGISTRATION_TEXT_MAX];
    bool done = registration_tell(registration, text);

    if (!registration)
        return;
    metrics_set(app->metrics, VM_REGISTRATION, registered, done ? 1 : 0);
    metrics_set(app->metrics, VM_REGISTRATION, pending, done ? 0 : 1);
}

void scrape_gauges(struct lifecycle *app, struct registration *registration)
{
    static const char *const version[] = { LOCKET_VERSION };

    gauge_volumes(app);
    app->source->ops->each(app->source, gauge_provider, app);
    gauge_registration(app, registration);
    metrics_set(app->metrics, VM_KUBELET_SILENT_SECONDS, NULL,
                (double)lifecycle_kubelet_silent_ms(app) / MS_PER_S);
    metrics_set(app->metrics, VM_TMPFS_BYTES, NULL, (double)budget_used(&app->budget));
    metrics_set(app->metrics, VM_TMPFS_BUDGET_BYTES, NULL, (double)app->budget.total_bytes);
    metrics_set(app->metrics, VM_BUILD_INFO, version, 1);
}

/* --- a series per volume -----------------------------------------------------------------------
 */

/* What somebody looks for comes first: where not all have room, the quiet ones are left out. */
static int worst_first(const void *a, const void *b)
{
    const Volume *left = *(Volume *const *)a;
    const Volume *right = *(Volume *const *)b;

    if (left->failures != right->failures)
        return left->failures > right->failures ? -1 : 1;
    if (left->fetched_at_unix_ms != right->fetched_at_unix_ms)
        return left->fetched_at_unix_ms < right->fetched_at_unix_ms ? -1 : 1;
    return strcmp(left->volume_id, right->volume_id);
}

/* The pod's name for the volume: .../kubernetes.io~csi/NAME/mount. Ownership: the caller's. */
static char *volume_name(const char *target)
{
    const char *end = strrchr(target, '/');
    const char *begin = end ? memrchr(target, '/', (size_t)(end - target)) : NULL;

    return begin ? xstrndup(begin + 1, (size_t)(end - begin - 1)) : xstrdup(target);
}

static const char *error_type(const Volume *row)
{
    return *row->last_error_reason ? row->last_error_reason : row->last_error_code;
}

/* FNV-1a, the final NUL included. */
static uint64_t fold_text(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    } while (*text++);
    return hash;
}

/* Of ids and versions, which are public: 52 bits, so that a double has them whole. */
static double version_number(const Volume *row)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < row->n_objects; i++) {
        hash = fold_text(hash, row->objects[i]->id);
        hash = fold_text(hash, row->objects[i]->version);
    }
    return (double)(hash >> 12);
}

static void add_volume(struct metrics *m, const Volume *row)
{
    autofree char *name = volume_name(row->target);
    const char *labels[] = { row->pod_namespace, row->pod_name, name, row->class_name,
                             error_type(row) };

    metrics_set(m, VS_CONTENT_AGE_SECONDS, labels, seconds_since(row->changed_at_unix_ms));
    metrics_set(m, VS_CHECK_AGE_SECONDS, labels, seconds_since(row->fetched_at_unix_ms));
    if (row->next_due_ms >= 0)
        metrics_set(m, VS_NEXT_REFRESH_SECONDS, labels, (double)row->next_due_ms / MS_PER_S);
    if (row->n_objects && !row->own_versions && !row->expires_at_unix_ms)
        metrics_set(m, VS_VERSION, labels, version_number(row));
    metrics_set(m, VS_FAILURES, labels, (double)row->failures);
}

/* A registry of the moment: a volume that left has no series. */
static void write_volumes(struct lifecycle *app, struct strbuf *out)
{
    struct metrics *m = metrics_new(volume_series_rows, VS_COUNT);
    size_t count;
    Volume **rows = admin_volumes(app, &count);
    size_t shown = count < VOLUME_SERIES_MAX ? count : VOLUME_SERIES_MAX;

    if (count)
        qsort(rows, count, sizeof(Volume *), worst_first);
    for (size_t i = 0; i < shown; i++)
        add_volume(m, rows[i]);
    metrics_set(m, VS_LEFT_OUT, NULL, (double)(count - shown));
    metrics_write(m, out);
    admin_volumes_free(rows, count);
    metrics_free(m);
}

void scrape_write(struct lifecycle *app, struct registration *registration, struct strbuf *out)
{
    scrape_gauges(app, registration);
    metrics_write(app->metrics, out);
    if (app->config.volume_metrics)
        write_volumes(app, out);
}
