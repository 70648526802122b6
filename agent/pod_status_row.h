/* SPDX-License-Identifier: Apache-2.0
 *
 * pod_status_row.h - one SecretProviderClassPodStatus and the volumes that it tells of: what it is
 * to say. Does not know when it is written, nor that there is an API server.
 */
#ifndef LOCKET_AGENT_POD_STATUS_ROW_H
#define LOCKET_AGENT_POD_STATUS_ROW_H

#include "agent/pod_status.h"
#include "lib/base/hash.h"
#include "lib/base/strbuf.h"

struct status;

/* Objects with their versions. Ownership: object_list_done. */
struct object_list {
    struct object_version *items;
    size_t count;
};

/* Frees what it holds; { 0 } afterwards. */
void object_list_done(struct object_list *list);

/* One volume. */
struct row_entry {
    char *volume_id;
    char *target;
    struct object_list objects;
    bool taken_over;        /* its content was there before us */
    struct row_entry *next; /* of the same row */
    struct status *status;  /* the user's, as what follows */
    uint64_t told;          /* the round in which the driver told of it last */
    UT_hash_handle hh;
};

struct status_row {
    char *ns;
    char *name; /* of the object */
    char *pod_name;
    char *pod_uid;
    char *class_name;
    struct row_entry
        *entries;             /* sorted by target; the first is the one upstream's fields tell of */
    struct object_list shown; /* what the object said before us: shown for what was taken over */
    bool is_shown;            /* there was one */
};

/* A row without volumes. INTERNAL when OpenSSL refuses to digest its name. */
must_check int row_init(struct status_row *row, const struct pod_volume *v, struct error *err);
/* Frees what it holds, its volumes too. */
void row_done(struct status_row *row);

/* Adds the volume in the order of targets. Ownership: the row, until row_take_out. */
struct row_entry *row_add(struct status_row *row, const struct pod_volume *v);

/* What a volume holds now; a copy is taken. */
void row_set(struct status_row *row, struct row_entry *e, const struct pod_volume *v);

/* Takes the volume out and frees it. */
void row_remove(struct status_row *row, struct row_entry *e);

/* The pod of this name may be another one now. True: it is. */
bool row_set_pod(struct status_row *row, const char *uid);

/* Is there content of before us, and nothing known of what an object said of it? */
bool row_wants_shown(const struct status_row *row);

/* What the object of this pod said before us; moved in. */
void row_show(struct status_row *row, struct object_list *list);

/* How the server has the objects defined. */
struct status_dialect {
    const char *version; /* of the group; static text */
    bool plain;          /* as the old driver did: no field for further targets */
};

/* Appends the object to be applied: objects are the union of all volumes' by id. */
void row_write(const struct status_row *row, const char *node_label,
               const struct status_dialect *dialect, struct strbuf *out);

#endif
