/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch_how.h - how a provider came by what it answers: told beside the answer, for an audit and
 * for metrics. Texts with a ceiling, of printable characters, and counts; never a secret. Does not
 * know what carries it.
 */
#ifndef LOCKET_MODEL_FETCH_HOW_H
#define LOCKET_MODEL_FETCH_HOW_H

#include <stdint.h>

enum { FETCH_HOW_TEXT_MAX = 256 }; /* bytes incl. the final NUL */

/* All zero: nothing is known. */
struct fetch_how {
    char store[FETCH_HOW_TEXT_MAX];       /* its address; empty: the provider does not tell */
    char auth_method[FETCH_HOW_TEXT_MAX]; /* such as auth/kubernetes */
    char role[FETCH_HOW_TEXT_MAX];
    char
        request[FETCH_HOW_TEXT_MAX]; /* the store's ids of the calls, with commas; those that fit */
    int64_t calls;                   /* of the store; 0: all was kept from before */
    int64_t logins;
    int64_t logins_failed;
    int64_t leases;             /* that the store gave */
    int64_t leases_kept;        /* that were given before and handed out again */
    int64_t leases_failed;      /* of those kept: a new one was due and could not be had */
    int64_t expires_at_unix_ms; /* of the first lease to end; 0: nothing was lent */
    int64_t own_versions; /* 1: no other process of the provider makes the same of the same bytes */
};

/* Copies what fits of a text; what is no printable ASCII becomes '?'. NULL is "". */
void fetch_how_text(char slot[FETCH_HOW_TEXT_MAX], const char *text);

/* Adds an id to a list, once, where it fits whole and is of letters, digits and "_.-". */
void fetch_how_add(char slot[FETCH_HOW_TEXT_MAX], const char *id);

/* An expiry; the first counts. */
void fetch_how_expires(struct fetch_how *how, int64_t at_unix_ms);

/* Says each member that is known, as what the other side takes. Texts live as long as the call. */
void fetch_how_each(const struct fetch_how *how,
                    void (*say)(void *arg, const char *key, const char *value), void *arg);

/* Takes what was said from outside: of a known key, a text that is printable and fits, a number
 * from 0 up. All else is left out. */
void fetch_how_take(struct fetch_how *how, const char *key, const char *value);

#endif
