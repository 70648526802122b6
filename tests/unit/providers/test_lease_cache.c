/* SPDX-License-Identifier: Apache-2.0
 *
 * What is lent for a time: handed out again while it is fresh, obtained by one at a time, dropped
 * when it ends, when its owner goes, when there is too much.
 */
#include <pthread.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/strbuf.h"
#include "providers/lease_cache.h"
#include "tests/check.h"

enum { THREADS = 8 };

/* The lender: numbers what it lends. */
struct lender {
    int obtained; /* atomic */
    int at_once;  /* atomic */
    int most_at_once;
    int64_t lease_ms;
    int64_t takes_ms;
    bool fails;
};

static int lend(void *arg, struct lease *ret, struct error *err)
{
    struct lender *l = arg;
    int at_once = __atomic_add_fetch(&l->at_once, 1, __ATOMIC_SEQ_CST);
    autofree char *text = NULL;

    if (at_once > l->most_at_once)
        l->most_at_once = at_once;
    clock_sleep_ms(l->takes_ms);
    (void)__atomic_sub_fetch(&l->at_once, 1, __ATOMIC_SEQ_CST);
    if (l->fails)
        return error_set(err, CODE_UNAVAILABLE, "nothing to lend");
    text = str_printf("no-%d", __atomic_add_fetch(&l->obtained, 1, __ATOMIC_SEQ_CST));
    ret->bytes = secret_copy(text, strlen(text));
    ret->lease_ms = l->lease_ms;
    return 0;
}

/* What an identity gets: "no-1"; NULL: an error. Ownership: the caller. */
static char *get(struct lease_cache *cache, struct lender *l, const char *identity)
{
    struct lease_wish wish = { .identity = identity, .owner = "owner", .obtain = lend, .arg = l };
    struct lease_got got CLEANUP(lease_got_done) = { 0 };

    if (lease_cache_get(cache, &wish, &got, NULL) < 0)
        return NULL;
    return xstrndup((const char *)got.bytes.bytes, got.bytes.len);
}

static void expect(struct lease_cache *cache, struct lender *l, const char *identity,
                   const char *want)
{
    autofree char *have = get(cache, l, identity);

    if (!str_same(have, want))
        fail_msg("%s gets %s, not %s", identity, have ? have : "an error", want ? want : "one");
}

static void what_is_fresh_is_handed_out_again(void **state)
{
    struct lease_cache *cache = lease_cache_new(10);
    struct lender l = { .lease_ms = 600000 };

    (void)state;
    expect(cache, &l, "a", "no-1");
    expect(cache, &l, "a", "no-1");
    expect(cache, &l, "b", "no-2");
    expect(cache, &l, "a", "no-1");
    lease_cache_drop(cache, "a");
    lease_cache_drop(cache, "nobody");
    expect(cache, &l, "a", "no-3");
    lease_cache_release(cache, "somebody else");
    expect(cache, &l, "a", "no-3");
    lease_cache_release(cache, "owner");
    expect(cache, &l, "a", "no-4");
    expect(cache, &l, "b", "no-5");
    lease_cache_free(cache);
}

static void what_is_given_is_not_kept(void **state)
{
    struct lease_cache *cache = lease_cache_new(10);
    struct lender l = { .lease_ms = LEASE_NONE };

    (void)state;
    expect(cache, &l, "a", "no-1");
    expect(cache, &l, "a", "no-2");
    l.lease_ms = 0; /* for ever */
    expect(cache, &l, "a", "no-3");
    expect(cache, &l, "a", "no-3");
    lease_cache_free(cache);
}

static void it_is_renewed_at_two_thirds_and_serves_to_its_end(void **state)
{
    struct lease_cache *cache = lease_cache_new(10);
    struct lender l = { .lease_ms = 1500 };

    (void)state;
    expect(cache, &l, "a", "no-1");
    clock_sleep_ms(1050);
    l.fails = true;
    expect(cache, &l, "a", "no-1"); /* no new one, and the old one lives on */
    clock_sleep_ms(500);
    expect(cache, &l, "a", NULL);
    l.fails = false;
    expect(cache, &l, "a", "no-2");
    clock_sleep_ms(1050);
    expect(cache, &l, "a", "no-3"); /* before its end */
    lease_cache_free(cache);
}

static void the_shortest_lease_ends_too(void **state)
{
    struct lease_cache *cache = lease_cache_new(10);

    (void)state;
    for (int64_t ms = 1; ms <= 3; ms++) {
        autofree char *identity = str_printf("of %d", (int)ms);
        struct lender l = { .lease_ms = ms };

        expect(cache, &l, identity, "no-1");
        clock_sleep_ms(10);
        expect(cache, &l, identity, "no-2");
    }
    lease_cache_free(cache);
}

static void the_longest_unused_goes_when_there_are_too_many(void **state)
{
    struct lease_cache *cache = lease_cache_new(2);
    struct lease_cache *none = lease_cache_new(0);
    struct lender l = { .lease_ms = 600000 };

    (void)state;
    expect(cache, &l, "a", "no-1");
    clock_sleep_ms(3);
    expect(cache, &l, "b", "no-2");
    clock_sleep_ms(3);
    expect(cache, &l, "a", "no-1");
    clock_sleep_ms(3);
    expect(cache, &l, "c", "no-3"); /* b goes */
    expect(cache, &l, "a", "no-1");
    expect(cache, &l, "b", "no-4");
    expect(none, &l, "a", "no-5");
    expect(none, &l, "a", "no-6");
    lease_cache_free(cache);
    lease_cache_free(none);
}

struct asker {
    struct lease_cache *cache;
    struct lender *lender;
    char *got;
};

static void *ask(void *arg)
{
    struct asker *a = arg;

    a->got = get(a->cache, a->lender, "same");
    return NULL;
}

static void one_obtains_for_all_who_wait(void **state)
{
    struct lease_cache *cache = lease_cache_new(10);
    struct lender l = { .lease_ms = 600000, .takes_ms = 50 };
    struct asker askers[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){ .cache = cache, .lender = &l };
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_string_equal(askers[i].got, "no-1");
        free(askers[i].got);
    }
    assert_int_equal(l.obtained, 1);
    assert_int_equal(l.most_at_once, 1);
    lease_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_fresh_is_handed_out_again),
        cmocka_unit_test(what_is_given_is_not_kept),
        cmocka_unit_test(it_is_renewed_at_two_thirds_and_serves_to_its_end),
        cmocka_unit_test(the_shortest_lease_ends_too),
        cmocka_unit_test(the_longest_unused_goes_when_there_are_too_many),
        cmocka_unit_test(one_obtains_for_all_who_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
