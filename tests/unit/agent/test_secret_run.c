/* SPDX-License-Identifier: Apache-2.0
 *
 * Which tries of a Secret are lines of the audit: all that took content to the API server.
 */
/* WRAP: secret_apply pod_watch_owners audit_add */
#include "agent/secret_run.h"
#include "lib/base/json.h"
#include "tests/check.h"

static struct {
    enum secret_result result;
    enum code code;
    bool sent;
    bool owners_known;
    int lines;
    enum code line_code;
    char *line_secret;
    int64_t now_unix_ms; /* of the wish */
} fake;

int __wrap_secret_apply(const struct secret_write *w, enum secret_result *ret, struct error *err);
int __wrap_secret_apply(const struct secret_write *w, enum secret_result *ret, struct error *err)
{
    *w->sent = fake.sent;
    *ret = fake.result;
    fake.now_unix_ms = w->wish.now_unix_ms;
    return fake.code ? error_set(err, fake.code, "no") : 0;
}

bool __wrap_pod_watch_owners(struct pod_watch *pods, const char *ns, const char *name,
                             const char *uid, struct kube_owners *ret);
bool __wrap_pod_watch_owners(struct pod_watch *pods, const char *ns, const char *name,
                             const char *uid, struct kube_owners *ret)
{
    (void)pods;
    (void)ret;
    assert_string_equal(ns, "shop");
    assert_string_equal(name, "web-0");
    assert_string_equal(uid, "u1");
    return fake.owners_known;
}

void __wrap_audit_add(struct audit *audit, const struct audit_entry *entry);
void __wrap_audit_add(struct audit *audit, const struct audit_entry *entry)
{
    (void)audit;
    fake.lines++;
    fake.line_code = entry->err ? entry->err->code : CODE_OK;
    free(fake.line_secret);
    fake.line_secret = xstrdup(entry->secret);
    assert_int_equal(entry->event, AUDIT_SYNC);
    assert_int_equal(entry->object_count, 1);
    assert_string_equal(entry->objects[0].name, "k");
}

static struct class *make_class(void)
{
    static const char text[] =
        "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":\"SecretProviderClass\","
        "\"metadata\":{\"name\":\"app\",\"namespace\":\"shop\"},\"spec\":{\"provider\":\"file\","
        "\"secretObjects\":[{\"secretName\":\"db\",\"type\":\"Opaque\",\"data\":[{\"key\":\"k\","
        "\"objectName\":\"one\"}]}]}}";
    struct tree *t autotree = NULL;
    struct class *class = NULL;

    assert_int_equal(json_parse(text, strlen(text), &t, NULL), 0);
    assert_int_equal(class_read(t, &class, NULL), 0);
    return class;
}

/* One try; a file is there unless path is another. */
static enum code try(const char *path)
{
    struct class *class autoclass = make_class();
    Locket__Cluster__V1__SyncRequest files = LOCKET__CLUSTER__V1__SYNC_REQUEST__INIT;
    Locket__Cluster__V1__SyncFile file = LOCKET__CLUSTER__V1__SYNC_FILE__INIT;
    Locket__Cluster__V1__SyncFile *list[] = { &file };
    struct secret_run run = { .pod_name = "web-0", .pod_uid = "u1", .class = class };
    enum secret_result result;
    struct error err = { 0 };

    file.path = (char *)path;
    file.contents = (ProtobufCBinaryData){ .len = 5, .data = (uint8_t *)"value" };
    files.files = list;
    files.n_files = 1;
    run.files = &files;
    fake.lines = 0;
    (void)!secret_run(&run, 0, &result, &err);
    return err.code;
}

static const struct {
    const char *says;
    bool sent;
    enum secret_result result;
    enum code code;
    int lines;
} rows[] = {
    { "what was applied", true, SECRET_APPLIED, CODE_OK, 1 },
    { "what was there already is none", false, SECRET_KEPT, CODE_OK, 0 },
    { "nor what yielded", false, SECRET_YIELDED, CODE_OK, 0 },
    { "nor what could not be looked at", false, SECRET_FAILED, CODE_UNAVAILABLE, 0 },
    { "nor what we refused unseen", false, SECRET_REFUSED, CODE_FAILED_PRECONDITION, 0 },
    { "what was denied", false, SECRET_DENIED, CODE_PERMISSION_DENIED, 1 },
    { "what was applied, and its owner failed", true, SECRET_FAILED, CODE_UNAVAILABLE, 1 },
    { "what was sent, and no answer came", true, SECRET_FAILED, CODE_DEADLINE_EXCEEDED, 1 },
    { "what met with somebody else's fields", true, SECRET_REFUSED, CODE_FAILED_PRECONDITION, 1 },
    { "what another node wrote meanwhile", true, SECRET_KEPT, CODE_OK, 1 },
};

static void whatever_was_sent_is_a_line_of_the_audit(void **state)
{
    (void)state;
    fake.owners_known = true;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        fake.sent = rows[i].sent;
        fake.result = rows[i].result;
        fake.code = rows[i].code;
        assert_int_equal(try("one"), rows[i].code);
        if (fake.lines != rows[i].lines)
            fail_msg("%s: %d lines", rows[i].says, fake.lines);
        if (fake.lines)
            assert_int_equal(fake.line_code, rows[i].code);
    }
    assert_string_equal(fake.line_secret, "db");
    free(take(fake.line_secret));
    assert_true(fake.now_unix_ms > 0);
}

static void what_nobody_was_asked_for_is_none(void **state)
{
    (void)state;
    fake.owners_known = true;
    assert_int_equal(try("two"), CODE_INVALID_ARGUMENT);
    assert_int_equal(fake.lines, 0);
    fake.owners_known = false;
    assert_int_equal(try("one"), CODE_FAILED_PRECONDITION);
    assert_int_equal(fake.lines, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_was_sent_is_a_line_of_the_audit),
        cmocka_unit_test(what_nobody_was_asked_for_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
