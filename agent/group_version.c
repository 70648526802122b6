/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/group_version.h"

#include <pthread.h>

#include "lib/base/clock.h"

struct group_version {
    struct kube_api *api;
    struct cancel cancel;
    pthread_mutex_t lock; /* leaf */
    const char *version;  /* guarded by lock, as all below; NULL: not known yet */
    int64_t asked_ms;     /* 0: never */
};

struct group_version *group_version_new(struct kube_api *api)
{
    struct group_version *gv = xcalloc(1, sizeof(*gv));

    gv->api = api;
    cancel_init(&gv->cancel);
    (void)pthread_mutex_init(&gv->lock, NULL);
    return gv;
}

void group_version_free(struct group_version *gv)
{
    if (!gv)
        return;
    cancel_done(&gv->cancel);
    (void)pthread_mutex_destroy(&gv->lock);
    free(gv);
}

void group_version_end(struct group_version *gv)
{
    cancel_raise(&gv->cancel);
}

static bool serves(const struct tree *group, const char *version)
{
    const struct tree *versions = tree_get(group, "versions");

    for (const struct tree *t = versions ? versions->child : NULL; t; t = t->next) {
        const char *its = tree_get_text(t, "version");

        if (its && strcmp(its, version) == 0)
            return true;
    }
    return false;
}

void group_version_learn(struct group_version *gv)
{
    const struct kube_request request = { .method = "GET",
                                          .path = "/apis/" CLASS_GROUP,
                                          .timeout_ms = GROUP_VERSION_CALL_MS,
                                          .cancel = &gv->cancel };
    struct tree *group autotree = NULL;
    int64_t now = clock_mono_ms();
    bool answered;
    bool due;

    (void)pthread_mutex_lock(&gv->lock);
    due = !gv->version && (!gv->asked_ms || now - gv->asked_ms > GROUP_VERSION_PAUSE_MS);
    gv->asked_ms = due ? now : gv->asked_ms;
    (void)pthread_mutex_unlock(&gv->lock);
    if (!due)
        return;
    answered = kube_call(gv->api, &request, &group, NULL) == 0;
    (void)pthread_mutex_lock(&gv->lock);
    gv->asked_ms = clock_mono_ms(); /* the pause is after a call that took its whole time */
    if (answered)
        gv->version = !serves(group, "v1") && serves(group, "v1alpha1") ? "v1alpha1" : "v1";
    (void)pthread_mutex_unlock(&gv->lock);
}

const char *group_version_get(struct group_version *gv)
{
    const char *version;

    (void)pthread_mutex_lock(&gv->lock);
    version = gv->version ? gv->version : "v1";
    (void)pthread_mutex_unlock(&gv->lock);
    return version;
}
