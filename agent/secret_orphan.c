/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_orphan.h"

#include "agent/kube_owner.h"
#include "agent/secret_object.h"
#include "lib/base/log.h"

/* *ret NULL: it is not there. */
static int look(const struct secret_orphan *o, const char *path, struct tree **ret,
                struct error *err)
{
    struct kube_request request = {
        .method = "GET", .path = path, .cancel = o->cancel, .sensitive = true
    };
    struct error mine = { 0 };

    if (kube_call(o->api, &request, ret, &mine) == 0 || mine.code == CODE_NOT_FOUND)
        return 0;
    return error_copy(err, &mine);
}

/* That version alone: an owner that came meanwhile makes it another. */
static int own(const struct secret_orphan *o, const char *base, const char *version,
               struct error *err)
{
    const struct kube_owner pod = { .api_version = (char *)"v1",
                                    .kind = (char *)"Pod",
                                    .name = (char *)o->pod_name,
                                    .uid = (char *)o->pod_uid };
    autofree char *path = str_printf("%s?fieldManager=" SECRET_MANAGER, base);
    autofree char *whole = str_printf("%s/%s", o->ns, o->secret);
    struct strbuf body autostrbuf = { 0 };
    struct kube_request request = {
        .method = "PATCH",
        .path = path,
        .type = KUBE_TYPE_STRATEGIC,
        .body = &body,
        .cancel = o->cancel,
        .sensitive = true, /* the answer is the whole Secret */
    };

    kube_owner_patch(&pod, version, &body);
    if (kube_call(o->api, &request, NULL, err) < 0)
        return -1;
    log_event(LOG_INFO, "a Secret that nobody owned is given the pod that left, and goes with it",
              WITH_TEXT(KEY_SECRET, whole), WITH_TEXT(KEY_CLASS, o->class_name),
              WITH_TEXT(KEY_POD, o->pod_name));
    return 0;
}

int secret_orphan_look(const struct secret_orphan *orphan, char **ret_seen, struct error *err)
{
    autofree char *path = secret_object_path(orphan->ns, orphan->secret);
    struct tree *live autotree = NULL;
    const char *version;

    *ret_seen = NULL;
    if (look(orphan, path, &live, err) < 0)
        return -1;
    version = live ? kube_meta(live, "resourceVersion") : NULL;
    if (!version || !secret_is_orphan(live, orphan->class_name))
        return 0;
    if (str_same(orphan->seen, version))
        return own(orphan, path, version, err);
    *ret_seen = xstrdup(version);
    return 0;
}
