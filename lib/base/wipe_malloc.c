/* SPDX-License-Identifier: Apache-2.0
 *
 * wipe_malloc.c - free and realloc of the whole process wipe what they give back, so that a
 * library's copies of a secret (gRPC slices, curl buffers) go too. Linked into every program that
 * may hold a secret; left out under sanitizers, which bring an allocator of their own.
 */
#include "lib/base/wipe_malloc.h"

#include <malloc.h>
#include <string.h>

/* glibc's own, under names of ours. */
extern void libc_free(void *p) __asm__("__libc_free");
extern void *libc_malloc(size_t size) __asm__("__libc_malloc");

bool wipe_malloc_is_linked(void)
{
    return true;
}

void free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    libc_free(p);
}

/* Always moves when it grows: glibc's own realloc may move without wiping, or shrink and leave the
 * tail behind. */
void *realloc(void *old, size_t size)
{
    size_t have = old ? malloc_usable_size(old) : 0;
    void *fresh;

    if (old && size && size <= have && size >= have / 2) {
        explicit_bzero((char *)old + size, have - size);
        return old;
    }
    if (old && !size) {
        free(old);
        return NULL;
    }
    fresh = libc_malloc(size);
    if (!fresh || !old)
        return fresh;
    memcpy(fresh, old, have < size ? have : size);
    free(old);
    return fresh;
}
