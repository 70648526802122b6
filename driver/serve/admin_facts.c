/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/admin_facts.h"

void admin_facts_warn(struct admin_facts *f, const char *text)
{
    if (f->warning_count < FACTS_WARNINGS_MAX)
        f->warnings[f->warning_count++] = xstrdup(text);
}

void admin_facts_pool(struct admin_facts *f, struct work_pool *pool)
{
    if (f->pool_count < FACTS_POOLS_MAX)
        f->pools[f->pool_count++] = pool;
}

void admin_facts_done(struct admin_facts *f)
{
    pairs_done(&f->flags);
    for (size_t i = 0; i < f->warning_count; i++)
        free(f->warnings[i]);
    *f = (struct admin_facts){ 0 };
}

static void fill_pools(struct facts_rows *rows, const struct admin_facts *f)
{
    for (size_t i = 0; i < f->pool_count; i++) {
        struct work_pool_view view = work_pool_view_of(f->pools[i]);

        locket__admin__v1__pool__init(&rows->pools[i]);
        rows->pools[i].name = (char *)view.name;
        rows->pools[i].busy = (int64_t)view.busy;
        rows->pools[i].threads_max = (int64_t)view.threads_max;
        rows->pools[i].queue_max = (int64_t)view.queue_max;
        rows->pool_refs[i] = &rows->pools[i];
    }
}

void facts_rows_fill(struct facts_rows *rows, struct admin_facts *f,
                     Locket__Admin__V1__StatusResponse *out)
{
    rows->flags = xcalloc(f->flags.count + 1, sizeof(*rows->flags));
    rows->flag_refs = xcalloc(f->flags.count + 1, sizeof(*rows->flag_refs));
    for (size_t i = 0; i < f->flags.count; i++) {
        locket__admin__v1__status_response__flags_entry__init(&rows->flags[i]);
        rows->flags[i].key = f->flags.items[i].key;
        rows->flags[i].value = f->flags.items[i].value;
        rows->flag_refs[i] = &rows->flags[i];
    }
    fill_pools(rows, f);
    out->n_flags = f->flags.count;
    out->flags = rows->flag_refs;
    out->n_pools = f->pool_count;
    out->pools = rows->pool_refs;
    out->n_warnings = f->warning_count;
    out->warnings = f->warnings;
}

void facts_rows_done(struct facts_rows *rows)
{
    free(rows->flags);
    free(rows->flag_refs);
}
