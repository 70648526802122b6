/* SPDX-License-Identifier: Apache-2.0
 *
 * target.h - the one way to a volume's target path: checked, below --target-root, no links.
 * Does not mount.
 */
#ifndef LOCKET_VOLUME_TARGET_H
#define LOCKET_VOLUME_TARGET_H

#include <stdbool.h>

#include "lib/base/error.h"

/* --target-root, resolved once at start. */
struct target_root {
    char *path; /* as configured, without a trailing slash: what target paths begin with */
    char *real; /* resolved: what mountinfo shows */
    int fd;     /* O_PATH of the resolved folder */
};

/* Opens the root, which must exist. Ownership: target_root_done. */
must_check int target_root_open(const char *path, struct target_root *ret, struct error *err);
void target_root_done(struct target_root *root);

/* A target whose parent folder is held open. */
struct target {
    char *path;    /* as kubelet names it */
    int parent_fd; /* the folder that holds it */
    char *name;    /* its last component */
    char *real;    /* <root.real>/...: for mount(2) and mountinfo */
};

#define autotarget CLEANUP(target_done)

/* Closes and frees; empty afterwards. */
void target_done(struct target *t);

/* Checks a path by its text alone: absolute, clean, strictly below the root, at most 4095 bytes, no
 * control characters; when it has kubelet's shape (pods/<uid>/volumes/...), the uid is pod_uid
 * (NULL or "": not known). INVALID_ARGUMENT naming target_path and the remedy. */
must_check int target_check(const struct target_root *root, const char *path, const char *pod_uid,
                            struct error *err);

/* The pod of a checked path of kubelet's shape; "" of any other. Ownership: the caller frees. */
char *target_pod_uid(const struct target_root *root, const char *path);

/* Opens the parent, following no link below the root. create: makes missing folders (0750).
 * *ret_found is false when a folder on the way is missing (and not created); then *ret is empty.
 * Errors: as target_check; INVALID_ARGUMENT for a link on the way; else by errno. */
must_check int target_open(const struct target_root *root, const char *path, bool create,
                           struct target *ret, bool *ret_found, struct error *err);

/* Makes the target folder itself (0750). *ret_made: it did not exist before.
 * INVALID_ARGUMENT when something else than a folder is there. */
must_check int target_make(const struct target *t, bool *ret_made, struct error *err);

/* Opens the target folder (O_RDONLY|O_DIRECTORY, no link): the mount on it, if any. -1 as *ret_fd
 * when it does not exist. */
must_check int target_open_dir(const struct target *t, int *ret_fd, struct error *err);

#endif
