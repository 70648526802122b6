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

static bool is_foreign(const struct pod_status_write *j, const struct tree *object)
{
    const struct tree *owners = tree_get(tree_get(object, "metadata"), "ownerReferences");

    for (const struct tree *t = owners ? owners->child : NULL; t; t = t->next) {
        const char *uid = tree_get_text(t, "uid");

        if (!uid || strcmp(uid, j->pod_uid) != 0)
            return true;
    }
    return false;
}

/* An object of this name may be left of an earlier pod that was called the same (a StatefulSet's):
 * with its owner it would be collected, so that one goes. */
static int look(const struct pod_status_write *j, struct error *err)
{
    struct tree *object autotree = NULL;
    struct strbuf body autostrbuf = { 0 };
    struct error mine = { 0 };
    const char *version;
    struct pod_status_facts facts = { .node_label = j->node_label,
                                      .pod_name = j->pod_name,
                                      .pod_uid = j->pod_uid };

    if (kube_get(j->api, j->path, j->cancel, &object, &mine) < 0)
        return mine.code == CODE_NOT_FOUND ? 0 : error_copy(err, &mine);
    version = kube_meta(object, "resourceVersion");
    if (!version || !is_foreign(j, object))
        return 0;
    pod_status_own(&facts, version, &body);
    return patch(j, KUBE_TYPE_JSON_PATCH, &body, "", err);
}

int pod_status_apply(const struct pod_status_write *j, struct error *err)
{
    if (!j->looked && look(j, err) < 0)
        return -1;
    return patch(j, KUBE_TYPE_APPLY, &j->body, "?fieldManager=locket&force=true", err);
}
