/* SPDX-License-Identifier: Apache-2.0
 *
 * admin_rows.h - volumes and providers as rows of the admin protocol, copied under their locks.
 */
#ifndef LOCKET_SERVE_ADMIN_ROWS_H
#define LOCKET_SERVE_ADMIN_ROWS_H

#include "driver/volume/lifecycle.h"
#include "locket/admin.pb-c.h"

/* Every volume, sorted by namespace, pod and id. Ownership: admin_volumes_free. */
Locket__Admin__V1__Volume **admin_volumes(struct lifecycle *app, size_t *ret_count);
void admin_volumes_free(Locket__Admin__V1__Volume **rows, size_t count);

/* Every provider asked so far. Ownership: admin_providers_free. */
Locket__Admin__V1__Provider **admin_providers(struct lifecycle *app, size_t *ret_count);
void admin_providers_free(Locket__Admin__V1__Provider **rows, size_t count);

#endif
