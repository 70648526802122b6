/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/class.h"

#include "lib/base/clock.h"
#include "lib/model/class_shape.h"

bool class_is(const struct tree *document)
{
    const char *kind = tree_get_text(document, "kind");
    const char *version = tree_get_text(document, "apiVersion");

    return kind && version && strcmp(kind, CLASS_KIND) == 0 &&
           (strcmp(version, CLASS_GROUP "v1") == 0 || strcmp(version, CLASS_GROUP "v1alpha1") == 0);
}

bool class_is_meant(const struct tree *document)
{
    const char *kind = tree_get_text(document, "kind");
    const char *version = tree_get_text(document, "apiVersion");

    if (!kind || strcmp(kind, CLASS_KIND) == 0)
        return kind != NULL;
    return version && str_starts(version, CLASS_GROUP) && !str_ends(kind, "List") &&
           strcmp(kind, CLASS_KIND "PodStatus") != 0;
}

void class_each(const struct tree *document, void (*each)(void *arg, const struct tree *item),
                void *arg)
{
    const char *kind = tree_get_text(document, "kind");
    const struct tree *items = tree_get(document, "items");

    if (!kind || !str_ends(kind, "List") || !items || items->kind != TREE_LIST) {
        each(arg, document);
        return;
    }
    for (const struct tree *t = items->child; t; t = t->next)
        each(arg, t);
}

const char *class_name_of(const struct tree *document)
{
    return tree_get_text(tree_get(document, "metadata"), "name");
}

const char *class_ns_of(const struct tree *document)
{
    const struct tree *ns = shape_get(tree_get(document, "metadata"), "namespace");

    if (!ns)
        return "default";
    if (ns->kind != TREE_TEXT)
        return NULL;
    return *ns->text ? ns->text : "default";
}

/* The first mistake becomes the error. */
static void keep_first(void *arg, unsigned line, unsigned column, const char *text)
{
    struct error *first = arg;

    if (first->code != CODE_OK)
        return;
    if (line)
        (void)error_set(first, CODE_INVALID_ARGUMENT, "line %u column %u: %s", line, column, text);
    else
        (void)error_set(first, CODE_INVALID_ARGUMENT, "%s", text);
}

static void read_pairs(const struct tree *map, struct pairs *ret)
{
    if (map && map->kind == TREE_MAP)
        for (const struct tree *t = map->child; t; t = t->next)
            pairs_set(ret, t->key, t->text);
}

/* The parameter goes before the annotation: it is the class author's, who may be another than who
 * annotates. Both were checked. */
static int64_t interval_of(const struct class *c)
{
    const char *text = pairs_get(&c->parameters, CLASS_INTERVAL);
    int64_t ms = 0;

    if (!text)
        text = pairs_get(&c->annotations, CLASS_INTERVAL);
    return text && duration_parse(text, &ms, NULL) == 0 ? ms : 0;
}

int class_read(const struct tree *document, struct class **ret, struct error *err)
{
    struct error first = { 0 };
    struct complaints mistakes = { .say = keep_first, .arg = &first };
    const struct tree *spec = tree_get(document, "spec");
    const char *provider = tree_get_text(spec, "provider");
    struct class *c;

    class_shape(document, &mistakes);
    if (mistakes.count)
        return error_copy(err, &first);
    c = xcalloc(1, sizeof(*c));
    c->name = xstrdup(class_name_of(document));
    c->ns = xstrdup(class_ns_of(document));
    c->provider = xstrdup(provider ? provider : "");
    read_pairs(tree_get(spec, "parameters"), &c->parameters);
    read_pairs(tree_get(tree_get(document, "metadata"), "annotations"), &c->annotations);
    c->has_parameters = c->parameters.count > 0;
    c->rotation_interval_ms = interval_of(c);
    secret_objects_read(document, &c->secret_objects);
    *ret = c;
    return 0;
}

static bool are_in_bounds(const struct pairs *parameters)
{
    for (size_t i = 0; i < parameters->count; i++)
        if (strlen(parameters->items[i].value) > CLASS_PARAMETER_BYTES_MAX)
            return false;
    return parameters->count <= CLASS_PARAMETERS_MAX;
}

int class_make(const struct class_parts *parts, struct class **ret, struct error *err)
{
    struct class *c;

    if (!shape_is_dns_name(parts->name, CLASS_NAME_MAX, true) ||
        !shape_is_dns_name(parts->ns, CLASS_NS_MAX, false))
        return error_set(err, CODE_INVALID_ARGUMENT, "a class whose name or namespace is none");
    if (!are_in_bounds(parts->parameters))
        return error_set(err, CODE_INVALID_ARGUMENT, "%s/%s: more or longer parameters than %d, %d",
                         parts->ns, parts->name, CLASS_PARAMETERS_MAX, CLASS_PARAMETER_BYTES_MAX);
    c = xcalloc(1, sizeof(*c));
    c->name = xstrdup(parts->name);
    c->ns = xstrdup(parts->ns);
    c->provider = xstrdup(parts->provider);
    pairs_copy(&c->parameters, parts->parameters);
    pairs_copy(&c->annotations, parts->annotations);
    c->has_parameters = c->parameters.count > 0;
    c->rotation_interval_ms = interval_of(c);
    if (parts->stamp && *parts->stamp)
        c->stamp = xstrdup(parts->stamp);
    *ret = c;
    return 0;
}

void class_set_stamp(struct class *c, char *stamp)
{
    free(c->stamp);
    c->stamp = stamp;
}

void class_free(struct class *c)
{
    if (!c)
        return;
    free(c->name);
    free(c->ns);
    free(c->provider);
    free(c->stamp);
    pairs_done(&c->parameters);
    pairs_done(&c->annotations);
    secret_objects_done(&c->secret_objects);
    free(c);
}

void class_free_at(struct class **slot)
{
    class_free(*slot);
    *slot = NULL;
}

struct class *class_dup(const struct class *c)
{
    struct class *copy = xcalloc(1, sizeof(*copy));

    copy->name = xstrdup(c->name);
    copy->ns = xstrdup(c->ns);
    copy->provider = xstrdup(c->provider);
    copy->stamp = c->stamp ? xstrdup(c->stamp) : NULL;
    pairs_copy(&copy->parameters, &c->parameters);
    pairs_copy(&copy->annotations, &c->annotations);
    copy->has_parameters = c->has_parameters;
    copy->rotation_interval_ms = c->rotation_interval_ms;
    secret_objects_copy(&copy->secret_objects, &c->secret_objects);
    return copy;
}

int class_not_found(const char *ns, const char *name, struct error *err)
{
    (void)error_set(err, CODE_NOT_FOUND,
                    "failed to get secretproviderclass %s/%s, error: "
                    "secretproviderclasses.secrets-store.csi.x-k8s.io \"%s\" not found",
                    ns, name, name);
    return error_reason(err, "SecretProviderClassNotFound");
}

bool class_same(const struct class *a, const struct class *b)
{
    return strcmp(a->provider, b->provider) == 0 && pairs_same(&a->parameters, &b->parameters) &&
           a->rotation_interval_ms == b->rotation_interval_ms &&
           secret_objects_same(&a->secret_objects, &b->secret_objects);
}

bool class_provider_is_named_well(const char *provider)
{
    size_t len = strlen(provider);

    for (size_t i = 0; i < len; i++) {
        char ch = provider[i];

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') && !(ch >= '0' && ch <= '9') &&
            ch != '-' && ch != '_')
            return false;
    }
    return len > 0 && len <= PROVIDER_NAME_MAX;
}

int class_check(const struct class *c, struct error *err)
{
    if (!*c->provider)
        return error_set(err, CODE_INVALID_ARGUMENT, "provider not set in %s/%s", c->ns, c->name);
    if (!class_provider_is_named_well(c->provider))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "invalid provider \"%.60s\" in %s/%s: 1 to %d of letters, digits, '-' "
                         "and '_'",
                         c->provider, c->ns, c->name, PROVIDER_NAME_MAX);
    if (!c->has_parameters)
        return error_set(err, CODE_INVALID_ARGUMENT, "parameters not set in %s/%s", c->ns, c->name);
    return 0;
}
