/* SPDX-License-Identifier: Apache-2.0
 *
 * complaints.h - mistakes of a document told one by one, each at the line and column of the file
 * even when it stands in YAML inside YAML.
 * Does not know what is a mistake.
 */
#ifndef LOCKET_MODEL_COMPLAINTS_H
#define LOCKET_MODEL_COMPLAINTS_H

#include "lib/base/tree.h"

/* Where a text that was parsed by itself stands in the document around it. */
struct place {
    const struct place *outer; /* NULL: the outer document is the file */
    const struct tree *node;   /* the node of the outer document whose text it is */
    const char *source;        /* text of the outer document; NULL: columns are not known */
};

struct complaints {
    void (*say)(void *arg, unsigned line, unsigned column, const char *text);
    void *arg;
    const struct place *place; /* of the tree being looked at; NULL: the file itself */
    size_t count;
};

/* Tells of a mistake at a node (NULL: nowhere in particular). Text: "field: what; remedy". */
void complain(struct complaints *c, const struct tree *at, const char *fmt, ...) printf_like(3, 4);

/* The same at a line and column of the text being looked at. */
void complain_at(struct complaints *c, unsigned line, unsigned column, const char *text);

/* Takes an error "line L column C: what" of a parser apart and tells it with its field's name. */
void complain_of(struct complaints *c, const char *field, const struct error *err);

#endif
