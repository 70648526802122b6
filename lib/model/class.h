/* SPDX-License-Identifier: Apache-2.0
 *
 * class.h - a SecretProviderClass: provider, parameters, secretObjects; read from a value tree.
 * Does not know where the object came from (driver/cluster) or what a parameter means (params.h).
 */
#ifndef LOCKET_MODEL_CLASS_H
#define LOCKET_MODEL_CLASS_H

#include "lib/base/tree.h"
#include "lib/model/pairs.h"
#include "lib/model/secret_objects.h"

enum {
    CLASS_PARAMETERS_MAX = 1000,
    CLASS_PARAMETER_BYTES_MAX = 1 << 20, /* one value; etcd refuses objects over 1.5 MiB */
    CLASS_NAME_MAX = 253,                /* DNS subdomain */
    CLASS_NS_MAX = 63,                   /* DNS label */
    PROVIDER_NAME_MAX = 30,              /* upstream: ^[a-zA-Z0-9_-]{0,30}$ */
};

struct class
{
    char *name;     /* metadata.name */
    char *ns;       /* metadata.namespace, "default" when absent */
    char *provider; /* spec.provider; "" when absent */
    struct pairs parameters;
    bool has_parameters;
    struct pairs annotations;
    int64_t rotation_interval_ms; /* parameter or annotation rotationPollInterval; 0: default */
    struct secret_objects secret_objects; /* of a class that was read from a document */
    char *stamp; /* by which its form is known again (class_set_stamp); NULL: nobody can tell */
};

/* Is this tree a SecretProviderClass of a version we read (v1, v1alpha1)? */
bool class_is(const struct tree *document);

/* Was it meant to be one: of our kind in another version, or of our group in another kind (not one
 * that this group has besides, nor a list)? */
bool class_is_meant(const struct tree *document);

/* Calls each(arg, tree) for a document, or for every item of one whose kind ends in List, as
 * kubectl get prints them. */
void class_each(const struct tree *document, void (*each)(void *arg, const struct tree *item),
                void *arg);

/* metadata.name and metadata.namespace ("default" when absent) even of a class that class_read
 * refuses; NULL where there is no usable text. Borrowed. */
const char *class_name_of(const struct tree *document);
const char *class_ns_of(const struct tree *document);

/* Reads it. Unknown fields are ignored (class_validate tells of them).
 * Ownership: class_free. Errors: INVALID_ARGUMENT "line L column C: field: what; remedy". */
must_check int class_read(const struct tree *document, struct class **ret, struct error *err);
void class_free(struct class *c);
void class_free_at(struct class **slot);
#define autoclass CLEANUP(class_free_at)

/* What a class is made of when it comes as parts and not as a document; borrowed. */
struct class_parts {
    const char *ns;
    const char *name;
    const char *provider;
    const struct pairs *parameters;
    const struct pairs *annotations;
    const char *stamp; /* NULL or "": none */
};

/* Makes one of its parts. Ownership: class_free. Errors: INVALID_ARGUMENT for names, counts or
 * sizes that no class has. */
must_check int class_make(const struct class_parts *parts, struct class **ret, struct error *err);

/* Says by which text the class is known again; taken over. */
void class_set_stamp(struct class *c, char *stamp);

/* A deep copy. Ownership: class_free. */
struct class *class_dup(const struct class *c);

/* Sets NOT_FOUND in the words of the old driver, which users match on, with the reason
 * SecretProviderClassNotFound. Returns -1. */
int class_not_found(const char *ns, const char *name, struct error *err);

/* Do both ask for the same: provider, parameters, interval, Secrets? */
bool class_same(const struct class *a, const struct class *b);

/* Is it a name that a provider can have: ^[a-zA-Z0-9_-]{1,30}$ (it becomes a socket's name)? */
bool class_provider_is_named_well(const char *provider);

/* What a publish needs: provider set and well named, parameters present.
 * Errors: the old driver's texts "provider not set in NS/NAME", "parameters not set in NS/NAME",
 * "invalid provider ..." (INVALID_ARGUMENT; upstream answers UNKNOWN, which kubelet reads the
 * same). */
must_check int class_check(const struct class *c, struct error *err);

/* Tells a mistake: "field: what; remedy", at line and column of the file (0: not known). */
typedef void class_say(void *arg, unsigned line, unsigned column, const char *text);

/* Every mistake of a document (schema, names, parameters by params.h, YAML inside parameters), told
 * one by one. source is the text that the document was parsed from: with it, mistakes inside a
 * block of YAML in YAML have true columns; NULL where it is not at hand.
 * Offline; for locketctl validate. Returns the number of mistakes. */
size_t class_validate(const struct tree *document, const char *source, class_say *say, void *arg);

#endif
