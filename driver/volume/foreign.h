/* SPDX-License-Identifier: Apache-2.0
 *
 * foreign.h - live volumes of this node that are our driver's by kubelet's account and not ours by
 * their mount: those that the driver before has left. Only looks.
 */
#ifndef LOCKET_VOLUME_FOREIGN_H
#define LOCKET_VOLUME_FOREIGN_H

#include "driver/volume/lifecycle.h"

/* Texts live as long as the callback. */
struct foreign_volume {
    const char *target;
    const char *volume_id; /* by kubelet's vol_data.json; "": it is not there */
    int64_t size_bytes;    /* of the tmpfs */
    int64_t used_bytes;
    bool has_files;
    const char *problem; /* why the next publish cannot adopt it; "": it can */
};

/* Calls say for each tmpfs at .../volumes/kubernetes.io~csi/NAME/mount below the target root that
 * is no volume of ours and that no vol_data.json gives to another driver than driver_name. Blocks
 * for local calls alone. Errors: mountinfo cannot be read. */
must_check int foreign_each(struct lifecycle *app, const char *driver_name,
                            void (*say)(void *arg, const struct foreign_volume *found), void *arg,
                            struct error *err);

#endif
