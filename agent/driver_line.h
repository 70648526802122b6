/* SPDX-License-Identifier: Apache-2.0
 *
 * driver_line.h - what the driver is to be told, and the call of its that waits for it: a bounded
 * list of refreshes and at most one parked Watch. Does not know why a volume is refreshed.
 */
#ifndef LOCKET_AGENT_DRIVER_LINE_H
#define LOCKET_AGENT_DRIVER_LINE_H

#include "lib/base/error.h"
#include "locket/cluster.pb-c.h"

enum {
    DRIVER_LINE_HOLD_MS = 10000,   /* an idle Watch is answered after this long */
    DRIVER_LINE_PENDING_MS = 1000, /* the same while kubelet has not confirmed the driver */
    DRIVER_LINE_MAX = 1000,        /* refreshes that wait; the interval sees to what is lost */
    DRIVER_LINE_FILES_MAX = 1000,  /* volumes whose files are wished for; asked again if lost */
    DRIVER_AWAY_MS = 30000,        /* not heard of for so long: the driver is away */
};

struct driver_line;

/* A line with a new instance's name. Ownership: driver_line_free. INTERNAL without random bytes. */
must_check int driver_line_new(struct driver_line **ret, struct error *err);

/* Answers what is parked; whoever comes from now on is refused. Before the server ends. */
void driver_line_end(struct driver_line *line);

/* After the last call. NULL is fine. */
void driver_line_free(struct driver_line *line);

/* Is the Watch that of a driver who has told this agent of its volumes? */
bool driver_line_knows(const struct driver_line *line, const Locket__Cluster__V1__WatchRequest *in);

/* The Watch of a driver: answered now when there is something to tell, else parked. The call is the
 * line's until then. */
void driver_line_park(struct driver_line *line, const Locket__Cluster__V1__WatchRequest *in,
                      Locket__Cluster__V1__WatchResponse_Closure reply, void *call);

/* Volumes that are to be refreshed: of a class (pod NULL), or of a pod (class NULL). */
struct line_refresh {
    const char *ns;
    const char *class_name;
    const char *pod_name;
    const char *stamp; /* of the class now; NULL: not known, or there is none */
    bool forced;       /* somebody asked for it, so also where rotation is off */
    bool unless_known; /* it may be no edit: those known to be filled by another form */
};

/* Tells the driver. One of the same that waits already is not added again. What a driver cannot
 * compare it is not told. Never blocks. */
void driver_line_refresh(struct driver_line *line, const struct line_refresh *refresh);

/* Tells the driver that every access is to be noted. Before the first Watch. */
void driver_line_want_audit(struct driver_line *line);

/* Asks the driver for files of a volume; what was asked of that volume before and not sent yet is
 * replaced. Never blocks. */
void driver_line_want_files(struct driver_line *line, const char *volume_id,
                            const char *const *paths, size_t count);

/* What the CSIDriver object says now; a copy is taken and told. Never blocks. */
void driver_line_set_csi_driver(struct driver_line *line,
                                const Locket__Cluster__V1__CsiDriver *facts);

/* Does rotation lack what it needs: is it on, and requiresRepublish off? */
bool driver_line_lacks_republish(struct driver_line *line);

/* From now on registered is called, on the thread of a call, each time that a driver is heard of
 * which kubelet has confirmed, and which was not (known to be) before. Before the server starts. */
void driver_line_heed(struct driver_line *line, void (*registered)(void *arg), void *arg);

/* How far the driver's registration with kubelet is, in words; NULL: it does not register itself,
 * or was never heard of. *ret_done: kubelet has confirmed it. Ownership: the caller frees. */
char *driver_line_registration(struct driver_line *line, bool *ret_done);

/* Milliseconds since the driver was heard of; -1: never. */
int64_t driver_line_silent_ms(struct driver_line *line);

/* The driver's metrics as it sent them last. Ownership: the caller frees. */
char *driver_line_metrics(struct driver_line *line);

#endif
