/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/note.h"

#include <stdio.h>

#include "agent/note_words.h"

typedef Locket__Cluster__V1__NoteRequest Note;

#define KIND(name) LOCKET__CLUSTER__V1__NOTE_REQUEST__KIND__##name

/* --- the audit ------------------------------------------------------------------------------- */

static const struct {
    int kind;
    enum audit_event event;
} accesses[] = {
    { KIND(PUBLISHED), AUDIT_PUBLISH },        { KIND(REPAIRED), AUDIT_REPUBLISH },
    { KIND(REFRESHED), AUDIT_ROTATE },         { KIND(UNPUBLISHED), AUDIT_UNPUBLISH },
    { KIND(CREDENTIALS_REFUSED), AUDIT_DENY },
};

/* Refused by a rule of ours, before anybody was asked. */
static const char *const denials[] = { "TokenMismatch", "AttributeOverride" };

static bool is_denial(const Note *note)
{
    for (size_t i = 0; i < COUNT_OF(denials); i++)
        if (strcmp(note->reason, denials[i]) == 0)
            return true;
    return false;
}

/* False: it is no access. */
static bool event_of(const Note *note, enum audit_event *ret)
{
    for (size_t i = 0; i < COUNT_OF(accesses); i++)
        if (accesses[i].kind == (int)note->kind) {
            *ret = is_denial(note) ? AUDIT_DENY : accesses[i].event;
            return true;
        }
    return false;
}

static struct audit_object *objects_of(const Note *note)
{
    struct audit_object *objects = xcalloc(note->n_objects + 1, sizeof(*objects));

    for (size_t i = 0; i < note->n_objects; i++) {
        const Locket__Cluster__V1__NoteObject *o = note->objects[i];

        objects[i] = (struct audit_object){
            .name = *o->id ? o->id : o->path,
            .path = o->path,
            .version = o->version,
            .bytes = o->bytes,
        };
    }
    return objects;
}

/* KIND/NAME of whom its pod belongs to; NULL: nobody, or the pod is not known yet. The caller
 * frees. */
static char *owner_of(struct pod_watch *pods, const Note *note)
{
    struct kube_owners owners autoowners = { 0 };

    if (!pods ||
        !pod_watch_owners(pods, note->pod_namespace, note->pod_name, note->pod_uid, &owners) ||
        !owners.count)
        return NULL;
    return str_printf("%s/%s", owners.list[0].kind, owners.list[0].name);
}

static void write_line(const struct note_sinks *sinks, const Note *note)
{
    struct audit *audit = sinks->audit;
    autofree struct audit_object *objects = NULL;
    autofree char *owner = NULL;
    struct error failure = { .code = code_from_peer(note->code) };
    struct audit_entry entry = {
        .when_unix_ns = note->when_unix_ns,
        .pod_ns = note->pod_namespace,
        .pod_name = note->pod_name,
        .pod_uid = note->pod_uid,
        .service_account = note->service_account,
        .credential = note->credential,
        .volume_id = note->volume_id,
        .class_name = note->class_name,
        .provider = note->provider,
        .store = note->store,
        .auth_method = note->auth_method,
        .role = note->role,
        .peer = note->peer,
        .request_id = note->request,
        .generation = note->generation,
        .err = note->code ? &failure : NULL,
        .took_ms = note->took_ms,
    };

    if (!audit)
        return;
    audit_lost(audit, note->lost);
    if (!event_of(note, &entry.event))
        return;
    (void)snprintf(failure.msg, sizeof(failure.msg), "%s", note->error);
    owner = owner_of(sinks->pods, note);
    entry.owner = owner;
    objects = objects_of(note);
    entry.objects = objects;
    entry.object_count = note->n_objects;
    audit_add(audit, &entry);
}

/* --- Events ---------------------------------------------------------------------------------- */

static void say(struct events *events, const Note *note)
{
    struct note_words words[NOTE_WORDS_MAX];
    size_t count;

    if (!*note->pod_namespace || !*note->pod_name || !*note->pod_uid)
        return; /* adopted of another driver: whose it is is not known yet */
    count = note_words(note, words);
    for (size_t i = 0; i < count; i++) {
        struct event event = {
            .reason = words[i].reason,
            .ns = note->pod_namespace,
            .name = note->pod_name,
            .uid = note->pod_uid,
            .text = strbuf_text(&words[i].text),
            .series = words[i].series ? note->class_name : NULL,
        };

        events_put(events, &event);
        strbuf_done(&words[i].text);
    }
}

int note_take(const struct note_sinks *sinks, const Note *note, struct error *err)
{
    if (!*note->volume_id || note->kind == KIND(UNKNOWN))
        return error_set(err, CODE_INVALID_ARGUMENT, "a note without volume or kind");
    write_line(sinks, note);
    say(sinks->events, note);
    return 0;
}

int note_admit(const struct note_sinks *sinks, struct error *err)
{
    struct audit_view view = audit_view_of(sinks->audit);

    if (!sinks->audit)
        return error_set(err, CODE_UNAVAILABLE, "locket-agent runs without --audit-log");
    if (!audit_is_full(sinks->audit))
        return 0;
    if (view.failing)
        return error_set(err, CODE_UNAVAILABLE, "the audit is not written: %s", view.failure.msg);
    return error_set(err, CODE_UNAVAILABLE,
                     "the audit is slower than the accesses: %zu lines wait to be written",
                     view.queued);
}
