/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done about a Secret that is there, and what is applied over it: two nodes, the old
 * driver, other people, and clocks.
 */
#include <unistd.h>

#include "agent/kube_owner.h"
#include "agent/secret_object.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "tests/check.h"

/* Digest of { type Opaque, no labels, no annotations, k from o }; and that of another class. */
#define OTHER_FORM "0123456789abcdef"
#define T(second) "2026-02-01T10:00:" second ".000Z"
#define SOON "2026-02-01T10:05:00.000Z"
#define FUTURE "2030-01-01T00:00:00.000Z"
#define LATER "2031-01-01T00:00:00.000Z"

static struct secret_key keys[] = { { (char *)"k", (char *)"o" } };
static struct secret_object object = {
    .name = (char *)"db", .type = (char *)"Opaque", .keys = keys, .key_count = 1
};
static struct secret_datum datum = { .key = (char *)"k", .bytes = { (uint8_t *)"value", 5 } };
static const struct secret_data data = { .list = &datum, .count = 1 };

static int64_t at(const char *stamp)
{
    int64_t ms = 0;

    assert_int_equal(stamp_parse(stamp, &ms, NULL), 0);
    return ms;
}

static struct secret_wish wish_at(const char *changed, const char *fetched)
{
    return (struct secret_wish){ .ns = "shop",
                                 .class_name = "app",
                                 .object = &object,
                                 .data = &data,
                                 .changed_at_unix_ms = at(changed),
                                 .fetched_at_unix_ms = at(fetched) };
}

static struct tree *parse(const char *text)
{
    struct tree *t = NULL;
    struct error err = { 0 };

    if (json_parse(text, strlen(text), &t, &err) < 0)
        fail_msg("%s: %s", err.msg, text);
    return t;
}

/* The digest that a wish for `object` notes. */
static char *form(void)
{
    struct secret_wish w = wish_at(T("00"), T("00"));
    struct strbuf out autostrbuf = { .sensitive = true };
    struct tree *t autotree = NULL;

    assert_int_equal(secret_object_write(NULL, &w, &out, NULL), 0);
    t = parse(strbuf_text(&out));
    return xstrdup(
        tree_get_text(tree_get(tree_get(t, "metadata"), "annotations"), SECRET_FORM_NOTE));
}

/* A live Secret. "value" is dmFsdWU=, "other" b3RoZXI=. form NULL: ours. */
struct live {
    const char *labels;
    const char *data;
    const char *type;
    const char *class_name; /* NULL: no notes */
    const char *form;
    const char *fetched;
    const char *more; /* of metadata */
};

#define MANAGED "\"" SECRET_MANAGED_LABEL "\":\"true\""
#define OURS "\"k\":\"dmFsdWU=\""
#define THEIRS "\"k\":\"b3RoZXI=\""

static struct tree *make_live(const struct live *l)
{
    autofree char *ours = form();
    autofree char *notes = l->class_name
                               ? str_printf("\"" SECRET_CLASS_NOTE "\":\"%s\",\"" SECRET_FORM_NOTE
                                            "\":\"%s\",\"" SECRET_FETCHED_NOTE "\":\"%s\"",
                                            l->class_name, l->form ? l->form : ours, l->fetched)
                               : xstrdup("");
    autofree char *text =
        str_printf("{\"type\":\"%s\",\"data\":{%s},\"metadata\":{\"resourceVersion\":\"7\","
                   "\"labels\":{%s},\"annotations\":{%s}%s}}",
                   l->type ? l->type : "Opaque", l->data, l->labels ? l->labels : MANAGED, notes,
                   l->more ? l->more : "");

    return parse(text);
}

static const struct {
    const char *says;
    struct live live;
    const char *changed; /* when our content came */
    const char *fetched; /* and was confirmed */
    enum secret_verdict verdict;
} rows[] = {
    { "as wished: nothing is to be done",
      { .data = OURS, .class_name = "app", .fetched = T("10") },
      T("20"),
      T("30"),
      SECRET_KEEP },
    { "keys of somebody else do not matter",
      { .data = OURS ",\"x\":\"\"", .class_name = "app", .fetched = T("10") },
      T("20"),
      T("30"),
      SECRET_KEEP },
    { "a newer generation of ours is applied",
      { .data = THEIRS, .class_name = "app", .fetched = T("10") },
      T("20"),
      T("20"),
      SECRET_APPLY },
    { "the older side yields",
      { .data = THEIRS, .class_name = "app", .fetched = T("30") },
      T("20"),
      T("20"),
      SECRET_YIELD },
    { "also where a fetch confirmed it: another node may see the store later",
      { .data = THEIRS, .class_name = "app", .fetched = T("30") },
      T("20"),
      T("40"),
      SECRET_YIELD },
    { "and so does the one that wrote it before somebody else changed it",
      { .data = THEIRS, .class_name = "app", .fetched = T("20") },
      T("20"),
      T("40"),
      SECRET_YIELD },
    { "a key that is lacking is applied whatever the time",
      { .data = "", .class_name = "app", .fetched = T("30") },
      T("20"),
      T("20"),
      SECRET_APPLY },
    { "the old driver's is taken over as it is", { .data = OURS }, T("20"), T("20"), SECRET_APPLY },
    { "or with content of ours, whose time nobody noted",
      { .data = THEIRS },
      T("20"),
      T("20"),
      SECRET_APPLY },
    { "one without the label is somebody else's",
      { .labels = "\"a\":\"b\"", .data = OURS },
      T("20"),
      T("20"),
      SECRET_FOREIGN },
    { "a label with another value is none",
      { .labels = "\"" SECRET_MANAGED_LABEL "\":\"no\"", .data = OURS },
      T("20"),
      T("20"),
      SECRET_FOREIGN },
    { "ours whose label somebody took away is ours",
      { .labels = "",
        .data = OURS,
        .class_name = "app",
        .fetched = T("10"),
        .more = ",\"managedFields\":[{\"manager\":\"kubectl\"},{\"manager\":\"locket\"}]" },
      T("20"),
      T("20"),
      SECRET_APPLY },
    { "a type cannot be changed",
      { .data = OURS, .type = "kubernetes.io/tls", .class_name = "app", .fetched = T("10") },
      T("20"),
      T("20"),
      SECRET_OTHER_TYPE },
    { "one that is going is waited for",
      { .data = OURS,
        .class_name = "app",
        .fetched = T("10"),
        .more = ",\"deletionTimestamp\":\"" T("10") "\"" },
      T("20"),
      T("20"),
      SECRET_GOING },
    { "an edit of the class is applied over the same content",
      { .data = OURS, .class_name = "app", .form = OTHER_FORM, .fetched = T("30") },
      T("20"),
      T("20"),
      SECRET_APPLY },
    { "and over other content once a fetch confirmed ours",
      { .data = THEIRS, .class_name = "app", .form = OTHER_FORM, .fetched = T("30") },
      T("20"),
      T("40"),
      SECRET_APPLY },
    { "but not before",
      { .data = THEIRS, .class_name = "app", .form = OTHER_FORM, .fetched = T("30") },
      T("20"),
      T("20"),
      SECRET_YIELD },
    { "of two classes the newer content stays",
      { .data = THEIRS, .class_name = "twin", .fetched = T("30") },
      T("20"),
      T("40"),
      SECRET_YIELD },
    { "whichever class it is",
      { .data = THEIRS, .class_name = "twin", .fetched = T("10") },
      T("20"),
      T("20"),
      SECRET_APPLY },
    { "a time that is none counts as none",
      { .data = THEIRS, .class_name = "app", .fetched = "yesterday" },
      T("20"),
      T("20"),
      SECRET_APPLY },
};

static void what_is_done_about_the_secret_that_is_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct secret_wish w = wish_at(rows[i].changed, rows[i].fetched);
        struct tree *live autotree = make_live(&rows[i].live);
        enum secret_verdict verdict;

        assert_int_equal(secret_judge(live, &w, &verdict, NULL), 0);
        if (verdict != rows[i].verdict)
            fail_msg("%s: verdict %d, not %d", rows[i].says, verdict, rows[i].verdict);
    }
}

/* Now is T40. */
static const struct {
    const char *says;
    const char *live;
    const char *changed;
    enum secret_verdict verdict;
} clocks[] = {
    { "a time that has not come yet holds nobody back", FUTURE, T("20"), SECRET_APPLY },
    { "clocks that differ by a little are believed", SOON, T("20"), SECRET_YIELD },
    { "nor does such a time of ours win", T("20"), FUTURE, SECRET_YIELD },
    { "of two such times the later wins", FUTURE, LATER, SECRET_APPLY },
    { "and the earlier yields", LATER, FUTURE, SECRET_YIELD },
};

static void a_clock_that_was_wrong_once_stops_no_rotation(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(clocks); i++) {
        struct live l = { .data = THEIRS, .class_name = "app", .fetched = clocks[i].live };
        struct secret_wish w = wish_at(clocks[i].changed, T("30"));
        struct tree *live autotree = make_live(&l);
        enum secret_verdict verdict;

        w.now_unix_ms = at(T("40"));
        assert_int_equal(secret_judge(live, &w, &verdict, NULL), 0);
        if (verdict != clocks[i].verdict)
            fail_msg("%s: verdict %d, not %d", clocks[i].says, verdict, clocks[i].verdict);
    }
}

static void
one_that_is_not_there_is_made_and_a_foreign_one_only_where_the_class_says_so(void **state)
{
    struct secret_wish w = wish_at(T("20"), T("20"));
    struct tree *live autotree = parse("{\"type\":\"Opaque\",\"metadata\":{\"name\":\"db\"}}");
    enum secret_verdict verdict;

    (void)state;
    assert_int_equal(secret_judge(NULL, &w, &verdict, NULL), 0);
    assert_int_equal(verdict, SECRET_APPLY);
    assert_int_equal(secret_judge(live, &w, &verdict, NULL), 0);
    assert_int_equal(verdict, SECRET_FOREIGN);
    w.adopt = true;
    assert_int_equal(secret_judge(live, &w, &verdict, NULL), 0);
    assert_int_equal(verdict, SECRET_APPLY);
}

static void labels_that_are_lacking_are_applied(void **state)
{
    struct secret_wish w = wish_at(T("20"), T("20"));
    struct live l = { .data = OURS, .class_name = "app", .fetched = T("10") };
    struct secret_object labelled = object;
    struct pairs labels autopairs = { 0 };
    struct tree *live autotree = make_live(&l);
    enum secret_verdict verdict;

    (void)state;
    pairs_set(&labels, "a", "b");
    labelled.labels = labels;
    w.object = &labelled;
    assert_int_equal(secret_judge(live, &w, &verdict, NULL), 0);
    assert_int_equal(verdict, SECRET_APPLY);
}

static const char *note_of(const struct tree *t, const char *key)
{
    return tree_get_text(tree_get(tree_get(t, "metadata"), "annotations"), key);
}

static struct tree *written(const struct tree *live, const struct secret_wish *w)
{
    struct strbuf out autostrbuf = { .sensitive = true };
    struct error err = { 0 };

    if (secret_object_write(live, w, &out, &err) < 0)
        fail_msg("%s", err.msg);
    return parse(strbuf_text(&out));
}

static void what_is_applied_has_everything_but_owners(void **state)
{
    struct secret_wish w = wish_at(T("20"), T("30"));
    struct tree *t autotree = written(NULL, &w);
    const struct tree *metadata = tree_get(t, "metadata");

    (void)state;
    assert_string_equal(tree_get_text(t, "kind"), "Secret");
    assert_string_equal(tree_get_text(t, "type"), "Opaque");
    assert_string_equal(tree_get_text(tree_get(t, "data"), "k"), "dmFsdWU=");
    assert_string_equal(tree_get_text(metadata, "name"), "db");
    assert_string_equal(tree_get_text(metadata, "namespace"), "shop");
    assert_string_equal(tree_get_text(tree_get(metadata, "labels"), SECRET_MANAGED_LABEL), "true");
    assert_string_equal(note_of(t, SECRET_CLASS_NOTE), "app");
    assert_string_equal(note_of(t, SECRET_FETCHED_NOTE), T("20"));
    assert_null(tree_get(metadata, "ownerReferences"));
    assert_null(tree_get(metadata, "resourceVersion"));
}

static void over_a_live_one_its_version_is_named_and_the_time_is_that_of_the_content(void **state)
{
    struct secret_wish w = wish_at(T("20"), T("30"));
    struct live same = { .data = OURS, .class_name = "app", .fetched = T("10") };
    struct live other = { .data = THEIRS, .class_name = "app", .fetched = T("10") };
    struct tree *live_same autotree = make_live(&same);
    struct tree *live_other autotree = make_live(&other);
    struct tree *over_same autotree = written(live_same, &w);
    struct tree *over_other autotree = written(live_other, &w);

    (void)state;
    assert_string_equal(tree_get_text(tree_get(over_same, "metadata"), "resourceVersion"), "7");
    assert_string_equal(note_of(over_same, SECRET_FETCHED_NOTE), T("10"));
    assert_string_equal(note_of(over_other, SECRET_FETCHED_NOTE), T("20"));
}

/* Whoever has newer content would yield to a time that ours does not have. */
static const struct {
    const char *says;
    struct live live;
    const char *noted; /* over it; ours came at T20, and now is T40 */
} times[] = {
    { "a key that is lacking comes with the time of ours, also where that is older",
      { .data = "", .class_name = "app", .fetched = T("30") },
      T("20") },
    { "or newer", { .data = "", .class_name = "app", .fetched = T("10") }, T("20") },
    { "so does what another class wrote last",
      { .data = OURS, .class_name = "twin", .fetched = T("10") },
      T("20") },
    { "a time that has not come yet does not stay",
      { .data = OURS, .class_name = "app", .form = OTHER_FORM, .fetched = FUTURE },
      T("20") },
};

static void the_time_that_is_noted_is_that_of_what_was_applied(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct secret_wish w = wish_at(T("20"), T("30"));
        struct tree *live autotree = make_live(&times[i].live);
        struct tree *t autotree = NULL;

        w.now_unix_ms = at(T("40"));
        t = written(live, &w);
        if (strcmp(note_of(t, SECRET_FETCHED_NOTE), times[i].noted) != 0)
            fail_msg("%s: %s", times[i].says, note_of(t, SECRET_FETCHED_NOTE));
    }
}

/* Applies what the wish has, as the server would hold it. */
static void older_content_that_filled_a_gap_makes_way_for_the_newer(void **state)
{
    static struct secret_datum newer = { .key = (char *)"k", .bytes = { (uint8_t *)"newer", 5 } };
    static const struct secret_data newer_data = { .list = &newer, .count = 1 };
    struct live gap = { .data = "", .class_name = "app", .fetched = T("30") };
    struct secret_wish old_node = wish_at(T("20"), T("20"));
    struct secret_wish new_node = wish_at(T("30"), T("30"));
    struct tree *live autotree = make_live(&gap);
    struct tree *filled autotree = written(live, &old_node);
    enum secret_verdict verdict;

    (void)state;
    new_node.data = &newer_data;
    assert_int_equal(secret_judge(filled, &new_node, &verdict, NULL), 0);
    assert_int_equal(verdict, SECRET_APPLY);
}

/* --- the digest of the content --- */

/* Made of 32 times 'k': HMAC-SHA256 of {"k":"dmFsdWU="} under HKDF-SHA256's "locket sync: contents,
 * v1"; computed by Python's hmac. */
#define DIGEST                                                                                     \
    "0cf89c36af344a0f:"                                                                            \
    "e939a4a38ce73f295ed6c82da0db57b214402904810bb64d96124f2782af2536"
#define OTHER_KEY "0123456789abcdef:00"

static struct chain_key key;

static int make_key(void **state)
{
    char path[] = "/tmp/locket-key-XXXXXX";
    int fd autoclose = mkstemp(path);

    (void)state;
    if (write(fd, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", 32) != 32 ||
        chain_key_read(path, &key, NULL) < 0)
        return -1;
    return unlink(path);
}

static int end_key(void **state)
{
    (void)state;
    chain_key_done(&key);
    return 0;
}

static const struct {
    const char *says;
    const char *data;
    const char *noted; /* digest; NULL: none */
    bool keyed;
    enum secret_verdict verdict;
    const char *written; /* NULL: none */
} digests[] = {
    { "without a key none is noted", OURS, NULL, false, SECRET_KEEP, NULL },
    { "with one it is", OURS, NULL, true, SECRET_APPLY, DIGEST },
    { "once", OURS, DIGEST, true, SECRET_KEEP, DIGEST },
    { "one that is wrong is put right", OURS, "KEYID:00", true, SECRET_APPLY, DIGEST },
    { "that of a node with another key stays", OURS, OTHER_KEY, true, SECRET_KEEP, OTHER_KEY },
    { "also for a node without a key", OURS, OTHER_KEY, false, SECRET_KEEP, OTHER_KEY },
    { "until the content is another", THEIRS, OTHER_KEY, true, SECRET_APPLY, DIGEST },
    { "or a key comes back", "", OTHER_KEY, true, SECRET_APPLY, DIGEST },
    { "of other content none is left without a key", THEIRS, OTHER_KEY, false, SECRET_APPLY, NULL },
};

static void a_digest_is_noted_with_a_key_alone_and_goes_with_its_content(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(digests); i++) {
        bool of_ours = digests[i].noted && str_starts(digests[i].noted, "KEYID");
        autofree char *noted = of_ours            ? str_printf("%s:00", key.id)
                               : digests[i].noted ? xstrdup(digests[i].noted)
                                                  : NULL;
        autofree char *note = noted
                                  ? str_printf(T("10") "\",\"" SECRET_DIGEST_NOTE "\":\"%s", noted)
                                  : xstrdup(T("10"));
        struct live l = { .data = digests[i].data, .class_name = "app", .fetched = note };
        struct secret_wish w = wish_at(T("20"), T("30"));
        struct tree *live autotree = make_live(&l);
        struct tree *out autotree = NULL;
        enum secret_verdict verdict;

        w.key = digests[i].keyed ? &key : NULL;
        out = written(live, &w);
        assert_int_equal(secret_judge(live, &w, &verdict, NULL), 0);
        if (verdict != digests[i].verdict ||
            !str_same(note_of(out, SECRET_DIGEST_NOTE), digests[i].written))
            fail_msg("%s: verdict %d, %s", digests[i].says, verdict,
                     note_of(out, SECRET_DIGEST_NOTE));
    }
}

/* --- conflicts and owners -------------------------------------------------------------------- */

#define CAUSE(manager, field)                                                                      \
    "{\"reason\":\"FieldManagerConflict\",\"message\":\"conflict with \\\"" manager                \
    "\\\" using v1\",\"field\":\"" field "\"}"

static const struct {
    const char *causes;
    bool fields;
    const char *whose;
} conflicts[] = {
    { "", false, NULL },
    { "{\"reason\":\"Other\"}", false, NULL },
    { CAUSE("csi-secrets-store", ".data.k"), true, NULL },
    { CAUSE("csi-secrets-store", ".data.k") "," CAUSE("locket", ".type"), true, NULL },
    { CAUSE("secrets-store-csi", ".a") "," CAUSE("kubectl-edit", ".data.k"), true,
      ".data.k (kubectl-edit)" },
    { "{\"reason\":\"FieldManagerConflict\"}", true, "a field (somebody)" },
};

static void a_conflict_with_the_old_driver_is_none_and_others_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(conflicts); i++) {
        autofree char *text = str_printf("{\"details\":{\"causes\":[%s]}}", conflicts[i].causes);
        struct tree *t autotree = parse(text);
        bool fields = !conflicts[i].fields;
        autofree char *whose = secret_conflict(t, &fields);

        assert_int_equal(fields, conflicts[i].fields);
        assert_true(str_same(whose, conflicts[i].whose));
    }
}

static void an_owner_is_added_by_its_uid_and_found_by_it(void **state)
{
    struct tree *t autotree =
        parse("{\"metadata\":{\"ownerReferences\":["
              "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web\",\"uid\":\"1\"},"
              "{\"kind\":\"Job\",\"name\":\"no version\",\"uid\":\"2\"}]}}");
    autoowners struct kube_owners owners = kube_owners_of(t);
    autoowners struct kube_owners copy = kube_owners_copy(&owners);
    struct strbuf patch autostrbuf = { 0 };

    (void)state;
    assert_int_equal(copy.count, 1);
    assert_true(kube_owners_has(t, "1"));
    assert_false(kube_owners_has(t, "web"));
    kube_owner_patch(&copy.list[0], NULL, &patch);
    assert_string_equal(strbuf_text(&patch),
                        "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"apps/v1\","
                        "\"kind\":\"ReplicaSet\",\"name\":\"web\",\"uid\":\"1\"}]}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_done_about_the_secret_that_is_there),
        cmocka_unit_test(
            one_that_is_not_there_is_made_and_a_foreign_one_only_where_the_class_says_so),
        cmocka_unit_test(a_clock_that_was_wrong_once_stops_no_rotation),
        cmocka_unit_test(labels_that_are_lacking_are_applied),
        cmocka_unit_test(what_is_applied_has_everything_but_owners),
        cmocka_unit_test(over_a_live_one_its_version_is_named_and_the_time_is_that_of_the_content),
        cmocka_unit_test(the_time_that_is_noted_is_that_of_what_was_applied),
        cmocka_unit_test(older_content_that_filled_a_gap_makes_way_for_the_newer),
        cmocka_unit_test(a_digest_is_noted_with_a_key_alone_and_goes_with_its_content),
        cmocka_unit_test(a_conflict_with_the_old_driver_is_none_and_others_are_named),
        cmocka_unit_test(an_owner_is_added_by_its_uid_and_found_by_it),
    };

    return cmocka_run_group_tests(tests, make_key, end_key);
}
