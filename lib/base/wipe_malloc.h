/* SPDX-License-Identifier: Apache-2.0
 *
 * wipe_malloc.h - whether this program wipes every byte it frees.
 */
#ifndef LOCKET_BASE_WIPE_MALLOC_H
#define LOCKET_BASE_WIPE_MALLOC_H

#include <stdbool.h>

/* True when the wiping free is linked in. Calling it is what links it in. */
bool wipe_malloc_is_linked(void);

#endif
