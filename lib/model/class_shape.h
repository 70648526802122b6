/* SPDX-License-Identifier: Apache-2.0
 *
 * class_shape.h - the shape that a document must have to be read as a SecretProviderClass at all.
 * Does not know what is merely unwise (class_validate.c) or what a publish needs (class_check).
 */
#ifndef LOCKET_MODEL_CLASS_SHAPE_H
#define LOCKET_MODEL_CLASS_SHAPE_H

#include "lib/model/class.h"
#include "lib/model/complaints.h"

#define CLASS_KIND "SecretProviderClass"
#define CLASS_GROUP "secrets-store.csi.x-k8s.io/"
#define CLASS_INTERVAL "rotationPollInterval" /* parameter or annotation */

/* Tells of everything that makes class_read fail.
 * Source: the schema of the old driver's CRD; Kubernetes' rules for names. */
void class_shape(const struct tree *document, struct complaints *c);

/* A member that is there and is not null; NULL otherwise. */
const struct tree *shape_get(const struct tree *map, const char *key);

/* Tells when a member is neither absent nor of this kind. Returns it when it is of the kind. */
const struct tree *shape_want(const struct tree *map, const char *key, enum tree_kind kind,
                              const char *field, struct complaints *c);

/* Tells of members of a map of text to text that are no text; NULL map: nothing. */
void shape_texts(const struct tree *map, const char *field, struct complaints *c);

/* Is it a DNS-1123 subdomain (or, without dots, a label) of at most max bytes? */
bool shape_is_dns_name(const char *text, size_t max, bool dots);

#endif
