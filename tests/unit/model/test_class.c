/* SPDX-License-Identifier: Apache-2.0
 *
 * Classes as people write them: what is read, what is refused, and where each mistake is said to
 * be.
 */
#include <fcntl.h>

#include "lib/base/fs.h"
#include "lib/base/yaml.h"
#include "lib/model/class.h"
#include "tests/check.h"

#define HEAD                                                                                       \
    "apiVersion: secrets-store.csi.x-k8s.io/v1\n"                                                  \
    "kind: SecretProviderClass\n"
#define META "metadata: {name: app}\n"
#define VAULT                                                                                      \
    HEAD META "spec:\n"                                                                            \
              "  provider: vault\n"                                                                \
              "  parameters:\n"                                                                    \
              "    roleName: web\n"

static struct tree *parse(const char *text)
{
    struct tree *t = NULL;
    struct error err = { 0 };

    if (yaml_parse(text, strlen(text), &t, &err) < 0)
        fail_msg("%s in:\n%s", err.msg, text);
    return t;
}

static void a_class_is_read_with_all_that_a_publish_needs(void **state)
{
    struct tree *t autotree = parse(HEAD "metadata:\n"
                                         "  name: app\n"
                                         "  namespace: shop\n"
                                         "  annotations: {rotationPollInterval: 5m, z: last}\n"
                                         "spec:\n"
                                         "  provider: vault\n"
                                         "  parameters: {roleName: web, b: \"2\", a: \"1\"}\n");
    struct class *c autoclass = NULL;
    struct class *copy autoclass = NULL;
    struct error err = { 0 };
    struct strbuf json CLEANUP(strbuf_done) = { 0 };

    (void)state;
    assert_int_equal(class_read(t, &c, &err), 0);
    copy = class_dup(c);
    class_free(take(c));
    assert_string_equal(copy->name, "app");
    assert_string_equal(copy->ns, "shop");
    assert_string_equal(copy->provider, "vault");
    assert_true(copy->has_parameters);
    assert_int_equal(copy->rotation_interval_ms, 300000);
    assert_string_equal(pairs_get(&copy->annotations, "z"), "last");
    pairs_json(&copy->parameters, &json);
    assert_string_equal(strbuf_text(&json), "{\"a\":\"1\",\"b\":\"2\",\"roleName\":\"web\"}");
    assert_int_equal(class_check(copy, &err), 0);
}

static void the_interval_parameter_goes_before_the_annotation(void **state)
{
    struct tree *t autotree =
        parse(HEAD "metadata: {name: app, annotations: {rotationPollInterval: 5m}}\n"
                   "spec: {provider: x, parameters: {rotationPollInterval: 90s}}\n");
    struct class *c autoclass = NULL;

    (void)state;
    assert_int_equal(class_read(t, &c, NULL), 0);
    assert_int_equal(c->rotation_interval_ms, 90000);
    assert_string_equal(c->ns, "default");
}

/* Each differs from `as_it_was` in one thing that is asked for, or in none. */
#define ASKS "spec: {provider: vault, parameters: {roleName: web}}\n"
#define EVERY(interval) "metadata: {name: app, annotations: {rotationPollInterval: " interval "}}\n"

static const char as_it_was[] = HEAD EVERY("5m") ASKS;

static const struct {
    const char *says;
    const char *text;
    bool same;
} edits[] = {
    { "the same text", HEAD EVERY("5m") ASKS, true },
    { "the same interval in other words", HEAD EVERY("300s") ASKS, true },
    { "another interval, by its annotation alone", HEAD EVERY("6m") ASKS, false },
    { "no interval any more", HEAD META ASKS, false },
    { "another provider", HEAD EVERY("5m") "spec: {provider: file, parameters: {roleName: web}}",
      false },
    { "another parameter", HEAD EVERY("5m") "spec: {provider: vault, parameters: {roleName: db}}",
      false },
};

static struct class *class_of(const char *text)
{
    struct tree *t autotree = parse(text);
    struct class *c = NULL;
    struct error err = { 0 };

    if (class_read(t, &c, &err) < 0)
        fail_msg("%s in:\n%s", err.msg, text);
    return c;
}

static void a_class_is_edited_when_one_thing_is_that_it_asks_for(void **state)
{
    struct class *before autoclass = class_of(as_it_was);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(edits); i++) {
        struct class *after autoclass = class_of(edits[i].text);

        if (class_same(before, after) != edits[i].same)
            fail_msg("%s: %s", edits[i].says, edits[i].same ? "edited" : "as before");
    }
}

static const struct {
    const char *says;
    const char *text;
    const char *error; /* whole text */
} refused[] = {
    { "another version of the kind",
      "apiVersion: secrets-store.csi.x-k8s.io/v2\nkind: "
      "SecretProviderClass\n" META,
      "line 1 column 13: apiVersion: must be secrets-store.csi.x-k8s.io/v1 (or its old name, "
      "v1alpha1)" },
    { "no name", HEAD "metadata: {}\n",
      "line 3 column 11: metadata.name: is missing; pods ask for the class by it" },
    { "a name with capitals", HEAD "metadata: {name: App}\n",
      "line 3 column 18: metadata.name: must be 1 to 253 of a-z, 0-9, '-' and '.', beginning and "
      "ending with a letter or digit" },
    { "a namespace with a dot", HEAD "metadata: {name: a, namespace: b.c}\n",
      "line 3 column 32: metadata.namespace: must be 1 to 63 of a-z, 0-9 and '-', beginning and "
      "ending with a letter or digit" },
    { "a boolean parameter", HEAD META "spec:\n  parameters:\n    usePodIdentity: true\n",
      "line 6 column 21: spec.parameters.usePodIdentity: must be a string, not a boolean; put it "
      "in quotes" },
    { "objects as a real list", HEAD META "spec:\n  parameters:\n    objects:\n    - a\n",
      "line 7 column 5: spec.parameters.objects: must be a string, not a list; write it as a "
      "block of text (|)" },
    { "an interval without unit", HEAD META "spec: {parameters: {rotationPollInterval: \"30\"}}\n",
      "line 4 column 43: spec.parameters.rotationPollInterval: must be a duration such as 2m or "
      "1h30m" },
    { "an interval of nothing", HEAD META "spec: {parameters: {rotationPollInterval: 0s}}\n",
      "line 4 column 43: spec.parameters.rotationPollInterval: must be at least a millisecond, "
      "such as 2m" },
    { "a list as spec", HEAD META "spec: []\n",
      "line 4 column 7: spec: must be a map, not a list" },
    { "no map at all", "- a\n",
      "line 1 column 1: the document is a list; it must be a map with apiVersion and kind" },
};

static void what_cannot_be_read_is_refused_with_its_place_and_remedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct tree *t autotree = parse(refused[i].text);
        struct class *c autoclass = NULL;
        struct error err = { 0 };

        if (class_read(t, &c, &err) == 0)
            fail_msg("%s: was read", refused[i].says);
        assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
        if (strcmp(err.msg, refused[i].error) != 0)
            fail_msg("%s:\n got  %s\n want %s", refused[i].says, err.msg, refused[i].error);
    }
}

static const struct {
    const char *spec;
    const char *error; /* NULL: good enough for a publish */
} publishes[] = {
    { "spec: {provider: vault, parameters: {a: b}}", NULL },
    { "spec: {provider: a-B_9, parameters: {a: b}}", NULL },
    { "spec: {parameters: {a: b}}", "provider not set in default/app" },
    { "spec: {provider: vault}", "parameters not set in default/app" },
    { "spec: {provider: vault, parameters: }", "parameters not set in default/app" },
    { "spec: {provider: vault, parameters: {}}", "parameters not set in default/app" },
    { "", "provider not set in default/app" },
    { "spec: {provider: ../x, parameters: {a: b}}",
      "invalid provider \"../x\" in default/app: 1 to 30 of letters, digits, '-' and '_'" },
    { "spec: {provider: a123456789b123456789c123456789d, parameters: {a: b}}",
      "invalid provider \"a123456789b123456789c123456789d\" in default/app: 1 to 30 of letters, "
      "digits, '-' and '_'" },
};

static void a_publish_is_told_what_the_class_lacks_in_the_known_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(publishes); i++) {
        autofree char *text = str_printf(HEAD META "%s\n", publishes[i].spec);
        struct tree *t autotree = parse(text);
        struct class *c autoclass = NULL;
        struct error err = { 0 };
        int got;

        assert_int_equal(class_read(t, &c, &err), 0);
        got = class_check(c, &err);
        assert_int_equal(got, publishes[i].error ? -1 : 0);
        if (publishes[i].error) {
            assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
            assert_string_equal(err.msg, publishes[i].error);
        }
    }
}

static void collect(void *arg, unsigned line, unsigned column, const char *text)
{
    strbuf_printf(arg, "%u:%u: %s\n", line, column, text);
}

static const struct {
    const char *says;
    const char *text;
    const char *mistakes; /* all of them */
} validated[] = {
    { "nothing is said of a good class",
      VAULT "    objects: |\n"
            "      - objectName: a\n"
            "        secretPath: secret/data/a\n"
            "        filePermission: 0400\n"
            "        encoding: BASE64\n",
      "" },
    { "each mistake of a block of objects is at its own line and column of the file",
      VAULT "    objects: |\n"
            "      - objectName: ../a\n"
            "        secretPath: p\n"
            "        encoding: rot13\n"
            "      - secretPath: q\n"
            "        secretkey: k\n"
            "        filePermission: 0999\n",
      "11:19: spec.parameters.objects[0].encoding: must be one of utf-8, base64, hex\n"
      "9:21: spec.parameters.objects[0].objectName: *\n"
      "13:20: spec.parameters.objects[1].secretkey: provider vault has no such key and ignores it; "
      "did you mean secretKey?\n"
      "14:25: spec.parameters.objects[1].filePermission: must be a mode from 0000 to 0777, such as "
      "0644\n"
      "12:9: spec.parameters.objects[1].objectName: is missing; the provider needs it\n" },
    { "broken YAML inside the block is told at its place in the file",
      VAULT "    objects: |\n"
            "      - objectName: a\n"
            "        secretPath: [\n",
      "*spec.parameters.objects: *\n" },
    { "two objects must not become the same file",
      VAULT "    objects: |\n"
            "      - {objectName: a, secretPath: p}\n"
            "      - {objectName: a, secretPath: q}\n",
      "10:22: spec.parameters.objects[1].objectName: is the file of [0] already; give each its "
      "own\n" },
    { "a flow text has the place of the text", VAULT "    objects: \"- objectName: a\"\n",
      "8:14: spec.parameters.objects[0].secretPath: is missing; the provider needs it\n" },
    { "no objects", VAULT "    objects: \"\"\n",
      "8:14: spec.parameters.objects: names no object; nothing would be mounted\n" },
    { "a map where a list must be", VAULT "    objects: \"array: []\"\n",
      "8:14: spec.parameters.objects: must be a YAML list, each item beginning with \"- \"\n" },
    { "parameters that are missing, misspelt or of the wrong kind",
      HEAD META "spec:\n"
                "  provider: vault\n"
                "  parameters:\n"
                "    vaultAdress: https://v\n"
                "    vaultSkipTLSVerify: \"yes\"\n"
                "    vaultCACertPath: ca.pem\n"
                "    vaultAddress: v:8200\n"
                "    vaultTLSClientCertPath: /c\n"
                "    vaultKubernetesMountPath: k\n"
                "    vaultAuthMountPath: k\n"
                "    somethingElse: x\n",
      "7:18: spec.parameters.vaultAdress: provider vault has no such parameter and ignores it; did "
      "you mean vaultAddress?\n"
      "8:25: spec.parameters.vaultSkipTLSVerify: must be \"true\" or \"false\"\n"
      "9:22: spec.parameters.vaultCACertPath: must be an absolute path on the provider's file "
      "system\n"
      "10:19: spec.parameters.vaultAddress: must begin with https://, http:// or unix://\n"
      "14:20: spec.parameters.somethingElse: provider vault has no such parameter and ignores it; "
      "remove it\n"
      "7:5: spec.parameters.roleName: is missing; the provider needs it\n"
      "7:5: spec.parameters.objects: is missing; the provider needs it\n"
      "13:25: spec.parameters.vaultAuthMountPath: must not stand beside vaultKubernetesMountPath; "
      "keep one of them\n"
      "11:29: spec.parameters.vaultTLSClientCertPath: needs vaultTLSClientKeyPath beside it\n" },
    { "the generic parameter is known to every provider",
      HEAD META "spec: {provider: file, parameters: {rotationPollInterval: 2m}}\n", "" },
    { "another people's provider may have any parameters",
      HEAD META "spec: {provider: conjur, parameters: {what: ever}}\n", "" },
    { "fields that the schema has not",
      HEAD META "spec: {provider: x, parameters: {a: b}, secretObject: []}\nextra: 1\n",
      "5:8: extra: is not a field of a SecretProviderClass; remove it\n"
      "4:55: spec.secretObject: is not a field of a SecretProviderClass; did you mean "
      "secretObjects?\n" },
    { "no provider and no parameters", HEAD META "spec: {}\n",
      "4:7: spec.provider: is not set; name the store, such as vault\n"
      "4:7: spec.parameters: are not set; a mount would fail\n" },
    { "secretObjects are looked through",
      HEAD META "spec:\n"
                "  provider: x\n"
                "  parameters: {a: b}\n"
                "  secretObjects:\n"
                "  - secretName: Bad\n"
                "    data:\n"
                "    - {objectName: /a, key: k}\n"
                "    - {objectName: b, key: k}\n"
                "    - {key: \"a b\"}\n",
      "8:17: spec.secretObjects[0].secretName: must be a-z, 0-9, '-' and '.', beginning and ending "
      "with a letter or digit\n"
      "8:5: spec.secretObjects[0].type: is missing\n"
      "10:20: spec.secretObjects[0].data[0].objectName: *\n"
      "11:28: spec.secretObjects[0].data[1].key: is used twice; give each its own\n"
      "12:7: spec.secretObjects[0].data[2].objectName: is missing\n"
      "12:13: spec.secretObjects[0].data[2].key: must be letters, digits, '-', '_' and '.'\n" },
    { "a Secret's value must be a file that the class mounts",
      VAULT "    objects: |\n"
            "      - {objectName: db/user, secretPath: p}\n"
            "  secretObjects:\n"
            "  - secretName: s\n"
            "    type: Opaque\n"
            "    data:\n"
            "    - {objectName: db/user, key: a}\n"
            "    - {objectName: db/usr, key: b}\n"
            "    - {objectName: password, key: c}\n",
      "15:20: spec.secretObjects[0].data[1].objectName: no object of the class becomes this file; "
      "did you mean db/user?\n"
      "16:20: spec.secretObjects[0].data[2].objectName: no object of the class becomes this file; "
      "name the path of one\n" },
    { "where the files are not all known, none is missed",
      HEAD META "spec:\n"
                "  provider: file\n"
                "  parameters: {rotationPollInterval: 2m}\n"
                "  secretObjects:\n"
                "  - {secretName: s, type: Opaque, data: [{objectName: any, key: a}]}\n",
      "" },
    { "YAML in YAML in YAML has its place in the file",
      HEAD META "spec:\n"
                "  provider: azure\n"
                "  parameters:\n"
                "    keyvaultName: kv\n"
                "    tenantID: t\n"
                "    objects: |\n"
                "      array:\n"
                "        - |\n"
                "          objectName: a\n"
                "          objectType: secrets\n",
      "13:23: spec.parameters.objects[0].objectType: must be one of secret, key, cert\n" },
    { "Azure's objects without their array",
      HEAD META "spec:\n"
                "  provider: azure\n"
                "  parameters: {keyvaultName: kv, objects: \"- a\"}\n",
      "6:43: spec.parameters.objects: must be a YAML map with a list `array`\n"
      "6:15: spec.parameters.tenantID: is missing; the provider needs it\n" },
    { "AWS's keys have no case",
      HEAD META "spec:\n"
                "  provider: aws\n"
                "  parameters:\n"
                "    objects: |\n"
                "      - ObjectName: a\n"
                "        objecttype: SSMParameter\n",
      "" },
    { "what was left of an older layout",
      "apiVersion: $API_VERSION\nkind: SecretProviderClass\n" META
      "spec: {provider: x, parameters: {a: b}}\n",
      "1:13: apiVersion: must be secrets-store.csi.x-k8s.io/v1 (or its old name, v1alpha1)\n" },
};

/* Does text follow pattern, in which '*' is anything but a line break? */
static bool follows(const char *text, const char *pattern)
{
    if (*pattern == '*')
        return follows(text, pattern + 1) || (*text && *text != '\n' && follows(text + 1, pattern));
    if (!*pattern || *text != *pattern)
        return *text == *pattern;
    return follows(text + 1, pattern + 1);
}

static void validation_tells_every_mistake_with_its_place_and_remedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(validated); i++) {
        struct tree *t autotree = parse(validated[i].text);
        struct strbuf got CLEANUP(strbuf_done) = { 0 };
        size_t count = class_validate(t, validated[i].text, collect, &got);
        size_t lines = 0;

        if (!follows(strbuf_text(&got), validated[i].mistakes))
            fail_msg("%s:\n--- got\n%s--- want\n%s", validated[i].says, strbuf_text(&got),
                     validated[i].mistakes);
        for (const char *s = strbuf_text(&got); *s; s++)
            lines += *s == '\n';
        assert_int_equal(count, lines);
    }
}

static void without_the_source_mistakes_are_at_the_parameter(void **state)
{
    struct tree *t autotree = parse(VAULT "    objects: |\n      - {objectName: a}\n");
    struct strbuf got CLEANUP(strbuf_done) = { 0 };

    (void)state;
    (void)class_validate(t, NULL, collect, &got);
    assert_string_equal(strbuf_text(&got),
                        "8:14: spec.parameters.objects[0].secretPath: is missing; the provider "
                        "needs it\n");
}

static void the_first_secret_that_is_too_many_is_told(void **state)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };
    struct strbuf got CLEANUP(strbuf_done) = { 0 };
    struct tree *t autotree = NULL;

    (void)state;
    strbuf_add_text(&text, VAULT "    objects: '[]'\n  secretObjects:\n");
    for (int i = 0; i < SECRET_OBJECTS_MAX + 5; i++)
        strbuf_printf(&text, "    - {secretName: s%d, type: t, data: []}\n", i);
    t = parse(strbuf_text(&text));
    (void)class_validate(t, strbuf_text(&text), collect, &got);
    if (!strstr(strbuf_text(&got), "secretObjects[100]: one more than the 100") ||
        strstr(strbuf_text(&got), "[101]: one more"))
        fail_msg("%s", strbuf_text(&got));
}

static void remember(void *arg, const struct tree *item)
{
    strbuf_printf(arg, "%s/%s ", class_ns_of(item), class_name_of(item));
}

static void the_items_of_a_list_are_documents_of_their_own(void **state)
{
    struct tree *t autotree = parse("apiVersion: v1\nkind: List\nitems:\n"
                                    "- {metadata: {name: a}}\n"
                                    "- {metadata: {name: b, namespace: n}}\n");
    struct tree *one autotree = parse("metadata: {name: c, namespace: \"\"}");
    struct strbuf got CLEANUP(strbuf_done) = { 0 };

    (void)state;
    class_each(t, remember, &got);
    class_each(one, remember, &got);
    assert_string_equal(strbuf_text(&got), "default/a n/b default/c ");
}

static void what_was_meant_to_be_a_class_is_told_from_what_was_not(void **state)
{
    static const struct {
        const char *text;
        bool meant;
    } rows[] = {
        { "{apiVersion: other/v1, kind: SecretProviderClass}", true },
        { "{apiVersion: secrets-store.csi.x-k8s.io/v1, kind: SecretProviderClas}", true },
        { "{apiVersion: secrets-store.csi.x-k8s.io/v1, kind: SecretProviderClassPodStatus}",
          false },
        { "{apiVersion: v1, kind: ConfigMap}", false },
        { "{}", false },
        { "text", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tree *t autotree = parse(rows[i].text);

        if (class_is_meant(t) != rows[i].meant)
            fail_msg("%s", rows[i].text);
    }
}

/* 255 characters: more than a name of either kind may have. */
#define TOO_LONG                                                                                   \
    "a123456789a123456789a123456789a123456789a123456789a123456789a12."                             \
    "a123456789a123456789a123456789a123456789a123456789a123456789a12."                             \
    "a123456789a123456789a123456789a123456789a123456789a123456789a12."                             \
    "a123456789a123456789a123456789a123456789a123456789a123456789a1"

static const struct {
    const char *says;
    const char *ns;
    const char *name;
    size_t parameters;
    size_t value_bytes; /* of each */
    bool taken;
} parts_rows[] = {
    { "all that a publish needs", "shop", "app", 2, 10, true },
    { "as many as there may be", "shop", "app", CLASS_PARAMETERS_MAX, 1, true },
    { "one more", "shop", "app", CLASS_PARAMETERS_MAX + 1, 1, false },
    { "as long as it may be", "shop", "app", 1, CLASS_PARAMETER_BYTES_MAX, true },
    { "longer than that", "shop", "app", 1, CLASS_PARAMETER_BYTES_MAX + 1, false },
    { "no name", "shop", "", 1, 1, false },
    { "no namespace", "", "app", 1, 1, false },
    { "a name that is a path", "shop", "../app", 1, 1, false },
    { "a namespace that is a path", "../shop", "app", 1, 1, false },
    { "a name that is too long", "shop", TOO_LONG, 1, 1, false },
    { "a namespace that is too long", TOO_LONG, "app", 1, 1, false },
};

static void a_class_of_parts_is_bounded_like_one_of_a_document(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts_rows); i++) {
        struct pairs parameters CLEANUP(pairs_done) = { 0 };
        struct pairs none = { 0 };
        struct class_parts parts = {
            parts_rows[i].ns, parts_rows[i].name, "vault", &parameters, &none, NULL
        };
        autofree char *value = xcalloc(parts_rows[i].value_bytes + 1, 1);
        struct class *c autoclass = NULL;
        struct error err = { 0 };

        memset(value, 'v', parts_rows[i].value_bytes);
        for (size_t k = 0; k < parts_rows[i].parameters; k++) {
            autofree char *key = str_printf("k%06zu", k);

            pairs_set(&parameters, key, value);
        }
        if ((class_make(&parts, &c, &err) == 0) != parts_rows[i].taken)
            fail_msg("%s: %s", parts_rows[i].says, err.code ? err.msg : "taken");
        if (c)
            assert_int_equal(class_check(c, &err), 0);
        else
            assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    }
}

/* LOCKET_CLASS_CORPUS: a folder of folders of other people's classes, one document per file. */
static int corpus_file(void *arg, const char *name, struct error *err)
{
    autofree char *path = str_printf("%s/%s", *(char **)arg, name);
    autofree char *text = NULL;
    struct tree *all autotree = NULL;
    struct strbuf got CLEANUP(strbuf_done) = { 0 };

    if (fs_read_text(path, YAML_BYTES_MAX, &text, err) < 0)
        return -1;
    if (yaml_parse_all(text, strlen(text), &all, err) < 0) {
        print_message("%s: %s\n", name, err->msg);
        return 0;
    }
    for (const struct tree *t = all->child; t; t = t->next)
        (void)class_validate(t, text, collect, &got);
    if (got.len)
        print_message("%s:\n%s", name, strbuf_text(&got));
    /* These lack what a mount needs, or hold a variable where a name must be. */
    if (got.len && !strstr(strbuf_text(&got), "spec.parameters: are not set") &&
        !strstr(text, "$API_VERSION") && !strstr(strbuf_text(&got), "spec.parameters.secrets"))
        return error_set(err, CODE_INTERNAL, "%s has no true mistake", path);
    return 0;
}

static int corpus_folder(void *arg, const char *name, struct error *err)
{
    autofree char *path = str_printf("%s/%s", (const char *)arg, name);

    return fs_each(AT_FDCWD, path, corpus_file, &path, err);
}

static void other_peoples_classes_have_only_true_mistakes(void **state)
{
    char *folder = getenv("LOCKET_CLASS_CORPUS");
    struct error err = { 0 };

    (void)state;
    if (!folder)
        return; /* those files are not ours to hand on */
    if (fs_each(AT_FDCWD, folder, corpus_folder, folder, &err) < 0)
        fail_msg("%s", err.msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_is_read_with_all_that_a_publish_needs),
        cmocka_unit_test(the_interval_parameter_goes_before_the_annotation),
        cmocka_unit_test(a_class_is_edited_when_one_thing_is_that_it_asks_for),
        cmocka_unit_test(what_cannot_be_read_is_refused_with_its_place_and_remedy),
        cmocka_unit_test(a_publish_is_told_what_the_class_lacks_in_the_known_words),
        cmocka_unit_test(validation_tells_every_mistake_with_its_place_and_remedy),
        cmocka_unit_test(without_the_source_mistakes_are_at_the_parameter),
        cmocka_unit_test(the_first_secret_that_is_too_many_is_told),
        cmocka_unit_test(the_items_of_a_list_are_documents_of_their_own),
        cmocka_unit_test(what_was_meant_to_be_a_class_is_told_from_what_was_not),
        cmocka_unit_test(a_class_of_parts_is_bounded_like_one_of_a_document),
        cmocka_unit_test(other_peoples_classes_have_only_true_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
