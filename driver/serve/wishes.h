/* SPDX-License-Identifier: Apache-2.0
 *
 * wishes.h - what the cluster wants of the volumes of this node: refreshes, reports, metrics.
 * Translates; decides nothing.
 */
#ifndef LOCKET_SERVE_WISHES_H
#define LOCKET_SERVE_WISHES_H

#include "driver/volume/lifecycle.h"

/* Hears the cluster from now on; after recovery. */
void wishes_listen(struct lifecycle *app);

/* Hears it no more: before the volumes go. May block a second. */
void wishes_end(struct lifecycle *app);

#endif
