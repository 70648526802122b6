/* SPDX-License-Identifier: Apache-2.0
 *
 * class.h - a SecretProviderClass: provider, parameters, secretObjects; read from a value tree.
 * Does not know where the object came from (driver/cluster) or what a parameter means (params.h).
 */
#ifndef LOCKET_MODEL_CLASS_H
#define LOCKET_MODEL_CLASS_H

#include "lib/base/tree.h"

enum {
    CLASS_PARAMETERS_MAX = 1000,
    CLASS_PARAMETER_BYTES_MAX = 1 << 20, /* one value; etcd refuses objects over 1.5 MiB */
    CLASS_NAME_MAX = 253,                /* DNS subdomain */
    PROVIDER_NAME_MAX = 30,              /* upstream: ^[a-zA-Z0-9_-]{0,30}$ */
};

struct pair {
    char *key;
    char *value;
};

struct pairs { /* sorted by key bytes, keys unique */
    struct pair *items;
    size_t count;
};

void pairs_done(struct pairs *p); /* wipes values: they may hold tokens */
/* Adds or replaces, keeping the order. Both are copied. */
void pairs_set(struct pairs *p, const char *key, const char *value);
/* NULL when absent. Borrowed. */
const char *pairs_get(const struct pairs *p, const char *key);
void pairs_copy(struct pairs *dst, const struct pairs *src);
/* Go's json.Marshal(map[string]string). */
void pairs_json(const struct pairs *p, struct strbuf *out);

struct class
{
    char *name;     /* metadata.name */
    char *ns;       /* metadata.namespace, "default" when absent */
    char *provider; /* spec.provider; "" when absent */
    struct pairs parameters;
    bool has_parameters;
    struct pairs annotations;
    int64_t rotation_interval_ms; /* parameter or annotation rotationPollInterval; 0: default */
};

/* Is this tree a SecretProviderClass of a version we read (v1, v1alpha1)? */
bool class_is(const struct tree *document);

/* Reads it. Unknown fields are ignored (class_validate tells of them).
 * Ownership: class_free. Errors: INVALID_ARGUMENT "line L column C: field: what; remedy". */
must_check int class_read(const struct tree *document, struct class **ret, struct error *err);
void class_free(struct class *c);
void class_free_at(struct class **slot);
#define autoclass CLEANUP(class_free_at)

/* What a publish needs: provider set and well named, parameters present.
 * Errors: the old driver's texts "provider not set in NS/NAME", "parameters not set in NS/NAME",
 * "invalid provider ..." (INVALID_ARGUMENT; upstream answers UNKNOWN, which kubelet reads the
 * same). */
must_check int class_check(const struct class *c, struct error *err);

/* Every mistake of a document (schema, names, parameters by params.h, YAML inside parameters), told
 * one by one: say(arg, line, column, text). Offline; for locketctl validate.
 * Returns the number of mistakes. */
size_t class_validate(const struct tree *document,
                      void (*say)(void *arg, unsigned line, unsigned column, const char *text),
                      void *arg);

#endif
