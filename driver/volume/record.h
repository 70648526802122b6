/* SPDX-License-Identifier: Apache-2.0
 *
 * record.h - what outlives the process about one volume: every non-secret input of its last
 * accepted publish, and the result. Never a token, never a secret. Does not know the files it is
 * kept in (state.h).
 */
#ifndef LOCKET_VOLUME_RECORD_H
#define LOCKET_VOLUME_RECORD_H

#include "lib/base/strbuf.h"
#include "lib/model/fileset.h"
#include "lib/model/pairs.h"

enum record_phase { RECORD_PUBLISHING, RECORD_PUBLISHED };

enum { RECORD_BYTES_MAX = 8 << 20 }; /* attributes of 1 MiB, percent-escaped */

struct record {
    int64_t phase; /* enum record_phase */
    char *volume_id;
    char *target;
    char *class_name;
    char *pod_ns;
    char *pod_name;
    char *pod_uid;
    char *service_account;
    char *provider;
    char *mount_flags;
    struct pairs attributes; /* volume_context without tokens */
    int64_t fs_group;        /* -1: none */
    int64_t had_tokens;      /* 0 or 1 */
    int64_t had_secrets;
    int64_t adopted;     /* the limits of the tmpfs are somebody else's */
    int64_t writing;     /* the provider wrote the files itself */
    int64_t made_target; /* we made the target folder */
    int64_t size_bytes;  /* of the budget: the size of the tmpfs, unless that is not ours */
    int64_t inodes;
    int64_t generation; /* counts swaps; 0: what is there is from before us */
    int64_t published_at_unix_ms;
    int64_t fetched_at_unix_ms; /* as of the last change: an unchanged poll writes nothing */
    int64_t changed_at_unix_ms;
    struct object_version *versions;
    size_t version_count;
    char *live;        /* the generation that the versions tell of; NULL: not known */
    char *class_stamp; /* of the class by which it was filled last; NULL: not known */
};

/* Frees what it owns; { 0 } afterwards. */
void record_done(struct record *r);

/* Replaces the versions by copies. */
void record_set_versions(struct record *r, const struct object_version *versions, size_t count);

/* Writes the record as text with a checksum. FAILED_PRECONDITION when an attribute is a token: such
 * a record must not be. */
must_check int record_write(const struct record *r, struct strbuf *out, struct error *err);

/* Reads it back. Unknown keys are skipped (a newer version wrote them). INVALID_ARGUMENT for a torn
 * or foreign text. Ownership: record_done. */
must_check int record_read(const char *text, size_t len, struct record *ret, struct error *err);

#endif
