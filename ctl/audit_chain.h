/* SPDX-License-Identifier: Apache-2.0
 *
 * audit_chain.h - is a text of audit lines the chain that was written, and where is it not?
 * Does not know where the text comes from, nor how the answer is shown.
 */
#ifndef LOCKET_CTL_AUDIT_CHAIN_H
#define LOCKET_CTL_AUDIT_CHAIN_H

#include <stdio.h>

#include "lib/base/crypto_chain.h"

/* One check over one or several files, in the order they were written. */
struct audit_chain {              /* starts as { .keys = ... } */
    const struct chain_key *keys; /* borrowed; with any, every line must have one of them */
    size_t key_count;
    const char *head; /* a hash, or how it begins, that was noted elsewhere; NULL: none */
    bool mixed;       /* pass over lines that do not begin as a chain's do */

    /* Found so far */
    struct chain_line first;
    struct chain_head last;
    int64_t lines;
    int64_t others;  /* passed over */
    int64_t starts;  /* of the program that wrote it */
    int64_t dropped; /* accesses that the chain itself says it has no line of */
    bool head_found;
    /* Of the stream at hand */
    int64_t at; /* number of the line that was read last, from 1 */
};

/* Reads all lines of a stream; name: for errors.
 * Errors: DATA_LOSS `name:line: what is wrong` at the first line that is not as it was written or
 * does not follow the one before; INVALID_ARGUMENT naming a key that is not given. */
must_check int audit_chain_read(struct audit_chain *c, FILE *from, const char *name,
                                struct error *err);

/* After the last stream. DATA_LOSS: no lines, or none has the head that was asked for. */
must_check int audit_chain_end(const struct audit_chain *c, struct error *err);

#endif
