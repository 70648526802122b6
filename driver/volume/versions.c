/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/versions.h"

static int by_id(const void *a, const void *b)
{
    const struct object_version *x = a;
    const struct object_version *y = b;

    return strcmp(x->id, y->id);
}

/* Among those sorted by id; NULL: there is none. */
static const struct object_version *find(const struct object_version *sorted, size_t count,
                                         const char *id)
{
    const struct object_version key = { .id = (char *)id };

    return count ? bsearch(&key, sorted, count, sizeof(key), by_id) : NULL;
}

/* Marks the objects whose bytes moved. False: it cannot be known. */
static bool find_moved(const struct fileset *files, bool gone, bool *moved)
{
    bool named = true;

    for (size_t i = 0; i < files->count; i++) {
        const struct file *f = &files->files[i];
        const struct object_version *object =
            find(files->versions, files->version_count, f->object ? f->object : f->path);

        named = named && f->object && object;
        if (!f->kept && !object)
            return false;
        if (!f->kept)
            moved[object - files->versions] = true;
    }
    return named || !gone;
}

void versions_keep(const struct object_version *shown, size_t count, bool gone,
                   struct fileset *files)
{
    autofree bool *moved = xcalloc(files->version_count + 1, sizeof(*moved));

    if (!find_moved(files, gone, moved))
        return;
    for (size_t i = 0; i < files->version_count; i++) {
        const struct object_version *before = find(shown, count, files->versions[i].id);

        if (moved[i] || !before)
            continue;
        free(files->versions[i].version);
        files->versions[i].version = xstrdup(before->version);
    }
}
