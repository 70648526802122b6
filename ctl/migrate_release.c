/* SPDX-License-Identifier: Apache-2.0
 *
 * The release that is there: how it was installed, what it was told, what kubelet was told of it.
 */
#include "ctl/migrate.h"

#define STATIC_LABEL "csi-secrets-store"
#define CHART_LABEL "secrets-store-csi-driver"
#define KUBELET_ROOT "/var/lib/kubelet"

/* --- the DaemonSet -----------------------------------------------------------------------------
 */

/* The container of the driver before, by the names that its manifests and chart give. */
static const struct tree *driver_container(const struct tree *daemonset)
{
    const struct tree *list = tree_get(migrate_pod_spec(daemonset), "containers");

    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        const char *image = tree_get_text(c, "image");

        if (str_same(tree_get_text(c, "name"), "secrets-store") ||
            (image && strstr(image, "csi-secrets-store/driver")))
            return c;
    }
    return NULL;
}

static bool is_windows(const struct tree *daemonset)
{
    const struct tree *selector = tree_get(migrate_pod_spec(daemonset), "nodeSelector");

    return str_same(tree_get_text(selector, "kubernetes.io/os"), "windows");
}

/* Of static manifests nobody else keeps what the driver of Windows lives on. */
static char *keep_rights(const struct tree *daemonset)
{
    const char *account = tree_get_text(migrate_pod_spec(daemonset), "serviceAccountName");

    return str_printf("keep ServiceAccount %.253s and the roles of the driver before",
                      account ? account : "default");
}

static void say_release(struct migrate *m, const struct tree *daemonset)
{
    const struct tree *meta = tree_get(daemonset, "metadata");
    const char *label = tree_get_text(
        tree_get(tree_get(tree_get(daemonset, "spec"), "selector"), "matchLabels"), "app");
    const char *release = tree_get_text(tree_get(meta, "annotations"), "meta.helm.sh/release-name");
    const char *ns = tree_get_text(meta, "namespace");
    char *about = migrate_name_of(daemonset);

    if (is_windows(daemonset))
        migrate_say(m, VERDICT_NOTE, about, xstrdup("serves Windows; stays as it is"),
                    release ? xstrdup("set windows.enabled=true") : keep_rights(daemonset));
    else if (release)
        migrate_say(m, VERDICT_OK, about, str_printf("of the Helm release %.63s", release),
                    str_printf("helm upgrade %.63s deploy/chart --namespace=%.63s "
                               "--reset-then-reuse-values",
                               release, ns ? ns : "default"));
    else if (str_same(label, STATIC_LABEL) && str_same(ns, "kube-system"))
        migrate_say(m, VERDICT_OK, about, xstrdup("of static manifests"),
                    xstrdup("apply deploy/daemonset/overlays/migration over it"));
    else
        migrate_say(m, VERDICT_DUE, about,
                    str_printf("selects app: %.63s; a selector cannot be changed",
                               label ? label : "(nothing)"),
                    xstrdup("make an overlay with its name, namespace and selector, or remove it "
                            "when its nodes are drained"));
}

static bool has_release(const struct migrate *m)
{
    for (size_t i = 0; i < m->objects.daemonset_count; i++)
        if (driver_container(m->objects.daemonsets[i]))
            return true;
    return false;
}

void migrate_check_release(struct migrate *m)
{
    for (size_t i = 0; i < m->objects.daemonset_count; i++)
        if (driver_container(m->objects.daemonsets[i]))
            say_release(m, m->objects.daemonsets[i]);
    if (!has_release(m))
        migrate_say(m, VERDICT_NOTE, xstrdup("DaemonSet"),
                    xstrdup("none of the driver before is among the objects"),
                    xstrdup("is it installed? give the DaemonSets of its namespace, too"));
}

/* --- its flags ---------------------------------------------------------------------------------
 */

enum fate { FATE_SAME, FATE_AGENTS, FATE_NONE };

/* Source: the flags of secrets-store-csi-driver 1.6 and of releases before. */
static const struct {
    const char *name;
    enum fate fate;
} flags[] = {
    { "endpoint", FATE_SAME },
    { "drivername", FATE_SAME },
    { "nodeid", FATE_SAME },
    { "log-format-json", FATE_SAME },
    { "v", FATE_SAME },
    { "provider-volume", FATE_SAME },
    { "additional-provider-volume-paths", FATE_SAME },
    { "enable-secret-rotation", FATE_SAME },
    { "rotation-poll-interval", FATE_SAME },
    { "max-call-recv-msg-size", FATE_SAME },
    { "metrics-addr", FATE_AGENTS },
    { "metrics-backend", FATE_NONE },
    { "enable-pprof", FATE_NONE },
    { "pprof-port", FATE_NONE },
    { "provider-health-check", FATE_NONE },
    { "provider-health-check-interval", FATE_NONE },
    { "kubeconfig", FATE_NONE },
    { "filtered-watch-secret", FATE_NONE },
    { "min-provider-version", FATE_NONE },
    { "vmodule", FATE_NONE },
    { "logtostderr", FATE_NONE },
    { "alsologtostderr", FATE_NONE },
    { "stderrthreshold", FATE_NONE },
    { "log_dir", FATE_NONE },
    { "log_file", FATE_NONE },
    { "log_file_max_size", FATE_NONE },
    { "log_backtrace_at", FATE_NONE },
    { "add_dir_header", FATE_NONE },
    { "skip_headers", FATE_NONE },
    { "skip_log_headers", FATE_NONE },
    { "one_output", FATE_NONE },
};

/* What our manifests say already, so that nothing needs to be carried over. */
static const struct {
    const char *name;
    const char *value;
} usual[] = {
    { "drivername", MIGRATE_DRIVER },
    { "provider-volume", "/var/run/secrets-store-csi-providers" },
    { "additional-provider-volume-paths", "/etc/kubernetes/secrets-store-csi-providers" },
    { "enable-secret-rotation", "true" },
    { "enable-secret-rotation", "" },
    { "rotation-poll-interval", "2m" },
    { "max-call-recv-msg-size", "4194304" },
    { "metrics-addr", ":8095" },
    { "log-format-json", "false" },
    { "v", "0" },
};

static bool is_usual(const char *name, const char *value)
{
    if (strcmp(name, "endpoint") == 0 || strcmp(name, "nodeid") == 0)
        return true; /* the manifests say their own */
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        if (strcmp(usual[i].name, name) == 0 && strcmp(usual[i].value, value) == 0)
            return true;
    return false;
}

static void say_flag(struct migrate *m, const char *name, const char *value)
{
    char *about = str_printf("--%.63s%s%.200s", name, *value ? "=" : "", value);

    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        if (strcmp(flags[i].name, name) != 0)
            continue;
        if (flags[i].fate == FATE_NONE)
            migrate_say(m, VERDICT_NOTE, about, xstrdup("has no effect on this driver"),
                        xstrdup("leave it out"));
        else if (is_usual(name, value))
            migrate_say(m, VERDICT_OK, about, xstrdup("is what the manifests say"), xstrdup(""));
        else
            migrate_say(m, VERDICT_DUE, about, xstrdup("differs from what the manifests say"),
                        str_printf("carry it over to the %s", flags[i].fate == FATE_AGENTS
                                                                  ? "agent's arguments"
                                                                  : "driver's arguments"));
        return;
    }
    migrate_say(m, VERDICT_DUE, about, xstrdup("is unknown: the driver would not start with it"),
                xstrdup("leave it out"));
}

/* "--name=value", "--name value" (a switch's is no word of its own), "-v=2". */
static const struct tree *read_flag(struct migrate *m, const struct tree *arg)
{
    const char *text = arg->text ? arg->text : "";
    const char *name = text + strspn(text, "-");
    const char *equals = strchr(name, '=');
    autofree char *bare = xstrndup(name, equals ? (size_t)(equals - name) : strlen(name));
    const struct tree *next = arg->next;
    bool takes_next = !equals && next && next->text && *next->text != '-';

    if (name == text)
        return next; /* a word that is no flag */
    say_flag(m, bare, equals ? equals + 1 : takes_next ? next->text : "");
    return takes_next ? next->next : next;
}

void migrate_check_flags(struct migrate *m)
{
    for (size_t i = 0; i < m->objects.daemonset_count; i++) {
        const struct tree *c = driver_container(m->objects.daemonsets[i]);
        const struct tree *args = tree_get(c, "args");
        const struct tree *arg = args ? args->child : NULL;

        while (arg && !is_windows(m->objects.daemonsets[i]))
            arg = read_flag(m, arg);
    }
}

/* --- what its account may do -------------------------------------------------------------------
 */

/* Roles that drivers before need and ours does not. Source: the manifests of releases before 1.6;
 * deploy/daemonset/components/old-driver. */
static const struct {
    const char *name;
    const char *detail;
} old_rights[] = {
    { "secretproviderrotation-role", "lets the agents' account read all Secrets" },
    { "secretproviderrotation-rolebinding", "lets the agents' account read all Secrets" },
    { "secretprovidertokenrequest-role", "lets the agents' account ask for anybody's tokens" },
    { "secretprovidertokenrequest-rolebinding",
      "lets the agents' account ask for anybody's tokens" },
    { "locket-old-driver-role", "lets the agents' account do what drivers before did" },
    { "locket-old-driver-rolebinding", "lets the agents' account do what drivers before did" },
    { "locket-old-driver-syncing-role", "lets the agents' account read all Secrets" },
    { "locket-old-driver-syncing-rolebinding", "lets the agents' account read all Secrets" },
};

static void say_right(struct migrate *m, const struct tree *role)
{
    const struct tree *meta = tree_get(role, "metadata");
    const char *name = tree_get_text(meta, "name");
    bool of_helm = tree_get_text(tree_get(meta, "annotations"), "meta.helm.sh/release-name");

    for (size_t i = 0; i < COUNT_OF(old_rights); i++)
        if (str_same(name, old_rights[i].name))
            migrate_say(m, VERDICT_NOTE, migrate_name_of(role), xstrdup(old_rights[i].detail),
                        of_helm ? xstrdup("once no node runs a driver before: "
                                          "helm upgrade --set locket.oldDriver=false")
                                : str_printf("once no node runs a driver before: kubectl delete "
                                             "%s %s",
                                             str_same(tree_get_text(role, "kind"), "ClusterRole")
                                                 ? "clusterrole"
                                                 : "clusterrolebinding",
                                             name));
}

/* While a DaemonSet of the driver before is there, on whatever system, its rights are not left
 * over. Where no DaemonSet was given, nobody can tell. */
void migrate_check_rights(struct migrate *m)
{
    if (has_release(m) || !m->objects.daemonset_count)
        return;
    for (size_t i = 0; i < m->objects.role_count; i++)
        say_right(m, m->objects.roles[i]);
}

/* --- what kubelet is told ----------------------------------------------------------------------
 */

static const struct {
    const char *field;
    bool wanted;
    bool otherwise; /* what the API server takes when it is not there */
    bool comes;     /* with our manifests, where a release of the driver before is still there */
    enum verdict verdict;
    const char *detail;
    const char *remedy;
} settings[] = {
    { "podInfoOnMount", true, false, true, VERDICT_DUE,
      "is off: a pod's author could say whose pod it is, so publishes would be refused",
      "set podInfoOnMount: true" },
    { "requiresRepublish", true, false, true, VERDICT_DUE,
      "is off: tokens of running pods would never be renewed, so rotations would end with them",
      "set requiresRepublish: true" },
    { "attachRequired", false, true, false, VERDICT_DUE,
      "is on: kubelet would wait for an attachment that nobody makes",
      "the object is made anew: attachRequired cannot be changed" },
    { "serviceAccountTokenInSecrets", false, false, false, VERDICT_NOTE,
      "is on: every node's driver must read tokens there; ours does",
      "leave it on; the driver before must be 1.6 or later to go back" },
};

static size_t say_settings(struct migrate *m, const struct tree *spec)
{
    bool before = has_release(m);
    size_t odd = 0;

    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const struct tree *field = tree_get(spec, settings[i].field);
        bool have = field && field->kind == TREE_BOOL ? field->truth : settings[i].otherwise;
        bool comes = before && settings[i].comes;

        if (have == settings[i].wanted)
            continue;
        migrate_say(m, comes ? VERDICT_NOTE : settings[i].verdict, xstrdup(settings[i].field),
                    xstrdup(settings[i].detail),
                    xstrdup(comes ? "the manifests set it" : settings[i].remedy));
        odd++;
    }
    return odd;
}

void migrate_check_csi_driver(struct migrate *m)
{
    const struct tree *spec = tree_get(m->objects.csi_driver, "spec");

    if (!spec) {
        migrate_say(m, VERDICT_NOTE, xstrdup("CSIDriver " MIGRATE_DRIVER),
                    xstrdup("is not among the objects"),
                    xstrdup("give it, too: kubectl get "
                            "csidriver"));
        return;
    }
    if (!say_settings(m, spec))
        migrate_say(m, VERDICT_OK, xstrdup("CSIDriver " MIGRATE_DRIVER),
                    xstrdup("says what the driver needs"), xstrdup(""));
}
