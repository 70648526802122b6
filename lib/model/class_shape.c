/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/class_shape.h"

#include "lib/base/clock.h"

const struct tree *shape_get(const struct tree *map, const char *key)
{
    const struct tree *member = tree_get(map, key);

    return member && member->kind != TREE_NULL ? member : NULL;
}

const struct tree *shape_want(const struct tree *map, const char *key, enum tree_kind kind,
                              const char *field, struct complaints *c)
{
    const struct tree *member = shape_get(map, key);

    if (!member || member->kind == kind)
        return member;
    complain(c, member, "%s: must be %s, not %s%s", field, tree_kind_name(kind),
             tree_kind_name(member->kind),
             kind == TREE_TEXT && member->kind < TREE_TEXT ? "; put it in quotes" : "");
    return NULL;
}

static void text_member(const struct tree *t, const char *field, struct complaints *c)
{
    if (t->kind == TREE_NULL)
        complain(c, t, "%s.%.100s: has no value; write \"\" or leave it out", field, t->key);
    else if (t->kind != TREE_TEXT)
        complain(c, t, "%s.%.100s: must be %s, not %s; %s", field, t->key,
                 tree_kind_name(TREE_TEXT), tree_kind_name(t->kind),
                 t->kind < TREE_TEXT ? "put it in quotes" : "write it as a block of text (|)");
    else if (t->text_len > CLASS_PARAMETER_BYTES_MAX)
        complain(c, t, "%s.%.100s: is longer than %d bytes", field, t->key,
                 CLASS_PARAMETER_BYTES_MAX);
}

void shape_texts(const struct tree *map, const char *field, struct complaints *c)
{
    if (!map)
        return;
    if (tree_count(map) > CLASS_PARAMETERS_MAX) {
        complain(c, map, "%s: has more than %d entries", field, CLASS_PARAMETERS_MAX);
        return;
    }
    for (const struct tree *t = map->child; t; t = t->next)
        text_member(t, field, c);
}

static bool is_lower_or_digit(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
}

bool shape_is_dns_name(const char *text, size_t max, bool dots)
{
    size_t len = strlen(text);

    if (!len || len > max || !is_lower_or_digit(text[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++) {
        bool first = i == 0 || text[i - 1] == '.';
        bool joint = text[i] == '-' || (dots && text[i] == '.');

        if (!is_lower_or_digit(text[i]) && (first || !joint))
            return false;
        if (text[i] == '.' && text[i - 1] == '-')
            return false;
    }
    return true;
}

static void names(const struct tree *metadata, struct complaints *c)
{
    const struct tree *name = shape_want(metadata, "name", TREE_TEXT, "metadata.name", c);
    const struct tree *ns = shape_want(metadata, "namespace", TREE_TEXT, "metadata.namespace", c);

    if (!shape_get(metadata, "name"))
        complain(c, metadata, "metadata.name: is missing; pods ask for the class by it");
    if (name && !shape_is_dns_name(name->text, CLASS_NAME_MAX, true))
        complain(c, name,
                 "metadata.name: must be 1 to %d of a-z, 0-9, '-' and '.', beginning and ending "
                 "with a letter or digit",
                 CLASS_NAME_MAX);
    if (ns && *ns->text && !shape_is_dns_name(ns->text, CLASS_NS_MAX, false))
        complain(c, ns,
                 "metadata.namespace: must be 1 to %d of a-z, 0-9 and '-', beginning and ending "
                 "with a letter or digit",
                 CLASS_NS_MAX);
}

static void interval(const struct tree *map, const char *field, struct complaints *c)
{
    const struct tree *t = tree_get(map, CLASS_INTERVAL);
    struct error err = { 0 };
    int64_t ms = 0;

    if (!t || t->kind != TREE_TEXT)
        return;
    if (duration_parse(t->text, &ms, &err) < 0)
        complain(c, t, "%s." CLASS_INTERVAL ": must be a duration such as 2m or 1h30m", field);
    else if (ms <= 0)
        complain(c, t, "%s." CLASS_INTERVAL ": must be at least a millisecond, such as 2m", field);
}

static void kind_and_version(const struct tree *document, struct complaints *c)
{
    const struct tree *version = tree_get(document, "apiVersion");
    const struct tree *kind = tree_get(document, "kind");
    const char *kind_text = tree_get_text(document, "kind");

    if (!kind_text || strcmp(kind_text, CLASS_KIND) != 0)
        complain(c, kind ? kind : document, "kind: must be " CLASS_KIND);
    else if (!class_is(document))
        complain(c, version ? version : document,
                 "apiVersion: must be " CLASS_GROUP "v1 (or its old name, v1alpha1)");
}

void class_shape(const struct tree *document, struct complaints *c)
{
    const struct tree *metadata;
    const struct tree *spec;
    const struct tree *annotations;
    const struct tree *parameters;

    if (document->kind != TREE_MAP) {
        complain(c, document, "the document is %s; it must be a map with apiVersion and kind",
                 tree_kind_name(document->kind));
        return;
    }
    kind_and_version(document, c);
    metadata = shape_want(document, "metadata", TREE_MAP, "metadata", c);
    if (!shape_get(document, "metadata"))
        complain(c, document, "metadata: is missing; it holds the name");
    else if (metadata)
        names(metadata, c);
    annotations = shape_want(metadata, "annotations", TREE_MAP, "metadata.annotations", c);
    shape_texts(annotations, "metadata.annotations", c);
    interval(annotations, "metadata.annotations", c);
    spec = shape_want(document, "spec", TREE_MAP, "spec", c);
    (void)shape_want(spec, "provider", TREE_TEXT, "spec.provider", c);
    parameters = shape_want(spec, "parameters", TREE_MAP, "spec.parameters", c);
    shape_texts(parameters, "spec.parameters", c);
    interval(parameters, "spec.parameters", c);
}
