/* SPDX-License-Identifier: Apache-2.0
 *
 * A Secret that a pod left without an owner: which one that is, when it is given the pod, and which
 * are left alone.
 */
/* WRAP: kube_call class_cache_get due_queue_set */
#include "agent/secret_leavers.h"
#include "agent/secret_object.h"
#include "agent/secret_orphan.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/net/work.h"
#include "tests/check.h"

enum { WAIT_MS = 10000, GATE_MS = 100 };

#define SECRET_PATH "/api/v1/namespaces/shop/secrets/"
#define LIVE(version_, class_, more_)                                                              \
    "{\"metadata\":{\"resourceVersion\":\"" version_ "\",\"labels\":{\"" SECRET_MANAGED_LABEL      \
    "\":\"true\"},\"annotations\":{\"" SECRET_CLASS_NOTE "\":\"" class_ "\"}" more_ "}}"
#define OWNER ",\"ownerReferences\":[{\"uid\":\"u9\"}]"
#define ORPHAN LIVE("7", "app", "")

/* --- the fake: what is there, what it answers to a patch, and what it was asked ------------------
 */

static struct {
    pthread_mutex_t gate; /* held: calls wait */
    pthread_mutex_t lock;
    const char *live; /* NULL: nothing is there */
    enum code look_code;
    enum code own_code;
    size_t failures; /* looks that are answered with look_code; then all is well */
    char *asked;     /* "look db" and "own db", with blanks between */
    char *patch;
    int64_t longest_ms; /* that anything was put off */
} fake = { .gate = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER };

static void note_call(const char *what, const char *path)
{
    autofree char *before = take(fake.asked);
    const char *name = path + strlen(SECRET_PATH);

    assert_true(str_starts(path, SECRET_PATH));
    fake.asked = str_printf("%s%s%s %.*s", before ? before : "", before ? " " : "", what,
                            (int)strcspn(name, "?"), name);
}

static int answer_look(struct tree **ret, struct error *err)
{
    if (fake.failures) {
        fake.failures--;
        return error_set(err, fake.look_code, "no");
    }
    if (!fake.live)
        return error_set(err, CODE_NOT_FOUND, "no");
    return json_parse(fake.live, strlen(fake.live), ret, err);
}

static int answer_own(const struct kube_request *request, struct error *err)
{
    free(fake.patch);
    fake.patch = xstrdup(request->body->text);
    if (fake.own_code)
        return error_set(err, fake.own_code, "no");
    return 0;
}

int __wrap_kube_call(struct kube_api *api, const struct kube_request *request, struct tree **ret,
                     struct error *err);
int __wrap_kube_call(struct kube_api *api, const struct kube_request *request, struct tree **ret,
                     struct error *err)
{
    bool look = strcmp(request->method, "GET") == 0;
    int result;

    (void)api;
    (void)pthread_mutex_lock(&fake.gate);
    (void)pthread_mutex_unlock(&fake.gate);
    (void)pthread_mutex_lock(&fake.lock);
    assert_true(request->sensitive);
    note_call(look ? "look" : "own", request->path);
    result = look ? answer_look(ret, err) : answer_own(request, err);
    (void)pthread_mutex_unlock(&fake.lock);
    return result;
}

/* Classes: "app" wishes for a and b, "plain" for nothing, "busy" comes at the second try. */
int __wrap_class_cache_get(struct class_cache *cache, const char *ns, const char *name,
                           struct class **ret, struct error *err);
int __wrap_class_cache_get(struct class_cache *cache, const char *ns, const char *name,
                           struct class **ret, struct error *err)
{
    static const char with[] = "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":"
                               "\"SecretProviderClass\",\"metadata\":{\"name\":\"app\"},\"spec\":{"
                               "\"secretObjects\":[{\"secretName\":\"a\"},{\"secretName\":\"b\"},"
                               "{\"secretName\":\"\"}]}}";
    static const char without[] = "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":"
                                  "\"SecretProviderClass\",\"metadata\":{\"name\":\"plain\"}}";
    const char *text = strcmp(name, "plain") == 0 ? without : with;
    struct tree *t autotree = NULL;
    bool away;

    (void)cache;
    if (strcmp(name, "gone") == 0)
        return class_not_found(ns, name, err);
    (void)pthread_mutex_lock(&fake.lock);
    away = strcmp(name, "busy") == 0 && fake.failures && fake.failures--;
    (void)pthread_mutex_unlock(&fake.lock);
    if (away)
        return error_set(err, CODE_UNAVAILABLE, "away");
    return json_parse(text, strlen(text), &t, err) < 0 ? -1 : class_read(t, ret, err);
}

/* Everything is due at once; how long it was put off is noted. */
void __real_due_queue_set(struct due_queue *q, struct due_item *item, int64_t due_ms);
void __wrap_due_queue_set(struct due_queue *q, struct due_item *item, int64_t due_ms);
void __wrap_due_queue_set(struct due_queue *q, struct due_item *item, int64_t due_ms)
{
    int64_t now = clock_mono_ms();

    (void)pthread_mutex_lock(&fake.lock);
    if (due_ms - now > fake.longest_ms)
        fake.longest_ms = due_ms - now;
    (void)pthread_mutex_unlock(&fake.lock);
    __real_due_queue_set(q, item, now);
}

static int begin(void **state)
{
    (void)state;
    free(take(fake.asked));
    free(take(fake.patch));
    fake.live = NULL;
    fake.look_code = fake.own_code = CODE_OK;
    fake.failures = 0;
    fake.longest_ms = 0;
    return 0;
}

/* --- one look -----------------------------------------------------------------------------------
 */

static const struct {
    const char *says;
    const char *live;
    const char *seen;
    const char *asked;
    bool again;
} rows[] = {
    { "one that is not there", NULL, NULL, "look db", false },
    { "one that is owned", LIVE("7", "app", OWNER), NULL, "look db", false },
    { "an orphan is waited for at first", ORPHAN, NULL, "look db", true },
    { "and given the pod when it is the same", ORPHAN, "7", "look db own db", false },
    { "and waited for when it was written meanwhile", ORPHAN, "6", "look db", true },
    { "one that somebody owned meanwhile", LIVE("8", "app", OWNER), "7", "look db", false },
    { "one that is being deleted", LIVE("7", "app", ",\"deletionTimestamp\":\"x\""), "7", "look db",
      false },
    { "one of another class", LIVE("7", "twin", ""), "7", "look db", false },
    { "one that is not ours",
      "{\"metadata\":{\"resourceVersion\":\"7\",\"annotations\":{\"" SECRET_CLASS_NOTE
      "\":\"app\"}}}",
      "7", "look db", false },
    { "the old driver's",
      "{\"metadata\":{\"resourceVersion\":\"7\",\"labels\":{\"" SECRET_MANAGED_LABEL
      "\":\"true\"}}}",
      "7", "look db", false },
};

static const struct secret_orphan orphan = {
    .ns = "shop", .secret = "db", .class_name = "app", .pod_name = "web-0", .pod_uid = "u1"
};

static void only_an_orphan_of_the_class_is_given_the_pod(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct secret_orphan o = orphan;
        autofree char *seen = NULL;

        (void)begin(state);
        o.seen = rows[i].seen;
        fake.live = rows[i].live;
        assert_int_equal(secret_orphan_look(&o, &seen, NULL), 0);
        if (!str_same(fake.asked, rows[i].asked) || (seen != NULL) != rows[i].again)
            fail_msg("%s: %s, seen %s", rows[i].says, fake.asked, seen ? seen : "(none)");
    }
}

static void the_pod_becomes_owner_of_the_version_that_was_seen_alone(void **state)
{
    struct secret_orphan o = orphan;
    autofree char *seen = NULL;
    struct error err = { 0 };

    (void)state;
    o.seen = "7";
    fake.live = ORPHAN;
    fake.own_code = CODE_ABORTED;
    assert_int_equal(secret_orphan_look(&o, &seen, &err), -1);
    assert_int_equal(err.code, CODE_ABORTED);
    assert_string_equal(fake.patch,
                        "{\"metadata\":{\"resourceVersion\":\"7\",\"ownerReferences\":[{"
                        "\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"web-0\",\"uid\":"
                        "\"u1\"}]}}");
}

/* --- those that left ----------------------------------------------------------------------------
 */

static void wait_until_none_is_left(struct secret_leavers *leavers)
{
    int64_t end = clock_mono_ms() + WAIT_MS;

    while (secret_leavers_count(leavers) && clock_mono_ms() < end)
        clock_sleep_ms(1);
    assert_int_equal(secret_leavers_count(leavers), 0);
}

static const struct {
    const char *says;
    const char *class_name;
    const char *secret; /* NULL: each of the class */
    const char *live;
    size_t failures;
    enum code look_code;
    enum code own_code;
    const char *asked;
    int64_t longest_ms; /* at least */
} leavers_rows[] = {
    { .says = "an orphan is looked at twice, then given the pod",
      .class_name = "app",
      .secret = "db",
      .live = ORPHAN,
      .asked = "look db look db own db",
      .longest_ms = SECRET_ORPHAN_MS - 100 },
    { .says = "one that is owned is left alone",
      .class_name = "app",
      .secret = "db",
      .live = LIVE("7", "app", OWNER),
      .asked = "look db" },
    { .says = "each Secret of the class is looked at",
      .class_name = "app",
      .asked = "look a look b" },
    { .says = "a class without Secrets costs no call", .class_name = "plain" },
    { .says = "nor does one that is gone", .class_name = "gone" },
    { .says = "a class that does not come is waited for",
      .class_name = "busy",
      .failures = 1,
      .asked = "look a look b",
      .longest_ms = SECRET_LEAVER_MS / 2 },
    { .says = "an API server that is away is waited for, up to a minute",
      .class_name = "app",
      .secret = "db",
      .failures = 8,
      .look_code = CODE_UNAVAILABLE,
      .asked = "look db look db look db look db look db look db look db look db look db",
      .longest_ms = SECRET_LEAVER_MAX_MS / 2 },
    { .says = "a no is the last word",
      .class_name = "app",
      .secret = "db",
      .failures = 1,
      .look_code = CODE_PERMISSION_DENIED,
      .asked = "look db" },
    { .says = "also to the pod as an owner",
      .class_name = "app",
      .secret = "db",
      .live = ORPHAN,
      .own_code = CODE_PERMISSION_DENIED,
      .asked = "look db look db own db" },
};

static void pods_that_left_are_looked_after_until_their_secrets_are_owned(void **state)
{
    for (size_t i = 0; i < COUNT_OF(leavers_rows); i++) {
        struct secret_leavers *leavers = secret_leavers_new(NULL, NULL);
        const struct secret_leaver leaver = { "shop", "web-0", "u1", leavers_rows[i].class_name,
                                              leavers_rows[i].secret };

        (void)begin(state);
        fake.live = leavers_rows[i].live;
        fake.failures = leavers_rows[i].failures;
        fake.look_code = leavers_rows[i].look_code;
        fake.own_code = leavers_rows[i].own_code;
        secret_leavers_add(leavers, &leaver);
        wait_until_none_is_left(leavers);
        secret_leavers_free(leavers);
        if (!str_same(fake.asked, leavers_rows[i].asked))
            fail_msg("%s: %s", leavers_rows[i].says, fake.asked ? fake.asked : "(nothing)");
        if (fake.longest_ms < leavers_rows[i].longest_ms)
            fail_msg("%s: put off %lld ms", leavers_rows[i].says, (long long)fake.longest_ms);
    }
}

static void a_secret_that_many_pods_left_is_looked_at_once_more_and_not_for_each(void **state)
{
    struct secret_leavers *leavers = secret_leavers_new(NULL, NULL);
    const struct secret_leaver leaver = { "shop", "web-0", "u1", "app", "db" };
    const struct secret_leaver other = { "shop", "web-0", "u1", "twin", "db" };

    (void)state;
    (void)pthread_mutex_lock(&fake.gate);
    for (int i = 0; i < 10; i++)
        secret_leavers_add(leavers, &leaver);
    assert_int_equal(secret_leavers_count(leavers), 1);
    secret_leavers_add(leavers, &other);
    assert_int_equal(secret_leavers_count(leavers), 2);
    (void)pthread_mutex_unlock(&fake.gate);
    wait_until_none_is_left(leavers);
    assert_string_equal(fake.asked, "look db look db look db");
    secret_leavers_free(leavers);
}

static void those_that_wait_when_all_ends_are_given_up(void **state)
{
    struct secret_leavers *leavers = secret_leavers_new(NULL, NULL);
    const struct secret_leaver leaver = { "shop", "web-0", "u1", "app", "db" };

    (void)state;
    fake.look_code = CODE_UNAVAILABLE;
    fake.failures = SIZE_MAX;
    secret_leavers_add(leavers, &leaver);
    secret_leavers_end(leavers);
    secret_leavers_add(leavers, &leaver);
    assert_int_equal(secret_leavers_count(leavers), 1);
    secret_leavers_free(leavers);
}

static void *end_all(void *arg)
{
    secret_leavers_end(arg);
    return NULL;
}

/* A class that has to be asked for waits for a server that may be away: the end would, for each. */
static void once_all_ends_nobody_is_asked_any_more(void **state)
{
    struct secret_leavers *leavers = secret_leavers_new(NULL, NULL);
    const struct secret_leaver first = { "shop", "web-0", "u1", "app", "db" };
    const char *const namespaces[] = { "one", "two", "three" };
    pthread_t ender;

    (void)state;
    fake.look_code = CODE_UNAVAILABLE;
    fake.failures = 100;
    (void)pthread_mutex_lock(&fake.gate);
    secret_leavers_add(leavers, &first);
    for (size_t i = 0; i < COUNT_OF(namespaces); i++)
        secret_leavers_add(leavers,
                           &(struct secret_leaver){ namespaces[i], "web-0", "u1", "busy", NULL });
    clock_sleep_ms(GATE_MS); /* all of them wait for the thread by now */
    assert_int_equal(pthread_create(&ender, NULL, end_all, leavers), 0);
    clock_sleep_ms(GATE_MS);
    (void)pthread_mutex_unlock(&fake.gate);
    assert_int_equal(pthread_join(ender, NULL), 0);
    assert_true(fake.failures >= 99); /* the look that was begun */
    secret_leavers_free(leavers);
}

#define with_fake(test) cmocka_unit_test_setup_teardown(test, begin, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fake(only_an_orphan_of_the_class_is_given_the_pod),
        with_fake(the_pod_becomes_owner_of_the_version_that_was_seen_alone),
        with_fake(pods_that_left_are_looked_after_until_their_secrets_are_owned),
        with_fake(a_secret_that_many_pods_left_is_looked_at_once_more_and_not_for_each),
        with_fake(those_that_wait_when_all_ends_are_given_up),
        with_fake(once_all_ends_nobody_is_asked_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
