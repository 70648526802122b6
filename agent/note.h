/* SPDX-License-Identifier: Apache-2.0
 *
 * note.h - a note of the driver, made a line of the audit and Events on its pod.
 * Translates: the words are note_words.h's, what a line has is audit.h's.
 */
#ifndef LOCKET_AGENT_NOTE_H
#define LOCKET_AGENT_NOTE_H

#include "agent/audit.h"
#include "agent/events.h"
#include "agent/pod_watch.h"
#include "locket/cluster.pb-c.h"

/* Where notes go, and who is asked whose a pod is; each may be NULL. */
struct note_sinks {
    struct audit *audit;
    struct events *events;
    struct pod_watch *pods;
};

/* Takes one. Never blocks. INVALID_ARGUMENT: it names no volume, or nothing that we know. */
must_check int note_take(const struct note_sinks *sinks,
                         const Locket__Cluster__V1__NoteRequest *note, struct error *err);

/* May a new volume be published, where no access may be without its line? UNAVAILABLE: there is no
 * audit, or it is not written. */
must_check int note_admit(const struct note_sinks *sinks, struct error *err);

#endif
