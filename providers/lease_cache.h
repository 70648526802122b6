/* SPDX-License-Identifier: Apache-2.0
 *
 * lease_cache.h - what a store lends for a time (login tokens, dynamic credentials), sealed, by
 * identity: obtained anew before it ends, by one thread at a time. Does not know how.
 */
#ifndef LOCKET_PROVIDERS_LEASE_CACHE_H
#define LOCKET_PROVIDERS_LEASE_CACHE_H

#include "lib/base/error.h"
#include "lib/base/secret.h"

struct lease_cache;

enum {
    LEASE_NONE = -1,            /* not lent but given: nothing of it is kept */
    LEASE_BYTES_MAX = 64 << 10, /* what is larger is not kept either */
};

struct lease {
    struct secret bytes;
    int64_t lease_ms; /* 0: it does not expire; LEASE_NONE */
};

struct lease_wish {
    const char *identity; /* any text; a digest of it is kept */
    const char *owner;    /* whose it is, for lease_cache_release; NULL: nobody's */
    int (*obtain)(void *arg, struct lease *ret, struct error *err);
    void *arg;
};

struct lease_got {
    struct secret bytes;   /* a copy; by secret_done */
    bool cached;           /* it was not obtained just now */
    int64_t renew_at_ms;   /* monotonic: at two thirds of its life; INT64_MAX: never */
    int64_t expires_at_ms; /* likewise */
};

/* Wipes what was got. */
void lease_got_done(struct lease_got *got);

/* At most `most` entries; the longest unused goes first. 0: nothing is kept. */
struct lease_cache *lease_cache_new(size_t most);
void lease_cache_free(struct lease_cache *cache);

/* What an identity has. When there is none, or a third of its life is left, obtain is called, with
 * no other call for the same identity at the same time. Errors: obtain's, when nothing usable is
 * left. */
must_check int lease_cache_get(struct lease_cache *cache, const struct lease_wish *wish,
                               struct lease_got *ret, struct error *err);

/* Forgets what an identity has. */
void lease_cache_drop(struct lease_cache *cache, const char *identity);

/* Forgets all that is an owner's. */
void lease_cache_release(struct lease_cache *cache, const char *owner);

#endif
