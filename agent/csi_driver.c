/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/csi_driver.h"

#include "agent/kube_watch.h"
#include "lib/base/crypto.h"
#include "lib/base/encode.h"

enum { DIGEST_BYTES = 8 };

typedef Locket__Cluster__V1__CsiDriver Facts;

struct csi_driver {
    struct kube_watch *watch;
    void (*changed)(void *arg, const Facts *facts);
    void *arg;
    bool seen; /* the watch's thread's own: in the list that it is in */
};

/* A member of spec that is true; absent counts as what the API server would have written. */
static bool is_true(const struct tree *spec, const char *field)
{
    const struct tree *t = tree_get(spec, field);

    return t && t->kind == TREE_BOOL && t->truth;
}

static void read_audiences(const struct tree *requests, Facts *f)
{
    size_t count = requests && requests->kind == TREE_LIST ? tree_count(requests) : 0;
    const struct tree *t = count ? requests->child : NULL;

    f->audiences = xcalloc(count + 1, sizeof(*f->audiences));
    for (; t && f->n_audiences < CSI_DRIVER_AUDIENCES_MAX; t = t->next) {
        const char *audience = tree_get_text(t, "audience");

        f->audiences[f->n_audiences++] = xstrdup(audience ? audience : "");
    }
}

/* So that who has been told the same is not told again. */
static char *digest_of(const Facts *f)
{
    uint8_t digest[SHA256_BYTES] = { 0 };
    struct strbuf text autostrbuf = { 0 };
    struct strbuf out autostrbuf = { 0 };

    strbuf_printf(&text, "%d %d %d %d", f->exists, f->pod_info_on_mount, f->requires_republish,
                  f->token_in_secrets);
    for (size_t i = 0; i < f->n_audiences; i++)
        strbuf_printf(&text, " %zu:%s", strlen(f->audiences[i]), f->audiences[i]);
    (void)!sha256(text.text, text.len, digest, NULL);
    hex_encode(&out, digest, DIGEST_BYTES);
    return strbuf_take(&out);
}

Facts *csi_driver_read(const struct tree *object)
{
    const struct tree *spec = tree_get(object, "spec");
    Facts *f = xmalloc(sizeof(*f));

    locket__cluster__v1__csi_driver__init(f);
    f->exists = object != NULL;
    f->pod_info_on_mount = is_true(spec, "podInfoOnMount");
    f->requires_republish = is_true(spec, "requiresRepublish");
    f->token_in_secrets = is_true(spec, "serviceAccountTokenInSecrets");
    read_audiences(tree_get(spec, "tokenRequests"), f);
    f->digest = digest_of(f);
    return f;
}

static void tell(struct csi_driver *d, const struct tree *object)
{
    Facts *facts = csi_driver_read(object);

    d->changed(d->arg, facts);
    locket__cluster__v1__csi_driver__free_unpacked(facts, NULL);
}

static void on_event(void *arg, enum kube_event event, const struct tree *object)
{
    struct csi_driver *d = arg;

    if (event == KUBE_BEGIN)
        d->seen = false;
    else if (event == KUBE_OBJECT) {
        d->seen = true;
        tell(d, object);
    } else if (event == KUBE_DELETED || !d->seen)
        tell(d, NULL);
}

struct csi_driver *csi_driver_new(struct kube_api *api, const char *name,
                                  void (*changed)(void *arg, const Facts *facts), void *arg)
{
    struct csi_driver *d = xcalloc(1, sizeof(*d));
    struct strbuf query autostrbuf = { 0 };
    struct kube_watch_config config = {
        .api = api, .path = "/apis/storage.k8s.io/v1/csidrivers", .event = on_event, .arg = d
    };

    strbuf_add_text(&query, "fieldSelector=metadata.name%3D");
    url_encode(&query, name, false);
    config.query = strbuf_text(&query);
    d->changed = changed;
    d->arg = arg;
    d->watch = kube_watch_start(&config);
    return d;
}

void csi_driver_free(struct csi_driver *driver)
{
    if (!driver)
        return;
    kube_watch_stop(driver->watch);
    free(driver);
}
