/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kube_owner.h"

#include "lib/base/json.h"

void kube_owners_done(struct kube_owners *owners)
{
    for (size_t i = 0; i < owners->count; i++) {
        free(owners->list[i].api_version);
        free(owners->list[i].kind);
        free(owners->list[i].name);
        free(owners->list[i].uid);
    }
    free(owners->list);
    *owners = (struct kube_owners){ 0 };
}

void kube_owners_add(struct kube_owners *owners, const struct kube_owner *owner)
{
    owners->list = xrealloc(owners->list, (owners->count + 1) * sizeof(*owners->list));
    owners->list[owners->count++] = (struct kube_owner){
        .api_version = xstrdup(owner->api_version),
        .kind = xstrdup(owner->kind),
        .name = xstrdup(owner->name),
        .uid = xstrdup(owner->uid),
    };
}

static const struct tree *references(const struct tree *object)
{
    const struct tree *list = tree_get(tree_get(object, "metadata"), "ownerReferences");

    return list ? list->child : NULL;
}

struct kube_owners kube_owners_of(const struct tree *object)
{
    struct kube_owners owners = { 0 };

    for (const struct tree *t = references(object); t && owners.count < KUBE_OWNERS_MAX;
         t = t->next) {
        const struct kube_owner owner = {
            .api_version = (char *)tree_get_text(t, "apiVersion"),
            .kind = (char *)tree_get_text(t, "kind"),
            .name = (char *)tree_get_text(t, "name"),
            .uid = (char *)tree_get_text(t, "uid"),
        };

        if (owner.api_version && owner.kind && owner.name && owner.uid)
            kube_owners_add(&owners, &owner);
    }
    return owners;
}

struct kube_owners kube_owners_copy(const struct kube_owners *owners)
{
    struct kube_owners copy = { 0 };

    for (size_t i = 0; i < owners->count; i++)
        kube_owners_add(&copy, &owners->list[i]);
    return copy;
}

bool kube_owners_has(const struct tree *object, const char *uid)
{
    for (const struct tree *t = references(object); t; t = t->next) {
        const char *its = tree_get_text(t, "uid");

        if (its && strcmp(its, uid) == 0)
            return true;
    }
    return false;
}

static void add_text(struct strbuf *out, const char *before, const char *text)
{
    strbuf_add_text(out, before);
    json_add_text(out, text, strlen(text));
}

void kube_owner_patch(const struct kube_owner *owner, const char *version, struct strbuf *out)
{
    strbuf_add_text(out, "{\"metadata\":{");
    if (version) {
        add_text(out, "\"resourceVersion\":", version);
        strbuf_add_char(out, ',');
    }
    add_text(out, "\"ownerReferences\":[{\"apiVersion\":", owner->api_version);
    add_text(out, ",\"kind\":", owner->kind);
    add_text(out, ",\"name\":", owner->name);
    add_text(out, ",\"uid\":", owner->uid);
    strbuf_add_text(out, "}]}}");
}
