/* SPDX-License-Identifier: Apache-2.0
 *
 * class_memory.h - the last known form of classes, for the time when nobody can be asked.
 * Does not know who is asked. Takes a lock of its own.
 */
#ifndef LOCKET_CLUSTER_CLASS_MEMORY_H
#define LOCKET_CLUSTER_CLASS_MEMORY_H

#include "lib/model/class.h"

enum { CLASS_MEMORY_MAX = 1000 }; /* classes; of more, the oldest are forgotten */

struct class_memory;

/* An empty one. Ownership: class_memory_free. */
struct class_memory *class_memory_new(void);
void class_memory_free(struct class_memory *memory);

/* Remembers a copy. */
void class_memory_keep(struct class_memory *memory, const struct class *class);

/* It is gone, and to be served no more. */
void class_memory_forget(struct class_memory *memory, const char *ns, const char *name);

/* A copy, the caller's by class_free; NULL: not known. */
struct class *class_memory_get(struct class_memory *memory, const char *ns, const char *name);

#endif
