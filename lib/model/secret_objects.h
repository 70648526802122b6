/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_objects.h - spec.secretObjects of a class: which of its files become which Secret of the
 * cluster. Does not know what a Secret of a type must hold, nor who writes it.
 */
#ifndef LOCKET_MODEL_SECRET_OBJECTS_H
#define LOCKET_MODEL_SECRET_OBJECTS_H

#include "lib/base/tree.h"
#include "lib/model/pairs.h"

#define ADOPT_ANNOTATION "locket.dev/adopt-secrets" /* of a class: "true" */

enum {
    SECRET_OBJECTS_MAX = 100,      /* of one class; users have up to some ten */
    SECRET_OBJECT_KEYS_MAX = 4096, /* of one Secret: as many as a volume may have files */
};

/* One entry of data; both without blanks around them. */
struct secret_key {
    char *key;
    char *object_name; /* the file, relative to the mount */
};

struct secret_object {
    char *name; /* of the Secret */
    char *type;
    struct pairs labels;
    struct pairs annotations;
    struct secret_key *keys;
    size_t key_count;
};

struct secret_objects {
    struct secret_object *list;
    size_t count;
    bool adopt; /* Secrets of these names that are somebody else's may be taken over */
};

/* Reads them from a class. Never fails, since a volume needs none of it: what is missing or no text
 * is "", and of what is beyond the ceilings the first is kept: secret_object_check tells of both.
 * Ownership: secret_objects_done. */
void secret_objects_read(const struct tree *class, struct secret_objects *ret);

/* Frees; { 0 } afterwards. */
void secret_objects_done(struct secret_objects *objects);

/* Makes dst, empty before, a copy of src. */
void secret_objects_copy(struct secret_objects *dst, const struct secret_objects *src);

/* Do both wish for the same Secrets? */
bool secret_objects_same(const struct secret_objects *a, const struct secret_objects *b);

/* What one must have before its files are worth a look; place: its index.
 * Errors: INVALID_ARGUMENT with the field, such as "spec.secretObjects[0].secretName: is empty". */
must_check int secret_object_check(const struct secret_object *object, size_t place,
                                   struct error *err);

#endif
