/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "agent/driver_line.h"
#include "lib/base/strbuf.h"
#include "tests/check.h"

/* A driver: what it was told last. */
struct driver {
    char *instance;
    uint64_t serial;
    int answers;
    struct strbuf told; /* "NAMESPACE/CLASS " of each refresh of the last answer */
    bool deaf;          /* the answers to it are lost */
};

static void on_answer(const Locket__Cluster__V1__WatchResponse *out, void *arg)
{
    struct driver *d = arg;

    strbuf_reset(&d->told);
    if (d->deaf)
        return;
    d->answers++;
    for (size_t i = 0; i < out->n_refreshes; i++)
        strbuf_printf(&d->told, "%s/%s%s ", out->refreshes[i]->namespace_,
                      out->refreshes[i]->class_name, out->refreshes[i]->forced ? "!" : "");
    free(d->instance);
    d->instance = xstrdup(out->instance);
    d->serial = out->serial;
}

static void ask(struct driver_line *line, struct driver *d)
{
    Locket__Cluster__V1__WatchRequest in = LOCKET__CLUSTER__V1__WATCH_REQUEST__INIT;

    in.instance = d->instance ? d->instance : (char *)"";
    in.serial = d->serial;
    driver_line_park(line, &in, on_answer, d);
}

static void expect_told(const struct driver *d, const char *want)
{
    assert_string_equal(strbuf_text(&d->told), want);
}

static void driver_done(struct driver *d)
{
    free(d->instance);
    strbuf_done(&d->told);
    *d = (struct driver){ 0 };
}

static int make(void **state)
{
    struct error err = { 0 };

    return driver_line_new((struct driver_line **)state, &err);
}

static int unmake(void **state)
{
    driver_line_end(*state);
    driver_line_free(*state);
    return 0;
}

static void refresh(struct driver_line *line, const char *class_name, bool forced)
{
    const struct line_refresh wish = { .ns = "shop", .class_name = class_name, .forced = forced };

    driver_line_refresh(line, &wish);
}

static void a_driver_is_told_once_of_each(void **state)
{
    struct driver_line *line = *state;
    struct driver d = { 0 };

    ask(line, &d); /* it learns whom it talks to */
    assert_int_equal(d.answers, 1);
    ask(line, &d);
    assert_int_equal(d.answers, 1);
    refresh(line, "app", false);
    expect_told(&d, "shop/app ");
    refresh(line, "app", false);
    refresh(line, "app", true);
    refresh(line, "db", false);
    ask(line, &d);
    expect_told(&d, "shop/app! shop/db ");
    ask(line, &d);
    assert_int_equal(d.answers, 3);
    driver_line_end(line);
    expect_told(&d, "");
    driver_done(&d);
}

static void what_was_told_to_nobody_is_told_again(void **state)
{
    struct driver_line *line = *state;
    struct driver d = { 0 };

    ask(line, &d);
    d.deaf = true;
    ask(line, &d);
    refresh(line, "lost", true);
    refresh(line, "later", false);
    d.deaf = false;
    ask(line, &d);
    expect_told(&d, "shop/lost! shop/later ");
    ask(line, &d);
    refresh(line, "new", false);
    expect_told(&d, "shop/new ");
    driver_line_end(line);
    driver_done(&d);
}

static void a_new_driver_is_told_what_the_one_before_died_of_hearing(void **state)
{
    struct driver_line *line = *state;
    struct driver old = { 0 };
    struct driver d = { 0 };

    ask(line, &old);
    old.deaf = true;
    ask(line, &old);
    refresh(line, "app", false);
    ask(line, &d);
    expect_told(&d, "shop/app ");
    ask(line, &d);
    assert_int_equal(d.answers, 1);
    driver_line_end(line);
    driver_done(&old);
    driver_done(&d);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_driver_is_told_once_of_each, make, unmake),
        cmocka_unit_test_setup_teardown(what_was_told_to_nobody_is_told_again, make, unmake),
        cmocka_unit_test_setup_teardown(a_new_driver_is_told_what_the_one_before_died_of_hearing,
                                        make, unmake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
