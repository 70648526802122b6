/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as base64, hex and UTF-8: what is decoded encodes to the same text, and the other way.
 * Holds the positive control: with -DPLANTED base64_decode overruns its buffer.
 */
/* COVERS: lib/base/encode.c */
#include <assert.h>
#include <ctype.h>

#include "lib/base/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_base64(enum base64_alphabet alphabet, const char *text, size_t len)
{
    struct strbuf coded CLEANUP(strbuf_done) = { 0 };
    struct secret plain CLEANUP(secret_done) = { 0 };

    if (base64_decode(alphabet, text, len, &plain, NULL) == 0) {
        base64_encode(alphabet, &coded, plain.bytes, plain.len);
        assert(coded.len == len && memcmp(strbuf_text(&coded), text, len) == 0);
    }
    strbuf_reset(&coded);
    secret_done(&plain);
    base64_encode(alphabet, &coded, text, len);
    assert(base64_decode(alphabet, strbuf_text(&coded), coded.len, &plain, NULL) == 0);
    assert(plain.len == len && (!len || memcmp(plain.bytes, text, len) == 0));
}

static void check_hex(const char *text, size_t len)
{
    struct strbuf coded CLEANUP(strbuf_done) = { 0 };
    struct secret plain CLEANUP(secret_done) = { 0 };

    if (hex_decode(text, len, &plain, NULL) < 0)
        return;
    hex_encode(&coded, plain.bytes, plain.len);
    assert(coded.len == len);
    for (size_t i = 0; i < len; i++)
        assert(coded.text[i] == tolower((unsigned char)text[i]));
}

/* UTF-8 by its definition rather than by the table: decode, then compare with the shortest form. */
static size_t slow_utf8(const uint8_t *s, size_t left)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t need = s[0] < 0x80             ? 1
                  : (s[0] & 0xe0) == 0xc0 ? 2
                  : (s[0] & 0xf0) == 0xe0 ? 3
                  : (s[0] & 0xf8) == 0xf0 ? 4
                                          : 0;
    uint32_t point;

    if (need < 2)
        return need;
    if (left < need)
        return 0;
    point = s[0] & (0xffU >> (need + 1));
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    return point < least[need] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? 0
                                                                                          : need;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autofree char *text = xmemdup(bytes, len);
    autofree char *string = xstrndup((const char *)bytes, len);
    struct strbuf url CLEANUP(strbuf_done) = { 0 };

    check_base64(BASE64_STD, text, len);
    check_base64(BASE64_URL, text, len);
    check_base64(BASE64_URL_RAW, text, len);
    check_hex(text, len);
    for (size_t i = 0; i < len; i++)
        assert(utf8_next(text + i, len - i) == slow_utf8(bytes + i, len - i));
    url_encode(&url, string, false);
    assert(!strpbrk(strbuf_text(&url), "/?#&=+ \"<>"));
    assert(crc32_update(crc32_update(0, text, len / 2), text + len / 2, len - len / 2) ==
           crc32_update(0, text, len));
    return 0;
}
