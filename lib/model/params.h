/* SPDX-License-Identifier: Apache-2.0
 *
 * params.h - the parameters of each store as one const table per provider: name, type, ceiling,
 * help. The provider reads by it, `locketctl validate` checks by it, the docs are printed from it.
 * Does not know how a store is talked to.
 */
#ifndef LOCKET_MODEL_PARAMS_H
#define LOCKET_MODEL_PARAMS_H

#include "lib/base/tree.h"
#include "lib/model/class.h"

enum param_kind {
    PARAM_TEXT,
    PARAM_BOOL, /* Go's strconv.ParseBool: 1 t T TRUE true True 0 f F FALSE false False */
    PARAM_PATH, /* absolute path on the provider's file system */
    PARAM_URL,
    PARAM_DURATION,
    PARAM_OBJECTS,       /* YAML list of maps, checked by the provider's object rows */
    PARAM_OBJECTS_ARRAY, /* Azure's: YAML map with one key `array`, a list of YAML maps as text */
    PARAM_ENUM,          /* one of `values` */
};

enum object_key_kind {
    OBJECT_TEXT,
    OBJECT_MODE,  /* 0644, 0o644, 420 or "0644" */
    OBJECT_MAP,   /* any map */
    OBJECT_ENUM,  /* one of `values` */
    OBJECT_LIST,  /* any list */
    OBJECT_COUNT, /* a number from 0 */
};

struct param_row {
    const char *name;
    enum param_kind kind;
    size_t bytes_max;
    bool required;
    bool trusted; /* address, CA, TLS, auth: a pod may not override it under deny or warn */
    const char *help;
    const char *const *values; /* PARAM_ENUM: NULL-ended, compared with case */
    bool may_be_empty;         /* PARAM_BOOL, PARAM_PATH and PARAM_URL: "" is as if absent */
};

struct object_row {
    const char *name;
    enum object_key_kind kind;
    size_t bytes_max;
    bool required;
    const char *const *values; /* OBJECT_ENUM: NULL-ended, compared without case */
    const char *help;
};

struct param_table {
    const char *provider;
    const char *summary; /* the store, in a few words */
    const char *path;    /* object key that names the file when `alias` is absent; NULL: none */
    const char *alias;   /* object key that names the file when given; NULL: none */
    bool any_case;       /* object keys are read without regard to case */
    const struct param_row *params;
    size_t param_count;
    const struct object_row *objects;
    size_t object_count;
};

/* The table of a provider that we have one for; NULL for other people's. Names of the generic
 * parameters, valid for every class, are in params_generic. */
const struct param_table *params_of(const char *provider);
size_t params_table_count(void);
const struct param_table *params_table_at(size_t index);
const struct param_table *params_generic(void);

/* The row with this name, the generic ones included (table may be NULL); NULL: there is none. */
const struct param_row *params_row(const struct param_table *table, const char *name);
const struct object_row *params_object_row(const struct param_table *table, const char *name);

/* Is this parameter one that decides whom secrets are fetched from or with what identity? For a
 * provider without a table: name contains (without case) address, url, endpoint, region, ca, tls,
 * cert, auth, role, tenant, identity, audience, namespace, mount, proxy or skip. */
bool params_is_trusted(const char *provider, const char *name);

/* Reads values by kind. INVALID_ARGUMENT naming the parameter and what it wants. */
must_check int param_bool(const char *name, const char *text, bool *ret, struct error *err);

/* Mode of an object from a tree node (number or text; leading 0 or 0o is octal, else decimal;
 * quoted text is octal). 0..0777, else INVALID_ARGUMENT. */
must_check int param_mode(const struct tree *node, mode_t *ret, struct error *err);

#endif
