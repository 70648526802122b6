/* SPDX-License-Identifier: Apache-2.0 */
/* WRAP: cancel_sleep_ms */
/*
 * One call to an API server that answers in every way there is: what it means, what is said of it,
 * who we say that we are, and how fast we may ask.
 */
#include <pthread.h>
#include <sys/stat.h>

#include "agent/kube_api.h"
#include "tests/fakes/kube_fake.h"

static struct kube_fake fake;
static struct kube_fake secure; /* with TLS */
static char folder[] = "/tmp/locket-kube-XXXXXX";
static int64_t slept_ms;

bool __wrap_cancel_sleep_ms(struct cancel *c, int64_t ms);

/* Nobody waits here: how long it would have been is added up. */
bool __wrap_cancel_sleep_ms(struct cancel *c, int64_t ms)
{
    slept_ms += ms;
    return !cancel_is_raised(c);
}

static char *in_folder(const char *name)
{
    return str_printf("%s/%s", folder, name);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void write_token(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

static int ask(struct kube_api *api, const char *kind, struct tree **ret, struct error *err)
{
    autofree char *path = str_printf("/apis/fake.dev/v1/fault/%s?secret=query", kind);

    return kube_get(api, path, NULL, ret, err);
}

/* --- what an answer means --- */

static void each_answer_has_its_meaning_and_its_line(void **state)
{
    static const struct {
        const char *kind;
        enum code code;
        int64_t retry_after_ms;
        const char *says;
    } rows[] = {
        { "s400", CODE_INVALID_ARGUMENT, 0, "400 BadRequest: so it is" },
        { "s401", CODE_UNAUTHENTICATED, 0, "401 Unauthorized: so it is" },
        { "s403", CODE_PERMISSION_DENIED, 0, "403 Forbidden: so it is" },
        { "s404", CODE_NOT_FOUND, 0, "404 NotFound: so it is" },
        { "s405", CODE_UNIMPLEMENTED, 0, "405 Unknown: so it is" },
        { "s409", CODE_ABORTED, 0, "409 Conflict: so it is" },
        { "exists", CODE_ALREADY_EXISTS, 0, "409 AlreadyExists: it is there" },
        { "s410", CODE_OUT_OF_RANGE, 0, "410 Expired: so it is" },
        { "s413", CODE_RESOURCE_EXHAUSTED, 0, "413 Unknown: so it is" },
        { "s415", CODE_UNIMPLEMENTED, 0, "415 Unknown: so it is" },
        { "s422", CODE_INVALID_ARGUMENT, 0, "422 Invalid: so it is" },
        { "s418", CODE_UNKNOWN, 0, "418 Unknown: so it is" },
        { "later", CODE_UNAVAILABLE, 7000, "429 TooManyRequests: slow down" },
        { "s500", CODE_UNAVAILABLE, 0, "500 InternalError: so it is" },
        { "s503", CODE_UNAVAILABLE, 0, "503 Unknown: so it is" },
        { "html502", CODE_UNAVAILABLE, 0, "GET /apis/fake.dev/v1/fault/html502: 502" },
        { "html404", CODE_UNAVAILABLE, 0, "404 that is no object's" },
        { "html", CODE_UNAVAILABLE, 0, "the answer: not JSON" },
        { "garbage", CODE_UNAVAILABLE, 0, "the answer: not JSON" },
        { "empty", CODE_UNAVAILABLE, 0, "the answer: not JSON" },
        { "codeless", CODE_OUT_OF_RANGE, 0, "410 no reason: odd" },
        { "oddcode", CODE_NOT_FOUND, 0, "404 NotFound: odd" },
        { "hugecode", CODE_NOT_FOUND, 0, "404 NotFound: odd" },
        { "large", CODE_RESOURCE_EXHAUSTED, 0, "more than 4194304 bytes" },
        { "moved", CODE_UNKNOWN, 0, "302" },
        { "vanish", CODE_UNAVAILABLE, 0, "GET http://127.0.0.1" },
    };
    struct kube_api *api = kube_fake_client(&fake, NULL);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tree *answer autotree = NULL;
        struct error err = { 0 };

        assert_int_equal(ask(api, rows[i].kind, &answer, &err), -1);
        assert_null(answer);
        if (err.code != rows[i].code || err.retry_after_ms != rows[i].retry_after_ms ||
            !strstr(err.msg, rows[i].says) || strstr(err.msg, "secret"))
            fail_msg("%s: %s %s", rows[i].kind, code_name(err.code), err.msg);
    }
    kube_api_free(api);
}

static void a_long_and_wild_message_becomes_one_short_line(void **state)
{
    struct kube_api *api = kube_fake_client(&fake, NULL);
    struct tree *answer autotree = NULL;
    struct error err = { 0 };

    (void)state;
    assert_int_equal(ask(api, "wordy", &answer, &err), -1);
    assert_null(strpbrk(err.msg, "\n\033"));
    assert_true(strlen(err.msg) < 600);
    kube_api_free(api);
}

static void what_is_sent_is_of_the_kind_that_was_named(void **state)
{
    static const char *const types[] = { KUBE_TYPE_APPLY, KUBE_TYPE_MERGE, KUBE_TYPE_STRATEGIC,
                                         KUBE_TYPE_JSON_PATCH, KUBE_TYPE_JSON };
    struct kube_api *api = kube_fake_client(&fake, NULL);
    struct strbuf body autostrbuf = { 0 };

    (void)state;
    strbuf_add_text(&body, "{\"a\":1}");
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct kube_request request = { .method = "PATCH",
                                        .path = "/apis/fake.dev/v1/fault/echo",
                                        .type = types[i],
                                        .body = &body,
                                        .accept = i ? KUBE_ACCEPT_METADATA : NULL };
        struct tree *answer autotree = NULL;
        struct error err = { 0 };

        if (kube_call(api, &request, &answer, &err) < 0)
            fail_msg("%s", err.msg);
        assert_string_equal(tree_get_text(answer, "method"), "PATCH");
        assert_string_equal(tree_get_text(answer, "type"), types[i]);
        assert_string_equal(tree_get_text(answer, "body"), "{\"a\":1}");
        assert_string_equal(tree_get_text(answer, "accept"),
                            i ? KUBE_ACCEPT_METADATA : KUBE_TYPE_JSON);
    }
    kube_api_free(api);
}

static void an_answer_to_something_secret_is_not_quoted(void **state)
{
    struct kube_api *api = kube_fake_client(&fake, NULL);
    struct strbuf body autostrbuf = { 0 };
    struct kube_request request = { .method = "PATCH",
                                    .path = "/apis/fake.dev/v1/fault/secret",
                                    .type = KUBE_TYPE_APPLY,
                                    .body = &body,
                                    .sensitive = true };
    struct error err = { 0 };

    (void)state;
    strbuf_add_text(&body, "hunter2");
    assert_int_equal(kube_call(api, &request, NULL, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_null(strstr(err.msg, "hunter2"));
    request.sensitive = false;
    assert_int_equal(kube_call(api, &request, NULL, &err), -1);
    assert_non_null(strstr(err.msg, "hunter2")); /* so it would be */
    kube_api_free(api);
}

/* --- who we are --- */

static void a_token_that_is_refused_is_read_again_once(void **state)
{
    autofree char *path = in_folder("token");
    struct kube_api *api = kube_fake_client(&fake, path);
    struct error err = { 0 };
    size_t asked;

    (void)state;
    kube_fake_put(&fake, "guarded", "shop", "a");
    kube_fake_tell(&fake, "{\"token\":\"second\"}", "set/guarded");
    write_token(path, "first\n");
    assert_int_equal(kube_get(api, "/apis/fake.dev/v1/namespaces/shop/guarded/a", NULL, NULL, &err),
                     -1);
    assert_int_equal(err.code, CODE_UNAUTHENTICATED);
    asked = kube_fake_asked(&fake, "guarded/a");
    assert_int_equal(asked, 2);
    write_token(path, "second\n"); /* within the minute in which the first would be kept */
    if (kube_get(api, "/apis/fake.dev/v1/namespaces/shop/guarded/a", NULL, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(kube_fake_asked(&fake, "guarded/a") <= asked + 2);
    kube_api_free(api);
}

static void a_token_file_that_is_none_is_no_call(void **state)
{
    static const char *const texts[] = { "", "\n\n", "two\nlines" };
    autofree char *path = in_folder("odd");
    size_t asked = kube_fake_asked(&fake, "fault/fine");

    (void)state;
    for (size_t i = 0; i <= COUNT_OF(texts); i++) {
        struct kube_api *api = kube_fake_client(&fake, path);
        struct tree *answer autotree = NULL;
        struct error err = { 0 };

        (void)unlink(path);
        if (i < COUNT_OF(texts))
            write_token(path, texts[i]);
        assert_int_equal(ask(api, "fine", &answer, &err), -1);
        assert_int_equal(err.code, CODE_UNAVAILABLE); /* nothing is said of what was asked for */
        assert_non_null(strstr(err.msg, "service account token"));
        assert_non_null(strstr(err.msg, path));
        kube_api_free(api);
    }
    assert_int_equal(kube_fake_asked(&fake, "fault/fine"), asked);
}

/* --- whom we believe --- */

static void only_the_ca_that_was_given_is_believed_and_a_new_one_is_read(void **state)
{
    autofree char *good = in_folder("ca.pem");
    autofree char *path = in_folder("ca.crt");
    struct secret pem CLEANUP(secret_done) = { 0 };
    struct kube_config config = { .server = xstrdup(secure.server.url), .ca_file = xstrdup(path) };
    struct kube_api *api = kube_api_new(&config, NULL);
    struct error err = { 0 };

    (void)state;
    assert_int_equal(fs_read(AT_FDCWD, good, 1 << 20, true, &pem, NULL), 0);
    (void)unlink(path);
    assert_int_equal(ask(api, "fine", NULL, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    write_file(path, pem.bytes, pem.len);
    if (ask(api, "fine", NULL, &err) < 0)
        fail_msg("%s", err.msg);
    kube_api_free(api);
    config = (struct kube_config){ .server = xstrdup(secure.server.url) }; /* the system's */
    api = kube_api_new(&config, NULL);
    assert_int_equal(ask(api, "fine", NULL, &err), -1);
    assert_int_equal(err.code, CODE_FAILED_PRECONDITION);
    kube_api_free(api);
}

static void the_name_in_the_certificate_may_be_another_than_the_hosts(void **state)
{
    static const struct {
        const char *name;
        bool holds;
    } rows[] = { { "kube.test", true }, { "other.test", false } };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct kube_config config = { .server = xstrdup(secure.server.url),
                                      .server_name = xstrdup(rows[i].name),
                                      .ca_file = in_folder("ca.pem") };
        struct kube_api *api = kube_api_new(&config, NULL);
        struct error err = { 0 };

        assert_int_equal(ask(api, "fine", NULL, &err), rows[i].holds ? 0 : -1);
        kube_api_free(api);
    }
}

/* --- how fast --- */

static void a_burst_goes_at_once_and_what_is_above_waits_its_turn(void **state)
{
    struct kube_api *api = kube_fake_client(&fake, NULL);
    int64_t began = clock_mono_ms();
    int64_t allowed;

    (void)state;
    slept_ms = 0;
    for (int i = 0; i < KUBE_BURST; i++)
        assert_int_equal(ask(api, "fine", NULL, NULL), 0);
    assert_int_equal(slept_ms, 0);
    assert_true(kube_api_answered_ms(api) >= began);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask(api, "fine", NULL, NULL), 0);
    /* The n-th above the burst waits n turns, less what time gave back meanwhile. */
    allowed = clock_mono_ms() - began;
    assert_true(slept_ms <= 10 * 11 / 2 * MS_PER_S / KUBE_QPS);
    assert_true(slept_ms >= 10 * 11 / 2 * MS_PER_S / KUBE_QPS - 10 * allowed - 10);
    kube_api_free(api);
}

static void who_waits_for_a_turn_can_be_told_to_end(void **state)
{
    struct kube_api *api = kube_fake_client(&fake, NULL);
    struct cancel cancel;
    struct error err = { 0 };
    size_t asked;

    (void)state;
    cancel_init(&cancel);
    for (int i = 0; i < KUBE_BURST + 5; i++)
        assert_int_equal(ask(api, "fine", NULL, NULL), 0);
    asked = kube_fake_asked(&fake, "fault/fine");
    cancel_raise(&cancel);
    assert_int_equal(kube_get(api, "/apis/fake.dev/v1/fault/fine", &cancel, NULL, &err), -1);
    assert_int_equal(err.code, CODE_CANCELLED);
    assert_int_equal(kube_fake_asked(&fake, "fault/fine"), asked);
    cancel_done(&cancel);
    kube_api_free(api);
}

static int make(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    kube_fake_start(&fake, NULL);
    kube_fake_start(&secure, folder);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    kube_fake_stop(&fake);
    kube_fake_stop(&secure);
    return fs_remove_tree(AT_FDCWD, folder, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_has_its_meaning_and_its_line),
        cmocka_unit_test(a_long_and_wild_message_becomes_one_short_line),
        cmocka_unit_test(what_is_sent_is_of_the_kind_that_was_named),
        cmocka_unit_test(an_answer_to_something_secret_is_not_quoted),
        cmocka_unit_test(a_token_that_is_refused_is_read_again_once),
        cmocka_unit_test(a_token_file_that_is_none_is_no_call),
        cmocka_unit_test(only_the_ca_that_was_given_is_believed_and_a_new_one_is_read),
        cmocka_unit_test(the_name_in_the_certificate_may_be_another_than_the_hosts),
        cmocka_unit_test(a_burst_goes_at_once_and_what_is_above_waits_its_turn),
        cmocka_unit_test(who_waits_for_a_turn_can_be_told_to_end),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
