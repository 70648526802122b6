/* SPDX-License-Identifier: Apache-2.0
 *
 * crypto_chain.h - lines of JSON that hold on to each other: each ends with the hash of the line
 * before it and its own, so that none can be changed, taken out or put in unseen.
 * Does not know what the lines tell, nor where they are kept.
 *
 *   {"audit":1,"seq":7,"key":"5f0c...",<members>,"prev":"<64 hex>","hash":"<64 hex>"}
 *
 * hash is that of all bytes before `,"hash":`: HMAC-SHA256 with a key, SHA-256 and no "key"
 * without. Without a key a chain shows mistakes alone: who may write the file can make it anew.
 */
#ifndef LOCKET_BASE_CRYPTO_CHAIN_H
#define LOCKET_BASE_CRYPTO_CHAIN_H

#include <stdbool.h>

#include "lib/base/crypto.h"
#include "lib/base/strbuf.h"

/* Every line of a chain, and nothing else, begins so. */
#define CHAIN_BEGIN "{\"audit\":1,\"seq\":"

enum {
    CHAIN_HASH_TEXT = 2 * SHA256_BYTES + 1, /* hex and NUL */
    CHAIN_KEY_ID_TEXT = 17,
    CHAIN_LINE_MAX = 64 << 10, /* bytes: four of the pieces that containers' logs have */
    CHAIN_FRAME_MAX = 256,     /* of these, what stands around the members */
    CHAIN_KEY_BYTES_MIN = 32,  /* as many as the hash has */
    CHAIN_KEY_BYTES_MAX = 4096,
};

/* What one key file gives: a key for each use. */
struct chain_key {
    struct secret lines;        /* seals lines */
    struct secret values;       /* digests values: chain_digest */
    struct secret contents;     /* digests what Secrets hold: chain_digest_contents */
    char id[CHAIN_KEY_ID_TEXT]; /* tells keys apart, and tells nothing of them */
};

#define autochainkey CLEANUP(chain_key_done)
/* Wipes; { 0 } afterwards. */
void chain_key_done(struct chain_key *key);

/* Reads a key file: any bytes; one line break at its end is no part of it. Ownership:
 * chain_key_done. Errors: of fs_read; INVALID_ARGUMENT under CHAIN_KEY_BYTES_MIN. */
must_check int chain_key_read(const char *path, struct chain_key *ret, struct error *err);

/* The keyed digest of a value, as hex: the same for the same value, and for nobody without the key
 * a way to try values. */
must_check int chain_digest(const struct chain_key *key, const void *bytes, size_t len,
                            char ret[CHAIN_HASH_TEXT], struct error *err);

/* The same of all that a Secret holds, by a key of its own. */
must_check int chain_digest_contents(const struct chain_key *key, const void *bytes, size_t len,
                                     char ret[CHAIN_HASH_TEXT], struct error *err);

/* Where a chain stands: its last line. { 0 }: none yet. */
struct chain_head {
    int64_t seq;
    char hash[CHAIN_HASH_TEXT]; /* "" before the first line */
};

/* The first 52 bits of a head's hash as a number that a gauge holds without rounding: the first 13
 * hex digits. 0 when there is none. */
double chain_head_number(const struct chain_head *head);

/* Appends the next line, with its line break, to out. members: the inside of an object, not empty,
 * without line breaks, at most CHAIN_LINE_MAX - CHAIN_FRAME_MAX bytes. key: NULL for SHA-256.
 * *ret: the head with it; may be head itself. */
must_check int chain_add(const struct chain_head *head, const struct chain_key *key,
                         const char *members, struct strbuf *out, struct chain_head *ret,
                         struct error *err);

/* What a line says of its place. */
struct chain_line {
    struct chain_head self;
    char prev[CHAIN_HASH_TEXT];
    char key_id[CHAIN_KEY_ID_TEXT]; /* "": SHA-256 */
};

/* Reads it from a line without its line break. INVALID_ARGUMENT: it is no line of a chain. */
must_check int chain_line_read(const char *line, size_t len, struct chain_line *ret,
                               struct error *err);

/* Is it as it was written? key: the one of its key_id, or NULL. *ret: the answer. */
must_check int chain_line_check(const char *line, size_t len, const struct chain_key *key,
                                bool *ret, struct error *err);

/* The hash that stands for "nothing before": prev of a chain's first line. */
bool chain_is_first(const struct chain_line *line);

#endif
