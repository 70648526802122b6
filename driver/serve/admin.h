/* SPDX-License-Identifier: Apache-2.0
 *
 * admin.h - locket.admin.v1: operators' questions about the volumes of this node.
 * Answers names, versions and times; never a secret's value.
 */
#ifndef LOCKET_SERVE_ADMIN_H
#define LOCKET_SERVE_ADMIN_H

#include "driver/serve/admin_facts.h"
#include "driver/serve/registration.h"
#include "driver/volume/lifecycle.h"
#include "driver/volume/provider_finder.h"
#include "locket/admin.pb-c.h"

struct admin {
    Locket__Admin__V1__Admin_Service service; /* first */
    struct lifecycle *app;
    struct admin_facts facts;             /* filled by main before serving, then constant */
    struct registration *registration;    /* the same; NULL: off; borrowed */
    const struct provider_finder *finder; /* the same; NULL: no providers are looked for */
    const char *driver_name;              /* the same */
    struct work_pool *workers;            /* own threads: never behind a publish */
};

/* Starts its threads. admin_done ends them, after the last call. */
void admin_init(struct admin *admin, struct lifecycle *app);
void admin_done(struct admin *admin);

#endif
