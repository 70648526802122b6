/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/secret_objects.h"

#include <ctype.h>

#include "lib/model/class_shape.h"

static char *trimmed(const char *text)
{
    size_t len;

    while (text && isspace((unsigned char)*text))
        text++;
    len = text ? strlen(text) : 0;
    while (len && isspace((unsigned char)text[len - 1]))
        len--;
    return xstrndup(text ? text : "", len);
}

static void read_pairs(const struct tree *map, struct pairs *ret)
{
    if (map && map->kind == TREE_MAP)
        for (const struct tree *t = map->child; t; t = t->next)
            if (t->kind == TREE_TEXT)
                pairs_set(ret, t->key, t->text);
}

static void read_keys(const struct tree *data, struct secret_object *o)
{
    size_t count = data && data->kind == TREE_LIST ? tree_count(data) : 0;

    if (count > SECRET_OBJECT_KEYS_MAX)
        count = SECRET_OBJECT_KEYS_MAX + 1; /* of which secret_object_check tells */
    o->keys = xcalloc(count + 1, sizeof(*o->keys));
    for (const struct tree *t = count ? data->child : NULL; t && o->key_count < count; t = t->next)
        o->keys[o->key_count++] = (struct secret_key){
            .key = trimmed(tree_get_text(t, "key")),
            .object_name = trimmed(tree_get_text(t, "objectName")),
        };
}

static void read_object(const struct tree *t, struct secret_object *ret)
{
    ret->name = trimmed(tree_get_text(t, "secretName"));
    ret->type = trimmed(tree_get_text(t, "type"));
    read_pairs(tree_get(t, "labels"), &ret->labels);
    read_pairs(tree_get(t, "annotations"), &ret->annotations);
    read_keys(tree_get(t, "data"), ret);
}

void secret_objects_read(const struct tree *class, struct secret_objects *ret)
{
    const struct tree *list = tree_get(tree_get(class, "spec"), "secretObjects");
    const struct tree *notes = tree_get(tree_get(class, "metadata"), "annotations");
    const char *adopt = tree_get_text(notes, ADOPT_ANNOTATION);
    size_t count = list && list->kind == TREE_LIST ? tree_count(list) : 0;

    *ret = (struct secret_objects){ .adopt = adopt && strcmp(adopt, "true") == 0 };
    if (count > SECRET_OBJECTS_MAX)
        count = SECRET_OBJECTS_MAX + 1; /* of which secret_object_check tells */
    if (!count)
        return;
    ret->list = xcalloc(count, sizeof(*ret->list));
    for (const struct tree *t = list->child; t && ret->count < count; t = t->next)
        read_object(t, &ret->list[ret->count++]);
}

static void object_done(struct secret_object *o)
{
    for (size_t i = 0; i < o->key_count; i++) {
        free(o->keys[i].key);
        free(o->keys[i].object_name);
    }
    free(o->keys);
    free(o->name);
    free(o->type);
    pairs_done(&o->labels);
    pairs_done(&o->annotations);
}

void secret_objects_done(struct secret_objects *objects)
{
    for (size_t i = 0; i < objects->count; i++)
        object_done(&objects->list[i]);
    free(objects->list);
    *objects = (struct secret_objects){ 0 };
}

static void object_copy(struct secret_object *dst, const struct secret_object *src)
{
    dst->name = xstrdup(src->name);
    dst->type = xstrdup(src->type);
    pairs_copy(&dst->labels, &src->labels);
    pairs_copy(&dst->annotations, &src->annotations);
    dst->keys = xcalloc(src->key_count + 1, sizeof(*dst->keys));
    dst->key_count = src->key_count;
    for (size_t i = 0; i < src->key_count; i++)
        dst->keys[i] =
            (struct secret_key){ xstrdup(src->keys[i].key), xstrdup(src->keys[i].object_name) };
}

void secret_objects_copy(struct secret_objects *dst, const struct secret_objects *src)
{
    *dst = (struct secret_objects){ .adopt = src->adopt, .count = src->count };
    if (!src->count)
        return;
    dst->list = xcalloc(src->count, sizeof(*dst->list));
    for (size_t i = 0; i < src->count; i++)
        object_copy(&dst->list[i], &src->list[i]);
}

static bool object_same(const struct secret_object *a, const struct secret_object *b)
{
    if (strcmp(a->name, b->name) != 0 || strcmp(a->type, b->type) != 0 ||
        a->key_count != b->key_count || !pairs_same(&a->labels, &b->labels) ||
        !pairs_same(&a->annotations, &b->annotations))
        return false;
    for (size_t i = 0; i < a->key_count; i++)
        if (strcmp(a->keys[i].key, b->keys[i].key) != 0 ||
            strcmp(a->keys[i].object_name, b->keys[i].object_name) != 0)
            return false;
    return true;
}

bool secret_objects_same(const struct secret_objects *a, const struct secret_objects *b)
{
    if (a->count != b->count || a->adopt != b->adopt)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!object_same(&a->list[i], &b->list[i]))
            return false;
    return true;
}

int secret_object_check(const struct secret_object *o, size_t place, struct error *err)
{
    if (place >= SECRET_OBJECTS_MAX)
        return error_set(
            err, CODE_INVALID_ARGUMENT,
            "spec.secretObjects: has more than %d entries; those beyond are written by "
            "nobody: put them into another class",
            SECRET_OBJECTS_MAX);
    if (o->key_count > SECRET_OBJECT_KEYS_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "spec.secretObjects[%zu].data: has more than %d entries", place,
                         SECRET_OBJECT_KEYS_MAX);
    if (!*o->name)
        return error_set(err, CODE_INVALID_ARGUMENT, "spec.secretObjects[%zu].secretName: is empty",
                         place);
    if (!shape_is_dns_name(o->name, CLASS_NAME_MAX, true))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "spec.secretObjects[%zu].secretName: must be 1 to %d of a-z, 0-9, '-' and "
                         "'.', beginning and ending with a letter or digit",
                         place, CLASS_NAME_MAX);
    if (!o->key_count)
        return error_set(err, CODE_INVALID_ARGUMENT, "spec.secretObjects[%zu].data: is empty",
                         place);
    for (size_t i = 0; i < o->key_count; i++)
        if (!*o->keys[i].key || !*o->keys[i].object_name)
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "spec.secretObjects[%zu].data[%zu].%s: is empty", place, i,
                             *o->keys[i].key ? "objectName" : "key");
    return 0;
}
