/* SPDX-License-Identifier: Apache-2.0
 *
 * Which volumes a wish of the cluster makes due, and when, by the queue that they wait in.
 */
#include "driver/serve/wishes.h"
#include "tests/unit/volume/life.h"

enum { HOUR_MS = 3600 * SECOND_MS, MANY = 200, PARTS = 5, PART_LEAST = MANY / PARTS / 3 };

static struct wishes wishes;

static int set_up(void **state)
{
    int result = life_set_up(state);

    wishes = (struct wishes){ .app = &w.app };
    wishes_listen(&wishes);
    return result;
}

static int tear_down(void **state)
{
    wishes_end(&wishes);
    return life_tear_down(state);
}

static void put_class(const char *stamp)
{
    autofree char *yaml =
        str_printf("apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"
                   "metadata: {name: app, namespace: ns%s%s}\n"
                   "spec: {provider: double, parameters: {rotationPollInterval: 1h}}\n",
                   stamp ? ", uid: " : "", stamp ? stamp : "");

    cluster_double_put(w.app.cluster, yaml);
}

static int64_t due_in_ms(size_t n)
{
    struct volume *v autovolume = life_volume(n);

    return due_queue_left_ms(w.app.due, &v->refresh.item);
}

static const struct {
    const char *says;
    const char *filled_by; /* NULL: a record of a version that did not know */
    const char *stamp; /* of the wish; NULL: the class is gone, or of an agent that does not say */
    bool unless_known;
    bool forced;
    bool want;
} rows[] = {
    { "an edit", "one", "two", false, false, true },
    { "an edit that it has seen already", "one", "one", false, false, false },
    { "an edit, and a record that does not say", NULL, "two", false, false, true },
    { "the class is gone", "one", NULL, false, false, true },
    { "nobody can say by which form", NULL, NULL, false, false, true },
    { "an edit while one of both was away", "one", "two", true, false, true },
    { "the class was deleted while one of both was away", "one", NULL, true, false, true },
    { "no edit while one of both was away", "one", "one", true, false, false },
    { "back after an upgrade of the driver", NULL, "two", true, false, false },
    { "it was asked for", "one", "one", false, true, true },
};

static void a_volume_is_due_when_it_was_filled_by_another_form_of_its_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct cluster_wish wish = { .ns = "ns",
                                           .class_name = "app",
                                           .class_stamp = rows[i].stamp,
                                           .forced = rows[i].forced,
                                           .unless_known = rows[i].unless_known };
        size_t before;
        bool is_due;

        put_class(rows[i].filled_by);
        life_publish(i + 1);
        before = source_double_fetches(w.app.source);
        cluster_double_wish(w.app.cluster, &wish);
        is_due = due_in_ms(i + 1) <= WISH_SPREAD_MS ||
                 source_double_fetches(w.app.source) > before; /* that soon */
        if (is_due != rows[i].want)
            fail_msg("%s: due %d", rows[i].says, is_due);
        life_unpublish(i + 1);
    }
}

/* Bounded and spread: the volumes of a class on one node do not meet their store at once, and none
 * waits longer than the bound. A second edit moves none back. */
static void the_volumes_of_an_edited_class_are_due_at_moments_spread_over_the_bound(void **state)
{
    const struct cluster_wish wish = { .ns = "ns", .class_name = "app", .class_stamp = "two" };
    int64_t due[MANY + 1];
    size_t parts[PARTS] = { 0 };

    (void)state;
    put_class("one");
    for (size_t n = 1; n <= MANY; n++)
        life_publish(n);
    for (size_t n = 1; n <= MANY; n++)
        assert_in_range(due_in_ms(n), HOUR_MS / 2, 2 * HOUR_MS);
    source_double_hang(w.app.source, true); /* one that is due stays so: its place is not taken */
    cluster_double_wish(w.app.cluster, &wish);
    for (size_t n = 1; n <= MANY; n++) {
        due[n] = due_in_ms(n); /* -1: it is being refreshed already */
        assert_in_range(due[n] + 1, 0, WISH_SPREAD_MS + 1);
        parts[due[n] < 0 ? 0 : due[n] * PARTS / (WISH_SPREAD_MS + 1)]++;
    }
    for (size_t i = 0; i < PARTS; i++)
        if (parts[i] < PART_LEAST)
            fail_msg("%zu of %d volumes are due in the second %zu", parts[i], MANY, i);
    cluster_double_wish(w.app.cluster, &wish);
    for (size_t n = 1; n <= MANY; n++)
        assert_true(due_in_ms(n) <= due[n]);
    source_double_hang(w.app.source, false);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        in_world(a_volume_is_due_when_it_was_filled_by_another_form_of_its_class),
        in_world(the_volumes_of_an_edited_class_are_due_at_moments_spread_over_the_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
