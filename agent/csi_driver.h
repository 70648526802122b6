/* SPDX-License-Identifier: Apache-2.0
 *
 * csi_driver.h - the cluster's CSIDriver object, watched, as the message that the driver is told.
 * Does not know what the driver makes of it.
 */
#ifndef LOCKET_AGENT_CSI_DRIVER_H
#define LOCKET_AGENT_CSI_DRIVER_H

#include "agent/kube_api.h"
#include "locket/cluster.pb-c.h"

enum { CSI_DRIVER_AUDIENCES_MAX = 64 }; /* tokenRequests has a handful */

struct csi_driver;

/* Watches the object of this name. changed is called on the watch's thread with what it says now
 * (exists false: there is none), borrowed. Ownership: csi_driver_free. */
struct csi_driver *
csi_driver_new(struct kube_api *api, const char *name,
               void (*changed)(void *arg, const Locket__Cluster__V1__CsiDriver *facts), void *arg);
void csi_driver_free(struct csi_driver *driver);

/* Reads an object; NULL: there is none. Ownership: the caller, by
 * locket__cluster__v1__csi_driver__free_unpacked. */
Locket__Cluster__V1__CsiDriver *csi_driver_read(const struct tree *object);

#endif
