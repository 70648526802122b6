/* SPDX-License-Identifier: Apache-2.0
 *
 * harden.h - what every program does with itself before it sees a secret: nobody may read its
 * memory, no core is written, and no library keeps a copy where nothing wipes it. Knows nothing of
 * what the programs do.
 */
#ifndef LOCKET_BASE_HARDEN_H
#define LOCKET_BASE_HARDEN_H

#include "lib/base/error.h"

/* Starts the program over, once, with LD_BIND_NOW in its environment; returns in the second life,
 * or at once where the variable is set. Call first in main. A function of a library that is bound
 * at its first call has the dynamic linker save all vector registers to the caller's stack, and
 * with them the 64 bytes that a memcpy moved last: copies of secrets that no free ever wipes.
 * argv: main's. Errors: /proc/self/exe cannot be started. Source: ld.so(8). */
int harden_bind_now(char **argv, struct error *err);

/* The whole: binds, makes the process unreadable (dumpable 0), without cores or new privileges,
 * with private files (umask 0077), a wiping free where it is linked in, and few malloc arenas.
 * Errors: of harden_bind_now. */
int harden_process(char **argv, struct error *err);

#endif
