/* SPDX-License-Identifier: Apache-2.0
 *
 * Classes and the pods that mount them: audiences, overrides, secretRefs, providers that write.
 */
#include "ctl/migrate.h"
#include "lib/model/params.h"

enum { WANTS_MAX = 1000, NAMES_SHOWN = 3 };

/* What a provider may log in with besides a token for an audience. */
#define NO_TOKEN "no token"
#define UNKNOWN "an audience that is its own matter"

/* --- audiences ---------------------------------------------------------------------------------
 */

static bool is_on(const struct class *c, const char *name)
{
    const char *text = pairs_get(&c->parameters, name);
    bool on = false;

    return text && param_bool(name, text, &on, NULL) == 0 && on;
}

static const char *text_of(const struct class *c, const char *name)
{
    const char *text = pairs_get(&c->parameters, name);

    return text ? text : "";
}

static const char *of_vault(const struct class *c)
{
    const char *audience = text_of(c, "audience");

    return *audience ? audience : "vault";
}

static const char *of_aws(const struct class *c)
{
    return is_on(c, "usePodIdentity") ? "pods.eks.amazonaws.com" : "sts.amazonaws.com";
}

static const char *of_azure(const struct class *c)
{
    if (is_on(c, "useAzureTokenProxy"))
        return "api://AKSIdentityBinding";
    return *text_of(c, "clientID") ? "api://AzureADTokenExchange" : NO_TOKEN;
}

/* The pool is the cluster's own, or a federation's: the class does not say which. */
static const char *of_gcp(const struct class *c)
{
    return strcmp(text_of(c, "auth"), "provider-adc") == 0 ? NO_TOKEN : UNKNOWN;
}

/* What each provider logs in with. Source: the providers' own documentation and sources. */
static const struct {
    const char *provider;
    const char *(*audience)(const struct class *c);
    bool ours; /* Locket's own takes its place, and asks for no token where it is not told to */
} logins[] = {
    { "vault", of_vault, true },  { "openbao", of_vault, true }, { "aws", of_aws, false },
    { "azure", of_azure, false }, { "gcp", of_gcp, false },      { "gke", of_gcp, false },
};

/* One provider's wish for one audience, and the classes behind it. */
struct want {
    const char *provider;
    const char *audience;
    size_t classes;
    char *names; /* the first of them */
};

struct wants {
    struct want rows[WANTS_MAX];
    size_t count;
};

static void want(struct wants *w, const struct class *c, const char *audience)
{
    struct want *row = NULL;
    char *names;

    for (size_t i = 0; i < w->count && !row; i++)
        if (strcmp(w->rows[i].provider, c->provider) == 0 &&
            strcmp(w->rows[i].audience, audience) == 0)
            row = &w->rows[i];
    if (!row) {
        if (w->count == WANTS_MAX)
            return;
        row = &w->rows[w->count++];
        *row = (struct want){ .provider = c->provider, .audience = audience };
    }
    if (row->classes++ >= NAMES_SHOWN)
        return;
    names = str_printf("%s%s%s/%s", row->names ? row->names : "", row->names ? ", " : "", c->ns,
                       c->name);
    free(row->names);
    row->names = names;
}

static bool is_sent(const struct migrate *m, const char *audience)
{
    const struct tree *list = tree_get(tree_get(m->objects.csi_driver, "spec"), "tokenRequests");

    for (const struct tree *t = list ? list->child : NULL; t; t = t->next)
        if (str_same(tree_get_text(t, "audience"), audience))
            return true;
    return false;
}

static bool is_ours(const char *provider)
{
    for (size_t i = 0; i < COUNT_OF(logins); i++)
        if (strcmp(logins[i].provider, provider) == 0)
            return logins[i].ours;
    return false;
}

/* Source: components/minting/admission.yaml, which lets nobody mint for the API server itself. */
static const char *till_it_is_sent(const struct want *w)
{
    if (!is_ours(w->provider))
        return "";
    return strstr(w->audience, "kubernetes.default") ? "; for the API server nothing is minted"
                                                     : "; until then the component minting asks";
}

static void say_want(struct migrate *m, const struct want *w)
{
    bool named = strcmp(w->audience, NO_TOKEN) != 0 && strcmp(w->audience, UNKNOWN) != 0;
    char *about = str_printf("%s, %s%.200s", w->provider, named ? "audience " : "", w->audience);
    char *who = str_printf("%zu class%s: %s%s", w->classes, w->classes == 1 ? "" : "es", w->names,
                           w->classes > NAMES_SHOWN ? ", ..." : "");

    if (strcmp(w->audience, UNKNOWN) == 0)
        migrate_say(m, VERDICT_NOTE, about, who,
                    xstrdup("see its documentation; a Google pool is PROJECT.svc.id.goog. It must "
                            "be in tokenRequests unless the provider asks for tokens itself"));
    else if (!named || is_sent(m, w->audience))
        migrate_say(m, VERDICT_OK, about, who, xstrdup(""));
    else
        migrate_say(m, VERDICT_DUE, about, who,
                    str_printf("add \"- audience: %.200s\" to tokenRequests of the CSIDriver%s",
                               w->audience, till_it_is_sent(w)));
}

static const char *audience_of(const struct class *c)
{
    for (size_t i = 0; i < COUNT_OF(logins); i++)
        if (strcmp(logins[i].provider, c->provider) == 0)
            return logins[i].audience(c);
    return UNKNOWN;
}

void migrate_check_audiences(struct migrate *m)
{
    struct wants *w = xcalloc(1, sizeof(*w));
    const struct pairs *bad = &m->objects.unreadable;

    for (size_t i = 0; i < m->objects.class_count; i++)
        want(w, m->objects.classes[i], audience_of(m->objects.classes[i]));
    for (size_t i = 0; i < w->count; i++) {
        say_want(m, &w->rows[i]);
        free(w->rows[i].names);
    }
    free(w);
    for (size_t i = 0; i < bad->count; i++)
        migrate_say(m, VERDICT_DUE, xstrdup(bad->items[i].key), xstrdup(bad->items[i].value),
                    xstrdup("correct the class; locketctl validate tells every mistake"));
}

/* --- what pods set beside their class ----------------------------------------------------------
 */

static const struct class *class_of(const struct migrate *m, const struct tree *object,
                                    const char *name)
{
    const char *ns = tree_get_text(tree_get(object, "metadata"), "namespace");

    for (size_t i = 0; name && i < m->objects.class_count; i++)
        if (strcmp(m->objects.classes[i]->name, name) == 0 &&
            strcmp(m->objects.classes[i]->ns, ns ? ns : "default") == 0)
            return m->objects.classes[i];
    return NULL;
}

static void override(struct migrate *m, const struct tree *object, const struct tree *volume)
{
    const struct tree *attributes = tree_get(tree_get(volume, "csi"), "volumeAttributes");
    const char *name = tree_get_text(attributes, "secretProviderClass");
    const struct class *c = class_of(m, object, name);

    if (!c) {
        migrate_say(m, VERDICT_NOTE, migrate_name_of(object),
                    str_printf("mounts class %.253s, which is not among the objects",
                               name ? name : "(none)"),
                    xstrdup("give the classes of its namespace, too"));
        return;
    }
    for (const struct tree *a = attributes->child; a; a = a->next) {
        const char *own = pairs_get(&c->parameters, a->key);
        bool trusted = params_is_trusted(c->provider, a->key);

        if (!own || !a->text || strcmp(own, a->text) == 0)
            continue;
        migrate_say(m, VERDICT_DUE, migrate_name_of(object),
                    str_printf("volumeAttributes.%.100s differs from class %s/%s: refused by "
                               "--attribute-override=deny",
                               a->key, c->ns, c->name),
                    str_printf("remove it, or give it a class of its own, or start the driver with "
                               "--attribute-override=%s",
                               trusted ? "allow" : "warn"));
    }
}

void migrate_check_overrides(struct migrate *m)
{
    migrate_each_volume(m, override);
}

static void secret_ref(struct migrate *m, const struct tree *object, const struct tree *volume)
{
    const struct tree *ref = tree_get(tree_get(volume, "csi"), "nodePublishSecretRef");
    const char *name = tree_get_text(ref, "name");

    if (name)
        migrate_say(m, VERDICT_NOTE, migrate_name_of(object),
                    str_printf("logs in with Secret %.253s", name),
                    xstrdup("goes on; after a restart of the driver it is refreshed once kubelet "
                            "has published it again"));
}

void migrate_check_secret_refs(struct migrate *m)
{
    migrate_each_volume(m, secret_ref);
}

/* --- providers that write ----------------------------------------------------------------------
 */

static bool has_flag(const struct tree *container, const char *name)
{
    const struct tree *args = tree_get(container, "args");

    for (const struct tree *a = args ? args->child : NULL; a; a = a->next) {
        const char *text = a->text ? a->text + strspn(a->text, "-") : "";

        if (str_starts(text, name) && !text[strlen(name)])
            return true;
        if (str_starts(text, name) && strcmp(text + strlen(name), "=true") == 0)
            return true;
    }
    return false;
}

/* The AWS provider's DaemonSet, by its image; NULL: not among the objects. */
static const struct tree *aws_provider(const struct migrate *m, const struct tree **ret_container)
{
    for (size_t i = 0; i < m->objects.daemonset_count; i++) {
        const struct tree *list =
            tree_get(migrate_pod_spec(m->objects.daemonsets[i]), "containers");

        for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
            const char *image = tree_get_text(c, "image");

            if (image && strstr(image, "provider-aws")) {
                *ret_container = c;
                return m->objects.daemonsets[i];
            }
        }
    }
    return NULL;
}

void migrate_check_writers(struct migrate *m)
{
    const struct tree *container = NULL;
    const struct tree *daemonset = aws_provider(m, &container);
    size_t classes = 0;

    for (size_t i = 0; i < m->objects.class_count; i++)
        classes += strcmp(m->objects.classes[i]->provider, "aws") == 0;
    if (!classes && !daemonset)
        return;
    if (daemonset && has_flag(container, "driver-writes-secrets")) {
        migrate_say(m, VERDICT_OK, migrate_name_of(daemonset),
                    xstrdup("returns files: the driver swaps them in one step"), xstrdup(""));
        return;
    }
    migrate_say(m, VERDICT_NOTE, daemonset ? migrate_name_of(daemonset) : xstrdup("provider aws"),
                xstrdup("writes into volumes itself: rotations are not one step, files are root's"),
                xstrdup("goes on as before; start the provider with -driver-writes-secrets to have "
                        "both"));
}
