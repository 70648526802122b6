/* SPDX-License-Identifier: Apache-2.0
 *
 * wishes.h - what the cluster wants of the volumes of this node: refreshes, reports, metrics.
 * Translates; decides nothing.
 */
#ifndef LOCKET_SERVE_WISHES_H
#define LOCKET_SERVE_WISHES_H

#include "driver/serve/registration.h"
#include "driver/volume/lifecycle.h"

/* Volumes of a class that was edited do not meet their store at once: each is refreshed at a random
 * moment within this time. */
enum { WISH_SPREAD_MS = 5000 };

struct wishes {
    struct lifecycle *app;
    struct registration *registration; /* NULL: off */
};

/* Hears the cluster from now on; after recovery. wishes is borrowed until wishes_end. */
void wishes_listen(struct wishes *wishes);

/* Hears it no more: before the volumes go. May block a second. */
void wishes_end(struct wishes *wishes);

#endif
