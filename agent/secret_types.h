/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_types.h - what a Kubernetes Secret of each type must hold, and the data it is given.
 * Does not know whose files these are, nor the API server (that is for whoever applies the data).
 */
#ifndef LOCKET_AGENT_SECRET_TYPES_H
#define LOCKET_AGENT_SECRET_TYPES_H

#include "lib/base/error.h"
#include "lib/base/secret.h"

enum {
    SECRET_DATA_BYTES_MAX = 1 << 20, /* all values of one Secret; Kubernetes' MaxSecretSize */
    SECRET_KEY_MAX = 253,            /* bytes of a key; Kubernetes' IsConfigMapKey */
    SECRET_KEYS_MAX = 4096,          /* as many as a volume may have files */
};

/* One entry of a Secret's data. */
struct secret_datum {
    char *key;
    struct secret bytes;
};

/* The data of one Secret, sorted by the bytes of the key, so that the same content is the same
 * text whatever order the class names it in. */
struct secret_data {
    struct secret_datum *list;
    size_t count;
};

#define autosecretdata CLEANUP(secret_data_done)

/* Wipes and frees; { 0 } afterwards. */
void secret_data_done(struct secret_data *data);

/* One of a class's secretObjects with what the provider gave for it. All borrowed. */
struct secret_order {
    size_t place;                    /* index in spec.secretObjects, for errors */
    const char *type;                /* without blanks around it */
    const struct secret_datum *list; /* in the order of the class's data; keys without blanks. Of
                                        several with one key the last counts, as it always did */
    size_t count;
};

/* The data to be applied for an order: of known types checked and, for kubernetes.io/tls, brought
 * into PEM; of all others (Opaque, example.com/x) as they are.
 *
 * ret          { 0 } before. Ownership: the caller, by secret_data_done.
 * Errors       INVALID_ARGUMENT: a type that is not written, a key that is missing, invalid or of
 *              no use, content that the type does not take.
 *              RESOURCE_EXHAUSTED over a ceiling. The text has the field of the class and the key,
 *              such as "spec.secretObjects[0].data[1] (tls.key): ...", never a byte of content.
 * Source       Kubernetes pkg/apis/core/validation ValidateSecret; the old driver's tls handling.
 */
must_check int secret_data_make(const struct secret_order *order, struct secret_data *ret,
                                struct error *err);

#endif
