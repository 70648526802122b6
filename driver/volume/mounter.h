/* SPDX-License-Identifier: Apache-2.0
 *
 * mounter.h - seam `mounter`: a volume's own tmpfs (by libmount), or a plain folder for tests.
 * Does not know what is written there.
 */
#ifndef LOCKET_VOLUME_MOUNTER_H
#define LOCKET_VOLUME_MOUNTER_H

#include "driver/volume/target.h"

#define MOUNT_SOURCE_PREFIX                                                                        \
    "locket:" /* what marks a tmpfs as ours in mountinfo, then the volume id */

/* The source of a volume's tmpfs. Ids that mount(2) has no room for are cut, with their checksum
 * behind. Ownership: the caller frees. */
char *mount_source_of(const char *volume_id);

struct mounter;

struct mount_spec {
    const char *volume_id;
    const char *flags; /* extra options of kubelet, such as context="..."; "" when none. Those that
                          make the tmpfs safe and of its size win over them. */
    int64_t size_bytes;
    int64_t inodes;
};

/* What is at a target. */
struct mount_state {
    bool is_mount;
    bool is_tmpfs;
    char *source; /* as in mountinfo, such as locket:csi-12ab; NULL unless asked for and mounted */
    int64_t size_bytes;
    int64_t used_bytes;
    int64_t inodes;
    int64_t inodes_used;
};

/* Frees what it owns. */
void mount_state_done(struct mount_state *s);

struct mount_row {
    const char *path;
    const char *fstype;
    const char *source;
    int64_t size_bytes;
};

/* Contract (tests/contract/test_mounter.c): any thread, one call per target at a time. */
struct mounter_ops {
    /* A tmpfs on the existing target folder, over what is mounted there. On failure nothing is
     * mounted. */
    int (*mount)(struct mounter *self, const struct target *t, const struct mount_spec *spec,
                 struct error *err);
    /* Raises size and inodes of the volume's tmpfs in place. */
    int (*resize)(struct mounter *self, const struct target *t, const struct mount_spec *spec,
                  struct error *err);
    /* Takes every mount off the target, lazily where it is busy; none is fine. The folder stays. */
    int (*unmount)(struct mounter *self, const struct target *t, struct error *err);
    /* Looks without parsing mountinfo, unless the source is wanted. A missing folder is no mount.
     */
    int (*look)(struct mounter *self, const struct target *t, bool want_source,
                struct mount_state *ret, struct error *err);
    /* Every tmpfs strictly below the root. Rows live as long as the callback, which calls no
     * mounter. */
    int (*each)(struct mounter *self, const char *root,
                void (*say)(void *arg, const struct mount_row *row), void *arg, struct error *err);
    void (*free)(struct mounter *self);
};

struct mounter { /* first member of every implementation's own struct */
    const struct mounter_ops *ops;
    bool noswap; /* are volumes kept out of swap? */
};

/* By libmount. probe_folder: an empty tmpfs is mounted there once, to see what this mount namespace
 * takes (noswap). Errors: by errno when no tmpfs can be mounted at all. */
must_check int mount_libmount_new(const char *probe_folder, struct mounter **ret,
                                  struct error *err);

/* Plain folders and a list in memory: what unit suites without privileges run on. */
struct mounter *mount_folder_new(void);

#endif
