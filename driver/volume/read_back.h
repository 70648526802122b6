/* SPDX-License-Identifier: Apache-2.0
 *
 * read_back.h - files of a volume as they lie in its tmpfs, all of one generation.
 * Does not know who wants them.
 */
#ifndef LOCKET_VOLUME_READ_BACK_H
#define LOCKET_VOLUME_READ_BACK_H

#include "driver/volume/lifecycle.h"

enum { READ_BACK_BYTES_MAX = 3 << 20 }; /* all files together: one call takes 4 MiB */

struct read_back {
    struct volume_file *list; /* those that there are */
    size_t count;
    int64_t changed_at_unix_ms;
    int64_t fetched_at_unix_ms;
};

#define autoreadback CLEANUP(read_back_done)

/* Wipes and frees; { 0 } afterwards. */
void read_back_done(struct read_back *files);

/* Reads them through the volume's folder, following no link, while others may write or unpublish:
 * what a swap or a wipe could have torn is read again, or not given. A path twice is read once.
 * Blocks on tmpfs only. Ownership: read_back_done.
 * Errors: NOT_FOUND for a volume that is not published; INVALID_ARGUMENT for a path that none can
 * have; RESOURCE_EXHAUSTED over READ_BACK_BYTES_MAX; UNAVAILABLE when it is never still; by errno.
 */
must_check int read_back(struct lifecycle *app, struct volume *v, const char *const *paths,
                         size_t count, struct read_back *ret, struct error *err);

#endif
