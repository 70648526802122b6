/* SPDX-License-Identifier: Apache-2.0 */
/* WRAP: clock_mono_ms */
/*
 * The version of the group, by what a server says that it serves.
 */
#include "agent/group_version.h"
#include "tests/fakes/kube_fake.h"

static int64_t passed_ms;
static int64_t step_ms; /* that each look at the clock takes */

int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);

int64_t __wrap_clock_mono_ms(void)
{
    passed_ms += step_ms;
    return __real_clock_mono_ms() + passed_ms;
}

struct world {
    struct kube_fake fake;
    struct kube_api *api;
    struct group_version *version;
};

static void make(struct world *w)
{
    kube_fake_start(&w->fake, NULL);
    w->api = kube_fake_client(&w->fake, NULL);
    w->version = group_version_new(w->api);
}

static void unmake(struct world *w)
{
    group_version_free(w->version);
    kube_api_free(w->api);
    kube_fake_stop(&w->fake);
}

static const struct {
    const char *says;
    const char *served; /* JSON */
    const char *want;
} rows[] = {
    { "both: the newer one", "{\"served\":[\"v1\",\"v1alpha1\"]}", "v1" },
    { "only the old one", "{\"served\":[\"v1alpha1\"]}", "v1alpha1" },
    { "only the newer one", "{\"served\":[\"v1\"]}", "v1" },
    { "none that we know", "{\"served\":[\"v2\"]}", "v1" },
};

static void the_older_version_counts_where_nothing_else_is_served(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;

        make(&w);
        kube_fake_tell(&w.fake, rows[i].served, "set/groups");
        assert_string_equal(group_version_get(w.version), "v1"); /* as long as it is not known */
        group_version_learn(w.version);
        if (strcmp(group_version_get(w.version), rows[i].want) != 0)
            fail_msg("%s: %s", rows[i].says, group_version_get(w.version));
        group_version_learn(w.version);
        assert_int_equal(kube_fake_asked(&w.fake, "GET /apis/" CLASS_GROUP), 1);
        unmake(&w);
    }
}

static void a_server_that_did_not_answer_is_asked_again_after_a_pause(void **state)
{
    struct world w;

    (void)state;
    make(&w);
    kube_fake_tell(&w.fake, "{\"served\":[\"v1alpha1\"]}", "set/groups");
    kube_fake_tell(&w.fake, "{\"on\":\"get\",\"kind\":\"s503\",\"times\":1}", "fault/groups");
    group_version_learn(w.version);
    group_version_learn(w.version); /* within the pause */
    assert_string_equal(group_version_get(w.version), "v1");
    assert_int_equal(kube_fake_asked(&w.fake, "GET /apis/" CLASS_GROUP), 1);
    passed_ms += GROUP_VERSION_PAUSE_MS + 1;
    group_version_learn(w.version);
    assert_string_equal(group_version_get(w.version), "v1alpha1");
    unmake(&w);
}

/* Each report would wait for another one. */
static void the_pause_begins_when_a_call_that_took_long_has_failed(void **state)
{
    struct world w;

    (void)state;
    make(&w);
    kube_fake_tell(&w.fake, "{\"on\":\"get\",\"kind\":\"s503\",\"times\":1}", "fault/groups");
    step_ms = GROUP_VERSION_PAUSE_MS + 1;
    group_version_learn(w.version);
    step_ms = 0;
    group_version_learn(w.version);
    assert_int_equal(kube_fake_asked(&w.fake, "GET /apis/" CLASS_GROUP), 1);
    unmake(&w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_older_version_counts_where_nothing_else_is_served),
        cmocka_unit_test(a_server_that_did_not_answer_is_asked_again_after_a_pause),
        cmocka_unit_test(the_pause_begins_when_a_call_that_took_long_has_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
