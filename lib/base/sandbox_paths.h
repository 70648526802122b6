/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox_paths.h - Landlock's side of the sandbox: which paths stay within reach. For sandbox.c.
 */
#ifndef LOCKET_BASE_SANDBOX_PATHS_H
#define LOCKET_BASE_SANDBOX_PATHS_H

#include "lib/base/sandbox.h"

/* Restricts this thread, and what it starts, to these paths; from Linux 6.12 on it also reaches no
 * process outside by signals or abstract sockets. What is open stays open. ret_done: false where
 * the kernel has no Landlock, or has it switched off. Source:
 * Documentation/userspace-api/landlock.rst. */
must_check int sandbox_restrict_paths(const struct sandbox_path *paths, size_t count,
                                      bool *ret_done, struct error *err);

#endif
