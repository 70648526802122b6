/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.secretObjects as a class's author wrote it: what is read, what is told, and that nothing of
 * it ever keeps a class from being read.
 */
#include "lib/base/yaml.h"
#include "lib/model/class.h"
#include "tests/check.h"

#define CLASS                                                                                      \
    "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"                       \
    "metadata: {name: app, namespace: shop, annotations: {%s}}\n"                                  \
    "spec:\n  provider: file\n  parameters: {a: b}\n  secretObjects: %s\n"

static struct class *read_class(const char *notes, const char *objects)
{
    autofree char *text = str_printf(CLASS, notes, objects);
    struct tree *t autotree = NULL;
    struct class *c = NULL;
    struct error err = { 0 };

    if (yaml_parse(text, strlen(text), &t, &err) < 0 || class_read(t, &c, &err) < 0)
        fail_msg("%s", err.msg);
    return c;
}

static void all_of_it_is_read_and_blanks_are_not(void **state)
{
    struct class *c autoclass = read_class(
        "locket.dev/adopt-secrets: 'true'",
        "[{secretName: ' db ', type: Opaque, labels: {l: x}, annotations: {n: y}, "
        "data: [{key: ' k', objectName: 'a/b '}, {key: k2, objectName: c}]}, {secretName: tls}]");
    const struct secret_objects *all = &c->secret_objects;
    const struct secret_object *o = &all->list[0];

    (void)state;
    assert_int_equal(all->count, 2);
    assert_true(all->adopt);
    assert_string_equal(o->name, "db");
    assert_string_equal(o->type, "Opaque");
    assert_string_equal(pairs_get(&o->labels, "l"), "x");
    assert_string_equal(pairs_get(&o->annotations, "n"), "y");
    assert_int_equal(o->key_count, 2);
    assert_string_equal(o->keys[0].key, "k");
    assert_string_equal(o->keys[0].object_name, "a/b");
}

static const struct {
    const char *objects;
    const char *told; /* of the first; NULL: nothing */
} rows[] = {
    { "[{secretName: a, data: [{key: k, objectName: o}]}]", NULL },
    { "[{secretName: ' ', data: [{key: k, objectName: o}]}]",
      "spec.secretObjects[0].secretName: is empty" },
    { "[{secretName: [], data: [{key: k, objectName: o}]}]",
      "spec.secretObjects[0].secretName: is empty" },
    { "[{secretName: a/../b, data: [{key: k, objectName: o}]}]",
      "spec.secretObjects[0].secretName: must be 1 to 253 of a-z, 0-9, '-' and '.', beginning and "
      "ending with a letter or digit" },
    { "[{secretName: a}]", "spec.secretObjects[0].data: is empty" },
    { "[{secretName: a, data: {key: k}}]", "spec.secretObjects[0].data: is empty" },
    { "[{secretName: a, data: [{key: k}]}]", "spec.secretObjects[0].data[0].objectName: is empty" },
    { "[{secretName: a, data: [{key: k, objectName: o}, {objectName: o}]}]",
      "spec.secretObjects[0].data[1].key: is empty" },
    { "[7]", "spec.secretObjects[0].secretName: is empty" },
};

static void what_is_missing_is_told_by_its_field_and_keeps_no_class_from_being_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct class *c autoclass = read_class("", rows[i].objects);
        struct error err = { 0 };
        int result;

        assert_int_equal(c->secret_objects.count, 1);
        result = secret_object_check(&c->secret_objects.list[0], 0, &err);
        assert_int_equal(result, rows[i].told ? -1 : 0);
        if (rows[i].told)
            assert_string_equal(err.msg, rows[i].told);
    }
}

static void there_may_be_none(void **state)
{
    static const char *const none[] = { "[]", "{}", "null", "7" };
    struct class *c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        c = read_class("locket.dev/adopt-secrets: 'no'", none[i]);
        assert_int_equal(c->secret_objects.count, 0);
        assert_false(c->secret_objects.adopt);
        class_free(c);
    }
}

/* Of a list with so many of an entry. */
static void last_is(const char *item, size_t count, const char *before, const char *after,
                    const char *want)
{
    struct strbuf many autostrbuf = { 0 };
    struct class *c autoclass = NULL;
    struct error err = { 0 };
    const struct secret_objects *o;

    strbuf_add_text(&many, before);
    for (size_t i = 0; i < count; i++)
        strbuf_printf(&many, "%s%s", i ? ", " : "", item);
    strbuf_add_text(&many, after);
    c = read_class("", strbuf_text(&many));
    o = &c->secret_objects;
    assert_int_equal(secret_object_check(&o->list[o->count - 1], o->count - 1, &err),
                     want ? -1 : 0);
    if (want && !strstr(err.msg, want))
        fail_msg("%s", err.msg);
}

static void what_is_beyond_the_ceilings_is_told(void **state)
{
    static const char object[] = "{secretName: s, type: t, data: [{key: k, objectName: o}]}";
    static const char key[] = "{key: k, objectName: o}";
    static const char before[] = "[{secretName: s, type: t, data: [";

    (void)state;
    last_is(object, SECRET_OBJECTS_MAX, "[", "]", NULL);
    last_is(object, SECRET_OBJECTS_MAX + 9, "[", "]", "has more than 100 entries; those");
    last_is(key, SECRET_OBJECT_KEYS_MAX, before, "]}]", NULL);
    last_is(key, SECRET_OBJECT_KEYS_MAX + 9, before, "]}]", "[0].data: has more than 4096");
}

static void a_copy_is_the_same_and_any_edit_is_not(void **state)
{
    static const char *const edits[] = {
        "[]",
        "[{secretName: b, type: t, labels: {l: x}, data: [{key: k, objectName: o}]}]",
        "[{secretName: a, type: u, labels: {l: x}, data: [{key: k, objectName: o}]}]",
        "[{secretName: a, type: t, labels: {l: y}, data: [{key: k, objectName: o}]}]",
        "[{secretName: a, type: t, annotations: {n: m}, data: [{key: k, objectName: o}]}]",
        "[{secretName: a, type: t, labels: {l: x}, data: [{key: j, objectName: o}]}]",
        "[{secretName: a, type: t, labels: {l: x}, data: [{key: k, objectName: p}]}]",
        "[{secretName: a, type: t, labels: {l: x}, data: [{key: k, objectName: o}, {}]}]",
    };
    struct class *c autoclass = read_class(
        "", "[{secretName: a, type: t, labels: {l: x}, data: [{key: k, objectName: o}]}]");
    struct class *copy autoclass = class_dup(c);

    (void)state;
    assert_true(class_same(c, copy));
    copy->secret_objects.adopt = true;
    assert_false(class_same(c, copy));
    for (size_t i = 0; i < COUNT_OF(edits); i++) {
        struct class *edited autoclass = read_class("", edits[i]);

        assert_false(class_same(c, edited));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_read_and_blanks_are_not),
        cmocka_unit_test(what_is_missing_is_told_by_its_field_and_keeps_no_class_from_being_read),
        cmocka_unit_test(there_may_be_none),
        cmocka_unit_test(what_is_beyond_the_ceilings_is_told),
        cmocka_unit_test(a_copy_is_the_same_and_any_edit_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
