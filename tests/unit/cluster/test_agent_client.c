/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/check.h"
#include "tests/fakes/agent_double.h"
#include "tests/fakes/cluster_double.h"

enum { SETTLE_MS = 10000, LOOK_MS = 1500, WATCHES_MOST = 6, LAST_NOTES = 20 };

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
    client = cluster_agent_new(socket);
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
    client = cluster_agent_new(socket);
    for (int i = 0; i < LAST_NOTES; i++)
        client->ops->note(client,
                          &(struct volume_note){ .kind = NOTE_UNPUBLISHED, .volume_id = "v" });
    client->ops->free(client);
    assert_int_equal(agent_double_notes(agent), LAST_NOTES);
    agent_double_free(agent);
    classes->ops->free(classes);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wish_that_nobody_hears_is_asked_for_again_with_a_pause),
        cmocka_unit_test(the_last_notes_reach_an_agent_that_is_there),
    };

    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
