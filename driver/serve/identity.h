/* SPDX-License-Identifier: Apache-2.0
 *
 * identity.h - CSI's Identity service: who we are, and whether we are ready.
 */
#ifndef LOCKET_SERVE_IDENTITY_H
#define LOCKET_SERVE_IDENTITY_H

#include "csi/csi.pb-c.h"
#include "driver/volume/lifecycle.h"

struct identity {
    Csi__V1__Identity_Service service; /* first, so a handler's service pointer is its identity */
    const char *driver_name;
    struct lifecycle *app;
};

/* Fills the service in; app is borrowed. */
void identity_init(struct identity *identity, const char *driver_name, struct lifecycle *app);

#endif
