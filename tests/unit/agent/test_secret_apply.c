/* SPDX-License-Identifier: Apache-2.0
 *
 * What is asked of the API server for one Secret, call by call, and what is made of its answers.
 */
/* WRAP: kube_call */
#include "agent/secret_apply.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "tests/check.h"

enum { CALLS_MAX = 12, RETRY_AFTER_MS = 7000 };

#define T_OURS INT64_C(1770000000000)
#define STAMP_OLD "2026-01-01T00:00:00.000Z"
#define STAMP_NEW "2026-12-31T00:00:00.000Z"

/* The content: two values, one of them short. "hunter2-hunter2" is aHVudGVyMi1odW50ZXIy. */
#define VALUE "hunter2-hunter2"
#define VALUE64 "aHVudGVyMi1odW50ZXIy"

static struct secret_key keys[] = { { (char *)"k", (char *)"o" } };
static struct secret_object object = {
    .name = (char *)"db", .type = (char *)"Opaque", .keys = keys, .key_count = 1
};
static struct secret_datum datum = { .key = (char *)"k", .bytes = { (uint8_t *)VALUE, 15 } };
static const struct secret_data data = { .list = &datum, .count = 1 };
static struct kube_owner owner_list[] = {
    { (char *)"apps/v1", (char *)"ReplicaSet", (char *)"web", (char *)"u1" },
    { (char *)"batch/v1", (char *)"Job", (char *)"once", (char *)"u2" },
};
static const struct kube_owners owners = { .list = owner_list, .count = 2 };

/* --- the fake ----------------------------------------------------------------------------------
 */

/* A call that is awaited, and its answer: an object, or with a code a Status. */
struct step {
    const char *call;
    enum code code;
    const char *answer; /* NULL: none */
};

#define GET "GET /api/v1/namespaces/shop/secrets/db"
#define APPLY "PATCH apply /api/v1/namespaces/shop/secrets/db?fieldManager=locket"
#define FORCE APPLY "&force=true"
#define OWN "PATCH strategic /api/v1/namespaces/shop/secrets/db?fieldManager=locket"

static struct {
    struct step steps[CALLS_MAX];
    size_t next;
    char *bodies[CALLS_MAX];
    char *form;
} fake;

static struct tree *parse(const char *text)
{
    struct tree *t = NULL;

    if (json_parse(text, strlen(text), &t, NULL) < 0)
        fail_msg("%s", text);
    return t;
}

static char *call_of(const struct kube_request *r)
{
    const char *kind = !r->type ? "" : strcmp(r->type, KUBE_TYPE_APPLY) ? "strategic " : "apply ";

    return str_printf("%s %s%s", r->method, kind, r->path);
}

/* The answer's text with FORM for what our class asks for. */
static struct tree *answer_of(const char *text)
{
    struct strbuf out autostrbuf = { 0 };
    const char *at;

    while ((at = strstr(text, "FORM"))) {
        strbuf_add(&out, text, (size_t)(at - text));
        strbuf_add_text(&out, fake.form);
        text = at + 4;
    }
    strbuf_add_text(&out, text);
    return parse(strbuf_text(&out));
}

int __wrap_kube_call(struct kube_api *api, const struct kube_request *request, struct tree **ret,
                     struct error *err);
int __wrap_kube_call(struct kube_api *api, const struct kube_request *request, struct tree **ret,
                     struct error *err)
{
    const struct step *step = &fake.steps[fake.next];
    autofree char *call = call_of(request);

    (void)api;
    if (fake.next == CALLS_MAX || !step->call || strcmp(call, step->call) != 0)
        fail_msg("call %zu: %s, not %s", fake.next, call, step->call ? step->call : "(none)");
    assert_true(request->sensitive);
    if (request->body)
        fake.bodies[fake.next] = xstrdup(request->body->text);
    fake.next++;
    if (step->code) {
        (void)error_set(err, step->code, "%s: refused", request->method);
        err->retry_after_ms = RETRY_AFTER_MS;
        if (request->refusal && step->answer)
            *request->refusal = parse(step->answer);
        return -1;
    }
    if (ret && step->answer)
        *ret = answer_of(step->answer);
    return 0;
}

static void begin(const struct step *steps)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        free(take(fake.bodies[i]));
    memcpy(fake.steps, steps, sizeof(fake.steps));
    fake.next = 0;
}

static struct secret_write write_of(void)
{
    return (struct secret_write){ .wish = { .ns = "shop",
                                            .class_name = "app",
                                            .object = &object,
                                            .data = &data,
                                            .changed_at_unix_ms = T_OURS,
                                            .fetched_at_unix_ms = T_OURS },
                                  .owners = &owners };
}

/* The digest that is noted for what the class asks for. */
static int set_up(void **state)
{
    struct secret_write w = write_of();
    struct strbuf out autostrbuf = { .sensitive = true };
    struct tree *t autotree = NULL;

    (void)state;
    assert_int_equal(secret_object_write(NULL, &w.wish, &out, NULL), 0);
    t = parse(out.text);
    fake.form =
        xstrdup(tree_get_text(tree_get(tree_get(t, "metadata"), "annotations"), SECRET_FORM_NOTE));
    return 0;
}

static int tear_down(void **state)
{
    static const struct step none[CALLS_MAX];

    (void)state;
    begin(none);
    free(take(fake.form));
    return 0;
}

/* --- the calls ---------------------------------------------------------------------------------
 */

#define LIVE(data_, stamp_, more_)                                                                 \
    "{\"type\":\"Opaque\",\"data\":{\"k\":\"" data_ "\"},\"metadata\":{\"resourceVersion\":\"7\"," \
    "\"labels\":{\"" SECRET_MANAGED_LABEL "\":\"true\"},\"annotations\":{\"" SECRET_CLASS_NOTE     \
    "\":\"app\",\"" SECRET_FORM_NOTE "\":\"FORM\",\"" SECRET_FETCHED_NOTE "\":\"" stamp_           \
    "\"}" more_ "}}"
#define OWNED                                                                                      \
    ",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web\","  \
    "\"uid\":\"u1\"},{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"name\":\"once\","             \
    "\"uid\":\"u2\"}]"
#define HALF_OWNED                                                                                 \
    ",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web\","  \
    "\"uid\":\"u1\"}]"
#define AS_WISHED LIVE(VALUE64, STAMP_OLD, OWNED)
#define OLDER LIVE("b2xkZXI=", STAMP_OLD, OWNED)
#define NEWER LIVE("bmV3ZXI=", STAMP_NEW, OWNED)
#define CONFLICT(manager_)                                                                         \
    "{\"message\":\"conflict\",\"details\":{\"causes\":[{\"reason\":\"FieldManagerConflict\","     \
    "\"message\":\"conflict with \\\"" manager_ "\\\" using v1\",\"field\":\".data.k\"}]}}"
#define MOVED "{\"message\":\"the object has been modified\"}"

static const struct {
    const char *says;
    struct step steps[CALLS_MAX];
    enum secret_result result;
    enum code code;
    const char *words; /* in the error */
    bool adopt;
} rows[] = {
    { .says = "one that is not there is applied, then owned by each owner in a patch of its own",
      .steps = { { GET, CODE_NOT_FOUND, NULL },
                 { APPLY, CODE_OK, LIVE(VALUE64, STAMP_OLD, "") },
                 { OWN, CODE_OK, NULL },
                 { OWN, CODE_OK, NULL } },
      .result = SECRET_APPLIED },
    { .says = "one as wished costs a look",
      .steps = { { GET, CODE_OK, AS_WISHED } },
      .result = SECRET_KEPT },
    { .says = "an owner that lacks is added, and no other",
      .steps = { { GET, CODE_OK, LIVE(VALUE64, STAMP_OLD, HALF_OWNED) }, { OWN, CODE_OK, NULL } },
      .result = SECRET_KEPT },
    { .says = "newer content stays, and is owned nevertheless",
      .steps = { { GET, CODE_OK, LIVE("bmV3ZXI=", STAMP_NEW, HALF_OWNED) },
                 { OWN, CODE_OK, NULL } },
      .result = SECRET_YIELDED },
    { .says = "older content is replaced",
      .steps = { { GET, CODE_OK, OLDER }, { APPLY, CODE_OK, AS_WISHED } },
      .result = SECRET_APPLIED },
    { .says = "somebody else's is refused, with nothing written",
      .steps = { { GET, CODE_OK, "{\"type\":\"Opaque\",\"metadata\":{}}" } },
      .result = SECRET_REFUSED,
      .code = CODE_FAILED_PRECONDITION,
      .words = "shop/db is there and is not ours" },
    { .says = "another type is refused, with nothing written",
      .steps = { { GET, CODE_OK,
                   "{\"type\":\"own/x\",\"metadata\":{\"labels\":{\"" SECRET_MANAGED_LABEL
                   "\":\"true\"}}}" } },
      .result = SECRET_REFUSED,
      .code = CODE_FAILED_PRECONDITION,
      .words = "has the type own/x, the class says Opaque" },
    { .says = "one that is being deleted is waited for",
      .steps = { { GET, CODE_OK, LIVE(VALUE64, STAMP_OLD, ",\"deletionTimestamp\":\"x\"") } },
      .result = SECRET_FAILED,
      .code = CODE_UNAVAILABLE,
      .words = "is being deleted" },
    { .says = "the old driver's fields are taken",
      .steps = { { GET, CODE_OK, OLDER },
                 { APPLY, CODE_ABORTED, CONFLICT("csi-secrets-store") },
                 { FORCE, CODE_OK, AS_WISHED } },
      .result = SECRET_APPLIED },
    { .says = "somebody else's are not",
      .steps = { { GET, CODE_OK, OLDER }, { APPLY, CODE_ABORTED, CONFLICT("kubectl-edit") } },
      .result = SECRET_REFUSED,
      .code = CODE_FAILED_PRECONDITION,
      .words = ".data.k (kubectl-edit) is somebody else's" },
    { .says = "unless the class says so",
      .steps = { { GET, CODE_OK, OLDER },
                 { APPLY, CODE_ABORTED, CONFLICT("kubectl-edit") },
                 { FORCE, CODE_OK, AS_WISHED } },
      .result = SECRET_APPLIED,
      .adopt = true },
    { .says = "one that changed meanwhile is looked at again",
      .steps = { { GET, CODE_OK, OLDER }, { APPLY, CODE_ABORTED, MOVED }, { GET, CODE_OK, NEWER } },
      .result = SECRET_YIELDED },
    { .says = "one that went before it was owned is made again",
      .steps = { { GET, CODE_OK, LIVE(VALUE64, STAMP_OLD, HALF_OWNED) },
                 { OWN, CODE_NOT_FOUND, NULL },
                 { GET, CODE_NOT_FOUND, NULL },
                 { APPLY, CODE_OK, AS_WISHED } },
      .result = SECRET_APPLIED },
    { .says = "one that changes all the time is left for later",
      .steps = { { GET, CODE_OK, OLDER },
                 { APPLY, CODE_ABORTED, MOVED },
                 { GET, CODE_OK, OLDER },
                 { APPLY, CODE_ABORTED, MOVED },
                 { GET, CODE_OK, OLDER },
                 { APPLY, CODE_ABORTED, MOVED },
                 { GET, CODE_OK, OLDER },
                 { APPLY, CODE_ABORTED, MOVED } },
      .result = SECRET_FAILED,
      .code = CODE_ABORTED,
      .words = "has been modified" },
    { .says = "a policy's no is told in its words",
      .steps = { { GET, CODE_OK, OLDER },
                 { APPLY, CODE_PERMISSION_DENIED, "{\"message\":\"ask security\"}" } },
      .result = SECRET_DENIED,
      .code = CODE_PERMISSION_DENIED,
      .words = "ask security" },
    { .says = "a no without words is told by what was asked",
      .steps = { { GET, CODE_OK, OLDER }, { APPLY, CODE_INVALID_ARGUMENT, NULL } },
      .result = SECRET_DENIED,
      .code = CODE_INVALID_ARGUMENT,
      .words = "PATCH: refused" },
    { .says = "a server that is busy is no denial",
      .steps = { { GET, CODE_OK, OLDER }, { APPLY, CODE_UNAVAILABLE, "{\"message\":\"later\"}" } },
      .result = SECRET_FAILED,
      .code = CODE_UNAVAILABLE,
      .words = "later" },
    { .says = "a look that is denied",
      .steps = { { GET, CODE_PERMISSION_DENIED, NULL } },
      .result = SECRET_DENIED,
      .code = CODE_PERMISSION_DENIED,
      .words = "GET: refused" },
    { .says = "nobody who answers",
      .steps = { { GET, CODE_UNAVAILABLE, NULL } },
      .result = SECRET_FAILED,
      .code = CODE_UNAVAILABLE,
      .words = "GET: refused" },
    { .says = "an owner that is denied is named",
      .steps = { { GET, CODE_OK, LIVE(VALUE64, STAMP_OLD, HALF_OWNED) },
                 { OWN, CODE_PERMISSION_DENIED, NULL } },
      .result = SECRET_DENIED,
      .code = CODE_PERMISSION_DENIED,
      .words = "owner Job/once" },
};

static void each_answer_has_its_next_call_and_its_result(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct secret_write w = write_of();
        enum secret_result result = SECRET_INVALID;
        struct error err = { 0 };
        size_t calls = 0;

        while (calls < CALLS_MAX && rows[i].steps[calls].call)
            calls++;
        w.wish.adopt = rows[i].adopt;
        begin(rows[i].steps);
        (void)!secret_apply(&w, &result, &err);
        if (result != rows[i].result || err.code != rows[i].code)
            fail_msg("%s: %s, %s", rows[i].says, secret_result_name(result), err.msg);
        if (rows[i].words && !strstr(err.msg, rows[i].words))
            fail_msg("%s: %s", rows[i].says, err.msg);
        if (fake.next != calls)
            fail_msg("%s: %zu calls, not %zu", rows[i].says, fake.next, calls);
    }
}

static void no_owner_is_in_what_is_applied_and_no_content_in_what_adds_one(void **state)
{
    static const struct step steps[CALLS_MAX] = { { GET, CODE_NOT_FOUND, NULL },
                                                  { APPLY, CODE_OK, LIVE(VALUE64, STAMP_OLD, "") },
                                                  { OWN, CODE_OK, NULL },
                                                  { OWN, CODE_OK, NULL } };
    struct secret_write w = write_of();
    enum secret_result result;

    (void)state;
    begin(steps);
    assert_int_equal(secret_apply(&w, &result, NULL), 0);
    assert_non_null(strstr(fake.bodies[1], VALUE64));
    assert_null(strstr(fake.bodies[1], "ownerReferences"));
    for (size_t i = 0; i < owners.count; i++) {
        assert_non_null(strstr(fake.bodies[2 + i], owner_list[i].uid));
        assert_null(strstr(fake.bodies[2 + i], owner_list[!i].uid));
        assert_null(strstr(fake.bodies[2 + i], VALUE64));
    }
}

static const struct {
    const char *says;
    struct step steps[CALLS_MAX];
    bool sent;
} sendings[] = {
    { "a look sends nothing", { { GET, CODE_OK, AS_WISHED } }, false },
    { "nor does one that fails", { { GET, CODE_UNAVAILABLE, NULL } }, false },
    { "an owner alone is no content",
      { { GET, CODE_OK, LIVE(VALUE64, STAMP_OLD, HALF_OWNED) }, { OWN, CODE_OK, NULL } },
      false },
    { "what was applied was sent, also when its owner failed",
      { { GET, CODE_NOT_FOUND, NULL },
        { APPLY, CODE_OK, LIVE(VALUE64, STAMP_OLD, "") },
        { OWN, CODE_UNAVAILABLE, NULL } },
      true },
    { "so was what nobody answered to",
      { { GET, CODE_OK, OLDER }, { APPLY, CODE_DEADLINE_EXCEEDED, NULL } },
      true },
};

static void whether_content_was_sent_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sendings); i++) {
        struct secret_write w = write_of();
        enum secret_result result;
        bool sent = false;

        w.sent = &sent;
        begin(sendings[i].steps);
        (void)!secret_apply(&w, &result, NULL);
        if (sent != sendings[i].sent)
            fail_msg("%s", sendings[i].says);
    }
}

/* --- a server's words --------------------------------------------------------------------------
 */

/* What is told of a denial in these words. Ownership: the caller frees. */
static char *told(const char *words)
{
    autofree char *status = str_printf("{\"message\":\"%s\"}", words);
    const struct step steps[CALLS_MAX] = { { GET, CODE_OK, OLDER },
                                           { APPLY, CODE_PERMISSION_DENIED, status } };
    struct secret_write w = write_of();
    enum secret_result result;
    struct error err = { 0 };

    begin(steps);
    assert_int_equal(secret_apply(&w, &result, &err), -1);
    assert_int_equal(err.retry_after_ms, RETRY_AFTER_MS);
    return xstrdup(err.msg);
}

static const struct {
    const char *value;
    const char *words;
    const char *told;
} quotes[] = {
    { VALUE, "no " VALUE " here: ask security", "no [redacted] here: ask security" },
    { VALUE, "no " VALUE64 " here: ask security", "no [redacted] here: ask security" },
    { VALUE, "token eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln is odd", "token [redacted] is odd" },
    { "old", "no evil here: ask security", "no evil here: ask security" },
    { "old", "no old here: ask security", "PATCH: refused; why is not repeated: it may quote a " },
    { "old", "no b2xk here: ask security", "PATCH: refused; why is not repeated: it may quote a " },
    { "", "no value", "no value" },
};

static void a_value_that_the_server_quotes_is_not_told(void **state)
{
    const struct secret before = datum.bytes;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(quotes); i++) {
        autofree char *text = NULL;

        datum.bytes = (struct secret){ (uint8_t *)quotes[i].value, strlen(quotes[i].value) };
        text = told(quotes[i].words);
        if (strncmp(text, quotes[i].told, strlen(quotes[i].told)) != 0)
            fail_msg("%s: %s", quotes[i].words, text);
    }
    datum.bytes = before;
}

/* Wherever the words are cut, also by us. */
static void no_piece_of_a_value_is_left_at_the_cut(void **state)
{
    char filler[ERROR_TEXT_MAX + 1] = "";

    (void)state;
    for (size_t before = 0; before <= ERROR_TEXT_MAX; before++) {
        autofree char *words = str_printf("%s" VALUE " and " VALUE64, filler);
        autofree char *text = told(words);

        if (strstr(text, "hun") || strstr(text, "nter") || strstr(text, "aHVu") ||
            strstr(text, "ZXIy"))
            fail_msg("after %zu characters: %s", before, text);
        filler[before] = '.';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_has_its_next_call_and_its_result),
        cmocka_unit_test(no_owner_is_in_what_is_applied_and_no_content_in_what_adds_one),
        cmocka_unit_test(whether_content_was_sent_is_told),
        cmocka_unit_test(a_value_that_the_server_quotes_is_not_told),
        cmocka_unit_test(no_piece_of_a_value_is_left_at_the_cut),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
