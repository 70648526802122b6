/* SPDX-License-Identifier: Apache-2.0
 *
 * fs.h - small file work: read whole files under a ceiling, replace files by rename, walk folders.
 * Does not know what a volume is. The only file that calls readdir.
 */
#ifndef LOCKET_BASE_FS_H
#define LOCKET_BASE_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "lib/base/error.h"
#include "lib/base/secret.h"

/* Reads a whole regular file below dir_fd (AT_FDCWD: as usual). ret is a secret because tokens and
 * keys are read this way; the caller releases it. The last component may be a link only when
 * follow. Errors: RESOURCE_EXHAUSTED over ceiling_bytes (it is named); NOT_FOUND; others by errno.
 */
must_check int fs_read(int dir_fd, const char *path, size_t ceiling_bytes, bool follow,
                       struct secret *ret, struct error *err);

/* The same as a NUL-terminated string without its trailing white space; a NUL byte inside is
 * INVALID_ARGUMENT. Ownership: the caller frees (wipe_free_text for tokens). */
must_check int fs_read_text(const char *path, size_t ceiling_bytes, char **ret, struct error *err);

/* Writes all of it, over short writes and EINTR. */
must_check int fs_write_all(int fd, const void *bytes, size_t len, struct error *err);

/* Opens path below dir_fd (flags of openat; O_CLOEXEC is added) without leaving that folder or
 * following any link on the way: openat2, or component by component where the kernel lacks it. -1
 * with errno: ELOOP or ENOTDIR for a link, EXDEV for a way out. */
int fs_open_below(int dir_fd, const char *path, int flags, mode_t mode);

/* For tests: pretend that the kernel has no openat2. */
void fs_without_openat2(bool without);

/* Replaces dir/name by tmp + rename, mode 0600. No fsync: see docs/ARCHITECTURE.md, State.
 * A crash leaves the old file or the new one (and perhaps dir/.name.tmp, replaced next time). */
must_check int fs_replace(int dir_fd, const char *name, const void *bytes, size_t len,
                          struct error *err);

/* Makes a folder and its missing parents with this mode. Existing ones are fine. */
must_check int fs_mkdirs(const char *path, mode_t mode, struct error *err);

/* Calls each(arg, name) for every entry but . and .., in no order; stops at its first -1.
 * The folder is opened by name below dir_fd without following a link in the last component. */
must_check int fs_each(int dir_fd, const char *path,
                       int (*each)(void *arg, const char *name, struct error *err), void *arg,
                       struct error *err);

/* Removes everything below dir_fd/name and the entry itself, without following links and without
 * leaving the file system. Missing is fine. */
must_check int fs_remove_tree(int dir_fd, const char *name, struct error *err);

#endif
