/* SPDX-License-Identifier: Apache-2.0
 *
 * Events as objects: what the API server takes of them, and which are the same. That they arrive,
 * and are counted there, tests/cluster/events.py shows.
 */
#include "agent/event_object.h"
#include "lib/base/json.h"
#include "tests/check.h"

static const struct event plain = {
    .reason = EVENT_ROTATED,
    .ns = "shop",
    .name = "web-0",
    .uid = "u1",
    .text = "rotated",
};

static char *name_of(const struct event *event)
{
    char *name = NULL;

    assert_int_equal(event_object_name(event, &name, NULL), 0);
    return name;
}

static struct tree *object_of(const struct event *event)
{
    struct strbuf body autostrbuf = { 0 };
    struct tree *t = NULL;

    event_object_write(event, "n", "node-1", "2026-01-01T00:00:00.000Z", &body);
    assert_int_equal(json_parse(body.text, body.len, &t, NULL), 0);
    return t;
}

static void each_reason_is_one_word_with_a_type_and_a_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < EVENT_REASONS; i++) {
        const struct event_row *row = &event_rows[i];

        assert_non_null(row->reason);
        assert_true(strspn(row->reason, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ==
                    strlen(row->reason));
        assert_true(str_same(row->type, "Normal") || str_same(row->type, "Warning"));
        assert_true(str_same(row->kind, "Pod") || str_same(row->kind, "Node"));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(row->reason, event_rows[k].reason);
    }
}

static void an_event_tells_whom_it_is_about_and_who_says_it(void **state)
{
    struct tree *t autotree = object_of(&plain);
    const struct tree *about = tree_get(t, "involvedObject");

    (void)state;
    assert_string_equal(tree_get_text(about, "kind"), "Pod");
    assert_string_equal(tree_get_text(about, "namespace"), "shop");
    assert_string_equal(tree_get_text(about, "name"), "web-0");
    assert_string_equal(tree_get_text(about, "uid"), "u1");
    assert_string_equal(tree_get_text(t, "reason"), "MountRotationComplete");
    assert_string_equal(tree_get_text(t, "type"), "Normal");
    assert_string_equal(tree_get_text(t, "message"), "rotated");
    assert_string_equal(tree_get_text(tree_get(t, "source"), "component"), EVENT_COMPONENT);
    assert_string_equal(tree_get_text(tree_get(t, "source"), "host"), "node-1");
    assert_null(tree_get(tree_get(t, "metadata"), "annotations"));
}

static void an_event_of_a_node_has_no_namespace_but_is_in_one(void **state)
{
    const struct event event = {
        .reason = EVENT_AUDIT_HEAD, .name = "n1", .uid = "n1", .text = "t", .note = "7 ab"
    };
    struct tree *t autotree = object_of(&event);
    autofree char *path = event_object_path(&event);

    (void)state;
    assert_string_equal(path, "/api/v1/namespaces/default/events");
    assert_null(tree_get(tree_get(t, "involvedObject"), "namespace"));
    assert_string_equal(
        tree_get_text(tree_get(tree_get(t, "metadata"), "annotations"), "locket.dev/audit-head"),
        "7 ab");
}

static const struct {
    const char *says;
    struct event other;
    bool same;
} twins[] = {
    { "the same again", { EVENT_ROTATED, "shop", "web-0", "u1", "rotated", NULL, NULL }, true },
    { "another text", { EVENT_ROTATED, "shop", "web-0", "u1", "rotated 2", NULL, NULL }, false },
    { "another reason", { EVENT_STALE, "shop", "web-0", "u1", "rotated", NULL, NULL }, false },
    { "another pod of the name",
      { EVENT_ROTATED, "shop", "web-0", "u2", "rotated", NULL, NULL },
      false },
    { "a series is no text",
      { EVENT_ROTATED, "shop", "web-0", "u1", "x", "rotated", NULL },
      false },
};

static void the_same_event_has_the_same_name(void **state)
{
    autofree char *name = name_of(&plain);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(twins); i++) {
        autofree char *other = name_of(&twins[i].other);

        if (str_same(name, other) != twins[i].same)
            fail_msg("%s: %s and %s", twins[i].says, name, other);
    }
}

static void a_series_is_one_event_whatever_its_text(void **state)
{
    struct event one = plain;
    struct event two = plain;
    autofree char *first = NULL;
    autofree char *second = NULL;

    (void)state;
    one.series = two.series = "app";
    one.text = "stale for 1 h";
    two.text = "stale for 2 h";
    first = name_of(&one);
    second = name_of(&two);
    assert_string_equal(first, second);
}

static void a_long_name_is_cut_where_a_label_may_end(void **state)
{
    char longest[EVENT_NAME_MAX + 1];
    struct event event = plain;
    autofree char *name = NULL;

    (void)state;
    memset(longest, 'a', EVENT_NAME_MAX);
    longest[EVENT_NAME_MAX] = '\0';
    memcpy(longest + 230, "-.-.-.-.-", 9);
    event.name = longest;
    name = name_of(&event);
    assert_true(strlen(name) <= EVENT_NAME_MAX);
    assert_int_equal(name[229], 'a');
    assert_int_equal(name[230], '.');
}

static void a_long_text_is_cut_between_characters(void **state)
{
    char text[2 * EVENT_TEXT_MAX];
    struct event event = plain;
    struct tree *t autotree = NULL;

    (void)state;
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[sizeof(text) - 2] = '\0';
    text[0] = '\xff'; /* no character; nor is the byte after it */
    event.text = text;
    t = object_of(&event);
    assert_int_equal(strlen(tree_get_text(t, "message")), EVENT_TEXT_MAX - 1);
    assert_memory_equal(tree_get_text(t, "message"), "??\xc3\xa4", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reason_is_one_word_with_a_type_and_a_kind),
        cmocka_unit_test(an_event_tells_whom_it_is_about_and_who_says_it),
        cmocka_unit_test(an_event_of_a_node_has_no_namespace_but_is_in_one),
        cmocka_unit_test(the_same_event_has_the_same_name),
        cmocka_unit_test(a_series_is_one_event_whatever_its_text),
        cmocka_unit_test(a_long_name_is_cut_where_a_label_may_end),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
