/* SPDX-License-Identifier: Apache-2.0
 *
 * What the cluster is told of a volume's life: each access, and which of them are news.
 */
#include "driver/volume/note.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "tests/unit/volume/life.h"

enum { PATIENCE_MS = 10000 };

static const char *const audiences[] = { "vault" };

static struct noted noted(enum note_kind kind)
{
    return cluster_double_noted(w.app.cluster, kind);
}

/* A token of this pod. */
static char *token_for(const char *uid)
{
    autofree char *claims = str_printf("{\"kubernetes.io\":{\"pod\":{\"uid\":\"%s\"}}}", uid);
    struct strbuf out autostrbuf = { 0 };

    strbuf_add_text(&out, "{\"vault\":{\"expirationTimestamp\":\"2999-01-01T00:00:00Z\","
                          "\"token\":\"h.");
    base64_encode(BASE64_URL_RAW, &out, claims, strlen(claims));
    strbuf_add_text(&out, ".s\"}}");
    return strbuf_take(&out);
}

static int publish_with(const char *tokens, struct error *err)
{
    return life_publish_with("csi-1", w.target, tokens, err);
}

static void publish(void)
{
    life_publish(1);
}

static int refresh(void)
{
    return life_refresh(1);
}

static void fail_fetches(enum code code)
{
    struct error err = { 0 };

    if (code)
        (void)error_set(&err, code, "the store says no");
    source_double_fail(w.app.source, code ? &err : NULL);
}

static void a_publish_and_its_end_are_each_noted_and_no_news(void **state)
{
    (void)state;
    publish();
    assert_int_equal(noted(NOTE_PUBLISHED).count, 1);
    assert_int_equal(noted(NOTE_PUBLISHED).code, CODE_OK);
    assert_int_equal(noted(NOTE_PUBLISHED).last.object_count, 1);
    publish(); /* kubelet's next: nothing is fetched */
    assert_int_equal(noted(NOTE_PUBLISHED).count, 1);
    assert_int_equal(noted(NOTE_REPAIRED).count, 0);
    assert_int_equal(lifecycle_unpublish(&w.app, "csi-1", w.target, NULL), 0);
    assert_int_equal(noted(NOTE_UNPUBLISHED).count, 1);
    assert_int_equal(noted(NOTE_UNPUBLISHED).last.object_count, 1);
    assert_int_equal(noted(NOTE_PUBLISHED).news + noted(NOTE_UNPUBLISHED).news, 0);
}

static void an_unpublish_of_a_volume_that_nobody_knows_is_noted(void **state)
{
    (void)state;
    assert_int_equal(lifecycle_unpublish(&w.app, "csi-9", w.target, NULL), 0);
    assert_int_equal(noted(NOTE_UNPUBLISHED).count, 1);
    assert_int_equal(noted(NOTE_UNPUBLISHED).code, CODE_OK);
    assert_string_equal(noted(NOTE_UNPUBLISHED).pod_uid, "u1"); /* of the path */
}

static void an_unpublish_that_fails_is_noted_and_so_is_the_next(void **state)
{
    autofree char *below = str_printf("%s/link", w.root);
    autofree char *target = str_printf("%s/mount", below);
    struct error err = { 0 };

    (void)state;
    publish();
    assert_int_equal(symlink("/etc", below), 0);
    assert_int_equal(lifecycle_unpublish(&w.app, "csi-1", target, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_int_equal(noted(NOTE_UNPUBLISHED).count, 1);
    assert_int_equal(noted(NOTE_UNPUBLISHED).code, CODE_INVALID_ARGUMENT);
    assert_int_equal(lifecycle_unpublish(&w.app, "csi-1", w.target, NULL), 0);
    assert_int_equal(noted(NOTE_UNPUBLISHED).count, 2);
    assert_int_equal(noted(NOTE_UNPUBLISHED).code, CODE_OK);
}

static void an_access_is_noted_with_how_it_went_also_when_it_failed(void **state)
{
    static const char how[] = "https://vault:8200|auth/kubernetes|app|r-1|socket=s uid=0";
    struct source_told told = { .peer = "socket=s uid=0" };

    (void)state;
    fetch_how_text(told.how.store, "https://vault:8200");
    fetch_how_text(told.how.auth_method, "auth/kubernetes");
    fetch_how_text(told.how.role, "app");
    fetch_how_add(told.how.request, "r-1");
    source_double_tell(w.app.source, &told);
    publish();
    assert_string_equal(noted(NOTE_PUBLISHED).how, how);
    fail_fetches(CODE_PERMISSION_DENIED);
    assert_int_equal(refresh(), -1);
    assert_string_equal(noted(NOTE_REFRESHED).how, how);
    assert_int_equal(lifecycle_unpublish(&w.app, "csi-1", w.target, NULL), 0);
    assert_string_equal(noted(NOTE_UNPUBLISHED).how, "||||"); /* no store was asked */
}

static void a_publish_that_fails_is_noted_with_its_code(void **state)
{
    (void)state;
    fail_fetches(CODE_PERMISSION_DENIED);
    assert_int_equal(publish_with(NULL, NULL), -1);
    assert_int_equal(noted(NOTE_PUBLISHED).count, 1);
    assert_int_equal(noted(NOTE_PUBLISHED).code, CODE_PERMISSION_DENIED);
    assert_int_equal(noted(NOTE_PUBLISHED).news, 0);
}

static void a_rotation_is_news_and_says_from_what_to_what(void **state)
{
    (void)state;
    publish();
    assert_int_equal(refresh(), 0);
    assert_int_equal(noted(NOTE_REFRESHED).count, 1);
    assert_int_equal(noted(NOTE_REFRESHED).news, 0); /* nothing had changed */
    source_double_put(w.app.source, "a", "new");
    assert_int_equal(refresh(), 0);
    assert_int_equal(noted(NOTE_REFRESHED).news, 1);
    assert_true(noted(NOTE_REFRESHED).last.changed);
    assert_string_equal(noted(NOTE_REFRESHED).first_change, "a v-old v-new");
}

static void a_volume_that_fails_is_news_once_and_again_when_it_works(void **state)
{
    (void)state;
    publish();
    fail_fetches(CODE_UNAVAILABLE);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(refresh(), -1);
    assert_int_equal(noted(NOTE_REFRESHED).count, 3);
    assert_int_equal(noted(NOTE_REFRESHED).news, 1);
    fail_fetches(CODE_OK);
    assert_int_equal(refresh(), 0);
    assert_int_equal(noted(NOTE_REFRESHED).news, 2);
    assert_true(noted(NOTE_REFRESHED).last.failed_before);
    assert_int_equal(refresh(), 0);
    assert_int_equal(noted(NOTE_REFRESHED).news, 2);
}

static void an_edit_that_fails_is_news_though_the_volume_failed_before(void **state)
{
    struct volume *v autovolume = NULL;

    (void)state;
    publish();
    fail_fetches(CODE_NOT_FOUND);
    assert_int_equal(refresh(), -1);
    v = life_volume(1);
    rotation_hasten(&w.app, v, (int64_t)60 * SECOND_MS, false);
    assert_int_equal(refresh(), -1);
    assert_int_equal(noted(NOTE_REFRESHED).news, 2);
    assert_true(noted(NOTE_REFRESHED).last.class_edited);
    assert_int_equal(refresh(), -1);
    assert_int_equal(noted(NOTE_REFRESHED).news, 2);
}

static void a_volume_is_stale_after_twice_its_interval_and_not_at_each_try(void **state)
{
    struct volume *v autovolume = NULL;

    (void)state;
    publish();
    fail_fetches(CODE_UNAVAILABLE);
    assert_int_equal(refresh(), -1);
    assert_int_equal(noted(NOTE_STALE).count, 0);
    v = life_volume(1);
    v->good_ms -= (int64_t)2 * 60 * 60 * SECOND_MS;
    assert_int_equal(refresh(), -1);
    assert_int_equal(refresh(), -1);
    assert_int_equal(noted(NOTE_STALE).count, 1);
    assert_int_equal(noted(NOTE_STALE).code, CODE_UNAVAILABLE);
    assert_true(clock_unix_ms() - noted(NOTE_STALE).last.at_unix_ms >=
                (int64_t)2 * 60 * 60 * SECOND_MS);
    v->stale_told_ms -= (int64_t)61 * 60 * SECOND_MS;
    assert_int_equal(refresh(), -1);
    assert_int_equal(noted(NOTE_STALE).count, 2);
}

static void one_that_waits_for_credentials_too_long_is_told(void **state)
{
    autofree char *tokens = token_for("u1");
    struct volume *v autovolume = NULL;
    int64_t end = clock_mono_ms() + PATIENCE_MS;

    (void)state;
    assert_int_equal(publish_with(tokens, NULL), 0);
    v = life_volume(1);
    (void)pthread_mutex_lock(&v->lock);
    credentials_done(&v->credentials);
    v->good_ms -= (int64_t)2 * 60 * 60 * SECOND_MS;
    (void)pthread_mutex_unlock(&v->lock);
    rotation_schedule(&w.app, v);
    while (!noted(NOTE_STALE).count && clock_mono_ms() < end)
        clock_sleep_ms(20);
    assert_int_equal(noted(NOTE_STALE).count, 1);
    assert_true(noted(NOTE_STALE).last.waiting);
    assert_int_equal(noted(NOTE_REFRESHED).count, 0);
}

static void credentials_of_another_pod_are_news_once(void **state)
{
    autofree char *good = token_for("u1");
    autofree char *bad = token_for("u2");

    (void)state;
    assert_int_equal(publish_with(good, NULL), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(publish_with(bad, NULL), 0);
    assert_int_equal(noted(NOTE_CREDENTIALS_REFUSED).count, 1);
    assert_int_equal(noted(NOTE_CREDENTIALS_REFUSED).code, CODE_PERMISSION_DENIED);
    assert_int_equal(publish_with(good, NULL), 0);
    assert_int_equal(publish_with(bad, NULL), 0);
    assert_int_equal(noted(NOTE_CREDENTIALS_REFUSED).count, 2);
}

static void without_republishing_those_with_tokens_are_told(void **state)
{
    const struct csi_driver_facts facts = {
        .exists = true, .pod_info = true, .audiences = audiences, .audience_count = 1
    };
    autofree char *tokens = token_for("u1");

    (void)state;
    token_trust_set(&w.app.trust, &facts);
    assert_int_equal(publish_with(tokens, NULL), 0);
    assert_int_equal(noted(NOTE_REPUBLISH_OFF).count, 1);
    assert_true(noted(NOTE_REPUBLISH_OFF).last.at_unix_ms > clock_unix_ms());
    note_republish_off_all(&w.app);
    assert_int_equal(noted(NOTE_REPUBLISH_OFF).count, 2);
}

static void those_without_tokens_are_not(void **state)
{
    (void)state;
    publish();
    note_republish_off_all(&w.app);
    assert_int_equal(noted(NOTE_REPUBLISH_OFF).count, 0);
}

static void another_peer_is_told_of_the_volumes_of_that_provider(void **state)
{
    (void)state;
    publish();
    note_peer_changed(&w.app, "other", 7);
    assert_int_equal(noted(NOTE_PEER_CHANGED).count, 0);
    note_peer_changed(&w.app, "double", 7);
    assert_int_equal(noted(NOTE_PEER_CHANGED).count, 1);
    assert_int_equal(noted(NOTE_PEER_CHANGED).last.peer_uid, 7);
}

static void without_an_audit_nothing_new_is_published_and_the_old_lives(void **state)
{
    struct error err = { 0 };

    (void)state;
    w.app.config.audit_required = true;
    cluster_double_refuse(w.app.cluster, true);
    assert_int_equal(publish_with(NULL, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_int_equal(source_double_fetches(w.app.source), 0);
    assert_int_equal(access(w.target, F_OK), -1);
    cluster_double_refuse(w.app.cluster, false);
    publish();
    cluster_double_refuse(w.app.cluster, true);
    publish();
    source_double_put(w.app.source, "a", "new");
    assert_int_equal(refresh(), 0);
    assert_int_equal(lifecycle_unpublish(&w.app, "csi-1", w.target, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_life(a_publish_and_its_end_are_each_noted_and_no_news),
        in_life(an_unpublish_of_a_volume_that_nobody_knows_is_noted),
        in_life(an_unpublish_that_fails_is_noted_and_so_is_the_next),
        in_life(an_access_is_noted_with_how_it_went_also_when_it_failed),
        in_life(a_publish_that_fails_is_noted_with_its_code),
        in_life(a_rotation_is_news_and_says_from_what_to_what),
        in_life(a_volume_that_fails_is_news_once_and_again_when_it_works),
        in_life(an_edit_that_fails_is_news_though_the_volume_failed_before),
        in_life(a_volume_is_stale_after_twice_its_interval_and_not_at_each_try),
        in_life(one_that_waits_for_credentials_too_long_is_told),
        in_life(credentials_of_another_pod_are_news_once),
        in_life(without_republishing_those_with_tokens_are_told),
        in_life(those_without_tokens_are_not),
        in_life(another_peer_is_told_of_the_volumes_of_that_provider),
        in_life(without_an_audit_nothing_new_is_published_and_the_old_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
