/* SPDX-License-Identifier: Apache-2.0
 *
 * The parameter tables, and how their values are read.
 */
#include "lib/base/yaml.h"
#include "lib/model/params.h"
#include "tests/check.h"

static void every_table_is_complete_and_found_by_its_provider(void **state)
{
    (void)state;
    assert_int_equal(params_table_count(), 5);
    for (size_t i = 0; i < params_table_count(); i++) {
        const struct param_table *t = params_table_at(i);

        assert_ptr_equal(params_of(t->provider), t);
        assert_non_null(t->summary);
        for (size_t p = 0; p < t->param_count; p++) {
            assert_non_null(t->params[p].help);
            assert_true(t->params[p].bytes_max > 0);
            assert_true((t->params[p].kind == PARAM_ENUM) == (t->params[p].values != NULL));
        }
        for (size_t o = 0; o < t->object_count; o++) {
            assert_non_null(t->objects[o].help);
            assert_true(t->objects[o].bytes_max > 0);
            assert_true((t->objects[o].kind == OBJECT_ENUM) == (t->objects[o].values != NULL));
        }
        if (t->path)
            assert_non_null(params_object_row(t, t->path));
        if (t->alias)
            assert_non_null(params_object_row(t, t->alias));
    }
    assert_null(params_of("conjur"));
    assert_null(params_of(""));
}

static void vault_has_every_parameter_of_the_old_provider(void **state)
{
    static const char *const names[] = {
        "roleName",
        "vaultAddress",
        "vaultNamespace",
        "vaultCACertPath",
        "vaultCADirectory",
        "vaultTLSServerName",
        "vaultTLSClientCertPath",
        "vaultTLSClientKeyPath",
        "vaultSkipTLSVerify",
        "vaultKubernetesMountPath",
        "vaultAuthMountPath",
        "audience",
        "objects",
        "rotationPollInterval",
    };
    static const char *const keys[] = { "objectName", "secretPath",     "secretKey", "method",
                                        "secretArgs", "filePermission", "encoding" };
    const struct param_table *vault = params_of("vault");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!params_row(vault, names[i]))
            fail_msg("%s", names[i]);
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (!params_object_row(vault, keys[i]))
            fail_msg("%s", keys[i]);
    assert_null(params_row(vault, "vaultaddress"));
    assert_null(params_object_row(vault, "objectname"));
    assert_non_null(params_object_row(params_of("aws"), "objectname"));
}

static void parameters_that_decide_whom_to_ask_are_trusted(void **state)
{
    static const struct {
        const char *provider;
        const char *name;
        bool trusted;
    } rows[] = {
        { "vault", "vaultAddress", true },
        { "vault", "vaultSkipTLSVerify", true },
        { "vault", "roleName", true },
        { "vault", "audience", true },
        { "vault", "vaultCACertPath", true },
        { "vault", "objects", false },
        { "vault", "rotationPollInterval", false },
        { "vault", "vaultCAPem", true },
        { "file", "objects", false },
        { "aws", "region", true },
        { "azure", "tenantId", true },
        { "gcp", "auth", true },
        { "conjur", "conjur.org/applianceUrl", true },
        { "conjur", "sslCertificate", true },
        { "conjur", "objects", false },
        { "akeyless", "akeylessGatewayURL", true },
        { "akeyless", "rotationPollInterval", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (params_is_trusted(rows[i].provider, rows[i].name) != rows[i].trusted)
            fail_msg("%s %s", rows[i].provider, rows[i].name);
}

static void booleans_are_those_of_go(void **state)
{
    static const struct {
        const char *text;
        int value; /* -1: refused */
    } rows[] = {
        { "1", 1 },    { "t", 1 },     { "T", 1 }, { "TRUE", 1 },   { "true", 1 },  { "True", 1 },
        { "0", 0 },    { "f", 0 },     { "F", 0 }, { "FALSE", 0 },  { "false", 0 }, { "False", 0 },
        { "yes", -1 }, { "tRUE", -1 }, { "", -1 }, { " true", -1 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool got = false;
        struct error err = { 0 };
        int result = param_bool("vaultSkipTLSVerify", rows[i].text, &got, &err);

        if ((result < 0 ? -1 : (int)got) != rows[i].value)
            fail_msg("\"%s\"", rows[i].text);
        if (result < 0)
            assert_string_equal(err.msg, "vaultSkipTLSVerify: must be \"true\" or \"false\"");
    }
}

static void modes_are_read_as_the_old_provider_did_and_quoted_ones_as_octal(void **state)
{
    static const struct {
        const char *yaml;
        int mode; /* -1: refused */
    } rows[] = {
        { "0644", 0644 },      { "0o600", 0600 },   { "420", 0644 },
        { "\"0644\"", 0644 },  { "\"400\"", 0400 }, { "0", 0 },
        { "0777", 0777 },      { "01000", -1 },     { "512", -1 },
        { "-1", -1 },          { "0x1ff", -1 },     { "\"\"", -1 },
        { "rw", -1 },          { "[0644]", -1 },    { "0899", -1 },
        { "6.5", -1 },         { "true", -1 },      { "99999999999999999999", -1 },
        { "\"0o644\"", 0644 }, { "0o", -1 },        { "null", -1 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *text = str_printf("filePermission: %s", rows[i].yaml);
        struct tree *t autotree = NULL;
        struct error err = { 0 };
        mode_t mode = 0;
        int result;

        assert_int_equal(yaml_parse(text, strlen(text), &t, &err), 0);
        result = param_mode(tree_get(t, "filePermission"), &mode, &err);
        if ((result < 0 ? -1 : (int)mode) != rows[i].mode)
            fail_msg("%s gave %o", rows[i].yaml, mode);
        if (result < 0)
            assert_string_equal(err.msg, "filePermission: must be a mode from 0000 to 0777, such "
                                         "as 0644 or \"0644\"");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_is_complete_and_found_by_its_provider),
        cmocka_unit_test(vault_has_every_parameter_of_the_old_provider),
        cmocka_unit_test(parameters_that_decide_whom_to_ask_are_trusted),
        cmocka_unit_test(booleans_are_those_of_go),
        cmocka_unit_test(modes_are_read_as_the_old_provider_did_and_quoted_ones_as_octal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
