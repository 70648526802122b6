/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pod_status_row.h"

#include "agent/pod_status_object.h"

void object_list_done(struct object_list *list)
{
    object_versions_free(list->items, list->count);
    *list = (struct object_list){ 0 };
}

int row_init(struct status_row *row, const struct pod_volume *v, struct error *err)
{
    *row = (struct status_row){ 0 };
    if (pod_status_name(v->pod_name, v->ns, v->class_name, &row->name, err) < 0)
        return -1;
    row->ns = xstrdup(v->ns);
    row->pod_name = xstrdup(v->pod_name);
    row->pod_uid = xstrdup(v->pod_uid);
    row->class_name = xstrdup(v->class_name);
    return 0;
}

void row_done(struct status_row *row)
{
    while (row->entries)
        row_remove(row, row->entries);
    object_list_done(&row->shown);
    free(row->ns);
    free(row->name);
    free(row->pod_name);
    free(row->pod_uid);
    free(row->class_name);
}

struct row_entry *row_add(struct status_row *row, const struct pod_volume *v)
{
    struct row_entry *e = xcalloc(1, sizeof(*e));
    struct row_entry **at = &row->entries;

    e->volume_id = xstrdup(v->volume_id);
    e->target = xstrdup(v->target);
    while (*at && strcmp((*at)->target, e->target) < 0)
        at = &(*at)->next;
    e->next = *at;
    *at = e;
    return e;
}

static bool has_taken_over(const struct status_row *row)
{
    for (const struct row_entry *e = row->entries; e; e = e->next)
        if (e->taken_over)
            return true;
    return false;
}

/* Once all content is ours, what was said before us is of no use. */
static void forget_shown(struct status_row *row)
{
    if (has_taken_over(row))
        return;
    object_list_done(&row->shown);
    row->is_shown = false;
}

void row_set(struct status_row *row, struct row_entry *e, const struct pod_volume *v)
{
    object_list_done(&e->objects);
    e->objects =
        (struct object_list){ object_versions_copy(v->objects, v->object_count), v->object_count };
    e->taken_over = v->taken_over;
    forget_shown(row);
}

void row_remove(struct status_row *row, struct row_entry *e)
{
    struct row_entry **at = &row->entries;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    object_list_done(&e->objects);
    free(e->volume_id);
    free(e->target);
    free(e);
}

bool row_set_pod(struct status_row *row, const char *uid)
{
    if (strcmp(row->pod_uid, uid) == 0)
        return false;
    free(row->pod_uid);
    row->pod_uid = xstrdup(uid);
    object_list_done(&row->shown);
    row->is_shown = false;
    return true;
}

bool row_wants_shown(const struct status_row *row)
{
    return !row->is_shown && has_taken_over(row);
}

void row_show(struct status_row *row, struct object_list *list)
{
    object_list_done(&row->shown);
    row->shown = *list;
    row->is_shown = true;
    *list = (struct object_list){ 0 };
    forget_shown(row);
}

static int by_id_and_version(const void *a, const void *b)
{
    const struct object_version *x = a;
    const struct object_version *y = b;
    int order = strcmp(x->id, y->id);

    return order ? order : strcmp(x->version, y->version);
}

/* What is shown of a volume. */
static const struct object_list *list_of(const struct status_row *row, const struct row_entry *e)
{
    return e->taken_over && row->is_shown ? &row->shown : &e->objects;
}

/* The union by id: pointers into the lists. */
static struct object_version *union_of(const struct status_row *row, size_t *ret_count)
{
    size_t most = 0;
    size_t count = 0;
    struct object_version *all;

    for (const struct row_entry *e = row->entries; e; e = e->next)
        most += list_of(row, e)->count;
    all = xcalloc(most + 1, sizeof(*all));
    most = 0;
    for (const struct row_entry *e = row->entries; e; e = e->next)
        for (size_t i = 0; i < list_of(row, e)->count; i++)
            all[most++] = list_of(row, e)->items[i];
    qsort(all, most, sizeof(*all), by_id_and_version);
    for (size_t i = 0; i < most; i++)
        if (!count || strcmp(all[count - 1].id, all[i].id) != 0)
            all[count++] = all[i];
    *ret_count = count;
    return all;
}

void row_write(const struct status_row *row, const char *node_label,
               const struct status_dialect *dialect, struct strbuf *out)
{
    size_t count = 0;
    size_t others = 0;
    autofree struct object_version *objects = union_of(row, &count);
    autofree const char **targets = NULL;
    struct pod_status_facts facts = {
        .version = dialect->version,
        .ns = row->ns,
        .name = row->name,
        .node_label = node_label,
        .pod_name = row->pod_name,
        .pod_uid = row->pod_uid,
        .class_name = row->class_name,
        .target = row->entries->target,
        .objects = objects,
        .object_count = count,
    };

    for (const struct row_entry *e = row->entries->next; e && !dialect->plain; e = e->next) {
        targets = xrealloc(targets, (others + 1) * sizeof(*targets));
        targets[others++] = e->target;
    }
    facts.other_targets = targets;
    facts.other_target_count = others;
    pod_status_write(&facts, out);
}
