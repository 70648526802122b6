/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/sealed.h"

#include <errno.h>
#include <sys/random.h>

static void fill_random(uint8_t *bytes, size_t len)
{
    while (len) {
        ssize_t n = getrandom(bytes, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            abort();
        bytes += n;
        len -= (size_t)n;
    }
}

void sealed_set(struct sealed *s, const void *bytes, size_t len)
{
    const uint8_t *plain = bytes;

    sealed_done(s);
    if (!len)
        return;
    s->pad = xmalloc(len);
    s->masked = xmalloc(len);
    s->len = len;
    fill_random(s->pad, len);
    for (size_t i = 0; i < len; i++)
        s->masked[i] = plain[i] ^ s->pad[i];
}

struct secret sealed_open(const struct sealed *s)
{
    struct secret plain = { 0 };

    if (!s->len)
        return plain;
    plain = secret_adopt(xmalloc(s->len), s->len);
    for (size_t i = 0; i < s->len; i++)
        plain.bytes[i] = s->masked[i] ^ s->pad[i];
    return plain;
}

bool sealed_holds(const struct sealed *s, const void *bytes, size_t len)
{
    const uint8_t *plain = bytes;
    uint8_t differs = 0;

    if (s->len != len)
        return false;
    for (size_t i = 0; i < len; i++)
        differs = (uint8_t)(differs | (plain[i] ^ s->masked[i] ^ s->pad[i]));
    return differs == 0;
}

void sealed_done(struct sealed *s)
{
    wipe_free(s->pad, s->len);
    wipe_free(s->masked, s->len);
    *s = (struct sealed){ 0 };
}
