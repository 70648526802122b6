/* SPDX-License-Identifier: Apache-2.0
 *
 * yaml.h - YAML (one or several documents) to trees with line and column. The only file that
 * includes libyaml. Refuses duplicate keys, aliases, depth and size over the ceilings, tags other
 * than the core schema's, and keys that are no scalars.
 */
#ifndef LOCKET_BASE_YAML_H
#define LOCKET_BASE_YAML_H

#include "lib/base/tree.h"

enum {
    YAML_DEPTH_MAX = 64,
    YAML_BYTES_MAX = 4 << 20, /* etcd refuses objects over 1.5 MiB */
    YAML_NODES_MAX = 200000,
    YAML_DOCUMENTS_MAX = 1000,
};

/* Parses all documents of a stream into a TREE_LIST (empty documents are left out). Plain scalars
 * are resolved by YAML 1.2's core schema as yaml.v3 does: null, booleans (true/false only; yes/no
 * stay text), numbers (0x, 0o and leading-0 octal kept as their text), else text.
 * Ownership: the caller, by tree_free. Errors: INVALID_ARGUMENT "line L column C: what; remedy",
 * never a value. */
must_check int yaml_parse_all(const char *text, size_t len, struct tree **ret, struct error *err);

/* The same for exactly one document; an empty stream (text may be NULL then) gives TREE_NULL. */
must_check int yaml_parse(const char *text, size_t len, struct tree **ret, struct error *err);

#endif
