/* SPDX-License-Identifier: Apache-2.0
 *
 * report.h - what became of a volume, told to the cluster. Does not know who hears it.
 */
#ifndef LOCKET_VOLUME_REPORT_H
#define LOCKET_VOLUME_REPORT_H

#include "driver/volume/lifecycle.h"

/* Hands a volume's record over; err: of its last refresh, NULL when that succeeded. The caller has
 * claimed the volume or holds its lock. Never blocks. */
void report_volume(struct lifecycle *app, const struct record *record, bool mounted,
                   const struct error *err);

/* The same of every published volume, when one of both sides is new. */
void report_all(struct lifecycle *app);

#endif
