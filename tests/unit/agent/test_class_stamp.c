/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes a class another one, and what does not.
 */
#include "agent/class_stamp.h"
#include "lib/base/json.h"
#include "tests/check.h"

#define HEAD                                                                                       \
    "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":\"SecretProviderClass\","          \
    "\"metadata\":{\"name\":\"app\",\"namespace\":\"ns\""

static char *stamp_of(const char *text, const char *uid)
{
    struct tree *t autotree = NULL;
    struct class *c autoclass = NULL;
    struct error err = { 0 };

    if (json_parse(text, strlen(text), &t, &err) < 0 || class_read(t, &c, &err) < 0)
        fail_msg("%s", err.msg);
    return class_stamp(c, uid);
}

static const struct {
    const char *says;
    const char *text;
    const char *uid;
    bool same;
} rows[] = {
    { "itself", HEAD "},\"spec\":{\"provider\":\"p\",\"parameters\":{\"a\":\"b\",\"c\":\"d\"}}}",
      "u1", true },
    { "a label",
      HEAD ",\"labels\":{\"x\":\"y\"}},\"spec\":{\"provider\":\"p\",\"parameters\":"
           "{\"a\":\"b\",\"c\":\"d\"}}}",
      "u1", true },
    { "secretObjects, which no volume holds",
      HEAD "},\"spec\":{\"provider\":\"p\",\"parameters\":{\"a\":\"b\",\"c\":\"d\"},"
           "\"secretObjects\":[{\"secretName\":\"s\",\"type\":\"Opaque\",\"data\":"
           "[{\"objectName\":\"a\",\"key\":\"k\"}]}]}}",
      "u1", true },
    { "made anew", HEAD "},\"spec\":{\"provider\":\"p\",\"parameters\":{\"a\":\"b\",\"c\":\"d\"}}}",
      "u2", false },
    { "another provider",
      HEAD "},\"spec\":{\"provider\":\"q\",\"parameters\":{\"a\":\"b\",\"c\":\"d\"}}}", "u1",
      false },
    { "another value",
      HEAD "},\"spec\":{\"provider\":\"p\",\"parameters\":{\"a\":\"b\",\"c\":\"e\"}}}", "u1",
      false },
    { "letters moved from one to the next",
      HEAD "},\"spec\":{\"provider\":\"p\",\"parameters\":{\"a\":\"bc\",\"d\":\"\"}}}", "u1",
      false },
    { "no parameters", HEAD "},\"spec\":{\"provider\":\"p\"}}", "u1", false },
    { "another interval",
      HEAD ",\"annotations\":{\"rotationPollInterval\":\"5m\"}},\"spec\":{\"provider\":\"p\","
           "\"parameters\":{\"a\":\"b\",\"c\":\"d\"}}}",
      "u1", false },
};

static void a_class_is_another_one_when_it_asks_for_something_else(void **state)
{
    autofree char *first = stamp_of(rows[0].text, rows[0].uid);

    (void)state;
    assert_true(str_starts(first, "u1/"));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *stamp = stamp_of(rows[i].text, rows[i].uid);

        if ((strcmp(stamp, first) == 0) != rows[i].same)
            fail_msg("%s: %s", rows[i].says, stamp);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_is_another_one_when_it_asks_for_something_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
