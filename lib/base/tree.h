/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.h - one value tree for YAML and JSON: what was written, and at which line and column.
 * Does not parse (json.h, yaml.h) and does not know any schema.
 */
#ifndef LOCKET_BASE_TREE_H
#define LOCKET_BASE_TREE_H

#include <stdbool.h>

#include "lib/base/error.h"
#include "lib/base/strbuf.h"

enum tree_kind { TREE_NULL, TREE_BOOL, TREE_NUMBER, TREE_TEXT, TREE_LIST, TREE_MAP };

/* Numbers are kept as their text, so that nothing is rounded: 9007199254740993 stays that.
 * The text of every node is wiped when the tree is freed. */
struct tree {
    enum tree_kind kind;
    bool truth;  /* TREE_BOOL */
    bool quoted; /* TREE_TEXT of YAML: was it written with quotes? */
    char *text;  /* TREE_TEXT (UTF-8, no NUL), TREE_NUMBER (as written), TREE_BOOL in YAML
                    (as written); else NULL */
    size_t text_len;
    char *key;          /* name inside a map; NULL in lists and at the top */
    unsigned line;      /* from 1; 0 when the parser cannot tell */
    unsigned column;    /* from 1 */
    struct tree *child; /* first of a list or map, in the order written */
    struct tree *last;  /* last child, so that adding takes no walk; stale after an unlinking */
    struct tree *next;  /* next within the parent */
};

#define autotree CLEANUP(tree_free_at)

/* Wipes and frees a node, all below it and its later siblings. NULL is fine. */
void tree_free(struct tree *t);
void tree_free_at(struct tree **slot);

/* The member of a map with exactly this key; NULL when t is NULL, no map or has none. Borrowed. */
const struct tree *tree_get(const struct tree *t, const char *key);

/* The text of a TREE_TEXT member; NULL when absent or of another kind. Borrowed. */
const char *tree_get_text(const struct tree *t, const char *key);

/* The children of a map sorted by key bytes; *ret_count of them. Ownership: the caller frees the
 * array, not the nodes. */
const struct tree **tree_sorted(const struct tree *map, size_t *ret_count);

/* The second of two children of a map with the same key; NULL when all differ. By sorting: maps of
 * hostile documents may have very many. */
const struct tree *tree_duplicate(const struct tree *map);

/* Number of children. */
size_t tree_count(const struct tree *t);

/* "a string", "a map", ... for messages. */
const char *tree_kind_name(enum tree_kind kind);

/* Makes nodes (for parsers and tests). tree_add appends child to a list or map and owns it;
 * key is copied, NULL for lists. */
struct tree *tree_new(enum tree_kind kind, const char *text, size_t text_len);
void tree_add(struct tree *parent, const char *key, struct tree *child);

#endif
