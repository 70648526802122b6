/* SPDX-License-Identifier: Apache-2.0
 *
 * volume.h - one volume in memory: what is known of it, who works on it, and until when.
 * Does not know the order of work (lifecycle.h) nor how any step is done (operation.h).
 */
#ifndef LOCKET_VOLUME_VOLUME_H
#define LOCKET_VOLUME_VOLUME_H

#include <pthread.h>

#include "driver/volume/credentials.h"
#include "driver/volume/record.h"
#include "lib/base/cancel.h"
#include "lib/net/work.h"

/* Whoever turns IDLE into FETCHING owns the work until it is IDLE again. WRITING is the part that
 * an unpublish waits for: short, local, never cancelled. LEAVING is final. */
enum volume_state { VOLUME_IDLE, VOLUME_FETCHING, VOLUME_WRITING, VOLUME_LEAVING };

/* "idle", "fetching", "writing" or "leaving". */
const char *volume_state_name(enum volume_state state);

/* Why a volume is refreshed. */
enum refresh_reason {
    REFRESH_POLL,        /* its interval is over */
    REFRESH_LEASE,       /* its provider wished it: what was lent ends */
    REFRESH_RETRY,       /* the last one failed */
    REFRESH_CREDENTIALS, /* kubelet brought those that it had waited for */
    REFRESH_CLASS,       /* its class was edited */
    REFRESH_ASKED,       /* somebody asked */
};

/* "poll", "lease", "retry", "credentials", "class" or "asked". */
const char *refresh_reason_name(enum refresh_reason reason);

struct volume;

enum timer_kind { TIMER_REFRESH, TIMER_FOLD };

struct volume_timer {
    struct due_item item; /* first */
    struct volume *volume;
    enum timer_kind kind;
};

struct lifecycle;

struct volume {
    char *id;
    struct lifecycle *app; /* set once, when its timers are first used */
    pthread_mutex_t lock;  /* after the table's; never held during I/O */
    pthread_cond_t calmer; /* the state changed */
    size_t refs;           /* guarded by lock, like all below */
    enum volume_state state;
    struct cancel *work; /* of the one who owns the work; raised by an unpublish */
    struct record record;
    struct credentials credentials;
    bool handed_back; /* the driver before may take it over any time: no old generation is left */
    bool unsure;      /* another driver may have written since the record: nothing is "unchanged" */
    bool refused;     /* the newest republish's credentials were */
    bool class_edited; /* the class was, and no refresh has ended since */
    char *form;        /* stamp of the class that its last work was begun with; or NULL */
    enum refresh_reason again_why;
    int64_t again_ms;           /* monotonic: wished for while somebody worked on it; 0: was not */
    int64_t good_ms;            /* monotonic: the last good refresh, or since when it is known */
    int64_t stale_told_ms;      /* monotonic; 0: it was not told to be since it was good */
    bool waiting;               /* had credentials and has none now: not due, not failed */
    int64_t interval_ms;        /* as the class said last; 0: the driver's default */
    int64_t refresh_at_unix_ms; /* the provider's wish; 0: none */
    enum refresh_reason why;    /* of the refresh that is due next */
    int64_t expires_at_unix_ms; /* the first of its leases to end; 0: nothing is lent */
    int64_t expires_life_ms;    /* what that had left when it was first told of */
    bool own_versions;          /* they say nothing to other nodes */
    int64_t fold_at_ms;         /* monotonic: an old generation stands until then; 0: none does */
    int64_t fetched_at_unix_ms; /* the last successful fetch, changed or not */
    int64_t failures;           /* in a row */
    struct error last_error;    /* of the last refresh; code 0: it succeeded */
    struct volume_timer refresh;
    struct volume_timer fold;
};

/* A volume in state FETCHING with one reference. */
struct volume *volume_new(struct lifecycle *app, const char *id, const char *target);
struct volume *volume_ref(struct volume *v);
void volume_unref(struct volume *v);
void volume_unref_at(struct volume **slot);
#define autovolume CLEANUP(volume_unref_at)

/* Takes the work of an idle volume; work is what an unpublish will raise.
 * ABORTED when somebody else has it, or the volume is leaving. */
must_check int volume_begin(struct volume *v, struct cancel *work, struct error *err);

/* As volume_begin, but waits for whoever works on it, until a monotonic time, in milliseconds.
 * Blocks. ABORTED when it is not idle by then; at once when it is leaving. */
must_check int volume_begin_by(struct volume *v, int64_t until_ms, struct cancel *work,
                               struct error *err);

/* FETCHING -> WRITING, unless an unpublish has come: then ABORTED, and nothing may be touched any
 * more. */
must_check int volume_begin_write(struct volume *v, struct error *err);

/* WRITING -> FETCHING. */
void volume_end_write(struct volume *v);

/* Gives the work back: IDLE, unless it is leaving. */
void volume_end(struct volume *v);

/* An unpublish: LEAVING at once, the work's cancel raised, then waits while somebody writes (local
 * and short). False: another unpublish has it already. */
bool volume_leave(struct volume *v);

/* Has an unpublish begun? Takes the lock. */
bool volume_is_leaving(struct volume *v);

#endif
