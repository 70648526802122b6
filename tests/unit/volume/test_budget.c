/* SPDX-License-Identifier: Apache-2.0
 *
 * The sum of all volumes' tmpfs: what a new volume is refused, and an old one never.
 */
#include "driver/volume/budget.h"
#include "tests/unit/volume/rig.h"

enum { THREADS = 8, TURNS = 2000, PART = 10 };

#define MIB (INT64_C(1) << 20)

static const struct {
    const char *says;
    int64_t ram, limit, rss, budget;
} defaults[] = {
    { "a tenth of RAM without a limit", 1000 * MIB, -1, 50 * MIB, 100 * MIB },
    { "70 % of the limit less own memory", 1000 * MIB, 100 * MIB, 20 * MIB, 50 * MIB },
    { "a limit that own memory eats up", 1000 * MIB, 10 * MIB, 20 * MIB, 0 },
    { "nothing known", 0, -1, 0, 0 },
};

static void the_default_follows_the_machine(void **state)
{
    struct budget own;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        int64_t got = budget_default(defaults[i].ram, defaults[i].limit, defaults[i].rss);

        if (got > defaults[i].budget || got < defaults[i].budget - 10)
            fail_msg("%s: %lld", defaults[i].says, (long long)got);
    }
    budget_init(&own, 0);
    assert_true(own.total_bytes > MIB);
    assert_int_equal(budget_used(&own), 0);
    budget_done(&own);
}

static const struct {
    const char *says;
    int64_t size, used;
    bool foreign;
    int64_t share;
} shares[] = {
    { "our own: its limit", 8 * MIB, 1, false, 8 * MIB },
    { "another's: what is in it", 9000 * MIB, 5 * MIB, true, 5 * MIB },
    { "another's that is nearly empty", 9000 * MIB, 1, true, BUDGET_SHARE_MIN },
    { "another's that is small", 1 * MIB, 1, true, 1 * MIB },
    { "another's that is full", 4 * MIB, 4 * MIB, true, 4 * MIB },
};

static void a_volume_takes_its_limit_or_where_that_is_not_ours_its_content(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        int64_t got = budget_share(shares[i].size, shares[i].used, shares[i].foreign);

        if (got != shares[i].share)
            fail_msg("%s: %lld", shares[i].says, (long long)got);
    }
}

static const struct {
    const char *says;
    const char *self;  /* /proc/self/cgroup */
    const char *limit; /* of the root, of /a, of /a/b, and version 1's; "": no such file */
    const char *of_a;
    const char *of_b;
    const char *v1;
    int64_t wanted;
} limits[] = {
    { "a container sees its own as the root", "0::/\n", "500\n", "100\n", "", "", 500 },
    { "a unit of a host", "0::/a/b\n", "", "max\n", "300\n", "", 300 },
    { "what is around it counts", "0::/a/b\n", "", "200\n", "300\n", "", 200 },
    { "no limit anywhere", "0::/a/b\n", "max\n", "max\n", "max\n", "", -1 },
    { "no file", "0::/a/b\n", "", "", "", "", -1 },
    { "more than there is RAM", "0::/a\n", "", "1000\n", "", "", -1 },
    { "a mixed host", "3:cpu:/x\n0::/a\n", "", "400\n", "", "9223372036854771712\n", 400 },
    { "version 1", "9:memory:/x\n", "", "", "", "600\n", 600 },
    { "outside of what is mounted", "0::/../a\n", "", "400\n", "", "", -1 },
    { "no text", "", "700\n", "", "", "", 700 },
};

static void the_limit_is_the_least_of_the_own_cgroup_and_those_around_it(void **state)
{
    static const char *const files[] = { "memory.max", "a/memory.max", "a/b/memory.max",
                                         "memory/memory.limit_in_bytes" };
    struct folder *f = *state;

    assert_int_equal(mkdirat(f->fd, "a", 0700), 0);
    assert_int_equal(mkdirat(f->fd, "a/b", 0700), 0);
    assert_int_equal(mkdirat(f->fd, "memory", 0700), 0);
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        const char *texts[] = { limits[i].limit, limits[i].of_a, limits[i].of_b, limits[i].v1 };
        int64_t got;

        for (size_t k = 0; k < COUNT_OF(files); k++) {
            (void)unlinkat(f->fd, files[k], 0);
            if (*texts[k])
                put_text(f->fd, files[k], texts[k]);
        }
        got = budget_limit(f->path, limits[i].self, 1000);
        if (got != limits[i].wanted)
            fail_msg("%s: %lld", limits[i].says, (long long)got);
    }
}

static void a_new_volume_over_the_budget_is_refused_with_the_sums(void **state)
{
    struct error err = { 0 };
    struct budget b;

    (void)state;
    budget_init(&b, 1000);
    assert_int_equal(budget_reserve(&b, 600, &err), 0);
    assert_int_equal(budget_reserve(&b, 401, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "TmpfsBudget");
    assert_non_null(strstr(err.msg, "needs 401 bytes"));
    assert_non_null(strstr(err.msg, "600 of 1000"));
    assert_non_null(strstr(err.msg, "--tmpfs-budget"));
    assert_int_equal(budget_used(&b), 600); /* a refusal takes nothing */
    assert_int_equal(budget_reserve(&b, 400, &err), 0);
    assert_int_equal(budget_reserve(&b, 0, &err), 0);
    budget_change(&b, -400);
    assert_int_equal(budget_reserve(&b, 400, &err), 0);
    budget_done(&b);
}

static void adoption_and_growth_are_never_refused_but_count(void **state)
{
    struct error err = { 0 };
    struct budget b;

    (void)state;
    budget_init(&b, 1000);
    budget_change(&b, 5000);
    assert_int_equal(budget_used(&b), 5000);
    assert_int_equal(budget_reserve(&b, 1, &err), -1);
    budget_change(&b, -4500);
    assert_int_equal(budget_reserve(&b, 500, &err), 0);
    assert_int_equal(budget_reserve(&b, INT64_MAX, &err), -1);
    budget_done(&b);
}

static void *reserve_and_give_back(void *arg)
{
    struct budget *b = arg;

    for (int i = 0; i < TURNS; i++) {
        if (budget_reserve(b, PART, NULL) < 0)
            continue;
        if (budget_used(b) > b->total_bytes)
            return (void *)1;
        budget_change(b, -PART);
    }
    return NULL; /* on a busy machine a thread may never find room: that is no fault */
}

static void threads_never_take_more_than_there_is(void **state)
{
    pthread_t threads[THREADS];
    struct budget b;

    (void)state;
    budget_init(&b, 3 * PART + 1);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reserve_and_give_back, &b), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *wrong = NULL;

        (void)pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(budget_used(&b), 0);
    budget_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_follows_the_machine),
        cmocka_unit_test(a_volume_takes_its_limit_or_where_that_is_not_ours_its_content),
        in_folder(the_limit_is_the_least_of_the_own_cgroup_and_those_around_it),
        cmocka_unit_test(a_new_volume_over_the_budget_is_refused_with_the_sums),
        cmocka_unit_test(adoption_and_growth_are_never_refused_but_count),
        cmocka_unit_test(threads_never_take_more_than_there_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
