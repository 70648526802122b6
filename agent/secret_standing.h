/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_standing.h - how the Secrets that one volume's class wishes for stand: what failed, when
 * each is tried again, and what people were told. Takes no lock. Does not know who writes them, nor
 * volumes.
 */
#ifndef LOCKET_AGENT_SECRET_STANDING_H
#define LOCKET_AGENT_SECRET_STANDING_H

#include "agent/secret_apply.h"

enum {
    SECRET_RETRY_MS = 1000,                /* what failed; doubled up to */
    SECRET_RETRY_MAX_MS = 60 * 1000,       /* this */
    SECRET_DENIED_MS = 10 * 1000,          /* what was refused, if nothing changes; up to */
    SECRET_DENIED_MAX_MS = 60 * 60 * 1000, /* this */
    SECRET_QUIET_FAILURES = 3,             /* to reach anybody are nobody's news */
};

struct secret_standing {
    char *secret;          /* its name */
    char *told;            /* why it is not as wished, as people were told; NULL: nothing was */
    int failures;          /* in a row */
    int64_t not_before_ms; /* clock_mono_ms() of its next try; 0: at any time */
    bool owned;            /* the last try ended well: it is there, and its owners are on it */
};

struct secret_standings {
    struct secret_standing *list;
    size_t count;
};

/* Frees; { 0 } afterwards. */
void secret_standings_done(struct secret_standings *standings);

/* That of a Secret, new where it was not known. Borrowed until the next call. */
struct secret_standing *secret_standing_of(struct secret_standings *standings, const char *secret);

/* Another thing is wished for: what was refused may be taken now, and is worth telling of again. */
void secret_standings_forgive(struct secret_standings *standings);

/* Those whose last try failed. */
size_t secret_standings_behind(const struct secret_standings *standings);

/* What a try of one came to. */
struct secret_try {
    enum secret_result result;
    const struct error *err; /* borrowed; code OK: it is as wished */
    int64_t check_ms;        /* how often one that is as wished is looked at; +-25 % */
    bool unanswered;         /* the server answers nobody: whoever finds out that it does, comes */
    bool is_past;            /* another thing is wished for by now: this holds that not back */
};

/* Notes it. *ret_news: is it news to people? Milliseconds until it is to be looked at again. */
int64_t secret_standing_settle(struct secret_standing *standing, const struct secret_try *try,
                               bool *ret_news);

#endif
