/* SPDX-License-Identifier: Apache-2.0
 *
 * checks.h - what `locketctl doctor` can find out by itself, without a driver.
 * Does not know what the driver says of itself.
 */
#ifndef LOCKET_CTL_CHECKS_H
#define LOCKET_CTL_CHECKS_H

#include <stdbool.h>

#include "lib/base/error.h"

/* What the checks look at; everything is borrowed. */
struct checks_target {
    const char *admin_socket;
    const char *csi_socket;
    const char *target_root;
};

/* One finding. */
struct check {
    const char *name; /* static */
    bool ok;
    char *detail;       /* what was found; owned */
    const char *remedy; /* static; "" when ok */
};

/* Frees what it owns. */
void check_done(struct check *c);

enum { CHECKS_MAX = 16 };

/* Runs all, in the order of their table. Changes nothing: the tmpfs that it tries is mounted by a
 * child in a mount namespace of its own. Returns how many were written to ret (room for
 * CHECKS_MAX). Call before any thread is made. */
size_t checks_run(const struct checks_target *target, struct check *ret);

#endif
