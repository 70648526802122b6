/* SPDX-License-Identifier: Apache-2.0
 *
 * note_words.h - what is said to a pod's people of a note of the driver: one table of cases, each
 * with its reason and what to do. Pure; does not know whether anybody hears it.
 */
#ifndef LOCKET_AGENT_NOTE_WORDS_H
#define LOCKET_AGENT_NOTE_WORDS_H

#include "agent/event_object.h"
#include "locket/cluster.pb-c.h"

enum {
    NOTE_WORDS_MAX = 2,   /* a volume that works again may have been rotated, too */
    NOTE_CHANGES_MAX = 8, /* objects of a rotation that are named, the rest is counted */
    NOTE_VERSION_MAX = 64 /* characters of a version that are shown; a digest has 64 */
};

struct note_words {
    enum event_reason reason;
    bool series; /* one Event of this class, with the newest text */
    struct strbuf text;
};

/* Fills ret from its begin; the number filled. Ownership: the caller, by strbuf_done of each text.
 */
size_t note_words(const Locket__Cluster__V1__NoteRequest *note,
                  struct note_words ret[NOTE_WORDS_MAX]);

#endif
