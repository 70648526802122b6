/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/params_validate.h"

#include "lib/model/nearest.h"

#define FIELD "spec.parameters."

/* What two parameters have to do with each other. */
enum rule_kind { RULE_NOT_BOTH, RULE_BOTH_OR_NEITHER, RULE_ONE };

static const struct rule {
    const char *provider;
    enum rule_kind kind;
    const char *a;
    const char *b;
} rules[] = {
    { "vault", RULE_NOT_BOTH, "vaultKubernetesMountPath", "vaultAuthMountPath" },
    { "vault", RULE_BOTH_OR_NEITHER, "vaultTLSClientCertPath", "vaultTLSClientKeyPath" },
    { "azure", RULE_ONE, "tenantID", "tenantId" },
};

static void check_rule(const struct rule *r, const struct tree *parameters, struct complaints *c)
{
    const struct tree *a = tree_get(parameters, r->a);
    const struct tree *b = tree_get(parameters, r->b);

    if (r->kind == RULE_NOT_BOTH && a && b)
        complain(c, b, FIELD "%s: must not stand beside %s; keep one of them", r->b, r->a);
    if (r->kind == RULE_BOTH_OR_NEITHER && !a != !b)
        complain(c, a ? a : b, FIELD "%s: needs %s beside it", a ? r->a : r->b, a ? r->b : r->a);
    if (r->kind == RULE_ONE && !a && !b)
        complain(c, parameters, FIELD "%s: is missing; the provider needs it", r->a);
}

static bool is_one_of(const char *text, const char *const *values)
{
    for (; *values; values++)
        if (strcmp(*values, text) == 0)
            return true;
    return false;
}

static void check_enum(const struct param_row *row, const struct tree *t, struct complaints *c)
{
    struct strbuf list CLEANUP(strbuf_done) = { 0 };

    if (is_one_of(t->text, row->values))
        return;
    for (const char *const *v = row->values; *v; v++)
        if (**v)
            strbuf_printf(&list, "%s%s", list.len ? ", " : "", *v);
    complain(c, t, FIELD "%s: must be one of %s", row->name, strbuf_text(&list));
}

static void check_value(const struct param_row *row, const struct tree *t, struct complaints *c)
{
    bool ignored;

    if (t->text_len > row->bytes_max)
        complain(c, t, FIELD "%s: is longer than %zu bytes", row->name, row->bytes_max);
    else if (!*t->text && row->may_be_empty)
        return;
    else if (row->kind == PARAM_BOOL && param_bool(row->name, t->text, &ignored, NULL) < 0)
        complain(c, t, FIELD "%s: must be \"true\" or \"false\"", row->name);
    else if (row->kind == PARAM_PATH && t->text[0] != '/')
        complain(c, t, FIELD "%s: must be an absolute path on the provider's file system",
                 row->name);
    else if (row->kind == PARAM_URL && !str_starts(t->text, "https://") &&
             !str_starts(t->text, "http://") && !str_starts(t->text, "unix://"))
        complain(c, t, FIELD "%s: must begin with https://, http:// or unix://", row->name);
    else if (row->kind == PARAM_ENUM)
        check_enum(row, t, c);
    else if (row->required && !*t->text)
        complain(c, t, FIELD "%s: is empty; the provider needs it", row->name);
}

static void unknown(const struct param_table *table, const struct tree *t, struct complaints *c)
{
    struct nearest near = { .wanted = t->key };

    for (size_t i = 0; i < table->param_count; i++)
        nearest_offer(&near, table->params[i].name);
    for (size_t i = 0; i < params_generic()->param_count; i++)
        nearest_offer(&near, params_generic()->params[i].name);
    if (near.found)
        complain(c, t,
                 FIELD "%.100s: provider %s has no such parameter and ignores it; did you "
                       "mean %s?",
                 t->key, table->provider, near.found);
    else
        complain(c, t, FIELD "%.100s: provider %s has no such parameter and ignores it; remove it",
                 t->key, table->provider);
}

static void missing(const struct param_table *table, const struct tree *parameters,
                    struct complaints *c)
{
    for (size_t i = 0; i < table->param_count; i++) {
        const struct param_row *row = &table->params[i];

        if (row->required && !tree_get(parameters, row->name))
            complain(c, parameters, FIELD "%s: is missing; the provider needs it", row->name);
    }
}

void params_validate(const struct tree *parameters, const struct param_table *table,
                     const char *source, struct class_files *files, struct complaints *c)
{
    for (const struct tree *t = parameters->child; t; t = t->next) {
        const struct param_row *row = params_row(table, t->key);

        if (!row)
            unknown(table, t, c);
        else if (t->kind != TREE_TEXT)
            continue;
        else if (row->kind == PARAM_OBJECTS || row->kind == PARAM_OBJECTS_ARRAY)
            objects_validate(&(struct objects_in){ t, row, table, source }, files, c);
        else
            check_value(row, t, c);
    }
    missing(table, parameters, c);
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        if (strcmp(rules[i].provider, table->provider) == 0)
            check_rule(&rules[i], parameters, c);
}
