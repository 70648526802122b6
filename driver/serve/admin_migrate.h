/* SPDX-License-Identifier: Apache-2.0
 *
 * admin_migrate.h - the admin service's questions of a migration: what is on the node, and its
 * volumes made ready for the way back.
 */
#ifndef LOCKET_SERVE_ADMIN_MIGRATE_H
#define LOCKET_SERVE_ADMIN_MIGRATE_H

#include "driver/serve/admin.h"

/* Handlers of locket.admin.v1. They answer from the admin's own threads. */
void admin_survey(Locket__Admin__V1__Admin_Service *service,
                  const Locket__Admin__V1__SurveyRequest *in,
                  Locket__Admin__V1__SurveyResponse_Closure reply, void *call);
void admin_prepare_rollback(Locket__Admin__V1__Admin_Service *service,
                            const Locket__Admin__V1__PrepareRollbackRequest *in,
                            Locket__Admin__V1__PrepareRollbackResponse_Closure reply, void *call);

#endif
