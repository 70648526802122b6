/* SPDX-License-Identifier: Apache-2.0
 *
 * rollback.h - a volume made ready for the driver that Locket took the place of: it goes on with
 * the tmpfs as it finds it, and knows neither our limits nor an old generation beside the live one.
 * Does not stop our own work: whoever is there next, of both, rotates on.
 */
#ifndef LOCKET_VOLUME_ROLLBACK_H
#define LOCKET_VOLUME_ROLLBACK_H

#include "driver/volume/lifecycle.h"

/* Waits for whoever works on the volume, until a monotonic time, in milliseconds, and for the grace
 * of an earlier swap; folds; gives the tmpfs the size that the kernel gives one
 * of which none is asked; opens the folder of a writing provider as such a tmpfs is; records that
 * the limits are not ours any more. From then on no old generation is left beside a new one while
 * this process lives. Idempotent; a reader sees no change. *ret_changed: was there anything to do?
 * Errors: ABORTED when somebody still works on the volume by then, or it is leaving; UNAVAILABLE
 * when it is not whole; those of the steps. */
must_check int rollback_prepare(struct lifecycle *app, struct volume *v, int64_t until_ms,
                                bool *ret_changed, struct error *err);

#endif
