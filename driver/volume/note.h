/* SPDX-License-Identifier: Apache-2.0
 *
 * note.h - what happened to a volume, told to the cluster once: for an audit, and for Events.
 * Does not know who hears it, nor in which words it is told.
 */
#ifndef LOCKET_VOLUME_NOTE_H
#define LOCKET_VOLUME_NOTE_H

#include "driver/volume/operation.h"

/* All of them never block. Those that take an operation are for who has the volume's work. */

/* A publish has ended; repair: of a volume that was published. err: NULL when it succeeded. */
void note_publish(struct operation *op, const struct publish_request *req, bool repair,
                  const struct error *err, int64_t took_ms);

/* How a volume stood before a refresh. */
struct refresh_before {
    bool failed;       /* the last one had, or it was told to be stale */
    bool class_edited; /* since */
};

/* A refresh has ended. */
void note_refresh(struct operation *op, const struct refresh_before *before,
                  const struct error *err, int64_t took_ms);

/* Its target is clear; err: it is not, and will be tried again. */
void note_unpublish(struct lifecycle *app, const struct volume *v, const struct error *err,
                    int64_t took_ms);

/* The same of a volume that nobody knows (any more): all that is known is what was asked. */
void note_unpublish_unknown(struct lifecycle *app, const char *volume_id, const char *target,
                            const struct error *err, int64_t took_ms);

/* A republish's credentials were refused, for the first time in a row. Caller holds the lock. */
void note_refused(struct lifecycle *app, const struct volume *v, const struct error *err);

/* Its last good refresh is too long ago. Caller holds the lock. */
void note_stale(struct lifecycle *app, const struct volume *v, int64_t good_unix_ms);

/* Its tokens will not be renewed. Caller holds the lock, or has the volume's work. */
void note_republish_off(struct lifecycle *app, const struct volume *v);

/* The same of every volume that has tokens. */
void note_republish_off_all(struct lifecycle *app);

/* Another user answers at a provider's socket: told of each volume that it fills. arg: a struct
 * lifecycle. */
void note_peer_changed(void *arg, const char *provider, uid_t uid);

#endif
