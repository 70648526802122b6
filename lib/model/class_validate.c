/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/class_shape.h"
#include "lib/model/fileset.h"
#include "lib/model/nearest.h"
#include "lib/model/params_validate.h"

static const char *const class_fields[] = { "apiVersion", "kind", "metadata", "spec", "status" };
static const char *const spec_fields[] = { "provider", "parameters", "secretObjects" };
static const char *const secret_fields[] = { "secretName", "type", "labels", "annotations",
                                             "data" };
static const char *const data_fields[] = { "objectName", "key" };

/* Tells of members that the schema has not: the API server drops them without a word. */
static void fields(const struct tree *map, const char *const *known, size_t count,
                   const char *within, struct complaints *c)
{
    for (const struct tree *t = map->child; t; t = t->next) {
        struct nearest near = { .wanted = t->key };
        bool found = false;

        for (size_t i = 0; i < count && !found; i++) {
            found = strcmp(known[i], t->key) == 0;
            nearest_offer(&near, known[i]);
        }
        if (!found && near.found)
            complain(c, t, "%s%.100s: is not a field of a " CLASS_KIND "; did you mean %s?", within,
                     t->key, near.found);
        else if (!found)
            complain(c, t, "%s%.100s: is not a field of a " CLASS_KIND "; remove it", within,
                     t->key);
    }
}

static void provider(const struct tree *spec, struct complaints *c)
{
    const struct tree *t = shape_get(spec, "provider");

    if (!t || (t->kind == TREE_TEXT && !*t->text))
        complain(c, t ? t : spec, "spec.provider: is not set; name the store, such as vault");
    else if (t->kind == TREE_TEXT && !class_provider_is_named_well(t->text))
        complain(c, t, "spec.provider: must be 1 to %d of letters, digits, '-' and '_'",
                 PROVIDER_NAME_MAX);
}

static void parameters(const struct tree *spec, const char *source, struct class_files *files,
                       struct complaints *c)
{
    const struct tree *t = shape_get(spec, "parameters");
    const char *name = tree_get_text(spec, "provider");
    const struct param_table *table = name ? params_of(name) : NULL;

    if (!t || (t->kind == TREE_MAP && !t->child))
        complain(c, t ? t : spec, "spec.parameters: are not set; a mount would fail");
    else if (t->kind == TREE_MAP && table)
        params_validate(t, table, source, files, c);
}

/* A member that must be there and be a text with something in it. Returns it when it is. */
static const struct tree *needed(const struct tree *map, const char *key, const char *field,
                                 struct complaints *c)
{
    autofree char *full = str_printf("%s.%s", field, key);
    const struct tree *t = shape_want(map, key, TREE_TEXT, full, c);

    if (!shape_get(map, key))
        complain(c, map, "%s: is missing", full);
    else if (t && !*t->text)
        complain(c, t, "%s: is empty", full);
    return t && *t->text ? t : NULL;
}

/* Keys of a Secret. Source: Kubernetes validation.IsConfigMapKey. */
static bool is_secret_key(const char *text)
{
    size_t len = strlen(text);
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.";

    return len <= CLASS_NAME_MAX && strspn(text, letters) == len && strcmp(text, ".") != 0 &&
           !str_starts(text, "..");
}

/* A Secret's value must be one of the files, where we know them all. */
static void object_name(const struct tree *t, const char *field, const struct class_files *files,
                        struct complaints *c)
{
    struct nearest near = { .wanted = t->text };
    struct error err = { 0 };

    if (fileset_check_path(t->text, t->text_len, &err) < 0) {
        complain(c, t, "%s.objectName: %s", field, err.msg);
        return;
    }
    if (!files->complete || pairs_get(&files->paths, t->text))
        return;
    for (size_t i = 0; i < files->paths.count; i++)
        nearest_offer(&near, files->paths.items[i].key);
    if (near.found)
        complain(c, t,
                 "%s.objectName: no object of the class becomes this file; did you mean "
                 "%.100s?",
                 field, near.found);
    else
        complain(c, t,
                 "%s.objectName: no object of the class becomes this file; name the path of "
                 "one",
                 field);
}

static void datum(const struct tree *t, const char *field, const struct class_files *files,
                  struct complaints *c)
{
    const struct tree *object;
    const struct tree *key;

    if (t->kind != TREE_MAP) {
        complain(c, t, "%s: must be a map of objectName and key", field);
        return;
    }
    fields(t, data_fields, COUNT_OF(data_fields), "spec.secretObjects[].data[].", c);
    object = needed(t, "objectName", field, c);
    key = needed(t, "key", field, c);
    if (object)
        object_name(object, field, files, c);
    if (key && !is_secret_key(key->text))
        complain(c, key, "%s.key: must be letters, digits, '-', '_' and '.'", field);
}

static void data(const struct tree *secret, const char *field, const struct class_files *files,
                 struct complaints *c)
{
    autofree char *full = str_printf("%s.data", field);
    const struct tree *list = shape_want(secret, "data", TREE_LIST, full, c);
    struct pairs keys CLEANUP(pairs_done) = { 0 };
    size_t i = 0;

    if (!shape_get(secret, "data") || (list && !list->child))
        complain(c, list ? list : secret, "%s: names no file; the Secret would be empty", full);
    if (list && tree_count(list) > FILESET_FILES_MAX) {
        complain(c, list, "%s: has more than %d entries", full, FILESET_FILES_MAX);
        return;
    }
    for (const struct tree *t = list ? list->child : NULL; t; t = t->next) {
        autofree char *each = str_printf("%s[%zu]", full, i++);
        const char *key = tree_get_text(t, "key");

        datum(t, each, files, c);
        if (key && pairs_get(&keys, key))
            complain(c, tree_get(t, "key"), "%s.key: is used twice; give each its own", each);
        else if (key)
            pairs_set(&keys, key, "");
    }
}

static void secret_object(const struct tree *t, const char *field, const struct class_files *files,
                          struct complaints *c)
{
    autofree char *labels = str_printf("%s.labels", field);
    autofree char *annotations = str_printf("%s.annotations", field);
    const struct tree *name;

    if (t->kind != TREE_MAP) {
        complain(c, t, "%s: must be a map with secretName, type and data", field);
        return;
    }
    fields(t, secret_fields, COUNT_OF(secret_fields), "spec.secretObjects[].", c);
    name = needed(t, "secretName", field, c);
    if (name && !shape_is_dns_name(name->text, CLASS_NAME_MAX, true))
        complain(c, name,
                 "%s.secretName: must be a-z, 0-9, '-' and '.', beginning and ending "
                 "with a letter or digit",
                 field);
    (void)needed(t, "type", field, c);
    shape_texts(shape_want(t, "labels", TREE_MAP, labels, c), labels, c);
    shape_texts(shape_want(t, "annotations", TREE_MAP, annotations, c), annotations, c);
    data(t, field, files, c);
}

static void secret_objects(const struct tree *spec, const struct class_files *files,
                           struct complaints *c)
{
    const struct tree *list = shape_want(spec, "secretObjects", TREE_LIST, "spec.secretObjects", c);
    size_t i = 0;

    for (const struct tree *t = list ? list->child : NULL; t; t = t->next) {
        autofree char *field = str_printf("spec.secretObjects[%zu]", i++);

        secret_object(t, field, files, c);
        if (i == SECRET_OBJECTS_MAX + 1)
            complain(c, t, "%s: one more than the %d that a class may have", field,
                     SECRET_OBJECTS_MAX);
    }
}

size_t class_validate(const struct tree *document, const char *source, class_say *say, void *arg)
{
    struct complaints c = { .say = say, .arg = arg };
    const struct tree *spec = shape_get(document, "spec");
    struct class_files files = { 0 };

    class_shape(document, &c);
    if (document->kind != TREE_MAP)
        return c.count;
    fields(document, class_fields, COUNT_OF(class_fields), "", &c);
    if (!spec)
        complain(&c, document, "spec: is missing; it holds provider and parameters");
    if (!spec || spec->kind != TREE_MAP)
        return c.count;
    fields(spec, spec_fields, COUNT_OF(spec_fields), "spec.", &c);
    provider(spec, &c);
    parameters(spec, source, &files, &c);
    secret_objects(spec, &files, &c);
    pairs_done(&files.paths);
    return c.count;
}
