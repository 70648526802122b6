/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/credentials.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "tests/check.h"

#define UID "pod-uid-1"

static char *token_of(const char *claims)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };

    strbuf_add_text(&text, "eyJhbGciOiJub25lIn0.");
    base64_encode(BASE64_URL_RAW, &text, claims, strlen(claims));
    strbuf_add_text(&text, ".c2lnbmF0dXJl");
    return strbuf_take(&text);
}

static struct publish_request request_of(const char *tokens)
{
    struct publish_request req = { .tokens = tokens };

    pairs_set(&req.attributes, CONTEXT_POD_NAMESPACE, "ns");
    pairs_set(&req.attributes, CONTEXT_POD_UID, UID);
    pairs_set(&req.attributes, CONTEXT_SERVICE_ACCOUNT, "sa");
    return req;
}

static const struct {
    const char *says;
    const char *claims;
    enum code code;
} claims[] = {
    { "the pod's own",
      "{\"kubernetes.io\":{\"namespace\":\"ns\",\"pod\":{\"uid\":\"" UID
      "\"},\"serviceaccount\":{\"name\":\"sa\"}}}",
      CODE_OK },
    { "without claims of kubernetes", "{\"sub\":\"x\"}", CODE_OK },
    { "another namespace", "{\"kubernetes.io\":{\"namespace\":\"other\"}}",
      CODE_PERMISSION_DENIED },
    { "another pod", "{\"kubernetes.io\":{\"namespace\":\"ns\",\"pod\":{\"uid\":\"x\"}}}",
      CODE_PERMISSION_DENIED },
    { "another account",
      "{\"kubernetes.io\":{\"namespace\":\"ns\",\"serviceaccount\":{\"name\":\"x\"}}}",
      CODE_PERMISSION_DENIED },
    { "claims that are no JSON", "nonsense", CODE_OK },
};

static const struct {
    const char *claims;
    const char *id;
} ids[] = {
    { "{\"jti\":\"8f0e2f60-5d4b-4c7e-9a57-3d7f2b9c1a11\"}",
      "8f0e2f60-5d4b-4c7e-9a57-3d7f2b9c1a11" },
    { "{\"sub\":\"x\"}", "" },
    { "{\"jti\":7}", "" },
    { "{\"jti\":\"with blanks and\\nbreaks\"}", "" },
    { "{\"jti\":\"0123456789012345678901234567890123456789012345678901234567890123\"}", "" },
};

static void a_tokens_id_is_kept_where_it_can_be_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        autofree char *token = token_of(ids[i].claims);
        autofree char *json = str_printf("{\"aud\":{\"token\":\"%s\"}}", token);
        struct publish_request req = request_of(json);
        struct credentials c = { 0 };
        struct credentials copy = { 0 };

        assert_int_equal(credentials_take(&c, &req, NULL, NULL), 0);
        credentials_copy(&copy, &c);
        assert_string_equal(copy.id, ids[i].id);
        credentials_done(&copy);
        credentials_done(&c);
        assert_string_equal(c.id, "");
        pairs_done(&req.attributes);
    }
}

static void a_token_must_speak_for_the_pod_that_asks(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(claims); i++) {
        autofree char *token = token_of(claims[i].claims);
        autofree char *json = str_printf("{\"aud\":{\"token\":\"%s\"}}", token);
        struct publish_request req = request_of(json);
        struct credentials c = { 0 };
        struct error err = { 0 };
        int result = credentials_take(&c, &req, NULL, &err);

        if (err.code != claims[i].code || credentials_has_tokens(&c) != (result == 0) ||
            strstr(err.msg, "eyJ"))
            fail_msg("%s: %s", claims[i].says, err.msg);
        credentials_done(&c);
        pairs_done(&req.attributes);
    }
}

static void a_provider_gets_the_audiences_it_is_listed_for(void **state)
{
    static const char *const listed[] = { "b", "none" };
    struct publish_request req = request_of("{\"a\":{\"token\":\"t1\"},\"b\":{\"token\":\"t2\"}}");
    struct strbuf all CLEANUP(strbuf_done) = { .sensitive = true };
    struct strbuf some CLEANUP(strbuf_done) = { .sensitive = true };
    struct credentials c = { 0 };

    (void)state;
    assert_int_equal(credentials_take(&c, &req, NULL, NULL), 0);
    assert_int_equal(credentials_tokens(&c, NULL, 0, &all, NULL), 0);
    assert_non_null(strstr(strbuf_text(&all), "t1"));
    assert_int_equal(credentials_tokens(&c, listed, 2, &some, NULL), 0);
    assert_string_equal(strbuf_text(&some), "{\"b\":{\"token\":\"t2\"}}");
    credentials_done(&c);
    pairs_done(&req.attributes);
}

static void secrets_are_null_or_a_map_as_upstream_spells_them(void **state)
{
    struct publish_request req = request_of(NULL);
    struct strbuf none CLEANUP(strbuf_done) = { 0 };
    struct strbuf some CLEANUP(strbuf_done) = { .sensitive = true };
    struct credentials c = { 0 };

    (void)state;
    assert_int_equal(credentials_take(&c, &req, NULL, NULL), 0);
    credentials_secrets(&c, &none);
    assert_string_equal(strbuf_text(&none), "null");
    pairs_set(&req.secrets, "k", "<v>\"");
    assert_false(credentials_same(&c, &req));
    assert_int_equal(credentials_take(&c, &req, NULL, NULL), 0);
    assert_true(credentials_same(&c, &req));
    credentials_secrets(&c, &some);
    assert_string_equal(strbuf_text(&some), "{\"k\":\"\\u003cv\\u003e\\\"\"}");
    credentials_done(&c);
    pairs_done(&req.secrets);
    pairs_done(&req.attributes);
}

static void tokens_are_fresh_until_shortly_before_the_first_expiry(void **state)
{
    struct publish_request req =
        request_of("{\"a\":{\"token\":\"t\",\"expirationTimestamp\":\"2030-01-01T00:00:00Z\"},"
                   "\"b\":{\"token\":\"t\",\"expirationTimestamp\":\"2029-01-01T00:00:00Z\"}}");
    struct credentials c = { 0 };
    int64_t at = 0;

    (void)state;
    assert_int_equal(stamp_parse("2029-01-01T00:00:00Z", &at, NULL), 0);
    assert_int_equal(credentials_take(&c, &req, NULL, NULL), 0);
    assert_true(credentials_are_fresh(&c, at - CREDENTIAL_SLACK_MS - 1));
    assert_false(credentials_are_fresh(&c, at - CREDENTIAL_SLACK_MS));
    credentials_done(&c);
    pairs_done(&req.attributes);
}

static void an_error_text_keeps_no_piece_of_a_credential(void **state)
{
    static const char *const texts[] = {
        "cannot use token abcdefgh-ijklmnop-qrst",
        "cut off: abcdefgh-ijkl",
        "{\"x\":\"swordfish\\nof\\\"the pod\"}",
        "c3dvcmRmaXNo is base64 of swordfish",
        "a stranger: eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln",
        "-----BEGIN PRIVATE KEY----- MIIE",
    };
    static const char *const pieces[] = { "abcdefgh", "qrst",     "swordfish", "the pod",
                                          "c3dvcmRm", "eyJhbGci", "MIIE" };
    struct publish_request req = request_of("{\"a\":{\"token\":\"abcdefgh-ijklmnop-qrst\"}}");
    struct credentials c = { 0 };

    (void)state;
    pairs_set(&req.secrets, "k", "swordfish\nof\"the pod");
    assert_int_equal(credentials_take(&c, &req, NULL, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char text[ERROR_TEXT_MAX];

        (void)snprintf(text, sizeof(text), "%s", texts[i]);
        credentials_redact(&c, text);
        for (size_t k = 0; k < COUNT_OF(pieces); k++)
            if (strstr(text, pieces[k]))
                fail_msg("%s is left in: %s", pieces[k], text);
    }
    credentials_done(&c);
    pairs_done(&req.secrets);
    pairs_done(&req.attributes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tokens_id_is_kept_where_it_can_be_one),
        cmocka_unit_test(a_token_must_speak_for_the_pod_that_asks),
        cmocka_unit_test(a_provider_gets_the_audiences_it_is_listed_for),
        cmocka_unit_test(secrets_are_null_or_a_map_as_upstream_spells_them),
        cmocka_unit_test(tokens_are_fresh_until_shortly_before_the_first_expiry),
        cmocka_unit_test(an_error_text_keeps_no_piece_of_a_credential),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
