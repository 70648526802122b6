/* SPDX-License-Identifier: Apache-2.0
 *
 * cleanup.h - ownership by scope: attributes, `take`, and an allocator that never fails.
 * Does not know any of the project's own types.
 */
#ifndef LOCKET_BASE_CLEANUP_H
#define LOCKET_BASE_CLEANUP_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define maybe_unused __attribute__((unused))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define autofree CLEANUP(free_at)   /* heap pointer, starts as NULL */
#define autoclose CLEANUP(close_at) /* file descriptor, starts as -1 */

static inline void free_at(void *slot)
{
    void *p;

    memcpy(&p, slot, sizeof(p)); /* any pointer type, no aliasing tricks */
    free(p);
}

static inline void close_at(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* Moves a pointer out of a variable, which is left empty so that its cleanup does nothing. */
#define take(p)                                                                                    \
    ({                                                                                             \
        __typeof__(p) *slot_ = &(p);                                                               \
        __typeof__(p) value_ = *slot_;                                                             \
        *slot_ = NULL;                                                                             \
        value_;                                                                                    \
    })

/* Moves a file descriptor out of a variable, which is left at -1. */
static inline int take_fd(int *fd)
{
    int value = *fd;

    *fd = -1;
    return value;
}

/* The allocator. Every size that comes from outside is bounded before it gets here, so running
 * out of memory means a broken machine: these end the process instead of returning NULL.
 * Ownership    the caller frees with free().
 */
void *xmalloc(size_t size) __attribute__((returns_nonnull, malloc));
void *xcalloc(size_t count, size_t size) __attribute__((returns_nonnull, malloc));
void *xrealloc(void *old, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((returns_nonnull, malloc));
char *xstrndup(const char *text, size_t len) __attribute__((returns_nonnull, malloc));
void *xmemdup(const void *bytes, size_t len) __attribute__((returns_nonnull, malloc));

/* Formats into a new string. Ownership: the caller frees. */
char *str_printf(const char *fmt, ...) printf_like(1, 2) __attribute__((returns_nonnull));

/* Does text begin with prefix? Does it end with suffix? Are both the same (NULL equals NULL)? */
int str_starts(const char *text, const char *prefix);
int str_ends(const char *text, const char *suffix);
int str_same(const char *a, const char *b);

#endif
