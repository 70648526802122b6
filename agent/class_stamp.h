/* SPDX-License-Identifier: Apache-2.0
 *
 * class_stamp.h - a text by which a class is known again: another one when it was made anew or what
 * it asks of a provider is something else; the same when only labels or secretObjects are.
 * Does not know who keeps it.
 */
#ifndef LOCKET_AGENT_CLASS_STAMP_H
#define LOCKET_AGENT_CLASS_STAMP_H

#include "lib/model/class.h"

/* UID/DIGEST. uid NULL: of an object without one. Ownership: the caller frees. */
char *class_stamp(const struct class *class, const char *uid);

#endif
