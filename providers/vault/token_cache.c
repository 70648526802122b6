/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/vault/token_cache.h"

#include <pthread.h>
/* The default has a fall-through that clang warns of. */
#define HASH_FUNCTION HASH_FNV
#define uthash_fatal(msg) abort()
#include <uthash.h>

#include "lib/base/clock.h"
#include "lib/base/crypto.h"
#include "lib/base/sealed.h"

/* An identity holds a jwt's role, a pod's uid and perhaps an AppRole id: only its digest is kept.
 */
struct entry {
    uint8_t digest[SHA256_BYTES]; /* key */
    struct sealed token;
    int64_t renew_at_ms;   /* monotonic; two thirds of its life */
    int64_t expires_at_ms; /* INT64_MAX: never */
    int64_t used_at_ms;
    bool logging_in; /* others wait */
    size_t users;    /* threads that hold a pointer */
    UT_hash_handle hh;
};

struct token_cache {
    pthread_mutex_t lock;
    pthread_cond_t logged_in;
    struct entry *entries; /* guarded by lock */
    size_t most;
};

struct token_cache *token_cache_new(size_t most)
{
    struct token_cache *cache = xcalloc(1, sizeof(*cache));

    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->logged_in, NULL);
    cache->most = most;
    return cache;
}

static void entry_free(struct token_cache *cache, struct entry *e)
{
    HASH_DELETE(hh, cache->entries, e);
    sealed_done(&e->token);
    free(e);
}

void token_cache_free(struct token_cache *cache)
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
    pthread_cond_destroy(&cache->logged_in);
    free(cache);
}

/* Makes room by the longest unused entry that nobody holds. Caller holds the lock. */
static void evict(struct token_cache *cache)
{
    struct entry *oldest = NULL;
    struct entry *e;
    struct entry *next;

    HASH_ITER(hh, cache->entries, e, next)
    {
        if (!e->users && (!oldest || e->used_at_ms < oldest->used_at_ms))
            oldest = e;
    }
    if (oldest && HASH_COUNT(cache->entries) > cache->most)
        entry_free(cache, oldest);
}

static struct entry *entry_of(struct token_cache *cache, const uint8_t digest[SHA256_BYTES])
{
    struct entry *e = NULL;

    HASH_FIND(hh, cache->entries, digest, SHA256_BYTES, e);
    if (e)
        return e;
    e = xcalloc(1, sizeof(*e));
    memcpy(e->digest, digest, SHA256_BYTES);
    HASH_ADD(hh, cache->entries, digest, SHA256_BYTES, e);
    return e;
}

static void keep(struct entry *e, const struct login *login)
{
    int64_t now = clock_mono_ms();

    sealed_set(&e->token, login->token.bytes, login->token.len);
    e->expires_at_ms = login->lease_ms ? now + login->lease_ms : INT64_MAX;
    e->renew_at_ms = login->lease_ms ? now + login->lease_ms / 3 * 2 : INT64_MAX;
}

/* Logs in with the lock released; others that want the same identity wait. Caller holds the lock.
 */
static int log_in(struct token_cache *cache, struct entry *e, const struct token_wish *wish,
                  struct error *err)
{
    struct login login = { 0 };
    int result;

    e->logging_in = true;
    pthread_mutex_unlock(&cache->lock);
    result = wish->login(wish->arg, &login, err);
    pthread_mutex_lock(&cache->lock);
    e->logging_in = false;
    (void)pthread_cond_broadcast(&cache->logged_in);
    if (result == 0)
        keep(e, &login);
    secret_done(&login.token);
    return result;
}

static int get(struct token_cache *cache, struct entry *e, const struct token_wish *wish,
               bool *ret_cached, struct error *err)
{
    while (e->logging_in)
        (void)pthread_cond_wait(&cache->logged_in, &cache->lock);
    *ret_cached = e->token.len && clock_mono_ms() < e->renew_at_ms;
    if (*ret_cached || log_in(cache, e, wish, err) == 0)
        return 0;
    /* The login failed, but what we have lives a little longer. */
    *ret_cached = e->token.len && clock_mono_ms() < e->expires_at_ms;
    return *ret_cached ? 0 : -1;
}

int token_cache_get(struct token_cache *cache, const struct token_wish *wish, struct secret *ret,
                    bool *ret_cached, struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    struct error mine = { 0 };
    struct entry *e;
    int result;

    if (sha256(wish->identity, strlen(wish->identity), digest, err) < 0)
        return -1;
    pthread_mutex_lock(&cache->lock);
    e = entry_of(cache, digest);
    e->users++;
    e->used_at_ms = clock_mono_ms();
    result = get(cache, e, wish, ret_cached, &mine);
    if (result == 0)
        *ret = sealed_open(&e->token);
    if (--e->users == 0 && !e->token.len)
        entry_free(cache, e);
    evict(cache);
    pthread_mutex_unlock(&cache->lock);
    return result < 0 ? error_copy(err, &mine) : 0;
}

void token_cache_drop(struct token_cache *cache, const char *identity)
{
    uint8_t digest[SHA256_BYTES];
    struct entry *e = NULL;

    if (sha256(identity, strlen(identity), digest, NULL) < 0)
        return;
    pthread_mutex_lock(&cache->lock);
    HASH_FIND(hh, cache->entries, digest, SHA256_BYTES, e);
    if (e)
        sealed_done(&e->token);
    if (e && !e->users)
        entry_free(cache, e);
    pthread_mutex_unlock(&cache->lock);
}
