/* SPDX-License-Identifier: Apache-2.0
 *
 * The patch that takes a taint from a node names the right places of the list, and holds for no
 * other.
 */
#include "agent/taint.h"
#include "lib/base/json.h"
#include "tests/check.h"

#define KEY "d/agent-not-ready"
#define TEST_AT(i_) "{\"op\":\"test\",\"path\":\"/spec/taints/" #i_ "/key\",\"value\":\"" KEY "\"}"
#define REMOVE_AT(i_) "{\"op\":\"remove\",\"path\":\"/spec/taints/" #i_ "\"}"

static const struct {
    const char *says;
    const char *node;
    const char *patch; /* NULL: nothing is to be removed */
} cases[] = {
    { "a node without spec", "{}", NULL },
    { "a node without taints", "{\"spec\":{}}", NULL },
    { "taints that are no list", "{\"spec\":{\"taints\":\"" KEY "\"}}", NULL },
    { "others' taints", "{\"spec\":{\"taints\":[{\"key\":\"x\"},{},7,{\"key\":\"" KEY "/not\"}]}}",
      NULL },
    { "the one", "{\"spec\":{\"taints\":[{\"key\":\"" KEY "\"}]}}",
      "[" TEST_AT(0) "," REMOVE_AT(0) "]" },
    { "two of three, the last first",
      "{\"spec\":{\"taints\":[{\"key\":\"" KEY "\"},{\"key\":\"x\"},{\"key\":\"" KEY "\"}]}}",
      "[" TEST_AT(2) "," REMOVE_AT(2) "," TEST_AT(0) "," REMOVE_AT(0) "]" },
};

static void a_patch_removes_each_taint_of_the_key_and_tests_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tree *node autotree = NULL;
        struct strbuf out autostrbuf = { 0 };
        bool found;

        assert_int_equal(json_parse(cases[i].node, strlen(cases[i].node), &node, NULL), 0);
        found = taint_patch(node, KEY, &out);
        if (found != (cases[i].patch != NULL) ||
            (found && strcmp(strbuf_text(&out), cases[i].patch) != 0))
            fail_msg("%s: %s", cases[i].says, strbuf_text(&out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patch_removes_each_taint_of_the_key_and_tests_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
