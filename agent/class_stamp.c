/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/class_stamp.h"

#include <inttypes.h>

#include "lib/base/crypto.h"
#include "lib/base/encode.h"

enum { DIGEST_BYTES = 16 };

/* Lengths keep what stands side by side apart. */
static void add(struct strbuf *out, const char *text)
{
    strbuf_printf(out, "%zu:%s", strlen(text), text);
}

char *class_stamp(const struct class *class, const char *uid)
{
    struct strbuf text autostrbuf = { 0 };
    struct strbuf stamp autostrbuf = { 0 };
    uint8_t digest[SHA256_BYTES] = { 0 };

    add(&text, class->provider);
    strbuf_printf(&text, "%" PRId64 " %d ", class->rotation_interval_ms, class->has_parameters);
    for (size_t i = 0; i < class->parameters.count; i++) { /* a server sorts the keys of a map */
        add(&text, class->parameters.items[i].key);
        add(&text, class->parameters.items[i].value);
    }
    (void)!sha256(text.text, text.len, digest, NULL);
    strbuf_printf(&stamp, "%s/", uid ? uid : "");
    hex_encode(&stamp, digest, DIGEST_BYTES);
    return strbuf_take(&stamp);
}
