/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/check.h"
#include "tests/fakes/agent_double.h"
#include "tests/fakes/cluster_double.h"

enum { SETTLE_MS = 10000, LOOK_MS = 1500, WATCHES_MOST = 6, LAST_NOTES = 20, CANCEL_MS = 50 };

static atomic_int wishes;

static void wish(void *arg, const struct cluster_wish *wanted)
{
    (void)arg;
    assert_string_equal(wanted->ns, "ns");
    atomic_fetch_add(&wishes, 1);
}

static void resend(void *arg)
{
    (void)arg;
}

static void wait_for_wishes(int count)
{
    int64_t end = clock_mono_ms() + SETTLE_MS;

    while (atomic_load(&wishes) < count && clock_mono_ms() < end)
        clock_sleep_ms(5);
    assert_int_equal(atomic_load(&wishes), count);
}

/* While a driver ends there is nobody to hand a wish to, and the agent has one. */
static void a_wish_that_nobody_hears_is_asked_for_again_with_a_pause(void **state)
{
    const struct cluster_listener listener = { .wish = wish, .resend = resend };
    char folder[] = "/tmp/locket-agent-XXXXXX";
    autofree char *socket = str_printf("%s/agent.sock", mkdtemp(folder));
    struct cluster *classes = cluster_double_new();
    struct agent_double *agent = NULL;
    struct cluster *client;
    int before;

    (void)state;
    assert_int_equal(agent_double_new(socket, classes, &agent, NULL), 0);
    agent_double_insist(agent, 1);
    client = cluster_agent_new(socket, &(struct cluster_metrics){ 0 });
    client->ops->listen(client, &listener);
    wait_for_wishes(1);

    client->ops->listen(client, NULL);
    agent_double_insist(agent, 2);
    before = agent_double_watches(agent);
    clock_sleep_ms(LOOK_MS);
    assert_in_range(agent_double_watches(agent) - before, 0, WATCHES_MOST);

    client->ops->listen(client, &listener);
    wait_for_wishes(2); /* the agent has kept it until somebody came */
    client->ops->listen(client, NULL);
    client->ops->free(client);
    agent_double_free(agent);
    classes->ops->free(classes);
    assert_int_equal(rmdir(folder), 0);
}

/* They tell of the last accesses: an audit without them would not show that they are missing. */
static void the_last_notes_reach_an_agent_that_is_there(void **state)
{
    char folder[] = "/tmp/locket-agent-XXXXXX";
    autofree char *socket = str_printf("%s/agent.sock", mkdtemp(folder));
    struct cluster *classes = cluster_double_new();
    struct agent_double *agent = NULL;
    struct cluster *client;

    (void)state;
    assert_int_equal(agent_double_new(socket, classes, &agent, NULL), 0);
    client = cluster_agent_new(socket, &(struct cluster_metrics){ 0 });
    for (int i = 0; i < LAST_NOTES; i++)
        client->ops->note(client,
                          &(struct volume_note){ .kind = NOTE_UNPUBLISHED, .volume_id = "v" });
    client->ops->free(client);
    assert_int_equal(agent_double_notes(agent), LAST_NOTES);
    agent_double_free(agent);
    classes->ops->free(classes);
    assert_int_equal(rmdir(folder), 0);
}

static void *raise_soon(void *arg)
{
    clock_sleep_ms(CANCEL_MS);
    cancel_raise(arg);
    return NULL;
}

/* It would have 20 s to answer: longer than the end of a driver may take. */
static void who_asks_for_a_class_can_leave_an_agent_that_says_nothing(void **state)
{
    char folder[] = "/tmp/locket-agent-XXXXXX";
    autofree char *socket = str_printf("%s/agent.sock", mkdtemp(folder));
    struct cluster *classes = cluster_double_new();
    struct agent_double *agent = NULL;
    struct cluster *client;
    struct class *c = NULL;
    struct cancel cancel;
    struct error err = { 0 };
    pthread_t thread;
    int64_t begin;

    (void)state;
    cancel_init(&cancel);
    cluster_double_hang(classes, true);
    assert_int_equal(agent_double_new(socket, classes, &agent, NULL), 0);
    client = cluster_agent_new(socket, &(struct cluster_metrics){ 0 });
    assert_int_equal(pthread_create(&thread, NULL, raise_soon, &cancel), 0);
    begin = clock_mono_ms();
    assert_int_equal(client->ops->get_class(client, "ns", "app", &cancel, &c, &err), -1);
    assert_int_equal(err.code, CODE_CANCELLED);
    assert_in_range(clock_mono_ms() - begin, 0, SETTLE_MS);
    (void)pthread_join(thread, NULL);
    client->ops->free(client);
    cluster_double_hang(classes, false);
    agent_double_free(agent);
    classes->ops->free(classes);
    cancel_done(&cancel);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wish_that_nobody_hears_is_asked_for_again_with_a_pause),
        cmocka_unit_test(the_last_notes_reach_an_agent_that_is_there),
        cmocka_unit_test(who_asks_for_a_class_can_leave_an_agent_that_says_nothing),
    };

    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
