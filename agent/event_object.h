/* SPDX-License-Identifier: Apache-2.0
 *
 * event_object.h - the reasons of our Events, and an Event as the object that the API server keeps.
 * Pure: does not know when one is sent, nor how often.
 */
#ifndef LOCKET_AGENT_EVENT_OBJECT_H
#define LOCKET_AGENT_EVENT_OBJECT_H

#include "lib/base/error.h"
#include "lib/base/strbuf.h"

/* The name of the component that the driver before us had. Who matches on it goes on doing so. */
#define EVENT_COMPONENT "csi-secrets-store-controller"

enum {
    EVENT_TEXT_MAX = 1023, /* bytes; the API server takes 1024 of an Event's message */
    EVENT_NAME_MAX = 253,  /* bytes of an object's name */
    EVENT_ID_BYTES = 8,    /* of the digest in the name: 16 digits */
};

enum event_reason {
    EVENT_ROTATED,
    EVENT_ROTATION_FAILED,
    EVENT_RECOVERED,
    EVENT_STALE,
    EVENT_PROVIDER_AWAY,
    EVENT_PROVIDER_PEER,
    EVENT_TOKEN_MISMATCH,
    EVENT_NO_CREDENTIALS,
    EVENT_REPUBLISH_OFF,
    EVENT_CLASS_REFUSED,
    EVENT_SYNC_FAILED, /* the reason that the driver before us gives */
    EVENT_SECRET_INVALID,
    EVENT_SECRET_FOREIGN,
    EVENT_SECRET_DENIED,
    EVENT_SECRET_SYNCED, /* again */
    EVENT_AUDIT_HEAD,
    EVENT_REASONS,
};

/* What is said with each; docs/CLUSTER.md has the same table in words. */
struct event_row {
    const char *reason;
    const char *type;       /* "Normal" or "Warning" */
    const char *kind;       /* of what it is about */
    const char *annotation; /* the key of an event's note; NULL: it has none */
};

extern const struct event_row event_rows[EVENT_REASONS];

/* Borrowed. */
struct event {
    enum event_reason reason;
    const char *ns; /* of the pod; NULL of a node */
    const char *name;
    const char *uid;
    const char *text;   /* what happened, then what to do; cut at EVENT_TEXT_MAX. Never a secret. */
    const char *series; /* all Events of this reason and series are one object with the newest text;
                           NULL: those of the same text are */
    const char *note;   /* the annotation's value; NULL: none */
};

/* The object's name: the same Event of the same pod has the same, whoever says it when. Ownership:
 * the caller. INTERNAL without a digest. */
must_check int event_object_name(const struct event *event, char **ret, struct error *err);

/* Where Events of its namespace are. Ownership: the caller. */
char *event_object_path(const struct event *event);

/* Appends the whole object; when: RFC 3339. */
void event_object_write(const struct event *event, const char *name, const char *node,
                        const char *when, struct strbuf *out);

/* Appends the merge patch of a repetition. count 0: it is not known yet. */
void event_object_repeat(const struct event *event, const char *when, int64_t count,
                         struct strbuf *out);

#endif
