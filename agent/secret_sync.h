/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_sync.h - keeps the Secrets that the classes of this node's volumes wish for: which volumes
 * there are, when each is looked after, what failed and when it is tried again. The files are asked
 * of the driver each time and held only while they are written.
 */
#ifndef LOCKET_AGENT_SECRET_SYNC_H
#define LOCKET_AGENT_SECRET_SYNC_H

#include "agent/class_cache.h"
#include "agent/driver_line.h"
#include "agent/note.h"
#include "agent/pod_watch.h"
#include "lib/base/metrics.h"

enum {
    SECRET_ASK_AGAIN_MS = 30000, /* files that were asked for and did not come */
    SECRET_CLASS_MS = 1000,      /* a class that has not come yet (or any more) */
    SECRET_PROBE_MS = 2000,      /* one call at a time to a server that answers nothing */
};

struct secret_sync_config {
    struct kube_api *api;
    struct class_cache *classes;
    struct pod_watch *pods;
    struct driver_line *line;
    struct note_sinks sinks;     /* Events, and the audit of what is written */
    const struct chain_key *key; /* digests content, for a note on it; NULL: it is not */
    int64_t check_ms; /* how often a Secret is looked at that nobody here changed; +-25 % */
    struct metrics *metrics;
    size_t results; /* row with label result */
    size_t written; /* row with labels provider, os_type */
    size_t seconds; /* row with label os_type */
};

struct secret_sync;

/* Starts its threads. Ownership: secret_sync_free. NULL of it is fine everywhere below: nothing is
 * synced. */
struct secret_sync *secret_sync_new(const struct secret_sync_config *config);

/* Gives up what is being written, and answers all files that wait: before the server ends. Nothing
 * of what the config named is used after it. */
void secret_sync_end(struct secret_sync *sync);

/* After the last call. */
void secret_sync_free(struct secret_sync *sync);

/* A volume that has files; borrowed. */
struct synced_volume {
    const char *volume_id;
    const char *ns;
    const char *pod_name;
    const char *pod_uid;
    const char *class_name;
    int64_t changed_at_unix_ms;
};

/* A volume as it is now, and one that left, of which the id is enough where it is known (the rest
 * empty): where it is not certain that its Secrets have owners, that is looked after
 * (secret_leavers.h). Never block. */
void secret_sync_set(struct secret_sync *sync, const struct synced_volume *volume);
void secret_sync_remove(struct secret_sync *sync, const struct synced_volume *volume);

/* A class was edited: its volumes' Secrets are looked after now. Never blocks. */
void secret_sync_class(struct secret_sync *sync, const char *ns, const char *name);

/* Files came. Hands them to a thread, which calls done(arg) when it needs them no more. Errors:
 * UNAVAILABLE when too many wait; FAILED_PRECONDITION where nothing is synced. done is not called
 * then. */
must_check int secret_sync_take(struct secret_sync *sync,
                                const Locket__Cluster__V1__SyncRequest *files,
                                void (*done)(void *arg), void *arg, struct error *err);

/* Secrets that are not as wished now. */
size_t secret_sync_behind(struct secret_sync *sync);

#endif
