/* SPDX-License-Identifier: Apache-2.0
 *
 * class_cache.h - the SecretProviderClasses that this node needs, kept current by watches: one for
 * each namespace with a volume here, one for the cluster when there are many. What was learned once
 * serves while the API server is away. Does not know volumes, nor who asks.
 */
#ifndef LOCKET_AGENT_CLASS_CACHE_H
#define LOCKET_AGENT_CLASS_CACHE_H

#include "agent/class_store.h"
#include "agent/group_version.h"
#include "lib/model/class.h"

enum {
    CLASS_WATCHES_MAX = 8,            /* namespaces watched one by one; above: the cluster */
    CLASS_LINGER_MS = 10 * 60 * 1000, /* a namespace without volumes is watched so much longer */
};

struct class_cache;

struct class_cache_config {
    struct kube_api *api;
    struct group_version *version;
    /* A class has other content now, or (deleted) is gone, or somebody wants its volumes refreshed,
     * or how it is was waited for. On a watch's thread, or on that of who waits: must not block. */
    void (*changed)(void *arg, const char *ns, const char *name, enum class_change change);
    void *arg;
};

/* An empty cache, which watches nothing yet. Ownership: class_cache_free. */
struct class_cache *class_cache_new(const struct class_cache_config *config);
void class_cache_free(struct class_cache *cache);

/* Whoever asks the server in vain hears UNAVAILABLE at once, as whoever asks it from now on. */
void class_cache_end(struct class_cache *cache);

/* The class if it is known: a copy, the caller's by class_free, or the error of one that cannot be
 * read. *ret_known says whether. Never blocks. */
must_check int class_cache_peek(struct class_cache *cache, const char *ns, const char *name,
                                bool *ret_known, struct class **ret, struct error *err);

/* The same, and of one that is not known a GET; its namespace is watched from then on.
 * Errors: those of class_not_found, INVALID_ARGUMENT, UNAVAILABLE when nobody can be asked. */
must_check int class_cache_get(struct class_cache *cache, const char *ns, const char *name,
                               struct class **ret, struct error *err);

/* A volume of this namespace came, or left. hold may ask the server once for the group's version.
 */
void class_cache_hold(struct class_cache *cache, const char *ns);
void class_cache_release(struct class_cache *cache, const char *ns);

/* Volumes of this class are there whose agent or driver was away: `changed` is called with
 * CLASS_AWAITED once it is known how the class is now, which may be at once. Its namespace is held.
 * Never blocks. */
void class_cache_await(struct class_cache *cache, const char *ns, const char *name);

/* Ends watches of namespaces that have had no volume for CLASS_LINGER_MS, and waits
 * for them and for those that a watch of the cluster took the place of. Asks for classes that are
 * waited for and that no list brings. */
void class_cache_tidy(struct class_cache *cache);

/* Why the classes are not current, if they are not: false when all watches work. */
bool class_cache_failure(struct class_cache *cache, struct error *ret);

/* Watches that run now. */
size_t class_cache_watches(struct class_cache *cache);

#endif
