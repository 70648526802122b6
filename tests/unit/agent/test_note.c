/* SPDX-License-Identifier: Apache-2.0
 *
 * The lines that the audit has of the driver's notes, and when it lets nothing new be published.
 */
#include <signal.h>
#include <sys/resource.h>

#include "agent/note.h"
#include "tests/unit/agent/audit_world.h"

typedef Locket__Cluster__V1__NoteRequest Note;
typedef Locket__Cluster__V1__NoteObject Object;

#define KIND(name) LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__##name

static Note access_of(int kind, int code, const char *reason)
{
    Note n = LOCKET__CLUSTER__V1__NOTE_REQUEST__INIT;

    n.kind = (Locket__Cluster__V1__NoteRequest__Kind)kind;
    n.volume_id = (char *)"csi-1";
    n.pod_namespace = (char *)"shop";
    n.pod_name = (char *)"web";
    n.pod_uid = (char *)"u1";
    n.service_account = (char *)"clerk";
    n.class_name = (char *)"app";
    n.provider = (char *)"vault";
    n.code = code;
    n.reason = (char *)reason;
    n.error = code ? (char *)"no luck" : (char *)"";
    return n;
}

/* What the file holds of one note. */
static char *written_of(const Note *note)
{
    struct audit *a = begin(&(struct audit_config){ 0 });
    struct note_sinks sinks = { .audit = a };

    assert_int_equal(note_take(&sinks, note, NULL), 0);
    audit_free(a);
    return content(file);
}

static const struct {
    int kind;
    int code;
    const char *reason;
    const char *has; /* NULL: no line */
} lines[] = {
    { KIND(PUBLISHED), 0, "", "\"event\":\"publish\"" },
    { KIND(PUBLISHED), CODE_NOT_FOUND, "", "\"code\":\"NOT_FOUND\",\"error\":\"no luck\"" },
    { KIND(PUBLISHED), CODE_PERMISSION_DENIED, "TokenMismatch", "\"event\":\"policy-deny\"" },
    { KIND(PUBLISHED), CODE_PERMISSION_DENIED, "AttributeOverride", "\"event\":\"policy-deny\"" },
    { KIND(REPAIRED), 0, "", "\"event\":\"republish\"" },
    { KIND(REFRESHED), 0, "", "\"event\":\"rotate\"" },
    { KIND(UNPUBLISHED), 0, "", "\"event\":\"unpublish\"" },
    { KIND(CREDENTIALS_REFUSED), CODE_INVALID_ARGUMENT, "", "\"event\":\"policy-deny\"" },
    { KIND(STALE), 0, "", NULL },
    { KIND(REPUBLISH_OFF), 0, "", NULL },
    { KIND(PEER_CHANGED), 0, "", NULL },
};

static void each_access_has_its_line_and_nothing_else_has(void **state)
{
    static const char who[] = "\"namespace\":\"shop\",\"pod\":\"web\",\"pod_uid\":\"u1\","
                              "\"service_account\":\"clerk\",\"volume\":\"csi-1\","
                              "\"class\":\"app\",\"provider\":\"vault\"";

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        Note n = access_of(lines[i].kind, lines[i].code, lines[i].reason);
        autofree char *text = NULL;

        (void)unlink(file);
        text = written_of(&n);
        if (lines[i].has ? !strstr(text, lines[i].has) || !strstr(text, who)
                         : strstr(text, "shop") != NULL)
            fail_msg("kind %d: %s", lines[i].kind, text);
    }
}

static void an_objects_name_version_file_and_size_are_told(void **state)
{
    Object one = LOCKET__CLUSTER__V1__NOTE_OBJECT__INIT;
    Object two = LOCKET__CLUSTER__V1__NOTE_OBJECT__INIT;
    Object *both[] = { &one, &two };
    Note n = access_of(KIND(PUBLISHED), 0, "");
    autofree char *text = NULL;

    (void)state;
    one.id = (char *)"secret/db";
    one.version = (char *)"4";
    two.path = (char *)"db/password";
    two.bytes = 12;
    n.objects = both;
    n.n_objects = COUNT_OF(both);
    text = written_of(&n);
    assert_non_null(strstr(text,
                           "{\"name\":\"secret/db\",\"version\":\"4\"},"
                           "{\"name\":\"db/password\",\"path\":\"db/password\",\"bytes\":12}"));
}

static void a_line_has_the_time_of_the_access_and_the_tokens_id(void **state)
{
    Note n = access_of(KIND(PUBLISHED), 0, "");
    struct chain c;

    (void)state;
    n.when_unix_ns = INT64_C(1767225600123456789);
    n.credential = (char *)"jti-1";
    free(written_of(&n));
    c = read_file(file, NULL);
    has_text(first_of(&c, "publish"), "time", "2026-01-01T00:00:00.123456789Z");
    has_text(first_of(&c, "publish"), "credential", "jti-1");
    tree_free(c.lines);
}

static void a_line_has_how_it_was_fetched(void **state)
{
    Note n = access_of(KIND(REFRESHED), 0, "");
    autofree char *text = NULL;

    (void)state;
    n.store = (char *)"https://vault:8200";
    n.auth_method = (char *)"auth/kubernetes";
    n.role = (char *)"app";
    n.request = (char *)"r-1,r-2";
    n.peer = (char *)"socket=/s uid=0";
    text = written_of(&n);
    assert_non_null(strstr(text, "\"provider\":\"vault\",\"store\":\"https://vault:8200\","
                                 "\"auth_method\":\"auth/kubernetes\",\"role\":\"app\","
                                 "\"peer\":\"socket=/s uid=0\",\"request\":\"r-1,r-2\""));
}

static void what_the_driver_lost_is_told_by_the_chain(void **state)
{
    Note n = access_of(KIND(PUBLISHED), 0, "");
    struct chain c;

    (void)state;
    n.lost = 5;
    free(written_of(&n));
    c = read_file(file, NULL);
    has_number(first_of(&c, "dropped"), "count", "5");
    has_text(first_of(&c, "publish"), "pod", "web");
    tree_free(c.lines);
}

static void a_note_without_volume_or_kind_is_refused(void **state)
{
    const struct note_sinks sinks = { 0 };
    Note kindless = access_of(KIND(UNKNOWN), 0, "");
    Note nameless = access_of(KIND(PUBLISHED), 0, "");
    struct error err = { 0 };

    (void)state;
    nameless.volume_id = (char *)"";
    assert_int_equal(note_take(&sinks, &kindless, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_int_equal(note_take(&sinks, &nameless, &err), -1);
}

static void without_an_audit_nothing_is_admitted(void **state)
{
    const struct note_sinks sinks = { 0 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(note_admit(&sinks, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "--audit-log"));
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void an_audit_that_is_written_admits_and_one_that_fails_does_not(void **state)
{
    struct audit *a = begin(&(struct audit_config){ 0 });
    const struct note_sinks sinks = { .audit = a };
    int64_t end = clock_mono_ms() + 5000;
    Note n = access_of(KIND(PUBLISHED), 0, "");
    struct error err = { 0 };

    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(note_admit(&sinks, &err), 0);
    limit_file_size(1);
    assert_int_equal(note_take(&sinks, &n, &err), 0); /* who is there goes on */
    while (!audit_view_of(a).failing && clock_mono_ms() < end)
        clock_sleep_ms(5);
    assert_int_equal(note_admit(&sinks, &err), -1);
    assert_int_equal(err.code, CODE_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "not written"));
    limit_file_size(RLIM_INFINITY);
    end = clock_mono_ms() + 5000;
    while (audit_view_of(a).failing && clock_mono_ms() < end)
        clock_sleep_ms(5);
    assert_int_equal(note_admit(&sinks, &err), 0);
    audit_free(a);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(each_access_has_its_line_and_nothing_else_has),
        in_folder(an_objects_name_version_file_and_size_are_told),
        in_folder(a_line_has_the_time_of_the_access_and_the_tokens_id),
        in_folder(a_line_has_how_it_was_fetched),
        in_folder(what_the_driver_lost_is_told_by_the_chain),
        in_folder(a_note_without_volume_or_kind_is_refused),
        in_folder(without_an_audit_nothing_is_admitted),
        in_folder(an_audit_that_is_written_admits_and_one_that_fails_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
