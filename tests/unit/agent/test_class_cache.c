/* SPDX-License-Identifier: Apache-2.0 */
/* WRAP: cancel_sleep_ms */
/*
 * The classes that a node needs, over a server that may be away, silent or forgetful.
 */
#include <pthread.h>

#include "agent/class_cache.h"
#include "tests/fakes/kube_fake.h"

#define PLURAL "secretproviderclasses"

enum { PATIENCE_MS = 10000, SOON_MS = 900, SPEED = 10 };

bool __real_cancel_sleep_ms(struct cancel *c, int64_t ms);
bool __wrap_cancel_sleep_ms(struct cancel *c, int64_t ms);

/* The pauses between calls, ten times shorter. */
bool __wrap_cancel_sleep_ms(struct cancel *c, int64_t ms)
{
    return __real_cancel_sleep_ms(c, ms / SPEED);
}

struct world {
    struct kube_fake fake;
    struct kube_api *api;
    struct group_version *version;
    struct class_cache *cache;
    pthread_mutex_t lock;
    struct strbuf told; /* guarded by lock; "NAMESPACE/NAME " of each change */
};

static void on_change(void *arg, const char *ns, const char *name, enum class_change change)
{
    static const char *const marks[] = { [CLASS_ASKED] = "!", [CLASS_AWAITED] = "?" };
    const char *mark = change == CLASS_EDITED ? "" : marks[change];
    struct world *w = arg;

    (void)pthread_mutex_lock(&w->lock);
    strbuf_printf(&w->told, "%s/%s%s ", ns, name, mark);
    (void)pthread_mutex_unlock(&w->lock);
}

static int make(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    struct class_cache_config config = { .changed = on_change, .arg = w };

    kube_fake_start(&w->fake, NULL);
    w->api = kube_fake_client(&w->fake, NULL);
    (void)pthread_mutex_init(&w->lock, NULL);
    w->version = group_version_new(w->api);
    config.api = w->api;
    config.version = w->version;
    w->cache = class_cache_new(&config);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    struct world *w = *state;

    class_cache_free(w->cache);
    group_version_free(w->version);
    kube_api_free(w->api);
    kube_fake_stop(&w->fake);
    strbuf_done(&w->told);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
    return 0;
}

static void put_anew(struct world *w, const char *ns, const char *name, const char *provider,
                     const char *uid)
{
    autofree char *body =
        str_printf("{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":"
                   "\"SecretProviderClass\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\","
                   "\"uid\":\"%s\"},\"spec\":{\"provider\":\"%s\",\"parameters\":{\"a\":\"b\"}}}",
                   name, ns, uid, provider);

    kube_fake_tell(&w->fake, body, "put/" PLURAL);
}

static void put(struct world *w, const char *ns, const char *name, const char *provider)
{
    put_anew(w, ns, name, provider, "u1");
}

static void set_fault(struct world *w, const char *where, const char *kind)
{
    autofree char *body =
        str_printf("{\"on\":\"%s\",\"kind\":\"%s\",\"after\":0,\"times\":100000}", where, kind);

    kube_fake_tell(&w->fake, body, "fault/" PLURAL);
}

/* "" when it is not known. The caller frees. */
static char *known_provider(struct world *w, const char *ns, const char *name)
{
    struct class *class autoclass = NULL;
    struct error err = { 0 };
    bool known = false;

    if (class_cache_peek(w->cache, ns, name, &known, &class, &err) < 0)
        fail_msg("%s", err.msg);
    return xstrdup(class ? class->provider : "");
}

static void wait_for(struct world *w, const char *ns, const char *name, const char *provider)
{
    autofree char *got = known_provider(w, ns, name);
    int64_t until = clock_mono_ms() + PATIENCE_MS;

    while (strcmp(got, provider) != 0 && clock_mono_ms() < until) {
        clock_sleep_ms(5);
        free(got);
        got = known_provider(w, ns, name);
    }
    assert_string_equal(got, provider);
}

static bool was_told(struct world *w, const char *text)
{
    bool is;

    (void)pthread_mutex_lock(&w->lock);
    is = strstr(strbuf_text(&w->told), text) != NULL;
    (void)pthread_mutex_unlock(&w->lock);
    return is;
}

static void wait_told(struct world *w, const char *text)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;

    while (!was_told(w, text) && clock_mono_ms() < until)
        clock_sleep_ms(5);
    assert_true(was_told(w, text));
}

static void expect_get(struct world *w, const char *ns, const char *name, enum code code)
{
    struct class *class autoclass = NULL;
    struct error err = { 0 };
    int result = class_cache_get(w->cache, ns, name, &class, &err);

    if (err.code != code || (result == 0) != (code == CODE_OK))
        fail_msg("%s/%s: %s %s", ns, name, code_name(err.code), err.msg);
}

static void wait_for_failure(struct world *w, bool failed)
{
    int64_t until = clock_mono_ms() + PATIENCE_MS;
    struct error err = { 0 };

    while (class_cache_failure(w->cache, &err) != failed && clock_mono_ms() < until)
        clock_sleep_ms(5);
    assert_int_equal(class_cache_failure(w->cache, &err), failed);
}

/* --- tests --- */

static void a_class_is_asked_for_once_and_then_watched(void **state)
{
    struct world *w = *state;

    put(w, "shop", "app", "one");
    expect_get(w, "shop", "app", CODE_OK);
    for (int i = 0; i < 10; i++)
        expect_get(w, "shop", "app", CODE_OK);
    assert_int_equal(kube_fake_asked(&w->fake, PLURAL "/app"), 1);
    assert_int_equal(kube_fake_asked(&w->fake, "resourceVersion=0"), 1);
    put(w, "shop", "app", "two");
    wait_for(w, "shop", "app", "two");
    wait_told(w, "shop/app ");
    expect_get(w, "shop", "none", CODE_NOT_FOUND);
    put(w, "shop", "none", "late");
    wait_for(w, "shop", "none", "late");
}

static void a_list_that_says_the_same_is_no_edit_and_what_it_lacks_is_gone(void **state)
{
    struct world *w = *state;

    put(w, "shop", "same", "one");
    put(w, "shop", "edited", "one");
    put(w, "shop", "gone", "one");
    class_cache_hold(w->cache, "shop");
    wait_for(w, "shop", "gone", "one");
    kube_fake_tell(&w->fake, NULL, "drop/" PLURAL);
    put(w, "shop", "edited", "two");
    kube_fake_tell(&w->fake, NULL, "delete/" PLURAL "/shop/gone");
    kube_fake_tell(&w->fake, NULL, "compact/" PLURAL);
    wait_for(w, "shop", "edited", "two");
    wait_for(w, "shop", "gone", "");
    wait_told(w, "shop/edited ");
    wait_told(w, "shop/gone ");
    assert_false(was_told(w, "shop/same"));
    expect_get(w, "shop", "gone", CODE_NOT_FOUND);
}

static void what_is_known_serves_while_the_server_is_away(void **state)
{
    struct world *w = *state;

    put(w, "shop", "app", "one");
    class_cache_hold(w->cache, "shop");
    wait_for(w, "shop", "app", "one");
    wait_for_failure(w, false);
    set_fault(w, "get", "s503");
    set_fault(w, "watch", "vanish");
    kube_fake_tell(&w->fake, NULL, "drop/" PLURAL);
    wait_for_failure(w, true);
    put(w, "shop", "app", "two");
    expect_get(w, "shop", "app", CODE_OK);
    expect_get(w, "shop", "other", CODE_UNAVAILABLE);
    wait_for(w, "shop", "app", "one");
    kube_fake_tell(&w->fake, NULL, "heal/" PLURAL);
    wait_for(w, "shop", "app", "two");
    wait_for_failure(w, false);
    set_fault(w, "get", "html404"); /* of a proxy: no word about the class */
    expect_get(w, "shop", "other", CODE_UNAVAILABLE);
}

/* A server's cache may be behind: what it still has is not served once a list or watch has told. */
static void what_only_a_server_that_is_behind_still_has_is_not_kept(void **state)
{
    struct world *w = *state;

    put(w, "shop", "other", "one");
    set_fault(w, "get", "stale");
    set_fault(w, "watch", "vanish");
    expect_get(w, "shop", "app", CODE_OK); /* nobody knows better yet */
    wait_for(w, "shop", "app", "past");
    kube_fake_tell(&w->fake, NULL, "heal/" PLURAL);
    wait_for(w, "shop", "other", "one");
    wait_for(w, "shop", "app", ""); /* the list lacks it */
    wait_told(w, "shop/app ");
    set_fault(w, "get", "stale");
    expect_get(w, "shop", "app", CODE_NOT_FOUND);
}

static void hold_many(struct world *w, int from, int to)
{
    for (int i = from; i < to; i++) {
        autofree char *ns = str_printf("n%d", i);

        class_cache_hold(w->cache, ns);
    }
}

static void eight_namespaces_are_watched_one_by_one_and_nine_by_one_watch(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 9; i++) {
        autofree char *ns = str_printf("n%d", i);

        put(w, ns, "app", "one");
    }
    put(w, "foreign", "app", "one");
    hold_many(w, 0, 8);
    assert_int_equal(class_cache_watches(w->cache), 8);
    wait_for(w, "n7", "app", "one");
    hold_many(w, 8, 9);
    assert_int_equal(class_cache_watches(w->cache), 1);
    wait_for(w, "n8", "app", "one");
    for (int i = 0; i < 9; i++) {
        autofree char *ns = str_printf("n%d", i);

        put(w, ns, "app", "two");
        wait_for(w, ns, "app", "two");
    }
    put(w, "foreign", "app", "two");
    put(w, "n0", "last", "one");
    wait_for(w, "n0", "last", "one");
    wait_for(w, "foreign", "app", ""); /* went by, and was not kept */
    assert_false(was_told(w, "foreign"));
    class_cache_tidy(w->cache);
    assert_int_equal(class_cache_watches(w->cache), 1);
}

/* As when agent or driver were away: who has volumes of a class hears how it is now. */
static void how_a_class_is_that_somebody_waits_for_is_told_once_it_is_known(void **state)
{
    struct world *w = *state;

    put(w, "shop", "app", "one");
    set_fault(w, "list", "s503");
    set_fault(w, "watch", "vanish");
    class_cache_hold(w->cache, "shop");
    wait_for_failure(w, true);
    class_cache_await(w->cache, "shop", "app");
    class_cache_await(w->cache, "shop", "gone");
    assert_false(was_told(w, "shop/"));
    kube_fake_tell(&w->fake, NULL, "heal/" PLURAL);
    wait_told(w, "shop/app? ");
    wait_told(w, "shop/gone? ");
    expect_get(w, "shop", "gone", CODE_NOT_FOUND);
    put(w, "shop", "known", "one");
    wait_for(w, "shop", "known", "one");
    class_cache_await(w->cache, "shop", "known");
    assert_true(was_told(w, "shop/known? ")); /* at once */
}

static void one_that_is_made_anew_or_made_at_last_is_an_edit(void **state)
{
    struct world *w = *state;

    put(w, "shop", "app", "one");
    class_cache_hold(w->cache, "shop");
    wait_for(w, "shop", "app", "one");
    put(w, "shop", "late", "one");
    wait_told(w, "shop/late ");
    assert_false(was_told(w, "shop/app"));
    kube_fake_tell(&w->fake, NULL, "drop/" PLURAL); /* both while nobody looked */
    kube_fake_tell(&w->fake, NULL, "delete/" PLURAL "/shop/app");
    put_anew(w, "shop", "app", "one", "u2");
    kube_fake_tell(&w->fake, NULL, "compact/" PLURAL);
    wait_told(w, "shop/app ");
}

/* A namespace that comes while, or after, the list of the whole cluster is under way is in no
 * list. */
static void what_no_list_brings_is_asked_for(void **state)
{
    struct world *w = *state;

    hold_many(w, 0, 9);
    put(w, "n0", "last", "one");
    wait_for(w, "n0", "last", "one"); /* the list has ended */
    put(w, "late", "app", "one");
    put(w, "n1", "last", "one");
    wait_for(w, "n1", "last", "one"); /* and this has gone by */
    class_cache_hold(w->cache, "late");
    class_cache_await(w->cache, "late", "app");
    class_cache_await(w->cache, "late", "gone");
    assert_false(was_told(w, "late/"));
    class_cache_tidy(w->cache);
    assert_true(was_told(w, "late/app? "));
    assert_true(was_told(w, "late/gone? "));
    expect_get(w, "late", "app", CODE_OK);
}

static void on_gone(void *arg, const char *ns, const char *name, enum class_change change)
{
    assert_int_equal(change, CLASS_AWAITED);
    strbuf_printf(arg, "%s/%s ", ns, name);
}

/* Its objects may have gone by before it was wanted. */
static void a_list_that_had_begun_before_says_nothing_of_a_namespace(void **state)
{
    struct strbuf gone autostrbuf = { 0 };
    struct class_store store;
    uint64_t round;

    (void)state;
    class_store_init(&store);
    round = class_store_begin(&store);
    class_store_want(&store, "late", true);
    assert_false(class_store_await(&store, "late", "app"));
    class_store_sweep(&store, "", round, on_gone, &gone);
    assert_false(class_store_epoch(&store, "late").listed);
    assert_int_equal(gone.len, 0);
    round = class_store_begin(&store);
    class_store_sweep(&store, "", round, on_gone, &gone);
    assert_true(class_store_epoch(&store, "late").listed);
    assert_string_equal(strbuf_text(&gone), "late/app ");
    class_store_done(&store);
}

static void *get_in_silence(void *arg)
{
    struct class *class autoclass = NULL;

    (void)!class_cache_get(arg, "shop", "silent", &class, NULL);
    return NULL;
}

/* Nor by a watch that is to end, nor by somebody who asks. */
static void nobody_is_held_up_by_a_server_that_answers_nothing(void **state)
{
    struct world *w = *state;
    struct error err = { 0 };
    pthread_t asker;
    int64_t began;

    put(w, "shop", "app", "one");
    class_cache_hold(w->cache, "shop");
    wait_for(w, "shop", "app", "one");
    set_fault(w, "watch", "hang");
    kube_fake_tell(&w->fake, "{\"on\":\"get\",\"kind\":\"hang\",\"times\":1}", "fault/" PLURAL);
    assert_int_equal(pthread_create(&asker, NULL, get_in_silence, w->cache), 0);
    began = clock_mono_ms();
    hold_many(w, 0, 12);
    expect_get(w, "shop", "app", CODE_OK);
    (void)class_cache_failure(w->cache, &err);
    assert_int_equal(class_cache_watches(w->cache), 1);
    assert_in_range(clock_mono_ms() - began, 0, SOON_MS);
    (void)pthread_join(asker, NULL);
}

static void *get_until_the_end(void *arg)
{
    struct world *w = arg;

    expect_get(w, "shop", "silent", CODE_UNAVAILABLE);
    return NULL;
}

static void who_waits_for_a_class_is_told_at_the_end(void **state)
{
    struct world *w = *state;
    pthread_t asker;
    int64_t began;

    set_fault(w, "get", "hang");
    assert_int_equal(pthread_create(&asker, NULL, get_until_the_end, w), 0);
    while (!kube_fake_asked(&w->fake, PLURAL "/silent"))
        clock_sleep_ms(5);
    began = clock_mono_ms();
    class_cache_end(w->cache);
    (void)pthread_join(asker, NULL);
    expect_get(w, "shop", "later", CODE_UNAVAILABLE);
    assert_in_range(clock_mono_ms() - began, 0, SOON_MS);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_class_is_asked_for_once_and_then_watched, make, unmake),
        cmocka_unit_test_setup_teardown(
            a_list_that_says_the_same_is_no_edit_and_what_it_lacks_is_gone, make, unmake),
        cmocka_unit_test_setup_teardown(what_is_known_serves_while_the_server_is_away, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(what_only_a_server_that_is_behind_still_has_is_not_kept,
                                        make, unmake),
        cmocka_unit_test_setup_teardown(
            eight_namespaces_are_watched_one_by_one_and_nine_by_one_watch, make, unmake),
        cmocka_unit_test_setup_teardown(
            how_a_class_is_that_somebody_waits_for_is_told_once_it_is_known, make, unmake),
        cmocka_unit_test_setup_teardown(one_that_is_made_anew_or_made_at_last_is_an_edit, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(what_no_list_brings_is_asked_for, make, unmake),
        cmocka_unit_test(a_list_that_had_begun_before_says_nothing_of_a_namespace),
        cmocka_unit_test_setup_teardown(nobody_is_held_up_by_a_server_that_answers_nothing, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(who_waits_for_a_class_is_told_at_the_end, make, unmake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
