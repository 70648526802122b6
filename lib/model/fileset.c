/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/fileset.h"

#include <stdbool.h>

#include "lib/base/encode.h"
#include "lib/base/strbuf.h"

enum { SHOWN_MAX = 80, VERSION_BYTES_MAX = 4096 };

void fileset_done(struct fileset *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->files[i].path);
        free(set->files[i].object);
        secret_done(&set->files[i].contents);
    }
    for (size_t i = 0; i < set->version_count; i++) {
        free(set->versions[i].id);
        free(set->versions[i].version);
    }
    free(set->files);
    free(set->versions);
    *set = (struct fileset){ 0 };
}

/* A path for a message: printable, cut. */
static char *shown(const char *path, size_t len)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };

    for (size_t i = 0; i < len && i < SHOWN_MAX; i++) {
        unsigned char c = (unsigned char)path[i];

        if (c < 0x20 || c >= 0x7f)
            strbuf_printf(&text, "\\x%02x", c);
        else
            strbuf_add_char(&text, (char)c);
    }
    if (len > SHOWN_MAX)
        strbuf_add_text(&text, "...");
    return strbuf_take(&text);
}

static int refuse(const char *path, size_t len, const char *why, struct error *err)
{
    autofree char *text = shown(path, len);

    return error_set(err, CODE_INVALID_ARGUMENT, "invalid path: %s: \"%s\"", why, text);
}

static bool has_control(const char *path, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
            return true;
    return false;
}

/* What is wrong with one component; NULL: nothing. */
static const char *component_fault(const char *name, size_t len, bool first)
{
    if (len == 0 || (len == 1 && name[0] == '.'))
        return "must be clean, without //, . or a trailing /";
    if (len == 2 && memcmp(name, "..", 2) == 0)
        return "must not contain '..'";
    if (first && len > 2 && memcmp(name, "..", 2) == 0)
        return "must not start with '..'";
    return len > FILESET_NAME_MAX ? "a component must be at most 255 bytes" : NULL;
}

int fileset_check_path(const char *path, size_t len, struct error *err)
{
    const char *end = path + len;
    const char *wrong = NULL;

    if (len == 0)
        return refuse(path, len, "must not be empty", err);
    if (path[0] == '/')
        return refuse(path, len, "must be relative path", err);
    if (len > FILESET_PATH_MAX)
        return refuse(path, len, "must be at most 4096 bytes", err);
    if (has_control(path, len) || !utf8_is_valid(path, len))
        return refuse(path, len, "must be UTF-8 without control characters", err);
    for (const char *at = path; !wrong; at++) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        const char *stop = slash ? slash : end;

        wrong = component_fault(at, (size_t)(stop - at), at == path);
        at = stop;
        if (!slash)
            break;
    }
    return wrong ? refuse(path, len, wrong, err) : 0;
}

/* Why two paths exclude each other; NULL: they do not. Every pair of a set is compared, and both
 * may be long: whole strings at a time. */
static const char *couple_fault(const char *path, size_t len, const char *other)
{
    static const char folder[] = "one file's name is another's folder: rename one";
    size_t other_len;

    if (strncmp(other, path, len) == 0) {
        if (!other[len])
            return "two objects have this file name: rename one";
        return other[len] == '/' ? folder : NULL;
    }
    other_len = strlen(other);
    if (other_len < len && path[other_len] == '/' && memcmp(path, other, other_len) == 0)
        return folder;
    return NULL;
}

static int check_against(const struct fileset *set, const char *path, struct error *err)
{
    size_t len = strlen(path);

    for (size_t i = 0; i < set->count; i++) {
        const char *wrong = couple_fault(path, len, set->files[i].path);

        if (wrong)
            return refuse(path, len, wrong, err);
    }
    return 0;
}

static int check_ceilings(const struct fileset *set, size_t len, struct error *err)
{
    if (set->count >= FILESET_FILES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "more than %d files in one volume",
                         FILESET_FILES_MAX);
    if (len > FILESET_BYTES_MAX || set->bytes > FILESET_BYTES_MAX - len)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "more than %d bytes in one volume",
                         FILESET_BYTES_MAX);
    return 0;
}

int fileset_add(struct fileset *set, struct file_spec *file, struct error *err)
{
    struct secret contents CLEANUP(secret_done) = secret_take(&file->contents);
    autofree char *path = NULL;

    if (fileset_check_path(file->path, file->path_len, err) < 0 ||
        check_ceilings(set, contents.len, err) < 0)
        return -1;
    path = xstrndup(file->path, file->path_len);
    if (check_against(set, path, err) < 0)
        return -1;
    if (set->count == set->room) {
        set->room = set->room ? set->room * 2 : 8;
        set->files = xrealloc(set->files, set->room * sizeof(*set->files));
    }
    set->bytes += contents.len;
    set->files[set->count++] = (struct file){
        .path = take(path),
        .object = file->object && *file->object ? xstrdup(file->object) : NULL,
        .mode = file->mode & 0777,
        .uid = file->uid,
        .gid = file->gid,
        .unchanged = file->unchanged,
        .contents = secret_take(&contents),
    };
    return 0;
}

int fileset_add_version(struct fileset *set, const char *id, const char *version, struct error *err)
{
    if (strlen(id) > VERSION_BYTES_MAX || strlen(version) > VERSION_BYTES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED,
                         "an object's id or version has more than %d bytes", VERSION_BYTES_MAX);
    for (size_t i = 0; i < set->version_count; i++)
        if (strcmp(set->versions[i].id, id) == 0) {
            free(set->versions[i].version);
            set->versions[i].version = xstrdup(version);
            return 0;
        }
    if (set->version_count >= FILESET_FILES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "more than %d object versions",
                         FILESET_FILES_MAX);
    set->versions = xrealloc(set->versions, (set->version_count + 1) * sizeof(*set->versions));
    set->versions[set->version_count++] =
        (struct object_version){ .id = xstrdup(id), .version = xstrdup(version) };
    return 0;
}

const struct file *fileset_find(const struct fileset *set, const char *path)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->files[i].path, path) == 0)
            return &set->files[i];
    return NULL;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct object_version *)a)->id, ((const struct object_version *)b)->id);
}

void fileset_sort(struct fileset *set)
{
    if (set->count)
        qsort(set->files, set->count, sizeof(*set->files), by_path);
    if (set->version_count)
        qsort(set->versions, set->version_count, sizeof(*set->versions), by_id);
}
