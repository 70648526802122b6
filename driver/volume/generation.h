/* SPDX-License-Identifier: Apache-2.0
 *
 * generation.h - one folder of files below a volume: made, compared, removed.
 * Does not know which one is live (atomic_writer.h).
 */
#ifndef LOCKET_VOLUME_GENERATION_H
#define LOCKET_VOLUME_GENERATION_H

#include "lib/model/fileset.h"

enum { GENERATION_NAME_MAX = FILESET_NAME_MAX + 1 }; /* bytes; others' may be longer than ours */

/* Who owns a file that names nobody. */
struct generation_owner {
    uid_t uid;
    gid_t gid;
};

/* Makes the folder "..<UTC time>.<random>" and writes all files into it, modes and owners included.
 * live_fd: where `unchanged` files are copied from; -1: there is none. On failure nothing is left.
 */
must_check int generation_write(int dir_fd, int live_fd, const struct fileset *files,
                                const struct generation_owner *owner,
                                char ret_name[GENERATION_NAME_MAX], struct error *err);

/* How a folder and a set of files differ. */
struct generation_diff {
    bool same; /* it holds exactly these: bytes, mode, owner, and no other */
    bool gone; /* it holds others besides */
};

/* Compares, and marks the files whose bytes are there (kept). */
must_check int generation_compare(int live_fd, struct fileset *files,
                                  const struct generation_owner *owner, struct generation_diff *ret,
                                  struct error *err);

#endif
