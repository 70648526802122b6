/* SPDX-License-Identifier: Apache-2.0
 *
 * lifecycle.h - a volume's life: publish, republish, unpublish; what all of it hangs off.
 * Does not know CSI's messages (driver/serve) nor how a step is done (operation.h).
 */
#ifndef LOCKET_VOLUME_LIFECYCLE_H
#define LOCKET_VOLUME_LIFECYCLE_H

#include "driver/cluster/cluster.h"
#include "driver/volume/attributes.h"
#include "driver/volume/budget.h"
#include "driver/volume/mounter.h"
#include "driver/volume/source.h"
#include "driver/volume/state.h"
#include "driver/volume/token_trust.h"
#include "driver/volume/volume_metrics.h"
#include "driver/volume/volume_table.h"

struct lifecycle_config {
    int64_t grace_ms;             /* --generation-grace */
    bool rotation;                /* --enable-secret-rotation */
    int64_t rotation_interval_ms; /* --rotation-poll-interval */
    enum attribute_override attribute_override;
    bool audit_required;        /* --audit-fail-closed */
    int64_t tmpfs_budget_bytes; /* 0: the default */
    size_t rotation_threads;    /* 0: 4 */
    bool volume_metrics;        /* --volume-metrics */
    bool sync_secrets;          /* --sync-secrets: files may leave for Secrets of the cluster */
};

/* Built once by main; everything it points to outlives it. */
struct lifecycle {
    struct lifecycle_config config;
    struct target_root root;
    struct state state;
    struct mounter *mounter;
    struct source *source;
    struct cluster *cluster;
    struct metrics *metrics;
    struct budget budget;
    struct token_trust trust;
    struct volume_table *volumes;
    struct due_queue *due;
    struct work_pool *rotators;
    struct work_pool *senders; /* of files to the cluster: one thread, off everybody's path */
    int64_t started_unix_ms;
    int64_t kubelet_ms; /* clock_mono_ms() of its last call, or of the start; atomic */
    bool halted;        /* nothing is fetched any more; atomic */
    bool told_unsent;   /* that files are asked for and none are sent; atomic */
    size_t recovered;   /* set by recovery, then constant */
    size_t undone;
    size_t set_aside;
    bool ready; /* recovery has ended; set before serving */
};

/* Starts queue and pool over what is set already (root, state, mounter, source, cluster, metrics).
 */
void lifecycle_start(struct lifecycle *app);

/* From here on nothing is fetched: what is under way is cancelled, what would begin fails, and
 * neither is a failure of its volume. Returns at once. */
void lifecycle_halt(struct lifecycle *app);
bool lifecycle_is_halted(struct lifecycle *app);

/* Halts, ends rotation, waits for what runs, frees table, queue and pool. No publish may run. */
void lifecycle_stop(struct lifecycle *app);

/* A publish of a volume that is published and whole: takes newer credentials over and says
 * *ret_done; never fails for what the provider or store did. Costs microseconds and blocks on
 * nothing but local system calls: may run on a poller thread. Not done: call lifecycle_publish.
 * Errors: ALREADY_EXISTS when the request contradicts the volume. */
must_check int lifecycle_republish(struct lifecycle *app, const struct publish_request *req,
                                   bool *ret_done, struct error *err);

/* Publishes: claim, class, record, mount, fetch, write, record, keep. Blocks for the fetch.
 * Whatever a failed publish began is undone before it answers. A published volume that is not whole
 * is repaired in place, and its failure is UNAVAILABLE: kubelet would remove a live pod's folder.
 * Errors: the provider's, or those of the steps; docs/ARCHITECTURE.md lists them. */
must_check int lifecycle_publish(struct lifecycle *app, const struct publish_request *req,
                                 struct error *err);

/* Counts a publish, or an unpublish, that is answered with err before it came to
 * lifecycle_publish or lifecycle_unpublish: also what was refused is an error that somebody waits
 * behind. */
void lifecycle_count_refused(struct lifecycle *app, bool publish, const struct error *err);

/* Kubelet asks for a publish or an unpublish. Any thread. */
void lifecycle_kubelet_called(struct lifecycle *app);

/* Milliseconds since kubelet last asked for a publish or unpublish, or since the start. */
int64_t lifecycle_kubelet_silent_ms(const struct lifecycle *app);

/* Unpublishes whatever is at the target: local, bounded, idempotent, needs no network. */
must_check int lifecycle_unpublish(struct lifecycle *app, const char *volume_id, const char *target,
                                   struct error *err);

/* Is this volume's mount there, and does it hold files? */
must_check int lifecycle_is_whole(struct lifecycle *app, const char *target, bool *ret_whole,
                                  struct error *err);

#endif
