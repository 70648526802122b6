/* SPDX-License-Identifier: Apache-2.0
 *
 * source.h - seam `source`: where a volume's files come from (a provider over its socket, a
 * double). Does not know volumes, mounts or Kubernetes.
 */
#ifndef LOCKET_VOLUME_SOURCE_H
#define LOCKET_VOLUME_SOURCE_H

#include "driver/volume/credentials.h"
#include "lib/base/cancel.h"
#include "lib/model/fetch_how.h"
#include "lib/model/fileset.h"

struct source;

enum { SOURCE_PEER_MAX = 256 }; /* bytes incl. the final NUL */

/* How a fetch went, also one that failed. All zero: nothing is known. */
struct source_told {
    struct fetch_how how;       /* in the provider's own words */
    char peer[SOURCE_PEER_MAX]; /* who answered, as the kernel says: socket, uid, gid, pid */
};

/* Everything is borrowed for the length of the call. */
struct source_request {
    const char *provider; /* spec.provider */
    const char *volume_id;
    const char *target;             /* writing providers write there */
    const struct pairs *attributes; /* merged, without tokens */
    const struct credentials *credentials;
    const struct object_version *versions; /* of the live generation; count 0: none */
    size_t version_count;
    bool accepts_unchanged; /* is there a live generation to keep bytes of? */
    bool urgent;            /* a publish: goes before rotations */
    int64_t timeout_ms;
    struct cancel *cancel;
    struct source_told *told; /* zeroed by the caller; NULL: nobody wants to know */
};

/* One row of `locketctl status`. Texts live as long as the callback. */
struct source_status {
    const char *provider;
    const char *socket;
    uid_t peer_uid;
    size_t inflight;
    bool connected;
};

/* Contract (tests/contract/test_source.c): any thread; several fetches at a time. */
struct source_ops {
    /* Could a fetch from this provider be tried at all? Touches no network.
     * INVALID_ARGUMENT for a bad name, else UNKNOWN-like upstream text `provider not found: ...`
     * with code UNAVAILABLE (it may be starting). */
    int (*find)(struct source *self, const char *provider, struct error *err);
    /* Adds every file and version to ret, or fails having added none; blocks at most timeout_ms.
     * No files is a fine answer (a writing provider, or nothing to write). The error text is
     * redacted, its code the provider's own. */
    int (*fetch)(struct source *self, const struct source_request *req, struct fileset *ret,
                 struct error *err);
    /* The volume is gone: tells the provider if it cares. Bounded (1 s), never fails. */
    void (*release)(struct source *self, const char *provider, const char *volume_id);
    void (*each)(struct source *self, void (*say)(void *arg, const struct source_status *row),
                 void *arg);
    /* Frees self and all it owns; no call may be running. */
    void (*free)(struct source *self);
};

struct source { /* first member of every implementation's own struct */
    const struct source_ops *ops;
};

#endif
