/* SPDX-License-Identifier: Apache-2.0
 *
 * objects_validate.h - every mistake in the YAML list of objects that stands inside a parameter.
 * Does not know the other parameters.
 */
#ifndef LOCKET_MODEL_OBJECTS_VALIDATE_H
#define LOCKET_MODEL_OBJECTS_VALIDATE_H

#include "lib/model/complaints.h"
#include "lib/model/params.h"

/* Tells of the mistakes in parameter's text, by the object rows of table. source: the text that
 * parameter was parsed from, or NULL. */
void objects_validate(const struct tree *parameter, const struct param_row *row,
                      const struct param_table *table, const char *source, struct complaints *c);

#endif
