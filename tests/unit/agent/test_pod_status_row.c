/* SPDX-License-Identifier: Apache-2.0
 *
 * What a SecretProviderClassPodStatus says of the volumes of one pod and class, and for how long it
 * shows on what it said before us.
 */
#include "agent/pod_status_object.h"
#include "agent/pod_status_row.h"
#include "tests/check.h"

struct volume_of {
    const char *target;
    const char *objects; /* "id=version,id=version" */
    bool taken_over;
};

static struct object_list list_from(const char *text)
{
    struct object_list list = { xcalloc(8, sizeof(*list.items)), 0 };
    autofree char *copy = xstrdup(text);
    char *rest = copy;

    for (char *pair; (pair = strsep(&rest, ","));) {
        char *id = strsep(&pair, "=");

        if (*id)
            list.items[list.count++] = (struct object_version){ xstrdup(id), xstrdup(pair) };
    }
    return list;
}

static void put(struct status_row *row, const struct volume_of *v)
{
    struct object_list list CLEANUP(object_list_done) = list_from(v->objects);
    struct pod_volume volume = {
        .volume_id = v->target,
        .ns = "shop",
        .pod_name = "web",
        .pod_uid = "u1",
        .class_name = "app",
        .target = v->target,
        .objects = list.items,
        .object_count = list.count,
        .taken_over = v->taken_over,
    };
    struct row_entry *e = row->entries;

    if (!row->name)
        assert_int_equal(row_init(row, &volume, NULL), 0);
    while (e && strcmp(e->target, v->target) != 0)
        e = e->next;
    row_set(row, e ? e : row_add(row, &volume), &volume);
}

static void show(struct status_row *row, const char *text)
{
    struct object_list list CLEANUP(object_list_done) = list_from(text);

    row_show(row, &list);
}

static void expect_status(const struct status_row *row, bool plain, const char *want)
{
    const struct status_dialect dialect = { "v1", plain };
    struct strbuf out autostrbuf = { 0 };
    const char *status;

    row_write(row, "n1", &dialect, &out);
    status = strstr(strbuf_text(&out), "\"targetPath\"");
    assert_non_null(status);
    assert_string_equal(status, want);
}

static const struct {
    const char *name;
    struct volume_of volumes[2];
    const char *shown; /* NULL: there was no object of this pod */
    bool plain;
    const char *want;
} rows[] = {
    { "one volume",
      { { "/a", "x=1,y=2", false } },
      NULL,
      false,
      "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"1\"},"
      "{\"id\":\"y\",\"version\":\"2\"}]}}" },
    { "two volumes: the union by id, the first target by name",
      { { "/b", "y=1,x=1", false }, { "/a", "z=1,x=1", false } },
      NULL,
      false,
      "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"1\"},"
      "{\"id\":\"y\",\"version\":\"1\"},{\"id\":\"z\",\"version\":\"1\"}],"
      "\"otherTargetPaths\":[\"/b\"]}}" },
    { "the old driver's CRD has no field for a second target",
      { { "/b", "x=1", false }, { "/a", "x=1", false } },
      NULL,
      true,
      "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"1\"}]}}" },
    { "content of before us shows what was said of it",
      { { "/a", "x=ours", true } },
      "x=theirs",
      false,
      "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"theirs\"}]}}" },
    { "also where nobody was asked yet",
      { { "/a", "", true } },
      "x=theirs",
      false,
      "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"theirs\"}]}}" },
    { "nothing was said of it: ours",
      { { "/a", "x=ours", true } },
      NULL,
      false,
      "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"ours\"}]}}" },
    { "content of ours shows ours",
      { { "/a", "x=ours", false } },
      "x=theirs",
      false,
      "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"ours\"}]}}" },
    { "one of each",
      { { "/a", "x=ours", false }, { "/b", "y=ours", true } },
      "y=theirs",
      false,
      "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"ours\"},"
      "{\"id\":\"y\",\"version\":\"theirs\"}],\"otherTargetPaths\":[\"/b\"]}}" },
};

static void a_status_says_what_its_volumes_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct status_row row CLEANUP(row_done) = { 0 };

        print_message("%s\n", rows[i].name);
        for (size_t v = 0; v < 2 && rows[i].volumes[v].target; v++)
            put(&row, &rows[i].volumes[v]);
        if (rows[i].shown)
            show(&row, rows[i].shown);
        expect_status(&row, rows[i].plain, rows[i].want);
    }
}

static void what_was_said_before_us_ends_with_the_first_change(void **state)
{
    struct status_row row CLEANUP(row_done) = { 0 };

    (void)state;
    put(&row, &(struct volume_of){ "/a", "", true });
    assert_true(row_wants_shown(&row));
    show(&row, "x=theirs");
    assert_false(row_wants_shown(&row));
    put(&row, &(struct volume_of){ "/a", "x=1", true });
    expect_status(&row, false,
                  "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"theirs\"}]}}");
    put(&row, &(struct volume_of){ "/a", "x=2", false });
    expect_status(&row, false,
                  "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"2\"}]}}");
    put(&row, &(struct volume_of){ "/a", "x=2", true });
    assert_true(row_wants_shown(&row)); /* and nothing of theirs is left to show */
    expect_status(&row, false,
                  "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"2\"}]}}");
}

static void another_pod_of_the_name_has_nothing_of_its_forerunner(void **state)
{
    struct status_row row CLEANUP(row_done) = { 0 };

    (void)state;
    put(&row, &(struct volume_of){ "/a", "x=1", true });
    show(&row, "x=theirs");
    assert_false(row_set_pod(&row, "u1"));
    assert_true(row_set_pod(&row, "u2"));
    assert_true(row_wants_shown(&row));
    expect_status(&row, false,
                  "\"targetPath\":\"/a\",\"objects\":[{\"id\":\"x\",\"version\":\"1\"}]}}");
}

static void long_names_are_cut_and_told_apart(void **state)
{
    char pod[201];
    char node[100];
    autofree char *one = NULL;
    autofree char *two = NULL;
    autofree char *label = NULL;
    autofree char *plain = NULL;

    (void)state;
    memset(pod, 'p', sizeof(pod) - 1);
    pod[sizeof(pod) - 1] = '\0';
    memset(node, 'n', sizeof(node) - 1);
    node[sizeof(node) - 1] = '\0';
    assert_int_equal(pod_status_name(pod, "ns-a", pod, &one, NULL), 0);
    assert_int_equal(pod_status_name(pod, "ns-b", pod, &two, NULL), 0);
    assert_int_equal(strlen(one), POD_STATUS_NAME_MAX);
    assert_string_not_equal(one, two);
    assert_int_equal(pod_status_node_label(node, &label, NULL), 0);
    assert_int_equal(strlen(label), NODE_LABEL_MAX);
    assert_int_equal(pod_status_name("web", "shop", "app", &plain, NULL), 0);
    assert_string_equal(plain, "web-shop-app");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_says_what_its_volumes_hold),
        cmocka_unit_test(what_was_said_before_us_ends_with_the_first_change),
        cmocka_unit_test(another_pod_of_the_name_has_nothing_of_its_forerunner),
        cmocka_unit_test(long_names_are_cut_and_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
