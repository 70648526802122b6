/* SPDX-License-Identifier: Apache-2.0
 *
 * strbuf.h - a growing byte string with a ceiling, wiped on grow and free when it is sensitive.
 * Does not know any encoding.
 */
#ifndef LOCKET_BASE_STRBUF_H
#define LOCKET_BASE_STRBUF_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/cleanup.h"
#include "lib/base/secret.h"

struct strbuf {
    char *text;     /* always NUL-terminated once something was added; NULL before */
    size_t len;     /* bytes without the final NUL */
    size_t room;    /* bytes allocated */
    size_t ceiling; /* most bytes it may hold; 0: STRBUF_CEILING */
    bool sensitive; /* wipe whenever memory is given back */
    bool overflow;  /* something did not fit below the ceiling: the content is to be discarded */
};

enum { STRBUF_CEILING = 64 << 20 }; /* bytes: sixteen of the largest messages that we accept */

#define autostrbuf CLEANUP(strbuf_done)

/* Frees (and wipes when sensitive); leaves an empty one with the same ceiling and mark. */
void strbuf_done(struct strbuf *b);

/* Adds bytes. Past the ceiling nothing is added any more and overflow is set for ever. */
void strbuf_add(struct strbuf *b, const void *bytes, size_t len);
void strbuf_add_text(struct strbuf *b, const char *text);
void strbuf_add_char(struct strbuf *b, char c);
void strbuf_printf(struct strbuf *b, const char *fmt, ...) printf_like(2, 3);

/* Empties without giving memory back (wiped when sensitive); overflow is cleared. */
void strbuf_reset(struct strbuf *b);

/* Moves the text out. Never NULL; "" when nothing was added. Ownership: the caller frees
 * (with wipe_free_text when it was sensitive). */
char *strbuf_take(struct strbuf *b);

/* Moves the content out as a secret. */
struct secret strbuf_take_secret(struct strbuf *b);

/* The text, "" when empty; borrowed until the next call. */
const char *strbuf_text(const struct strbuf *b);

#endif
