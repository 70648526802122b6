/* SPDX-License-Identifier: Apache-2.0
 *
 * Ends and restarts: of a server under its clients, of a client under its call.
 */
#include "tests/unit/net/rig.h"

enum { ROUNDS = 200 };

static void serve_again(void)
{
    assert_int_equal(rig_serve((struct rpc_server_config){ 0 }, &rig.server, NULL), 0);
}

static void the_first_call_after_a_restart_succeeds(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        check_answer(rig.over_socket);
        rpc_server_free(rig.server, 1000);
        serve_again();
        check_answer(rig.over_socket);
    }
}

static void end_slowly(void *arg)
{
    rpc_server_free(arg, RIG_PATIENCE_MS);
}

/* The old server has given up its socket and still answers what it has begun. */
static void calls_move_to_a_new_server_while_the_old_one_drains(void **state)
{
    struct cancel cancel;
    struct call_aside aside = { .client = rig.over_socket,
                                .ask = { .target = "wait", .cancel = &cancel } };
    struct work_pool *pool = work_pool_new(
        &(struct work_pool_config){ .name = "end", .threads_max = 1, .queue_max = 1 });
    int64_t until = clock_mono_ms() + RIG_PATIENCE_MS;

    (void)state;
    cancel_init(&cancel);
    call_aside_start(&aside);
    assert_int_equal(work_submit(pool, end_slowly, rig.server, NULL), 0);
    while (access(rig.path, F_OK) == 0 && clock_mono_ms() < until)
        clock_sleep_ms(1);
    while (rig_serve((struct rpc_server_config){ 0 }, &rig.server, NULL) < 0)
        clock_sleep_ms(1); /* the lock is given back just after the socket */
    for (int i = 0; i < 5; i++) {
        check_answer(rig.over_socket);
        clock_sleep_ms(10);
    }
    cancel_raise(&cancel);
    work_pool_free(pool);
    rig_wait_for(&aside.ended, 1);
    assert_int_equal(aside.err.code, CODE_CANCELLED);
    cancel_done(&cancel);
}

/* Calls that fall into the moment in which a server begins to leave meet the next one or none. */
static void no_call_is_lost_between_two_servers(void **state)
{
    struct work_pool *pool = work_pool_new(
        &(struct work_pool_config){ .name = "end", .threads_max = 1, .queue_max = ROUNDS });

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t until = clock_mono_ms() + RIG_PATIENCE_MS;
        struct error err = { 0 };

        check_answer(rig.over_socket);
        assert_int_equal(work_submit(pool, end_slowly, rig.server, NULL), 0);
        while (ask_node_id(rig.over_socket, NULL, &err) == 0 && clock_mono_ms() < until)
            continue; /* the old one, to its last moment */
        if (err.code != CODE_UNAVAILABLE)
            fail_msg("round %d: %s: %s", i, code_name(err.code), err.msg);
        while (rig_serve((struct rpc_server_config){ 0 }, &rig.server, NULL) < 0)
            clock_sleep_ms(1);
    }
    work_pool_free(pool);
}

static void a_call_in_flight_is_answered_while_draining(void **state)
{
    struct call_aside aside = { .client = rig.over_socket, .ask = { .target = "slow" } };

    (void)state;
    call_aside_start(&aside);
    rpc_server_free(rig.server, RIG_PATIENCE_MS);
    rig_wait_for(&aside.ended, 1);
    assert_int_equal(aside.err.code, CODE_OK);
    serve_again();
}

static void a_call_that_outlasts_the_drain_is_cut(void **state)
{
    struct call_aside aside = { .client = rig.over_socket, .ask = { .target = "wait" } };
    int before = rig_count(&rig.cancels);
    int64_t started;

    (void)state;
    call_aside_start(&aside);
    started = clock_mono_ms();
    rpc_server_free(rig.server, 300);
    assert_in_range(clock_mono_ms() - started, 300, 3000);
    assert_int_equal(rig_count(&rig.cancels), before + 1);
    rig_wait_for(&aside.ended, 1);
    assert_int_equal(aside.err.code, CODE_UNAVAILABLE);
    serve_again();
}

static void an_idle_client_does_not_hold_up_the_end(void **state)
{
    autofree char *words = str_printf("idle %s", rig.path);
    FILE *f = peer_start(words);
    pid_t pid = peer_pid(f);
    int64_t started = clock_mono_ms();

    (void)state;
    rpc_server_free(rig.server, RIG_PATIENCE_MS);
    assert_in_range(clock_mono_ms() - started, 0, 2000);
    serve_again();
    (void)kill(pid, SIGTERM);
    (void)pclose(f);
}

static void the_death_of_a_client_is_told_to_its_handler(void **state)
{
    /* target_path (4) is "wait" */
    autofree char *words =
        str_printf("hang %s /csi.v1.Node/NodePublishVolume 220477616974", rig.path);
    int before = rig_count(&rig.cancels);
    int begun = rig_count(&rig.publishes);
    FILE *f = peer_start(words);
    pid_t pid = peer_pid(f);

    (void)state;
    rig_wait_for(&rig.publishes, begun + 1);
    assert_int_equal(rig_count(&rig.cancels), before);
    assert_int_equal(kill(pid, SIGKILL), 0);
    rig_wait_for(&rig.cancels, before + 1);
    (void)pclose(f);
}

struct told {
    pthread_mutex_t lock;
    char method[64];
    enum code code;
    int64_t took_us;
    int count;
};

static void note_end(void *arg, const char *method, int64_t took_us, const struct error *err)
{
    struct told *told = arg;

    pthread_mutex_lock(&told->lock);
    (void)snprintf(told->method, sizeof(told->method), "%s", method);
    told->code = err->code;
    told->took_us = took_us;
    told->count++;
    pthread_mutex_unlock(&told->lock);
}

/* The call is told before its answer leaves. */
static void check_told(struct told *told, int count, enum code code, int64_t least_us)
{
    pthread_mutex_lock(&told->lock);
    assert_int_equal(told->count, count);
    assert_int_equal(told->code, code);
    assert_in_range(told->took_us, least_us, 5000000);
    assert_string_equal(told->method, "/csi.v1.Node/NodePublishVolume");
    pthread_mutex_unlock(&told->lock);
}

static void each_call_is_told_once_with_its_code_and_time(void **state)
{
    autofree char *path = str_printf("%s/told.sock", rig.folder);
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = path });
    struct told told = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct rpc_server *server = NULL;

    (void)state;
    assert_int_equal(
        rig_serve((struct rpc_server_config){ .path = path, .ended = note_end, .ended_arg = &told },
                  &server, NULL),
        0);
    assert_int_equal(ask(client, &(struct ask){ .target = "slow" }, NULL), 0);
    check_told(&told, 1, CODE_OK, 200000);
    assert_int_equal(ask(client, &(struct ask){ .id = "\xff" }, NULL), -1);
    check_told(&told, 2, CODE_INVALID_ARGUMENT, 0);
    rpc_client_free(client);
    rpc_server_free(server, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_call_after_a_restart_succeeds),
        cmocka_unit_test(calls_move_to_a_new_server_while_the_old_one_drains),
        cmocka_unit_test(no_call_is_lost_between_two_servers),
        cmocka_unit_test(a_call_in_flight_is_answered_while_draining),
        cmocka_unit_test(a_call_that_outlasts_the_drain_is_cut),
        cmocka_unit_test(an_idle_client_does_not_hold_up_the_end),
        cmocka_unit_test(the_death_of_a_client_is_told_to_its_handler),
        cmocka_unit_test(each_call_is_told_once_with_its_code_and_time),
    };

    return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
