/* SPDX-License-Identifier: Apache-2.0
 *
 * encode.h - base64 (both alphabets), hex, URL percent encoding, UTF-8 and CRC-32. Needs no
 * library, so that the privileged program can read a token's claims without linking one.
 */
#ifndef LOCKET_BASE_ENCODE_H
#define LOCKET_BASE_ENCODE_H

#include <stdbool.h>

#include "lib/base/error.h"
#include "lib/base/secret.h"
#include "lib/base/strbuf.h"

enum base64_alphabet {
    BASE64_STD,     /* "+/", padding required */
    BASE64_URL,     /* "-_", padding required */
    BASE64_URL_RAW, /* "-_", no padding: JWT */
};

/* Decodes; strict (no white space, canonical trailing bits). INVALID_ARGUMENT otherwise. */
must_check int base64_decode(enum base64_alphabet alphabet, const char *text, size_t len,
                             struct secret *ret, struct error *err);
void base64_encode(enum base64_alphabet alphabet, struct strbuf *out, const void *bytes,
                   size_t len);

/* The same in hexadecimal: either case is read, lower case is written. */
must_check int hex_decode(const char *text, size_t len, struct secret *ret, struct error *err);
void hex_encode(struct strbuf *out, const void *bytes, size_t len);

/* Percent-encodes all but unreserved characters (and '/' when keep_slash). */
void url_encode(struct strbuf *out, const char *text, bool keep_slash);

/* Is it well-formed UTF-8 (no surrogates, no overlong forms)? */
bool utf8_is_valid(const void *bytes, size_t len);

/* Bytes of the well-formed character at the start (1 to 4); 0: there is none. `left` is at least 1.
 * Source: Unicode 15, table 3-7. */
size_t utf8_next(const void *bytes, size_t left);

/* CRC-32 (IEEE 802.3) of the bytes, continuing from `crc` (0 at first). */
uint32_t crc32_update(uint32_t crc, const void *bytes, size_t len);

#endif
