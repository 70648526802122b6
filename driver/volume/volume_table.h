/* SPDX-License-Identifier: Apache-2.0
 *
 * volume_table.h - all volumes of the node, by id and by target; one volume per target.
 * Does not know what is done with them.
 */
#ifndef LOCKET_VOLUME_VOLUME_TABLE_H
#define LOCKET_VOLUME_VOLUME_TABLE_H

#include "driver/volume/volume.h"

enum { VOLUMES_MAX = 10000 }; /* kubelet's largest nodes run some hundred pods */

struct volume_table;

struct lifecycle;

/* app: what new volumes hang off; not used here. */
struct volume_table *volume_table_new(struct lifecycle *app);

/* Every volume's timers must be out of the due-queue. NULL is fine. */
void volume_table_free(struct volume_table *t);

/* The volume with this id, with a reference for the caller; NULL when there is none. */
struct volume *volume_table_get(struct volume_table *t, const char *id);

/* The volume a publish is about, its work taken with `work`, a reference for the caller. *ret_new:
 * it was made for this call.
 * Errors: ABORTED while somebody works on it; ALREADY_EXISTS when this id is published at another
 * target, or another id at this one; RESOURCE_EXHAUSTED. */
must_check int volume_table_claim(struct volume_table *t, const struct publish_request *req,
                                  struct cancel *work, struct volume **ret, bool *ret_new,
                                  struct error *err);

/* Adds a volume that recovery found; the table takes the caller's reference. -1 when its id or
 * target is there already. */
must_check int volume_table_add(struct volume_table *t, struct volume *v, struct error *err);

/* Takes it out and drops the table's reference. */
void volume_table_remove(struct volume_table *t, struct volume *v);

/* Calls say with every volume, a reference held, no lock. */
void volume_table_each(struct volume_table *t, void (*say)(void *arg, struct volume *v), void *arg);

/* Volumes known now, those being published or unpublished among them. */
size_t volume_table_count(struct volume_table *t);

#endif
