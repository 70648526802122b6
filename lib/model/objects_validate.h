/* SPDX-License-Identifier: Apache-2.0
 *
 * objects_validate.h - every mistake in the YAML list of objects that stands inside a parameter.
 * Does not know the other parameters.
 */
#ifndef LOCKET_MODEL_OBJECTS_VALIDATE_H
#define LOCKET_MODEL_OBJECTS_VALIDATE_H

#include "lib/model/complaints.h"
#include "lib/model/params.h"

/* The files that a class would mount, as far as its parameters tell. */
struct class_files {
    struct pairs paths; /* each with the index of its object */
    bool complete;      /* are these all of them? */
};

/* A parameter that lists objects. source: the text that it was parsed from, or NULL. */
struct objects_in {
    const struct tree *parameter;
    const struct param_row *row;
    const struct param_table *table;
    const char *source;
};

/* Tells of the mistakes in the parameter's text, by the object rows of its table. files, { 0 }
 * before, gets the final paths. Ownership: the caller, by pairs_done of its paths. */
void objects_validate(const struct objects_in *in, struct class_files *files, struct complaints *c);

#endif
