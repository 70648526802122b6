/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/secret.h"

void secret_done(struct secret *s)
{
    wipe_free(s->bytes, s->len);
    *s = (struct secret){ 0 };
}

struct secret secret_copy(const void *bytes, size_t len)
{
    if (!len)
        return (struct secret){ 0 };
    return (struct secret){ .bytes = xmemdup(bytes, len), .len = len };
}

struct secret secret_dup(const struct secret *s)
{
    return secret_copy(s->bytes, s->len);
}

struct secret secret_take(struct secret *s)
{
    struct secret moved = *s;

    *s = (struct secret){ 0 };
    return moved;
}

struct secret secret_adopt(void *heap, size_t len)
{
    return (struct secret){ .bytes = heap, .len = len };
}

bool secret_same(const struct secret *a, const struct secret *b)
{
    volatile uint8_t differs = 0;

    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        differs = (uint8_t)(differs | (a->bytes[i] ^ b->bytes[i]));
    return differs == 0;
}

void wipe_free(void *p, size_t size)
{
    if (p && size)
        explicit_bzero(p, size);
    free(p);
}

void wipe_free_text(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void wipe_text_at(char **slot)
{
    wipe_free_text(*slot);
    *slot = NULL;
}
