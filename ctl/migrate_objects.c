/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>

#include "ctl/migrate.h"
#include "lib/base/json.h"
#include "lib/base/yaml.h"

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[] = { "ok", "note", "DUE" };

    return names[verdict];
}

/* --- by kind -----------------------------------------------------------------------------------
 */

static void add(const struct tree ***list, size_t *count, const struct tree *object)
{
    *list = xrealloc(*list, (*count + 1) * sizeof(**list));
    (*list)[(*count)++] = object;
}

const struct tree *migrate_pod_spec(const struct tree *object)
{
    const char *kind = tree_get_text(object, "kind");
    const struct tree *spec = tree_get(object, "spec");

    if (str_same(kind, "Pod"))
        return spec;
    if (str_same(kind, "CronJob"))
        spec = tree_get(tree_get(spec, "jobTemplate"), "spec");
    return tree_get(tree_get(spec, "template"), "spec");
}

char *migrate_name_of(const struct tree *object)
{
    const struct tree *meta = tree_get(object, "metadata");
    const char *kind = tree_get_text(object, "kind");
    const char *ns = tree_get_text(meta, "namespace");
    const char *name = tree_get_text(meta, "name");

    return str_printf("%.63s %.63s%s%.253s", kind ? kind : "?", ns ? ns : "", ns ? "/" : "",
                      name ? name : "?");
}

static void add_class(struct migrate_objects *o, const struct tree *object)
{
    struct error err = { 0 };
    struct class *class = NULL;

    if (class_read(object, &class, &err) < 0) {
        autofree char *name = migrate_name_of(object);

        pairs_set(&o->unreadable, name, err.msg);
        return;
    }
    o->classes = xrealloc(o->classes, (o->class_count + 1) * sizeof(*o->classes));
    o->classes[o->class_count++] = class;
}

static void sort_in(void *arg, const struct tree *object)
{
    struct migrate_objects *o = arg;
    const char *kind = tree_get_text(object, "kind");
    const char *name = tree_get_text(tree_get(object, "metadata"), "name");

    if (str_same(kind, "CSIDriver") && str_same(name, MIGRATE_DRIVER))
        o->csi_driver = object;
    if (str_same(kind, "DaemonSet"))
        add(&o->daemonsets, &o->daemonset_count, object);
    if (str_same(kind, "ClusterRole") || str_same(kind, "ClusterRoleBinding"))
        add(&o->roles, &o->role_count, object);
    if (class_is_meant(object))
        add_class(o, object);
    if (migrate_pod_spec(object))
        add(&o->pods, &o->pod_count, object);
}

/* --- reading -----------------------------------------------------------------------------------
 */

int migrate_read(struct migrate *m, const char *text, size_t len, struct error *err)
{
    struct migrate_objects *o = &m->objects;
    struct tree *all = NULL;
    size_t at = 0;
    int result;

    if (o->document_count == MIGRATE_FILES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "more than %d files", MIGRATE_FILES_MAX);
    while (at < len && isspace((unsigned char)text[at]))
        at++;
    if (at < len && text[at] == '{')
        result = json_parse(text, len, &all, err);
    else
        result = yaml_parse_all(text, len, &all, err);
    if (result < 0)
        return -1;
    m->has_objects = true;
    o->documents[o->document_count++] = all;
    if (all->kind != TREE_LIST)
        class_each(all, sort_in, o);
    for (const struct tree *t = all->kind == TREE_LIST ? all->child : NULL; t; t = t->next)
        class_each(t, sort_in, o);
    return 0;
}

void migrate_done(struct migrate *m)
{
    struct migrate_objects *o = &m->objects;

    for (size_t i = 0; i < o->class_count; i++)
        class_free(o->classes[i]);
    for (size_t i = 0; i < o->document_count; i++)
        tree_free(o->documents[i]);
    for (size_t i = 0; i < m->count; i++) {
        free(m->findings[i].about);
        free(m->findings[i].detail);
        free(m->findings[i].remedy);
    }
    free(o->classes);
    free(o->daemonsets);
    free(o->roles);
    free(o->pods);
    pairs_done(&o->unreadable);
    free(m->findings);
    *m = (struct migrate){ 0 };
}

/* --- saying ------------------------------------------------------------------------------------
 */

void migrate_say(struct migrate *m, enum verdict verdict, char *about, char *detail, char *remedy)
{
    if (m->count == MIGRATE_FINDINGS_MAX) {
        free(about);
        free(detail);
        free(remedy);
        return;
    }
    m->findings = xrealloc(m->findings, (m->count + 1) * sizeof(*m->findings));
    m->findings[m->count++] = (struct finding){ verdict, m->check, about, detail, remedy };
}

void migrate_each_volume(struct migrate *m,
                         void (*each)(struct migrate *m, const struct tree *object,
                                      const struct tree *volume))
{
    for (size_t i = 0; i < m->objects.pod_count; i++) {
        const struct tree *object = m->objects.pods[i];
        const struct tree *volumes = tree_get(migrate_pod_spec(object), "volumes");

        for (const struct tree *v = volumes ? volumes->child : NULL; v; v = v->next)
            if (str_same(tree_get_text(tree_get(v, "csi"), "driver"), MIGRATE_DRIVER))
                each(m, object, v);
    }
}

/* --- the table ---------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    void (*run)(struct migrate *m);
    bool of_cluster; /* needs dumps; else a driver's answer */
} checks[] = {
    { "release", migrate_check_release, true },
    { "flags", migrate_check_flags, true },
    { "rights", migrate_check_rights, true },
    { "CSIDriver", migrate_check_csi_driver, true },
    { "audiences", migrate_check_audiences, true },
    { "overrides", migrate_check_overrides, true },
    { "nodePublishSecretRef", migrate_check_secret_refs, true },
    { "writing providers", migrate_check_writers, true },
    { "providers of this node", migrate_check_providers, false },
    { "live volumes", migrate_check_volumes, false },
};

void migrate_run(struct migrate *m)
{
    for (size_t i = 0; i < COUNT_OF(checks); i++) {
        m->check = checks[i].name;
        if (checks[i].of_cluster ? m->has_objects : m->survey != NULL)
            checks[i].run(m);
    }
    m->check = "scope";
    if (!m->has_objects)
        migrate_say(m, VERDICT_NOTE, xstrdup("cluster"), xstrdup("was not looked at"),
                    xstrdup("kubectl get -A -o json csidriver,daemonset,deployment,statefulset,"
                            "cronjob,job,secretproviderclass,clusterrole,clusterrolebinding | "
                            "locketctl migrate check --from=-"));
    if (!m->survey)
        migrate_say(m, VERDICT_NOTE, xstrdup("node"), xstrdup("no driver of ours answers here"),
                    xstrdup("run it again in the driver's container of a node, once one runs"));
}
