/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox_paths.h - Landlock's side of the sandbox: a list of the paths that stay within reach.
 */
#ifndef LOCKET_BASE_SANDBOX_PATHS_H
#define LOCKET_BASE_SANDBOX_PATHS_H

#include "lib/base/sandbox.h"

/* A list under way; { 0 } is empty. */
struct sandbox_paths {
    struct sandbox_path *items; /* each path owned */
    size_t count;
    size_t room;
};

/* Frees the list. */
void sandbox_paths_done(struct sandbox_paths *p);
/* Adds a copy of this path as it is. */
void sandbox_paths_add(struct sandbox_paths *p, const char *path, enum sandbox_access access);

/* What a flag names: a folder with all below it; of a file its folder, since files are replaced by
 * renames, and where a link leads to, the folder there. NULL and "" add nothing. */
void sandbox_paths_add_configured(struct sandbox_paths *p, const char *path,
                                  enum sandbox_access access);

/* What the system's libraries read; for programs with a network also names and certificates. */
void sandbox_paths_add_system(struct sandbox_paths *p, bool network);

/* For sandbox.c. Restricts this thread, and what it starts, to these paths; from Linux 6.12 on it
 * also reaches no process outside by signals or abstract sockets. What is open stays open.
 * ret_done: false where the kernel has no Landlock, or has it switched off. Source:
 * Documentation/userspace-api/landlock.rst. */
must_check int sandbox_restrict_paths(const struct sandbox_path *paths, size_t count,
                                      bool *ret_done, struct error *err);

#endif
