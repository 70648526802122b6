/* SPDX-License-Identifier: Apache-2.0
 *
 * What a pod's people are told of each note, and that they are told nothing of all others.
 */
#include "agent/note_words.h"
#include "tests/check.h"

typedef Locket__Cluster__V1__NoteRequest Note;
typedef Locket__Cluster__V1__NoteObject Object;

#define KIND(name) LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__##name
#define JWT "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtYXJrIn0.c2lnbmF0dXJlLW1hcms"

enum { AT_MS = 1767225600 }; /* 2026-01-01T00:00:00Z, in seconds */

struct given {
    int kind;
    int code;
    const char *reason;
    bool changed;
    bool failed_before;
    bool class_edited;
    bool waiting;
};

static const struct {
    const char *says;
    struct given note;
    size_t count;
    enum event_reason reason;
    const char *has;
} cases[] = {
    { "a rotation",
      { KIND(REFRESHED), 0, "", true, false, false, false },
      1,
      EVENT_ROTATED,
      "rotated to generation 3: password v1 -> v2" },
    { "an unchanged refresh", { KIND(REFRESHED), 0, "", false, false, false, false }, 0, 0, NULL },
    { "one that works again",
      { KIND(REFRESHED), 0, "", false, true, false, false },
      1,
      EVENT_RECOVERED,
      "works again" },
    { "the first failure",
      { KIND(REFRESHED), CODE_INTERNAL, "GRPCProviderError", false, false, false, false },
      1,
      EVENT_ROTATION_FAILED,
      "no luck" },
    { "the second",
      { KIND(REFRESHED), CODE_INTERNAL, "GRPCProviderError", false, true, false, false },
      0,
      0,
      NULL },
    { "a provider that is not there",
      { KIND(REFRESHED), CODE_UNAVAILABLE, "ProviderNotFound", false, false, false, false },
      1,
      EVENT_PROVIDER_AWAY,
      "provider vault runs on this node" },
    { "one that does not answer",
      { KIND(REFRESHED), CODE_UNAVAILABLE, "GRPCProviderError", false, false, false, false },
      1,
      EVENT_PROVIDER_AWAY,
      "provider vault and its store answer" },
    { "one that is slow",
      { KIND(REFRESHED), CODE_DEADLINE_EXCEEDED, "", false, false, false, false },
      1,
      EVENT_PROVIDER_AWAY,
      "answer" },
    { "an edit that fails",
      { KIND(REFRESHED), CODE_NOT_FOUND, "ProviderError", false, false, true, false },
      1,
      EVENT_CLASS_REFUSED,
      "was edited" },
    { "an edit that fails of a volume that did before",
      { KIND(REFRESHED), CODE_NOT_FOUND, "ProviderError", false, true, true, false },
      1,
      EVENT_CLASS_REFUSED,
      "was edited" },
    { "a class that is gone",
      { KIND(REFRESHED), CODE_NOT_FOUND, "SecretProviderClassNotFound", false, false, false,
        false },
      1,
      EVENT_CLASS_REFUSED,
      "Apply the SecretProviderClass again" },
    { "an answer that no file can be of",
      { KIND(REFRESHED), CODE_INVALID_ARGUMENT, "InvalidAnswer", false, false, false, false },
      1,
      EVENT_SECRET_INVALID,
      "no luck" },
    { "a socket that others may replace",
      { KIND(REFRESHED), CODE_PERMISSION_DENIED, "ProviderPeer", false, false, false, false },
      1,
      EVENT_PROVIDER_PEER,
      "may replace that socket" },
    { "a refresh that was asked for without credentials",
      { KIND(REFRESHED), CODE_FAILED_PRECONDITION, "WaitingForCredentials", false, false, false,
        false },
      1,
      EVENT_NO_CREDENTIALS,
      "requiresRepublish" },
    { "an old volume",
      { KIND(STALE), CODE_UNAVAILABLE, "", false, false, false, false },
      1,
      EVENT_STALE,
      "those of 2026-01-01T00:00:00Z, or older" },
    { "an old one that waits",
      { KIND(STALE), 0, "", false, false, false, true },
      1,
      EVENT_NO_CREDENTIALS,
      "no newer ones came" },
    { "credentials of another pod",
      { KIND(CREDENTIALS_REFUSED), CODE_PERMISSION_DENIED, "TokenMismatch", false, false, false,
        false },
      1,
      EVENT_TOKEN_MISMATCH,
      "podInfoOnMount" },
    { "tokens that are not renewed",
      { KIND(REPUBLISH_OFF), 0, "", false, false, false, false },
      1,
      EVENT_REPUBLISH_OFF,
      "at 2026-01-01T00:00:00Z" },
    { "another user at the socket",
      { KIND(PEER_CHANGED), 0, "", false, false, false, false },
      1,
      EVENT_PROVIDER_PEER,
      "uid 7" },
    { "a publish", { KIND(PUBLISHED), 0, "", true, false, false, false }, 0, 0, NULL },
    { "one that failed: kubelet says so",
      { KIND(PUBLISHED), CODE_NOT_FOUND, "", false, false, false, false },
      0,
      0,
      NULL },
    { "an unpublish", { KIND(UNPUBLISHED), 0, "", false, false, false, false }, 0, 0, NULL },
};

static Object object(const char *id, const char *before, const char *version)
{
    Object o = LOCKET__CLUSTER__V1__NOTE_OBJECT__INIT;

    o.id = (char *)id;
    o.before = (char *)before;
    o.version = (char *)version;
    return o;
}

static Note note_of(const struct given *given, Object **objects, size_t count)
{
    Note n = LOCKET__CLUSTER__V1__NOTE_REQUEST__INIT;

    n.kind = (Locket__Cluster__V1__NoteRequest__Kind)given->kind;
    n.code = given->code;
    n.reason = (char *)given->reason;
    n.error = given->code ? (char *)"no luck" : (char *)"";
    n.changed = given->changed;
    n.failed_before = given->failed_before;
    n.class_edited = given->class_edited;
    n.waiting = given->waiting;
    n.class_name = (char *)"app";
    n.provider = (char *)"vault";
    n.generation = 3;
    n.at_unix_ms = (int64_t)AT_MS * 1000;
    n.peer_uid = 7;
    n.objects = objects;
    n.n_objects = count;
    return n;
}

static void each_note_has_its_words(void **state)
{
    Object same = object("untouched", "v1", "v1");
    Object other = object("password", "v1", "v2");
    Object *objects[] = { &other, &same };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Note n = note_of(&cases[i].note, objects, COUNT_OF(objects));
        struct note_words words[NOTE_WORDS_MAX];
        size_t count = note_words(&n, words);

        if (count != cases[i].count)
            fail_msg("%s: %zu Events", cases[i].says, count);
        for (size_t k = 0; k < count; k++) {
            if (words[k].reason != cases[i].reason || !strstr(words[k].text.text, cases[i].has) ||
                !str_starts(words[k].text.text, "SecretProviderClass app: ") ||
                strstr(words[k].text.text, "untouched"))
                fail_msg("%s: %s: %s", cases[i].says, event_rows[words[k].reason].reason,
                         words[k].text.text);
            assert_true(words[k].text.len <= EVENT_TEXT_MAX);
            strbuf_done(&words[k].text);
        }
    }
}

static void a_volume_that_works_again_and_was_rotated_has_both(void **state)
{
    const struct given given = { KIND(REFRESHED), 0, "", true, true, false, false };
    Note n = note_of(&given, NULL, 0);
    struct note_words words[NOTE_WORDS_MAX];

    (void)state;
    assert_int_equal(note_words(&n, words), 2);
    assert_int_equal(words[0].reason, EVENT_ROTATED);
    assert_int_equal(words[1].reason, EVENT_RECOVERED);
    strbuf_done(&words[0].text);
    strbuf_done(&words[1].text);
}

static void of_many_objects_some_are_named(void **state)
{
    const struct given given = { KIND(REFRESHED), 0, "", true, false, false, false };
    Object all[NOTE_CHANGES_MAX + 5];
    Object *objects[COUNT_OF(all)];
    struct note_words words[NOTE_WORDS_MAX];
    Note n;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        all[i] = object("key", "",
                        "a version that has a great many characters, of which no more "
                        "than a digest has are shown to anybody");
        objects[i] = &all[i];
    }
    n = note_of(&given, objects, COUNT_OF(all));
    assert_int_equal(note_words(&n, words), 1);
    assert_non_null(strstr(words[0].text.text, " and 5 more"));
    assert_null(strstr(words[0].text.text, "anybody"));
    assert_true(words[0].text.len <= EVENT_TEXT_MAX);
    strbuf_done(&words[0].text);
}

static void what_has_the_shape_of_a_token_is_blanked(void **state)
{
    const struct given given = { KIND(REFRESHED), CODE_INTERNAL, "", false, false, false, false };
    Note n = note_of(&given, NULL, 0);
    struct note_words words[NOTE_WORDS_MAX];

    (void)state;
    n.error = (char *)"the store said: " JWT " is no good";
    assert_int_equal(note_words(&n, words), 1);
    assert_null(strstr(words[0].text.text, "c2lnbmF0dXJlLW1hcms"));
    assert_non_null(strstr(words[0].text.text, "is no good"));
    strbuf_done(&words[0].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_note_has_its_words),
        cmocka_unit_test(a_volume_that_works_again_and_was_rotated_has_both),
        cmocka_unit_test(of_many_objects_some_are_named),
        cmocka_unit_test(what_has_the_shape_of_a_token_is_blanked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
