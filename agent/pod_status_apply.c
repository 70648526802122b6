/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pod_status_apply.h"

#include "agent/pod_status_object.h"

void pod_status_write_done(struct pod_status_write *j)
{
    strbuf_done(&j->body);
    free(j->path);
    free(j->pod_name);
    free(j->pod_uid);
}

static int patch(const struct pod_status_write *j, const char *type, const struct strbuf *body,
                 const char *query, struct error *err)
{
    autofree char *path = str_printf("%s%s", j->path, query);
    struct kube_request request = {
        .method = "PATCH", .path = path, .type = type, .body = body, .cancel = j->cancel
    };

    return kube_call(j->api, &request, NULL, err);
}

/* Is the pod its only owner, or one of none, or is there another? */
enum whose { NOBODYS, OURS, OF_ANOTHER };

static enum whose whose_is(const struct pod_status_write *j, const struct tree *object)
{
    const struct tree *owners = tree_get(tree_get(object, "metadata"), "ownerReferences");
    enum whose whose = NOBODYS;

    for (const struct tree *t = owners ? owners->child : NULL; t; t = t->next) {
        const char *uid = tree_get_text(t, "uid");

        if (!uid || strcmp(uid, j->pod_uid) != 0)
            return OF_ANOTHER;
        whose = OURS;
    }
    return whose;
}

static void read_objects(const struct tree *object, struct object_list *ret)
{
    const struct tree *objects = tree_get(tree_get(object, "status"), "objects");

    ret->items = xcalloc(POD_STATUS_SHOWN_MAX, sizeof(*ret->items));
    for (const struct tree *t = objects ? objects->child : NULL;
         t && ret->count < POD_STATUS_SHOWN_MAX; t = t->next) {
        const char *id = tree_get_text(t, "id");
        const char *version = tree_get_text(t, "version");

        if (id && version)
            ret->items[ret->count++] = (struct object_version){ xstrdup(id), xstrdup(version) };
    }
    ret->items = xrealloc(ret->items, (ret->count + 1) * sizeof(*ret->items));
}

int pod_status_look(const struct pod_status_write *j, bool *ret_found, struct object_list *ret,
                    struct error *err)
{
    struct tree *object autotree = NULL;
    struct strbuf body autostrbuf = { 0 };
    struct error mine = { 0 };
    const char *version;
    struct pod_status_facts facts = { .node_label = j->node_label,
                                      .pod_name = j->pod_name,
                                      .pod_uid = j->pod_uid };

    *ret_found = false;
    if (kube_get(j->api, j->path, j->cancel, &object, &mine) < 0)
        return mine.code == CODE_NOT_FOUND ? 0 : error_copy(err, &mine);
    version = kube_meta(object, "resourceVersion");
    switch (whose_is(j, object)) {
    case OURS:
        *ret_found = true;
        read_objects(object, ret);
        return 0;
    case NOBODYS:
        return 0;
    case OF_ANOTHER:
        break;
    }
    if (!version)
        return 0;
    pod_status_own(&facts, version, &body);
    return patch(j, KUBE_TYPE_JSON_PATCH, &body, "", err);
}

int pod_status_apply(const struct pod_status_write *j, struct error *err)
{
    return patch(j, KUBE_TYPE_APPLY, &j->body, "?fieldManager=locket&force=true", err);
}
