/* SPDX-License-Identifier: Apache-2.0
 *
 * token_cache.h - login tokens by identity, sealed, renewed before they expire, one login at a
 * time. Does not know how one logs in.
 */
#ifndef LOCKET_PROVIDERS_VAULT_TOKEN_CACHE_H
#define LOCKET_PROVIDERS_VAULT_TOKEN_CACHE_H

#include "lib/base/error.h"
#include "lib/base/secret.h"

struct token_cache;

/* At most most entries; the longest unused goes first. 0: nothing is kept. */
struct token_cache *token_cache_new(size_t most);
void token_cache_free(struct token_cache *cache);

struct login {
    struct secret token;
    int64_t lease_ms; /* 0: it does not expire */
};

/* The token of an identity. When there is none, or a third of its life is left, login is called,
 * with no other login for the same identity at the same time. Ownership: *ret is a copy, by
 * secret_done. Errors: login's, when no usable token is left. */
struct token_wish {
    const char *identity; /* any text; a digest of it is kept */
    int (*login)(void *arg, struct login *ret, struct error *err);
    void *arg;
};
must_check int token_cache_get(struct token_cache *cache, const struct token_wish *wish,
                               struct secret *ret, bool *ret_cached, struct error *err);

/* Forgets the token of an identity. */
void token_cache_drop(struct token_cache *cache, const char *identity);

#endif
