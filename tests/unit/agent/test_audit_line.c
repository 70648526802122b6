/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands in a line of the audit, and what never does.
 */
#include "agent/audit_line.h"
#include "lib/base/clock.h"
#include "tests/unit/agent/audit_world.h"

enum { WAIT_MS = 10000 };

static void an_access_is_one_line_of_who_what_when_why_how_and_result(void **state)
{
    struct audit *a = begin(&(struct audit_config){ .cluster = "c1", .node = "n1" });
    struct chain c;
    const struct tree *t;
    int64_t when = 0;

    (void)state;
    audit_add(a, &access_of_web);
    audit_free(a);
    c = read_file(file, NULL);
    assert_int_equal(tree_count(c.lines), 3);
    t = first_of(&c, "rotate");
    has_text(t, "cluster", "c1");
    has_text(t, "node", "n1");
    has_text(t, "namespace", "shop");
    has_text(t, "pod", "web");
    has_text(t, "pod_uid", "u-1");
    has_text(t, "service_account", "web-sa");
    has_text(t, "owner", "ReplicaSet/web-6f");
    has_text(t, "credential", "jti-9");
    has_text(t, "volume", "csi-1");
    has_text(t, "class", "app");
    has_text(t, "provider", "vault");
    has_text(t, "store", "https://vault:8200");
    has_text(t, "auth_method", "kubernetes");
    has_text(t, "role", "shop");
    has_text(t, "peer", "CN=vault");
    has_text(t, "request", "r-5");
    has_text(t, "code", "OK");
    has_number(t, "took_ms", "17");
    has_number(t, "generation", "3");
    has_number(t, "files", "2");
    has_number(t, "bytes", "112");
    has_text(tree_get(t, "objects")->child, "name", "db");
    has_text(tree_get(t, "objects")->child, "path", "db/password");
    has_text(tree_get(t, "objects")->child, "version", "v7");
    assert_null(tree_get(t, "error"));
    assert_null(tree_get(t, "secret"));
    assert_null(tree_get(t, "objects_left_out"));
    assert_int_equal(strlen(tree_get_text(t, "time")), strlen("2026-02-01T15:04:05.123456789Z"));
    assert_int_equal(stamp_parse(tree_get_text(t, "time"), &when, NULL), 0);
    assert_true(when > clock_unix_ms() - WAIT_MS && when <= clock_unix_ms());
    tree_free(c.lines);
}

static void each_reason_has_its_word_and_a_failure_its_code(void **state)
{
    static const struct {
        enum audit_event event;
        const char *word;
    } rows[] = {
        { AUDIT_PUBLISH, "publish" },  { AUDIT_REPUBLISH, "republish" }, { AUDIT_ROTATE, "rotate" },
        { AUDIT_SYNC, "sync" },        { AUDIT_UNPUBLISH, "unpublish" }, { AUDIT_REVOKE, "revoke" },
        { AUDIT_DENY, "policy-deny" },
    };
    struct audit *a = begin(&(struct audit_config){ 0 });
    struct error no = { 0 };
    struct chain c;

    (void)state;
    (void)error_set(&no, CODE_PERMISSION_DENIED, "403: \"no\"");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        audit_add(a, &(struct audit_entry){ .event = rows[i].event, .err = &no });
    audit_free(a);
    c = read_file(file, NULL);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct tree *t = first_of(&c, rows[i].word);

        has_text(t, "code", "PERMISSION_DENIED");
        has_text(t, "error", "403: \"no\"");
    }
    tree_free(c.lines);
}

static void texts_from_outside_break_no_line(void **state)
{
    enum { LONG = 100000 };
    autofree char *longest = xmalloc(LONG + 1);
    struct audit *a = begin(&(struct audit_config){ 0 });
    struct chain c;

    (void)state;
    memset(longest, '<', LONG);
    longest[LONG] = '\0';
    audit_add(a, &(struct audit_entry){ .pod_name = "two\nlines\",\"prev\":\"0\xff\xc3",
                                        .class_name = longest,
                                        .provider = "\xe2\x80\xa8\xf0\x9f\x94\x91" });
    audit_free(a);
    c = read_file(file, NULL);
    has_text(first_of(&c, "publish"), "pod", "two\nlines\",\"prev\":\"0??");
    has_text(first_of(&c, "publish"), "provider", "\xe2\x80\xa8\xf0\x9f\x94\x91");
    assert_int_equal(strlen(tree_get_text(first_of(&c, "publish"), "class")), AUDIT_TEXT_MAX / 6);
    tree_free(c.lines);
}

static void thousands_of_objects_are_one_line_that_counts_what_it_leaves_out(void **state)
{
    enum { MANY = 4096, LONG = 600 };
    autofree struct audit_object *many = xcalloc(MANY, sizeof(*many));
    autofree char *name = xmalloc(LONG + 1);
    struct audit *a = begin(&(struct audit_config){ 0 });
    struct chain c;
    const struct tree *t;
    autofree char *left_out = NULL;

    (void)state;
    memset(name, '&', LONG);
    name[LONG] = '\0';
    for (size_t i = 0; i < MANY; i++)
        many[i] = (struct audit_object){ name, name, name, 5, NULL };
    audit_add(a, &(struct audit_entry){ .pod_ns = name,
                                        .pod_name = name,
                                        .store = name,
                                        .peer = name,
                                        .objects = many,
                                        .object_count = MANY });
    audit_free(a);
    c = read_file(file, NULL);
    t = first_of(&c, "publish");
    left_out = str_printf("%zu", MANY - tree_count(tree_get(t, "objects")));
    has_number(t, "objects_left_out", left_out);
    has_number(t, "files", "4096");
    has_number(t, "bytes", "20480");
    assert_true(tree_count(tree_get(t, "objects")) > 10);
    tree_free(c.lines);
}

/* --- values --- */

static void values_stand_in_no_line_and_digests_only_where_asked_for(void **state)
{
    static const char canary[] = "canary-7f3a-value";
    struct secret value CLEANUP(secret_done) = secret_copy(canary, strlen(canary));
    const struct audit_object two[] = { { .name = "a", .value = &value },
                                        { .name = "b", .value = &value } };
    const struct audit_entry entry = { .objects = two, .object_count = 2 };
    struct chain_key key CLEANUP(chain_key_done) = { 0 };
    char digest[CHAIN_HASH_TEXT];

    (void)state;
    put(key_file, key_text);
    assert_int_equal(chain_key_read(key_file, &key, NULL), 0);
    assert_int_equal(chain_digest(&key, value.bytes, value.len, digest, NULL), 0);
    for (int digests = 0; digests < 2; digests++) {
        struct audit *a =
            begin(&(struct audit_config){ .key_file = key_file, .value_digests = digests != 0 });
        autofree char *text = NULL;
        struct chain c;
        const struct tree *o;

        audit_add(a, &entry);
        audit_free(a);
        text = content(file);
        assert_null(strstr(text, canary));
        c = read_chain(text, &key);
        o = tree_get(first_of(&c, "publish"), "objects")->child;
        has_number(o, "bytes", "17");
        if (digests) {
            has_text(o, "digest", digest);
            has_text(o->next, "digest", digest);
        } else {
            assert_null(tree_get(o, "digest"));
        }
        tree_free(c.lines);
        assert_int_equal(unlink(file), 0);
    }
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_access_is_one_line_of_who_what_when_why_how_and_result),
        TEST(each_reason_has_its_word_and_a_failure_its_code),
        TEST(texts_from_outside_break_no_line),
        TEST(thousands_of_objects_are_one_line_that_counts_what_it_leaves_out),
        TEST(values_stand_in_no_line_and_digests_only_where_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
