/* SPDX-License-Identifier: Apache-2.0
 *
 * What a call is, whatever carries it: each test runs in-process and over a socket.
 */
#include "lib/base/encode.h"
#include "tests/unit/net/rig.h"

static void both(void (*check)(struct rpc_client *client))
{
    check(rig.in_process);
    check(rig.over_socket);
}

static void a_call_is_answered(void **state)
{
    (void)state;
    both(check_answer);
}

/* --- failures --- */

static const struct {
    const char *says;
    const char *sent;
    enum code code;
} codes[] = {
    { "a code of gRPC's arrives as it is", "9", CODE_FAILED_PRECONDITION },
    { "the last of them", "16", CODE_UNAUTHENTICATED },
    { "a peer's own deadline keeps the peer's words", "4", CODE_DEADLINE_EXCEEDED },
    { "so does what the peer finds unavailable, which is not tried again", "14", CODE_UNAVAILABLE },
    { "a number that is no code is INTERNAL", "42", CODE_INTERNAL },
    { "a failure without a code is INTERNAL", "0", CODE_INTERNAL },
};

static void check_codes(struct rpc_client *client)
{
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        struct ask a = { .id = "no r\xc3\xb6om", .target = "fail", .code = codes[i].sent };
        struct error err = { 0 };
        int before = rig_count(&rig.publishes);

        if (ask(client, &a, &err) == 0 || err.code != codes[i].code ||
            strcmp(err.msg, "no r\xc3\xb6om") != 0 || err.retry_after_ms != 1234 ||
            rig_count(&rig.publishes) != before + 1)
            fail_msg("%s: %s %s, retry after %lld, %d calls", codes[i].says, code_name(err.code),
                     err.msg, (long long)err.retry_after_ms, rig_count(&rig.publishes) - before);
    }
}

static void a_failure_keeps_code_text_and_retry_after(void **state)
{
    (void)state;
    both(check_codes);
}

static void check_long_text(struct rpc_client *client)
{
    char text[901] = "";
    struct error err = { 0 };

    for (size_t i = 0; i < 900; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 4); /* an odd length: 511 is inside of a character */
    assert_int_equal(ask(client, &(struct ask){ .id = text, .target = "fail" }, &err), -1);
    assert_int_equal(strlen(err.msg), 510);
    assert_true(utf8_is_valid(err.msg, 510));
}

static void a_long_text_is_cut_between_characters(void **state)
{
    (void)state;
    both(check_long_text);
}

static void check_empty_slot(struct rpc_client *client)
{
    Csi__V1__NodeStageVolumeRequest in = CSI__V1__NODE_STAGE_VOLUME_REQUEST__INIT;
    struct rpc_request request = { .service = &csi__v1__node__descriptor,
                                   .method = "NodeStageVolume",
                                   .in = &in.base };
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    assert_int_equal(rpc_client_call(client, &request, &reply, &err), -1);
    assert_int_equal(err.code, CODE_UNIMPLEMENTED);
    assert_non_null(strstr(err.msg, "NodeStageVolume"));
}

static void an_empty_slot_is_unimplemented(void **state)
{
    (void)state;
    both(check_empty_slot);
}

static void check_bad_text(struct rpc_client *client)
{
    struct error err = { 0 };

    assert_int_equal(ask(client, &(struct ask){ .id = "\xff" }, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "volume_id"));
}

static void bad_text_is_refused_by_name(void **state)
{
    (void)state;
    both(check_bad_text);
}

static void check_bad_answer(struct rpc_client *client)
{
    struct error err = { 0 };
    int result;

    rig_set_node_id("\xff");
    result = ask_node_id(client, NULL, &err);
    rig_set_node_id("n1");
    assert_int_equal(result, -1);
    assert_int_equal(err.code, CODE_INTERNAL);
    assert_non_null(strstr(err.msg, "node_id"));
}

static void an_answer_is_checked_as_requests_are(void **state)
{
    (void)state;
    both(check_bad_answer);
}

static void check_large_answer(struct rpc_client *client)
{
    autofree char *large = xmalloc(RPC_REPLY_MAX + 10);
    struct error err = { 0 };
    int result;

    memset(large, 'a', RPC_REPLY_MAX + 9);
    large[RPC_REPLY_MAX + 9] = '\0';
    rig_set_node_id(large);
    result = ask_node_id(client, NULL, &err);
    rig_set_node_id("n1");
    assert_int_equal(result, -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    check_answer(client);
}

static void an_answer_over_the_ceiling_is_refused(void **state)
{
    (void)state;
    both(check_large_answer);
}

/* --- words beside an answer --- */

static void tell_some(void *call)
{
    char longest[RPC_TOLD_BYTES_MAX + 2];

    memset(longest, 'x', sizeof(longest));
    longest[RPC_TOLD_BYTES_MAX + 1] = '\0';
    rpc_call_tell(call, "locket-a", "one: two, \"three\"");
    rpc_call_tell(call, "locket-long", longest);
    rpc_call_tell(call, "locket-b", longest + 1);
    rpc_call_tell(call, "locket-line", "two\nlines");
    rpc_call_tell(call, "locket-no-text", "\xc3\xa9");
    rpc_call_tell(call, "locket-Upper", "x");
    rpc_call_tell(call, "grpc-status", "5");
    for (int i = 0; i < 2 * RPC_TOLD_MAX; i++)
        rpc_call_tell(call, "locket-c", "again");
}

struct heard {
    size_t a, b, c, other;
};

static void hear(void *arg, const char *key, const char *value)
{
    struct heard *h = arg;

    if (strcmp(key, "locket-a") == 0)
        h->a += strcmp(value, "one: two, \"three\"") == 0;
    else if (strcmp(key, "locket-b") == 0)
        h->b += strlen(value) == RPC_TOLD_BYTES_MAX;
    else if (strcmp(key, "locket-c") == 0)
        h->c += strcmp(value, "again") == 0;
    else
        h->other += !str_starts(key, "locket-re"); /* retry-after-ms, reason: of a failure */
}

static void check_words(struct rpc_client *client)
{
    static const char *const targets[] = { "", "fail" };

    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct heard h = { 0 };
        struct ask a = { .target = targets[i], .told = hear, .told_arg = &h };

        assert_int_equal(ask(client, &a, NULL), i == 0 ? 0 : -1);
        if (h.a != 1 || h.b != 1 || h.c != RPC_TOLD_MAX - 2 || h.other)
            fail_msg("\"%s\": %zu %zu %zu %zu", targets[i], h.a, h.b, h.c, h.other);
    }
    assert_int_equal(ask(client, &(struct ask){ 0 }, NULL), 0); /* nobody listens */
}

static void words_beside_an_answer_or_a_failure_arrive_within_their_ceilings(void **state)
{
    (void)state;
    __atomic_store_n(&rig.tell, tell_some, __ATOMIC_RELEASE);
    both(check_words);
    __atomic_store_n(&rig.tell, NULL, __ATOMIC_RELEASE); /* a handler may still look */
}

/* --- deadlines and cancels --- */

static void check_left(struct rpc_client *client)
{
    assert_int_equal(ask(client, &(struct ask){ .timeout_ms = 5000 }, NULL), 0);
    assert_in_range(__atomic_load_n(&rig.left_ms, __ATOMIC_ACQUIRE), 1000, 5100); /* rounded up */
}

static void a_handler_knows_what_is_left_of_the_deadline(void **state)
{
    (void)state;
    both(check_left);
}

static void check_deadline(struct rpc_client *client)
{
    struct error err = { 0 };
    int before = rig_count(&rig.cancels);

    assert_int_equal(ask(client, &(struct ask){ .target = "wait", .timeout_ms = 100 }, &err), -1);
    assert_int_equal(err.code, CODE_DEADLINE_EXCEEDED);
    assert_non_null(strstr(err.msg, "NodePublishVolume"));
    rig_wait_for(&rig.cancels, before + 1);
}

static void a_deadline_is_passed_on_to_the_handler(void **state)
{
    (void)state;
    both(check_deadline);
}

static void check_cancel(struct rpc_client *client)
{
    struct cancel cancel;
    struct call_aside aside = { .client = client, .ask = { .target = "wait", .cancel = &cancel } };
    int before = rig_count(&rig.cancels);

    cancel_init(&cancel);
    call_aside_start(&aside);
    cancel_raise(&cancel);
    rig_wait_for(&aside.ended, 1);
    assert_int_equal(aside.err.code, CODE_CANCELLED);
    rig_wait_for(&rig.cancels, before + 1);
    cancel_done(&cancel);
}

static void a_cancelled_call_ends_at_once_and_its_handler_is_told(void **state)
{
    (void)state;
    both(check_cancel);
}

static void check_cancelled_before(struct rpc_client *client)
{
    struct cancel cancel;
    struct error err = { 0 };

    cancel_init(&cancel);
    cancel_raise(&cancel);
    assert_int_equal(ask(client, &(struct ask){ .target = "wait", .cancel = &cancel }, &err), -1);
    assert_int_equal(err.code, CODE_CANCELLED);
    cancel_done(&cancel);
}

static void a_call_that_was_cancelled_before_does_not_wait(void **state)
{
    (void)state;
    both(check_cancelled_before);
}

/* --- many callers --- */

static void call_often(void *arg)
{
    int wrong = 0;

    for (int i = 0; i < 50; i++)
        wrong += ask(rig.over_socket, &(struct ask){ 0 }, NULL) != 0;
    (void)__atomic_add_fetch((int *)arg, 1 + 1000 * wrong, __ATOMIC_ACQ_REL);
}

static void callers_share_a_client(void **state)
{
    struct work_pool_config config = { .name = "callers", .threads_max = 8, .queue_max = 8 };
    struct work_pool *callers = work_pool_new(&config);
    int ended = 0;

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(work_submit(callers, call_often, &ended, NULL), 0);
    work_pool_free(callers);
    assert_int_equal(rig_count(&ended), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_answered),
        cmocka_unit_test(a_failure_keeps_code_text_and_retry_after),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
        cmocka_unit_test(an_empty_slot_is_unimplemented),
        cmocka_unit_test(bad_text_is_refused_by_name),
        cmocka_unit_test(an_answer_is_checked_as_requests_are),
        cmocka_unit_test(an_answer_over_the_ceiling_is_refused),
        cmocka_unit_test(words_beside_an_answer_or_a_failure_arrive_within_their_ceilings),
        cmocka_unit_test(a_handler_knows_what_is_left_of_the_deadline),
        cmocka_unit_test(a_deadline_is_passed_on_to_the_handler),
        cmocka_unit_test(a_cancelled_call_ends_at_once_and_its_handler_is_told),
        cmocka_unit_test(a_call_that_was_cancelled_before_does_not_wait),
        cmocka_unit_test(callers_share_a_client),
    };

    return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
