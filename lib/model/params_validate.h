/* SPDX-License-Identifier: Apache-2.0
 *
 * params_validate.h - every mistake in a class's parameters, by the tables of params.h.
 * Does not know the rest of a class; asks no store.
 */
#ifndef LOCKET_MODEL_PARAMS_VALIDATE_H
#define LOCKET_MODEL_PARAMS_VALIDATE_H

#include "lib/model/complaints.h"
#include "lib/model/objects_validate.h"
#include "lib/model/params.h"

/* Tells of the mistakes of spec.parameters, a map of texts (members of other kinds are passed over:
 * class_shape tells of them). source: the text it was parsed from, or NULL. files as in
 * objects_validate. */
void params_validate(const struct tree *parameters, const struct param_table *table,
                     const char *source, struct class_files *files, struct complaints *c);

#endif
