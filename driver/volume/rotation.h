/* SPDX-License-Identifier: Apache-2.0
 *
 * rotation.h - when each volume is refreshed next, and the refresh itself; when an old generation
 * goes. Does not know how a step is done (operation.h).
 */
#ifndef LOCKET_VOLUME_ROTATION_H
#define LOCKET_VOLUME_ROTATION_H

#include "driver/volume/lifecycle.h"

/* How often the volume is refreshed, in ms. Caller holds the volume's lock, as for the next. */
int64_t rotation_interval_ms(const struct lifecycle *app, const struct volume *v);

/* Should it have been refreshed long ago: more than two intervals since the last success? */
bool rotation_is_stale(const struct lifecycle *app, const struct volume *v);

/* The due-queue's callback: hands the volume to the rotation pool. */
void rotation_due(void *arg, struct due_item *item);

/* Sets when the volume is refreshed next, by its class's interval (+-10 %), the provider's wish, or
 * its back-off after failures; not at all while rotation is off or it waits for credentials. */
void rotation_schedule(struct lifecycle *app, struct volume *v);

/* The first time after a restart: spread over one interval. */
void rotation_schedule_spread(struct lifecycle *app, struct volume *v);

/* Newer credentials came: a volume that waited for them is due now. */
void rotation_credentials_came(struct lifecycle *app, struct volume *v);

/* The volume is due within this time, at a random moment of it, or at an earlier one that is set
 * already; where rotation is off only when it is forced. While somebody works on it: once that has
 * ended, since it may have begun too early to see why. */
void rotation_hasten(struct lifecycle *app, struct volume *v, int64_t within_ms, bool forced);

/* An old generation was left: it goes when the grace is over. */
void rotation_keep_previous(struct lifecycle *app, struct volume *v);

struct operation;

/* Removes an old generation and leftovers, once the grace of the last swap is over; waits for that.
 * The volume's work is the caller's; opens the target. Errors: those of the steps. */
must_check int rotation_fold(struct operation *op, struct error *err);

/* Takes a volume's timers out of the queue; none of them runs any more. */
void rotation_forget(struct lifecycle *app, struct volume *v);

/* Refreshes now, waiting for the grace of an earlier swap: class, fetch, write, record. On every
 * error the pod sees exactly the old files. *ret_changed: did a file change? Counted as asked for.
 * What the caller's cancel (NULL: none) or the driver's end has stopped is no failure of the
 * volume. Errors: ABORTED when somebody else works on the volume; CANCELLED; those of the steps. */
must_check int rotation_refresh(struct lifecycle *app, struct volume *v, struct cancel *caller,
                                bool *ret_changed, struct error *err);

#endif
