/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/note_words.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/redact.h"

typedef Locket__Cluster__V1__NoteRequest Note;
typedef Locket__Cluster__V1__NoteObject Object;

#define KIND(name) LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__##name

/* --- when ------------------------------------------------------------------------------------ */

static bool always(const Note *n)
{
    (void)n;
    return true;
}

static bool rotated(const Note *n)
{
    return !n->code && n->changed;
}

static bool works_again(const Note *n)
{
    return !n->code && n->failed_before;
}

/* Of a failing volume its pod has been told. */
static bool fails_newly(const Note *n)
{
    return n->code && (!n->failed_before || n->class_edited);
}

static bool waits(const Note *n)
{
    return n->waiting;
}

static bool fails_since_edit(const Note *n)
{
    return fails_newly(n) && n->class_edited;
}

static bool is_away(const Note *n)
{
    return fails_newly(n) && (n->code == CODE_UNAVAILABLE || n->code == CODE_DEADLINE_EXCEEDED);
}

/* --- what happened --------------------------------------------------------------------------- */

/* An error as the driver sent it: redacted there; here once more by shape, whoever sent it. */
static void add_error(const Note *n, struct strbuf *out)
{
    char text[ERROR_TEXT_MAX] = "";
    struct redaction r;

    (void)snprintf(text, sizeof(text), "%s", n->error);
    r = redaction_of(text);
    redaction_shapes(&r);
    redaction_apply(&r);
    strbuf_add_text(out, text);
}

static void say_failure(const Note *n, struct strbuf *out)
{
    strbuf_add_text(out, "the refresh failed and the files stay as they were: ");
    add_error(n, out);
}

static bool is_changed(const Object *o)
{
    return *o->id && strcmp(o->version, o->before) != 0;
}

static void add_version(struct strbuf *out, const char *version)
{
    strbuf_printf(out, "%.*s", NOTE_VERSION_MAX, *version ? version : "new");
}

static void say_rotation(const Note *n, struct strbuf *out)
{
    size_t changed = 0;

    strbuf_printf(out, "rotated to generation %" PRId64, n->generation);
    for (size_t i = 0; i < n->n_objects; i++) {
        const Object *o = n->objects[i];

        if (!is_changed(o) || ++changed > NOTE_CHANGES_MAX)
            continue;
        strbuf_printf(out, "%s %.100s ", changed == 1 ? ":" : ",", o->id);
        if (*o->before) {
            add_version(out, o->before);
            strbuf_add_text(out, " -> ");
        }
        add_version(out, o->version);
    }
    if (changed > NOTE_CHANGES_MAX)
        strbuf_printf(out, " and %zu more", changed - NOTE_CHANGES_MAX);
}

static void say_recovery(const Note *n, struct strbuf *out)
{
    (void)n;
    strbuf_add_text(out, "the refresh works again");
}

static void add_time(struct strbuf *out, int64_t unix_ms)
{
    char stamp[CLOCK_STAMP_MAX];

    stamp_format(unix_ms, stamp);
    strbuf_printf(out, "%.19sZ", stamp); /* whole seconds */
}

static void say_stale(const Note *n, struct strbuf *out)
{
    strbuf_add_text(out, "the files are those of ");
    add_time(out, n->at_unix_ms);
    strbuf_add_text(out, ", or older: not refreshed for twice their interval");
    if (*n->error)
        strbuf_add_text(out, ": ");
    add_error(n, out);
}

static void say_refusal(const Note *n, struct strbuf *out)
{
    strbuf_add_text(out, "newer credentials were refused, those of before are used until they "
                         "expire: ");
    add_error(n, out);
}

static void say_waiting(const Note *n, struct strbuf *out)
{
    (void)n;
    strbuf_add_text(out, "not refreshed: the credentials have expired, or went with a restart, and "
                         "no newer ones came");
}

static void say_republish(const Note *n, struct strbuf *out)
{
    strbuf_add_text(out, "requiresRepublish is off while rotation is on: refreshes end when the "
                         "token expires");
    if (!n->at_unix_ms)
        return;
    strbuf_add_text(out, ", at ");
    add_time(out, n->at_unix_ms);
}

static void say_peer(const Note *n, struct strbuf *out)
{
    strbuf_printf(out, "another user (uid %" PRId64 ") answers at the socket of provider %.100s",
                  n->peer_uid, n->provider);
}

/* --- the table ------------------------------------------------------------------------------- */

/* The first row of a group that holds is said. %s of the remedy: the provider's name. */
static const struct {
    int kind;
    int group;
    bool (*when)(const Note *n);
    const char *failure; /* the driver's reason; NULL: any */
    enum event_reason reason;
    bool series;
    void (*say)(const Note *n, struct strbuf *out);
    const char *remedy;
} rows[] = {
    { KIND(REFRESHED), 1, rotated, NULL, EVENT_ROTATED, false, say_rotation,
      "Programs that read their files once need a restart" },
    { KIND(REFRESHED), 2, works_again, NULL, EVENT_RECOVERED, true, say_recovery, NULL },
    { KIND(REFRESHED), 2, fails_newly, "TokenMismatch", EVENT_TOKEN_MISMATCH, true, say_failure,
      "Set spec.podInfoOnMount: true in the CSIDriver object" },
    { KIND(REFRESHED), 2, fails_newly, "WaitingForCredentials", EVENT_NO_CREDENTIALS, true,
      say_failure, "See spec.requiresRepublish and spec.tokenRequests of the CSIDriver object" },
    { KIND(REFRESHED), 2, fails_newly, "ProviderPeer", EVENT_PROVIDER_PEER, true, say_failure,
      "Others may replace that socket: give it and its folder to the provider's user alone" },
    { KIND(REFRESHED), 2, fails_newly, "SecretProviderClassNotFound", EVENT_CLASS_REFUSED, true,
      say_failure, "Apply the SecretProviderClass again; its volumes are refreshed at once" },
    { KIND(REFRESHED), 2, fails_newly, "InvalidProvider", EVENT_CLASS_REFUSED, true, say_failure,
      "Correct spec.provider of the SecretProviderClass; its volumes are refreshed at once" },
    { KIND(REFRESHED), 2, fails_newly, "AttributeOverride", EVENT_CLASS_REFUSED, true, say_failure,
      "Take the parameter out of the class or out of the pod's volumeAttributes" },
    { KIND(REFRESHED), 2, fails_newly, "ProviderNotFound", EVENT_PROVIDER_AWAY, true, say_failure,
      "See whether provider %s runs on this node" },
    { KIND(REFRESHED), 2, fails_newly, "InvalidAnswer", EVENT_SECRET_INVALID, true, say_failure,
      "Correct the SecretProviderClass, or the provider %s" },
    { KIND(REFRESHED), 2, is_away, NULL, EVENT_PROVIDER_AWAY, true, say_failure,
      "See whether provider %s and its store answer" },
    { KIND(REFRESHED), 2, fails_since_edit, NULL, EVENT_CLASS_REFUSED, true, say_failure,
      "The class was edited: correct it or take the edit back; its volumes are refreshed at once" },
    { KIND(REFRESHED), 2, fails_newly, NULL, EVENT_ROTATION_FAILED, true, say_failure,
      "It is tried again; `locketctl list` on the node shows when" },
    { KIND(STALE), 2, waits, NULL, EVENT_NO_CREDENTIALS, true, say_waiting,
      "See spec.requiresRepublish and spec.tokenRequests of the CSIDriver object" },
    { KIND(STALE), 2, always, NULL, EVENT_STALE, true, say_stale,
      "See whether provider %s and its store answer" },
    { KIND(CREDENTIALS_REFUSED), 2, always, NULL, EVENT_TOKEN_MISMATCH, true, say_refusal,
      "See spec.podInfoOnMount and spec.tokenRequests of the CSIDriver object" },
    { KIND(REPUBLISH_OFF), 2, always, NULL, EVENT_REPUBLISH_OFF, true, say_republish,
      "Set spec.requiresRepublish: true in the CSIDriver object" },
    { KIND(PEER_CHANGED), 2, always, NULL, EVENT_PROVIDER_PEER, true, say_peer,
      "Expected only when the provider was replaced by one that runs as another user" },
};

static void write_row(const Note *n, size_t row, struct note_words *ret)
{
    *ret = (struct note_words){ .reason = rows[row].reason, .series = rows[row].series };
    strbuf_printf(&ret->text, "SecretProviderClass %.253s: ", n->class_name);
    rows[row].say(n, &ret->text);
    strbuf_add_char(&ret->text, '.');
    if (!rows[row].remedy)
        return;
    strbuf_add_char(&ret->text, ' ');
    for (const char *c = rows[row].remedy; *c; c++) {
        if (c[0] != '%')
            strbuf_add_char(&ret->text, *c);
        else if (c++)
            strbuf_printf(&ret->text, "%.100s", n->provider);
    }
    strbuf_add_char(&ret->text, '.');
}

static bool holds(const Note *n, size_t row)
{
    return rows[row].kind == (int)n->kind && rows[row].when(n) &&
           (!rows[row].failure || strcmp(rows[row].failure, n->reason) == 0);
}

size_t note_words(const Note *note, struct note_words ret[NOTE_WORDS_MAX])
{
    size_t count = 0;
    int group = 0;

    for (size_t i = 0; i < COUNT_OF(rows) && count < NOTE_WORDS_MAX; i++) {
        if (rows[i].group == group || !holds(note, i))
            continue;
        group = rows[i].group;
        write_row(note, i, &ret[count++]);
    }
    return count;
}
