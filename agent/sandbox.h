/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox.h - what locket-agent keeps for itself: a network, the files that say who it is in the
 * cluster, and the folder of its socket.
 */
#ifndef LOCKET_AGENT_SANDBOX_H
#define LOCKET_AGENT_SANDBOX_H

#include "agent/config.h"
#include "agent/kube_config.h"
#include "lib/base/sandbox.h"

/* Gives up the rest. Does nothing with --sandbox=off. Before the first thread, when the socket's
 * folder is there. Errors: of sandbox_enter. */
must_check int agent_sandbox_enter(const struct agent_config *config,
                                   const struct kube_config *kube, struct error *err);

#endif
