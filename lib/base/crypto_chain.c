/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/crypto_chain.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>

#include "lib/base/encode.h"
#include "lib/base/fs.h"
#include "lib/base/number.h"

#define MEMBER_KEY ",\"key\":\""
#define MEMBER_PREV ",\"prev\":\""
#define MEMBER_HASH ",\"hash\":\""

enum {
    HASH_DIGITS = CHAIN_HASH_TEXT - 1,
    ID_DIGITS = CHAIN_KEY_ID_TEXT - 1,
    HEAD_DIGITS = 13,                                      /* 52 bits; a double has 53 */
    SEQ_DIGITS = 19,                                       /* of INT64_MAX */
    HASH_TAIL = sizeof(MEMBER_HASH) - 1 + HASH_DIGITS + 2, /* and "} */
    PREV_TAIL = sizeof(MEMBER_PREV) - 1 + HASH_DIGITS + 1, /* and " */
};

/* --- keys --- */

void chain_key_done(struct chain_key *key)
{
    secret_done(&key->lines);
    secret_done(&key->values);
    secret_done(&key->contents);
    *key = (struct chain_key){ 0 };
}

static void copy_hex(const void *bytes, size_t len, char *ret)
{
    struct strbuf hex CLEANUP(strbuf_done) = { 0 };

    hex_encode(&hex, bytes, len);
    memcpy(ret, strbuf_text(&hex), len * 2 + 1);
}

static int make_key(const struct secret *from, struct chain_key *ret, struct error *err)
{
    struct secret id CLEANUP(secret_done) = { 0 };

    if (hkdf_sha256(from, "locket audit: lines, v1", SHA256_BYTES, &ret->lines, err) < 0 ||
        hkdf_sha256(from, "locket audit: values, v1", SHA256_BYTES, &ret->values, err) < 0 ||
        hkdf_sha256(from, "locket sync: contents, v1", SHA256_BYTES, &ret->contents, err) < 0 ||
        hkdf_sha256(from, "locket audit: name of the key, v1", ID_DIGITS / 2, &id, err) < 0)
        return -1;
    copy_hex(id.bytes, id.len, ret->id);
    return 0;
}

int chain_key_read(const char *path, struct chain_key *ret, struct error *err)
{
    struct chain_key key CLEANUP(chain_key_done) = { 0 };
    struct secret file CLEANUP(secret_done) = { 0 };
    struct secret text;

    if (fs_read(AT_FDCWD, path, CHAIN_KEY_BYTES_MAX, true, &file, err) < 0)
        return -1;
    text = file; /* borrows */
    if (text.len && text.bytes[text.len - 1] == '\n')
        text.len--;
    if (text.len < CHAIN_KEY_BYTES_MIN)
        return error_set(err, CODE_INVALID_ARGUMENT, "%s has %zu bytes, a key has %d or more", path,
                         text.len, CHAIN_KEY_BYTES_MIN);
    if (make_key(&text, &key, err) < 0)
        return -1;
    *ret = key;
    key = (struct chain_key){ 0 };
    return 0;
}

static int digest_by(const struct secret *key, const void *bytes, size_t len,
                     char ret[CHAIN_HASH_TEXT], struct error *err)
{
    uint8_t digest[SHA256_BYTES];

    if (hmac_sha256(key, bytes, len, digest, err) < 0)
        return -1;
    copy_hex(digest, sizeof(digest), ret);
    return 0;
}

int chain_digest(const struct chain_key *key, const void *bytes, size_t len,
                 char ret[CHAIN_HASH_TEXT], struct error *err)
{
    return digest_by(&key->values, bytes, len, ret, err);
}

int chain_digest_contents(const struct chain_key *key, const void *bytes, size_t len,
                          char ret[CHAIN_HASH_TEXT], struct error *err)
{
    return digest_by(&key->contents, bytes, len, ret, err);
}

/* --- writing --- */

static int hash_of(const struct chain_key *key, const char *bytes, size_t len,
                   char ret[CHAIN_HASH_TEXT], struct error *err)
{
    uint8_t digest[SHA256_BYTES];

    if ((key ? hmac_sha256(&key->lines, bytes, len, digest, err)
             : sha256(bytes, len, digest, err)) < 0)
        return -1;
    copy_hex(digest, sizeof(digest), ret);
    return 0;
}

double chain_head_number(const struct chain_head *head)
{
    double number = 0;

    for (size_t i = 0; i < HEAD_DIGITS && head->hash[i]; i++)
        number =
            number * 16 + (head->hash[i] <= '9' ? head->hash[i] - '0' : head->hash[i] - 'a' + 10);
    return number;
}

static void first_prev(char prev[CHAIN_HASH_TEXT])
{
    memset(prev, '0', HASH_DIGITS);
    prev[HASH_DIGITS] = '\0';
}

int chain_add(const struct chain_head *head, const struct chain_key *key, const char *members,
              struct strbuf *out, struct chain_head *ret, struct error *err)
{
    struct strbuf line CLEANUP(strbuf_done) = { 0 };
    struct chain_head next = { .seq = head->seq + 1 };
    char prev[CHAIN_HASH_TEXT];

    assert(*members && strlen(members) <= CHAIN_LINE_MAX - CHAIN_FRAME_MAX);
    first_prev(prev);
    if (*head->hash)
        memcpy(prev, head->hash, sizeof(prev));
    strbuf_printf(&line, CHAIN_BEGIN "%" PRId64, next.seq);
    if (key)
        strbuf_printf(&line, MEMBER_KEY "%s\"", key->id);
    strbuf_printf(&line, ",%s" MEMBER_PREV "%s\"", members, prev);
    if (hash_of(key, line.text, line.len, next.hash, err) < 0)
        return -1;
    strbuf_printf(&line, MEMBER_HASH "%s\"}\n", next.hash);
    strbuf_add(out, line.text, line.len);
    *ret = next;
    return 0;
}

/* --- reading: no JSON is parsed, each of a line's ends has one form only --- */

struct cursor {
    const char *at;
    const char *end;
};

static bool skip(struct cursor *c, const char *text)
{
    size_t len = strlen(text);

    if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0)
        return false;
    c->at += len;
    return true;
}

static bool is_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Exactly `digits` hex digits in lower case. */
static bool read_hex(struct cursor *c, size_t digits, char *ret)
{
    if ((size_t)(c->end - c->at) < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (!is_digit(c->at[i]))
            return false;
        ret[i] = c->at[i];
    }
    ret[digits] = '\0';
    c->at += digits;
    return true;
}

static bool read_seq(struct cursor *c, int64_t *ret)
{
    char text[SEQ_DIGITS + 1] = { 0 };
    size_t len = 0;

    while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && len < SEQ_DIGITS)
        text[len++] = *c->at++;
    return *text != '0' && number_parse(text, 1, INT64_MAX, ret, NULL) == 0;
}

static bool read_place(const char *line, size_t len, struct chain_line *ret)
{
    struct cursor front = { line, line + len - HASH_TAIL - PREV_TAIL };
    struct cursor back = { front.end, line + len };

    if (!skip(&front, CHAIN_BEGIN) || !read_seq(&front, &ret->self.seq))
        return false;
    if (skip(&front, MEMBER_KEY) &&
        !(read_hex(&front, ID_DIGITS, ret->key_id) && skip(&front, "\"")))
        return false;
    return skip(&front, ",") && front.at < front.end && skip(&back, MEMBER_PREV) &&
           read_hex(&back, HASH_DIGITS, ret->prev) && skip(&back, "\"" MEMBER_HASH) &&
           read_hex(&back, HASH_DIGITS, ret->self.hash) && skip(&back, "\"}");
}

int chain_line_read(const char *line, size_t len, struct chain_line *ret, struct error *err)
{
    struct chain_line read = { 0 };

    if (len < sizeof(CHAIN_BEGIN) + HASH_TAIL + PREV_TAIL || len > CHAIN_LINE_MAX ||
        !read_place(line, len, &read))
        return error_set(err, CODE_INVALID_ARGUMENT, "is no line of an audit chain");
    *ret = read;
    return 0;
}

int chain_line_check(const char *line, size_t len, const struct chain_key *key, bool *ret,
                     struct error *err)
{
    struct chain_line place;
    char hash[CHAIN_HASH_TEXT];

    if (chain_line_read(line, len, &place, err) < 0 ||
        hash_of(key, line, len - HASH_TAIL, hash, err) < 0)
        return -1;
    *ret = strcmp(hash, place.self.hash) == 0 && strcmp(place.key_id, key ? key->id : "") == 0;
    return 0;
}

bool chain_is_first(const struct chain_line *line)
{
    char none[CHAIN_HASH_TEXT];

    first_prev(none);
    return strcmp(line->prev, none) == 0;
}
