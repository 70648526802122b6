/* SPDX-License-Identifier: Apache-2.0
 *
 * atomic_writer.h - the files a pod sees: kubelet's layout, swapped by one rename.
 *
 *     name -> ..data/name      ..data -> ..2026_02_01_15_04_05.a1b2c3
 * ..2026_02_01_15_04_05.a1b2c3/name
 *
 * Does not know where files come from, nor when a grace ends. The caller serialises calls per
 * folder.
 */
#ifndef LOCKET_VOLUME_ATOMIC_WRITER_H
#define LOCKET_VOLUME_ATOMIC_WRITER_H

#include <sys/types.h>

#include "lib/model/fileset.h"

struct writer_options {
    gid_t fs_group;     /* group of files that name none; (gid_t)-1: leave it */
    bool keep_previous; /* leave the old generation for readers that pinned it; see
                           atomic_writer_fold */
    /* Asked right before the rename; -1 with *err set stops the write, old files stand. May be
     * NULL. */
    int (*may_swap)(void *arg, struct error *err);
    void *arg;
};

struct write_result {
    bool changed;                      /* were files swapped in? */
    bool gone;                         /* were there files that are not among them? */
    bool previous;                     /* is an old generation left for atomic_writer_fold? */
    char before[FILESET_NAME_MAX + 1]; /* the generation that was live; "": there was none */
    char live[FILESET_NAME_MAX + 1];   /* that is now; also after a failure that came too late */
};

/* Makes the folder hold exactly these files. When bytes, mode and owner of all are those of the
 * live generation already, nothing is written but visible links that are wrong. Files whose bytes
 * were there are marked (kept). Leftovers of a
 * crash and an earlier previous generation are swept. Blocks   on tmpfs only. Errors
 * INVALID_ARGUMENT for an owner that is not mapped in this user namespace; FAILED_PRECONDITION for
 * an `unchanged` file that the live generation lacks; RESOURCE_EXHAUSTED when the tmpfs is full.
 * The pod sees the old files, or (when only the visible links could not be made) the new ones; the
 * next write puts the rest right. Source   kubernetes pkg/volume/util/atomic_writer.go, with its
 * faults F1 to F5 repaired. */
must_check int atomic_writer_write(int dir_fd, struct fileset *files,
                                   const struct writer_options *options, struct write_result *ret,
                                   struct error *err);

/* Removes everything of ours but the live generation: the previous one and leftovers. */
must_check int atomic_writer_fold(int dir_fd, struct error *err);

/* Overwrites and removes everything in the folder: for unpublish, when the containers are gone.
 * Goes on over errors and tells of the first. */
must_check int atomic_writer_wipe(int dir_fd, struct error *err);

/* Does the folder hold a volume: ..data that resolves, or (a writing provider's) any plain entry?
 * True when it cannot be told: nobody's files are given up for a failing call. */
bool atomic_writer_has_files(int dir_fd);

/* The name of the live generation's folder; "" when there is none. Blocks on tmpfs only. Errors: by
 * errno. */
must_check int atomic_writer_live_name(int dir_fd, char name[FILESET_NAME_MAX + 1],
                                       struct error *err);

/* Opens the folder that holds the files now: the live generation, or (a writing provider's) the
 * volume itself. name: of the generation, "" when there is none; another one at the next call: it
 * was swapped meanwhile. Errors: by errno. */
must_check int atomic_writer_open_live(int dir_fd, char name[FILESET_NAME_MAX + 1], int *ret_fd,
                                       struct error *err);

/* What two generations of these files need, with headroom; `unchanged` ones have the size they have
 * in the folder. */
struct writer_need {
    int64_t bytes;
    int64_t inodes;
};
struct writer_need atomic_writer_need(int dir_fd, const struct fileset *files);

#endif
