/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/encode.h"

#include <ctype.h>

static const char std_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const char *letters_of(enum base64_alphabet alphabet)
{
    return alphabet == BASE64_STD ? std_letters : url_letters;
}

void base64_encode(enum base64_alphabet alphabet, struct strbuf *out, const void *bytes, size_t len)
{
    const char *letters = letters_of(alphabet);
    const uint8_t *in = bytes;

    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t three = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (left > 2 ? in[i + 2] : 0U);
        char four[4] = {
            letters[three >> 18 & 63],
            letters[three >> 12 & 63],
            (char)(left > 1 ? letters[three >> 6 & 63] : '='),
            (char)(left > 2 ? letters[three & 63] : '='),
        };

        strbuf_add(out, four, alphabet == BASE64_URL_RAW && left < 3 ? left + 1 : 4);
    }
}

static int base64_value(const char *letters, char c)
{
    const char *at = c ? strchr(letters, c) : NULL;

    return at ? (int)(at - letters) : -1;
}

/* The length without padding; -1 when the padding is not what the alphabet wants. */
static ssize_t base64_body(enum base64_alphabet alphabet, const char *text, size_t len)
{
    size_t body = len;

    if (alphabet == BASE64_URL_RAW)
        return len % 4 == 1 ? -1 : (ssize_t)len;
    while (body && text[body - 1] == '=' && len - body < 2)
        body--;
    return len % 4 != 0 || body % 4 == 1 ? -1 : (ssize_t)body;
}

int base64_decode(enum base64_alphabet alphabet, const char *text, size_t len, struct secret *ret,
                  struct error *err)
{
    const char *letters = letters_of(alphabet);
    ssize_t body = base64_body(alphabet, text, len);
    struct secret out CLEANUP(secret_done) = { 0 };
    uint32_t bits = 0;
    int held = 0;

    if (body < 0)
        return error_set(err, CODE_INVALID_ARGUMENT, "not base64: wrong length or padding");
    out = secret_adopt(xmalloc((size_t)body + 1), 0);
    for (ssize_t i = 0; i < body; i++) {
        int value = base64_value(letters, text[i]);

        if (value < 0)
            return error_set(err, CODE_INVALID_ARGUMENT, "not base64 at byte %zd", i);
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out.bytes[out.len++] = (uint8_t)(bits >> held);
#ifdef PLANTED
            /* The fuzzers' positive control: an overrun that is found in seconds or the fuzzing
             * proves nothing. */
            if (out.len == 3 && out.bytes[0] == 'b')
                out.bytes[(size_t)body + 1 + out.len] = 0;
#endif
            bits &= (1U << held) - 1;
        }
    }
    if (bits)
        return error_set(err, CODE_INVALID_ARGUMENT, "not base64: the last bits are not zero");
    *ret = out.len ? secret_take(&out) : (struct secret){ 0 };
    return 0;
}

int hex_decode(const char *text, size_t len, struct secret *ret, struct error *err)
{
    static const char digits[] = "0123456789abcdef";
    struct secret out CLEANUP(secret_done) = { 0 };

    if (len % 2)
        return error_set(err, CODE_INVALID_ARGUMENT, "not hex: odd number of digits");
    out = secret_adopt(xmalloc(len / 2 + 1), 0);
    for (size_t i = 0; i < len; i += 2) {
        const char *high = text[i] ? strchr(digits, tolower((unsigned char)text[i])) : NULL;
        const char *low = text[i + 1] ? strchr(digits, tolower((unsigned char)text[i + 1])) : NULL;

        if (!high || !low)
            return error_set(err, CODE_INVALID_ARGUMENT, "not hex at byte %zu", i);
        out.bytes[out.len++] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    *ret = out.len ? secret_take(&out) : (struct secret){ 0 };
    return 0;
}

void hex_encode(struct strbuf *out, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = bytes;

    for (size_t i = 0; i < len; i++) {
        strbuf_add_char(out, digits[in[i] >> 4]);
        strbuf_add_char(out, digits[in[i] & 15]);
    }
}

void url_encode(struct strbuf *out, const char *text, bool keep_slash)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (isalnum(c) || strchr("-._~", c) || (c == '/' && keep_slash))
            strbuf_add_char(out, (char)c);
        else
            strbuf_printf(out, "%%%02X", c);
    }
}

/* First bytes, how long the sequence is, and what its second byte may be.
 * Source: Unicode 15, table 3-7. */
static const struct {
    uint8_t from, to;
    uint8_t need;
    uint8_t low, high;
} sequences[] = {
    { 0xc2, 0xdf, 2, 0x80, 0xbf }, { 0xe0, 0xe0, 3, 0xa0, 0xbf }, { 0xe1, 0xec, 3, 0x80, 0xbf },
    { 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf }, { 0xf0, 0xf0, 4, 0x90, 0xbf },
    { 0xf1, 0xf3, 4, 0x80, 0xbf }, { 0xf4, 0xf4, 4, 0x80, 0x8f },
};

/* Are the bytes behind the first those of row i? */
static bool has_tail(const uint8_t *s, size_t left, size_t i)
{
    if (left < sequences[i].need || s[1] < sequences[i].low || s[1] > sequences[i].high)
        return false;
    for (size_t k = 2; k < sequences[i].need; k++)
        if ((s[k] & 0xc0) != 0x80)
            return false;
    return true;
}

size_t utf8_next(const void *bytes, size_t left)
{
    const uint8_t *s = bytes;

    if (s[0] < 0x80)
        return 1;
    for (size_t i = 0; i < COUNT_OF(sequences); i++)
        if (s[0] >= sequences[i].from && s[0] <= sequences[i].to)
            return has_tail(s, left, i) ? sequences[i].need : 0;
    return 0;
}

bool utf8_is_valid(const void *bytes, size_t len)
{
    const uint8_t *s = bytes;

    while (len) {
        size_t used = utf8_next(s, len);

        if (!used)
            return false;
        s += used;
        len -= used;
    }
    return true;
}

uint32_t crc32_update(uint32_t crc, const void *bytes, size_t len)
{
    const uint8_t *in = bytes;

    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= in[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
    }
    return ~crc;
}
