/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/lease_cache.h"

#include <pthread.h>

#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/hash.h"
#include "lib/base/sealed.h"

/* An identity holds a jwt's role, a pod's uid and perhaps an AppRole id: only its digest is kept.
 */
struct entry {
    uint8_t digest[SHA256_BYTES]; /* key */
    uint8_t owner[SHA256_BYTES];  /* zeros: nobody's */
    struct sealed bytes;
    int64_t renew_at_ms;   /* monotonic; two thirds of its life */
    int64_t expires_at_ms; /* INT64_MAX: never */
    int64_t used_at_ms;
    bool obtaining; /* others wait */
    size_t users;   /* threads that hold a pointer */
    UT_hash_handle hh;
};

struct lease_cache {
    pthread_mutex_t lock;
    pthread_cond_t obtained;
    struct entry *entries; /* guarded by lock */
    size_t most;
};

void lease_got_done(struct lease_got *got)
{
    secret_done(&got->bytes);
}

struct lease_cache *lease_cache_new(size_t most)
{
    struct lease_cache *cache = xcalloc(1, sizeof(*cache));

    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->obtained, NULL);
    cache->most = most;
    return cache;
}

static void entry_free(struct lease_cache *cache, struct entry *e)
{
    HASH_DELETE(hh, cache->entries, e);
    sealed_done(&e->bytes);
    free(e);
}

void lease_cache_free(struct lease_cache *cache)
{
    struct entry *e;
    struct entry *next;

    if (!cache)
        return;
    HASH_ITER(hh, cache->entries, e, next)
    {
        entry_free(cache, e);
    }
    pthread_mutex_destroy(&cache->lock);
    pthread_cond_destroy(&cache->obtained);
    free(cache);
}

/* Nobody waits for what has ended: its owner may never say so. Caller holds the lock. */
static void sweep(struct lease_cache *cache)
{
    int64_t now = clock_mono_ms();
    struct entry *e;
    struct entry *next;

    HASH_ITER(hh, cache->entries, e, next)
    {
        if (!e->users && e->expires_at_ms <= now)
            entry_free(cache, e);
    }
}

/* Makes room by the longest unused entry that nobody holds. Caller holds the lock. */
static void evict(struct lease_cache *cache)
{
    struct entry *oldest = NULL;
    struct entry *e;
    struct entry *next;

    if (HASH_COUNT(cache->entries) <= cache->most)
        return;
    HASH_ITER(hh, cache->entries, e, next)
    {
        if (!e->users && (!oldest || e->used_at_ms < oldest->used_at_ms))
            oldest = e;
    }
    if (oldest)
        entry_free(cache, oldest);
}

static struct entry *entry_of(struct lease_cache *cache, const uint8_t digest[SHA256_BYTES])
{
    struct entry *e = NULL;

    HASH_FIND(hh, cache->entries, digest, SHA256_BYTES, e);
    if (e)
        return e;
    sweep(cache);
    e = xcalloc(1, sizeof(*e));
    memcpy(e->digest, digest, SHA256_BYTES);
    HASH_ADD(hh, cache->entries, digest, SHA256_BYTES, e);
    return e;
}

static void keep(struct entry *e, const struct lease *lease)
{
    int64_t now = clock_mono_ms();

    sealed_set(&e->bytes, lease->bytes.bytes, lease->bytes.len);
    e->expires_at_ms = lease->lease_ms ? now + lease->lease_ms : INT64_MAX;
    e->renew_at_ms = lease->lease_ms ? now + lease->lease_ms / 3 * 2 : INT64_MAX;
}

/* Obtains with the lock released; others that want the same wait. What is not to be kept goes to
 * the caller alone. Caller holds the lock. */
static int obtain(struct lease_cache *cache, struct entry *e, const struct lease_wish *wish,
                  struct secret *ret_given, struct error *err)
{
    struct lease lease = { 0 };
    int result;

    e->obtaining = true;
    pthread_mutex_unlock(&cache->lock);
    result = wish->obtain(wish->arg, &lease, err);
    pthread_mutex_lock(&cache->lock);
    e->obtaining = false;
    (void)pthread_cond_broadcast(&cache->obtained);
    if (result == 0 && lease.lease_ms != LEASE_NONE && lease.bytes.len <= LEASE_BYTES_MAX) {
        keep(e, &lease);
    } else if (result == 0) {
        sealed_done(&e->bytes);
        *ret_given = secret_take(&lease.bytes);
    }
    secret_done(&lease.bytes);
    return result;
}

static bool lives_until(const struct entry *e, int64_t end_ms)
{
    return e->bytes.len && clock_mono_ms() < end_ms;
}

static int get(struct lease_cache *cache, struct entry *e, const struct lease_wish *wish,
               struct lease_got *ret, struct error *err)
{
    while (e->obtaining)
        (void)pthread_cond_wait(&cache->obtained, &cache->lock);
    ret->cached = lives_until(e, e->renew_at_ms);
    if (!ret->cached && obtain(cache, e, wish, &ret->bytes, err) < 0) {
        /* There is no new one, but what we have lives a little longer. */
        ret->cached = lives_until(e, e->expires_at_ms);
        if (!ret->cached)
            return -1;
    }
    ret->renew_at_ms = INT64_MAX;
    ret->expires_at_ms = INT64_MAX;
    if (!e->bytes.len)
        return 0; /* given */
    ret->bytes = sealed_open(&e->bytes);
    ret->renew_at_ms = e->renew_at_ms;
    ret->expires_at_ms = e->expires_at_ms;
    return 0;
}

int lease_cache_get(struct lease_cache *cache, const struct lease_wish *wish, struct lease_got *ret,
                    struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    uint8_t owner[SHA256_BYTES] = { 0 };
    struct error mine = { 0 };
    struct entry *e;
    int result;

    if (sha256(wish->identity, strlen(wish->identity), digest, err) < 0 ||
        (wish->owner && sha256(wish->owner, strlen(wish->owner), owner, err) < 0))
        return -1;
    *ret = (struct lease_got){ 0 };
    pthread_mutex_lock(&cache->lock);
    e = entry_of(cache, digest);
    memcpy(e->owner, owner, sizeof(owner));
    e->users++;
    e->used_at_ms = clock_mono_ms();
    result = get(cache, e, wish, ret, &mine);
    if (--e->users == 0 && !e->bytes.len)
        entry_free(cache, e);
    evict(cache);
    pthread_mutex_unlock(&cache->lock);
    return result < 0 ? error_copy(err, &mine) : 0;
}

/* Caller holds the lock. */
static void forget(struct lease_cache *cache, struct entry *e)
{
    sealed_done(&e->bytes);
    if (!e->users)
        entry_free(cache, e);
}

void lease_cache_drop(struct lease_cache *cache, const char *identity)
{
    uint8_t digest[SHA256_BYTES];
    struct entry *e = NULL;

    if (sha256(identity, strlen(identity), digest, NULL) < 0)
        return;
    pthread_mutex_lock(&cache->lock);
    HASH_FIND(hh, cache->entries, digest, SHA256_BYTES, e);
    if (e)
        forget(cache, e);
    pthread_mutex_unlock(&cache->lock);
}

void lease_cache_release(struct lease_cache *cache, const char *owner)
{
    uint8_t digest[SHA256_BYTES];
    struct entry *e;
    struct entry *next;

    if (sha256(owner, strlen(owner), digest, NULL) < 0)
        return;
    pthread_mutex_lock(&cache->lock);
    HASH_ITER(hh, cache->entries, e, next)
    {
        if (memcmp(e->owner, digest, SHA256_BYTES) == 0)
            forget(cache, e);
    }
    pthread_mutex_unlock(&cache->lock);
}
