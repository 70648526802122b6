/* SPDX-License-Identifier: Apache-2.0
 *
 * send_files.h - files of volumes on their way to the cluster, which asked for them: bounded, by
 * one thread, on nobody's path. Does not know what becomes of them.
 */
#ifndef LOCKET_VOLUME_SEND_FILES_H
#define LOCKET_VOLUME_SEND_FILES_H

#include "driver/volume/lifecycle.h"

/* Takes the wish over as a copy. What is lost (too many wait, the cluster's side is away) is asked
 * for again. Without --sync-secrets nothing is sent, which is logged once. Never blocks. */
void send_files(struct lifecycle *app, const char *volume_id, const char *const *paths,
                size_t count);

#endif
