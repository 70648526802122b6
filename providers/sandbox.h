/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox.h - what locket-provider keeps for itself, as tables: which system calls, which paths.
 */
#ifndef LOCKET_PROVIDERS_SANDBOX_H
#define LOCKET_PROVIDERS_SANDBOX_H

#include "lib/base/sandbox.h"
#include "providers/config.h"

/* Gives up the rest, as config->worker says: the supervisor may start this program again, and hands
 * on to its workers what any of them needs; a worker keeps only what its store needs. Does nothing
 * with --sandbox=off. Before the first thread, when the folder of sockets is there.
 * Errors: of sandbox_enter. */
must_check int provider_sandbox_enter(const struct provider_config *config, struct error *err);

#endif
