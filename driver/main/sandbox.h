/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox.h - what locket-driver keeps of root's rights, as tables.
 */
#ifndef LOCKET_MAIN_SANDBOX_H
#define LOCKET_MAIN_SANDBOX_H

#include "lib/base/sandbox.h"

/* Gives up the rest. Before the first thread. Errors: of sandbox_enter. */
must_check int driver_sandbox_enter(struct error *err);

#endif
