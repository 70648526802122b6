/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose a pod's names and tokens are, by what the CSIDriver object says.
 */
#include "driver/volume/credentials.h"
#include "driver/volume/token_trust.h"
#include "driver/volume/volume_metrics.h"
#include "tests/check.h"

#define TWO "{\"vault\":{\"token\":\"t1\"},\"other\":{\"token\":\"t2\"}}"
#define ONE "{\"vault\":{\"token\":\"t1\"}}"

static struct metrics *metrics;
static struct token_trust trust;

static int set_up(void **state)
{
    (void)state;
    metrics = metrics_new(volume_metric_rows, VM_COUNT);
    token_trust_init(&trust, metrics);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    token_trust_done(&trust);
    metrics_free(metrics);
    return 0;
}

static double dropped(const char *reason)
{
    const char *label[] = { reason };

    return metrics_value(metrics, VM_TOKENS_DROPPED, label);
}

static const char *const vault[] = { "vault" };

static const struct {
    const char *says;
    struct csi_driver_facts facts;
    bool known;
    bool in_secrets;
    const char *kept;    /* of TWO */
    const char *counted; /* the metric's label; NULL: nothing */
} rows[] = {
    { "nothing is known: all counts", { 0 }, false, false, TWO, NULL },
    { "there is no object: all counts", { .exists = false }, true, false, TWO, NULL },
    { "both ways are kubelet's while nothing is known", { 0 }, false, true, TWO, NULL },
    { "an audience that nobody asked for goes",
      { .exists = true, .pod_info = true, .audiences = vault, .audience_count = 1 },
      true,
      false,
      ONE,
      "audience" },
    { "no tokenRequests: the author wrote them",
      { .exists = true, .pod_info = true },
      true,
      false,
      "",
      "volume_context" },
    { "no tokenRequests, and a secretRef with such a key",
      { .exists = true, .pod_info = true },
      true,
      true,
      "",
      "secrets" },
    { "tokens come in secrets: those in the context are the author's",
      { .exists = true,
        .pod_info = true,
        .tokens_in_secrets = true,
        .audiences = vault,
        .audience_count = 1 },
      true,
      false,
      "",
      "volume_context" },
    { "tokens come in secrets, and there they are",
      { .exists = true,
        .pod_info = true,
        .tokens_in_secrets = true,
        .audiences = vault,
        .audience_count = 1 },
      true,
      true,
      ONE,
      "audience" },
    { "tokens come in the context: a secretRef's key is its owner's",
      { .exists = true, .pod_info = true, .audiences = vault, .audience_count = 1 },
      true,
      true,
      "",
      "secrets" },
};

static void only_what_kubelet_wrote_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct publish_request req = { .tokens = TWO, .tokens_in_secrets = rows[i].in_secrets };
        struct credentials c = { 0 };
        struct strbuf got CLEANUP(strbuf_done) = { .sensitive = true };
        double before = rows[i].counted ? dropped(rows[i].counted) : 0;

        token_trust_done(&trust);
        token_trust_init(&trust, metrics);
        if (rows[i].known)
            token_trust_set(&trust, &rows[i].facts);
        assert_int_equal(credentials_take(&c, &req, &trust, NULL), 0);
        assert_int_equal(credentials_tokens(&c, NULL, 0, &got, NULL), 0);
        if (strcmp(strbuf_text(&got), rows[i].kept) != 0)
            fail_msg("%s: kept %s", rows[i].says, strbuf_text(&got));
        if (rows[i].counted && dropped(rows[i].counted) != before + 1)
            fail_msg("%s: not counted", rows[i].says);
        assert_int_equal(credentials_has_tokens(&c), *rows[i].kept != '\0');
        credentials_done(&c);
    }
}

static void a_pod_that_may_name_itself_is_not_let_in(void **state)
{
    struct csi_driver_facts facts = { .exists = true, .pod_info = false };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(token_trust_admit(&trust, &err), 0);
    token_trust_set(&trust, &facts);
    assert_int_equal(token_trust_admit(&trust, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    assert_non_null(strstr(err.msg, "podInfoOnMount: true"));
    facts.pod_info = true;
    token_trust_set(&trust, &facts);
    assert_int_equal(token_trust_admit(&trust, &err), 0);
}

static void rotation_without_republish_is_seen(void **state)
{
    struct csi_driver_facts facts = { .exists = true, .pod_info = true };

    (void)state;
    assert_false(token_trust_lacks_republish(&trust));
    token_trust_set(&trust, &facts);
    assert_true(token_trust_lacks_republish(&trust));
    facts.republish = true;
    token_trust_set(&trust, &facts);
    assert_false(token_trust_lacks_republish(&trust));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_kubelet_wrote_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pod_that_may_name_itself_is_not_let_in, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(rotation_without_republish_is_seen, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
