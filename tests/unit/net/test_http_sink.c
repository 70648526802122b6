/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies whose body is taken as it comes: whole, cut short, refused, and those that are failures.
 */
#include "lib/net/http.h"
#include "tests/fakes/vault_fake.h"

static struct vault_fake plain;
static struct http_client *client;
static char token_header[128];
static const char *const headers[] = { "X-Vault-Request: true", token_header };

static int set_up(void **state)
{
    (void)state;
    client = http_client_new();
    vault_fake_start(&plain, NULL);
    vault_fake_login(&plain, token_header);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_client_free(client);
    vault_fake_stop(&plain);
    return 0;
}

struct taken {
    size_t calls;
    size_t bytes;
    size_t most; /* refuses what comes after so many */
    size_t first_len;
};

static int take_piece(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct taken *t = arg;

    assert_non_null(bytes);
    if (!t->calls++)
        t->first_len = len;
    t->bytes += len;
    if (t->bytes > t->most)
        return error_set(err, CODE_OUT_OF_RANGE, "the taker has enough");
    return 0;
}

static const struct {
    const char *says;
    const char *path;
    size_t most;
    int result;
    enum code code;
    size_t bytes; /* at least so many arrive */
} sinks[] = {
    { "a body that has more than the ceiling", "fault/endless/a", SIZE_MAX, 0, CODE_OK, 9 << 20 },
    { "a taker that refuses", "fault/endless/a", 100000, -1, CODE_OUT_OF_RANGE, 100000 },
    { "no body: the reply still begins", "fault/empty/a", SIZE_MAX, 0, CODE_OK, 0 },
    { "a body cut short", "fault/cut/a", SIZE_MAX, -1, CODE_UNAVAILABLE, 0 },
};

static void a_taker_gets_the_body_as_it_comes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sinks); i++) {
        autofree char *url = str_printf("%s/v1/%s", plain.server.url, sinks[i].path);
        struct taken taken = { .most = sinks[i].most, .first_len = 1 };
        struct http_request request = { .method = "GET",
                                        .headers = headers,
                                        .header_count = COUNT_OF(headers),
                                        .timeout_ms = 5000,
                                        .url = url,
                                        .sink = take_piece,
                                        .sink_arg = &taken };
        struct http_reply reply CLEANUP(http_reply_done) = { 0 };
        struct error err = { 0 };
        int result = http_call(client, &request, &reply, &err);

        if (result != sinks[i].result || err.code != sinks[i].code)
            fail_msg("%s: %d, %s: %s", sinks[i].says, result, code_name(err.code), err.msg);
        if (taken.first_len != 0 || !taken.calls || taken.bytes < sinks[i].bytes)
            fail_msg("%s: %zu bytes in %zu calls", sinks[i].says, taken.bytes, taken.calls);
        assert_null(reply.body.bytes);
    }
}

static void a_failure_is_no_business_of_the_taker(void **state)
{
    autofree char *url = str_printf("%s/nothing", plain.server.url);
    struct taken taken = { .most = 0 };
    struct http_request request = { .method = "GET",
                                    .headers = headers,
                                    .header_count = COUNT_OF(headers),
                                    .timeout_ms = 5000,
                                    .url = url,
                                    .sink = take_piece,
                                    .sink_arg = &taken };
    struct http_reply reply CLEANUP(http_reply_done) = { 0 };

    (void)state;
    assert_int_equal(http_call(client, &request, &reply, NULL), 0);
    assert_int_equal(reply.status, 404);
    assert_true(reply.body.len > 0);
    assert_int_equal(taken.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_taker_gets_the_body_as_it_comes),
        cmocka_unit_test(a_failure_is_no_business_of_the_taker),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
