/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h - strict JSON: text to tree and back. The only file that includes cJSON.
 * Refuses what cJSON would damage in silence: \u0000, duplicate keys, trailing bytes, bad UTF-8,
 * depth over the ceiling; numbers are kept as text.
 */
#ifndef LOCKET_BASE_JSON_H
#define LOCKET_BASE_JSON_H

#include "lib/base/tree.h"

enum {
    JSON_DEPTH_MAX = 64,       /* nesting; the stores' replies have fewer than 10 */
    JSON_BYTES_MAX = 16 << 20, /* four messages of gRPC's default */
    JSON_VALUES_MAX = 500000,  /* each takes some 250 bytes while it is read */
    JSON_NUMBER_MAX = 63,      /* characters; cJSON reads no more of a number */
};

/* Parses len bytes. Ownership: the caller, by tree_free. Errors: INVALID_ARGUMENT with line and
 * column, never a piece of the text; RESOURCE_EXHAUSTED over JSON_BYTES_MAX or JSON_VALUES_MAX. */
must_check int json_parse(const char *text, size_t len, struct tree **ret, struct error *err);

/* Adds a string as Go's encoding/json writes it: quotes, \u003c \u003e \u0026 for <>&, \u2028/9. */
void json_add_text(struct strbuf *out, const char *text, size_t len);

/* Writes a tree as Go's json.Marshal does: no spaces, map keys sorted by bytes, numbers verbatim,
 * the escapes of json_add_text. Of YAML: booleans as such; numbers that JSON cannot write (0x1f,
 * .5, .inf) as strings, so that nothing is rounded and the text stays JSON. */
void json_write(struct strbuf *out, const struct tree *t);

#endif
