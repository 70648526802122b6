/* SPDX-License-Identifier: Apache-2.0
 *
 * class_store.h - classes by namespace and name, of the namespaces that are wanted, and the rounds
 * of lists in which each was seen last. Does not know where they come from.
 */
#ifndef LOCKET_AGENT_CLASS_STORE_H
#define LOCKET_AGENT_CLASS_STORE_H

#include <pthread.h>

#include "lib/model/class.h"

struct stored_class;
struct wanted_ns;

struct class_store {
    pthread_mutex_t lock;
    struct stored_class *classes; /* guarded by lock, as all below */
    struct wanted_ns *wanted;
    uint64_t round;
};

/* Empty. class_store_done frees all; nobody may use it any more. */
void class_store_init(struct class_store *store);
void class_store_done(struct class_store *store);

/* Objects of other namespaces are not kept; those of one that is wanted no more go. */
void class_store_want(struct class_store *store, const char *ns, bool wanted);

/* Begins a list; what it holds is to be shown to class_store_see with this number. */
uint64_t class_store_begin(struct class_store *store);

/* What a look at an object brought. */
enum class_change {
    CLASS_AS_BEFORE, /* or not kept, or of a namespace's first list */
    CLASS_EDITED,    /* or made anew, or made: volumes may wait for it */
    CLASS_ASKED,     /* it bears a new REFRESH_ANNOTATION, whether or not it was edited too */
    CLASS_AWAITED,   /* how it is, or that it is gone, was waited for */
};

/* An object as a list or watch gave it. */
enum class_change class_store_see(struct class_store *store, const struct tree *object,
                                  uint64_t round);

/* What is known of a namespace, before a GET for one of its classes. */
struct class_epoch {
    uint64_t number; /* another one when a list has ended or a class has gone */
    bool listed;     /* what is not known is not there, or was made just now */
};
struct class_epoch class_store_epoch(struct class_store *store, const char *ns);

/* What became of an object that a GET gave. */
enum class_added {
    CLASS_TOO_OLD, /* not kept: the namespace is in another epoch, and the class may have gone */
    CLASS_KEPT,    /* or known already, by a watch; until a list lacks it */
    CLASS_HAILED,  /* kept, and it was waited for */
};

/* An object as a GET gave it that was asked in this epoch, which may be older than what a watch
 * said: kept when unknown. */
enum class_added class_store_add(struct class_store *store, const struct tree *object,
                                 uint64_t epoch);

/* Somebody waits to hear how a class is. True: that is known already, or that there is none. Else
 * whoever brings it is told CLASS_AWAITED. */
bool class_store_await(struct class_store *store, const char *ns, const char *name);

/* A class that is waited for. Ownership: *ret_ns and *ret_name are the caller's. False: none is. */
bool class_store_next_awaited(struct class_store *store, char **ret_ns, char **ret_name);

/* There is none, and nobody waits for it any more. False: nobody did. */
bool class_store_drop_awaited(struct class_store *store, const char *ns, const char *name);

/* True: it was there. */
bool class_store_remove(struct class_store *store, const char *ns, const char *name);

/* The list of this round has ended: what it did not hold is gone, told by gone (CLASS_AWAITED of
 * what was waited for). ns "" means every namespace. */
typedef void class_store_gone(void *arg, const char *ns, const char *name,
                              enum class_change change);
void class_store_sweep(struct class_store *store, const char *ns, uint64_t round,
                       class_store_gone *gone, void *arg);

/* A copy of a class that is known, the caller's by class_free.
 * Errors: INVALID_ARGUMENT of one that cannot be read (*ret_known is true then). */
must_check int class_store_get(struct class_store *store, const char *ns, const char *name,
                               bool *ret_known, struct class **ret, struct error *err);

#endif
