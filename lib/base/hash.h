/* SPDX-License-Identifier: Apache-2.0
 *
 * hash.h - uthash as this tree uses it: out of memory ends the process, as in xmalloc, and a hash
 * function that clang compiles without a warning (uthash's own has an unmarked fall-through).
 */
#ifndef LOCKET_BASE_HASH_H
#define LOCKET_BASE_HASH_H

#include <stdlib.h>

#define HASH_FUNCTION HASH_FNV
#define uthash_fatal(text) abort()
#include <uthash.h>

#endif
