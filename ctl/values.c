/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/values.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"

enum { EXPIRY_DIGITS_MAX = 12 /* seconds; the year 33658 */ };

static void close_file(FILE **f)
{
    if (*f)
        (void)fclose(*f);
}

static int read_stream(FILE *f, const char *name, size_t bytes_max, struct strbuf *ret,
                       struct error *err)
{
    char piece[4096];
    size_t got;

    do {
        got = fread(piece, 1, sizeof(piece), f);
        strbuf_add(ret, piece, got);
    } while (got == sizeof(piece) && ret->len <= bytes_max);
    explicit_bzero(piece, sizeof(piece));
    if (ferror(f))
        return error_sys(err, errno, "read %s", name);
    if (ret->len > bytes_max)
        return error_set(err, CODE_INVALID_ARGUMENT, "%s is larger than %zu bytes", name,
                         bytes_max);
    if (ret->len && (memchr(ret->text, 0, ret->len) || !utf8_is_valid(ret->text, ret->len)))
        return error_set(err, CODE_INVALID_ARGUMENT, "%s is no UTF-8 text", name);
    return 0;
}

int values_read(struct values *v, const char *file, struct strbuf *ret, struct error *err)
{
    FILE *f CLEANUP(close_file) = NULL;
    size_t bytes_max = v->bytes_max ? v->bytes_max : (size_t)VALUE_BYTES_MAX;

    ret->sensitive = true;
    if (strcmp(file, "-") == 0) {
        if (v->input_read)
            return ctl_usage(err, "standard input can be read for one value only");
        v->input_read = true;
        return read_stream(v->ctl->in, "standard input", bytes_max, ret, err);
    }
    f = fopen(file, "re");
    if (!f)
        return error_sys(err, errno, "open %s", file);
    return read_stream(f, file, bytes_max, ret, err);
}

int values_add_secret(struct values *v, const char *text, struct pairs *secrets, struct error *err)
{
    const char *equals = strchr(text, '=');
    autofree char *key = xstrndup(text, equals ? (size_t)(equals - text) : 0);
    struct strbuf value CLEANUP(strbuf_done) = { .sensitive = true };

    if (!equals || !*key || !equals[1])
        return ctl_usage(err, "--secret takes KEY=FILE (or KEY=- for standard input)");
    if (pairs_get(secrets, key))
        return ctl_usage(err, "--secret %.100s is given twice", key);
    if (values_read(v, equals + 1, &value, err) < 0)
        return -1;
    pairs_set(secrets, key, strbuf_text(&value));
    return 0;
}

/* Seconds to milliseconds, of a number as JSON spells it; fractions are cut. */
static int64_t seconds_to_ms(const char *text)
{
    int64_t seconds = 0;
    size_t digits = strspn(text, "0123456789");

    if (!digits || digits > EXPIRY_DIGITS_MAX || (text[digits] && text[digits] != '.'))
        return 0;
    for (size_t i = 0; i < digits; i++)
        seconds = seconds * 10 + (text[i] - '0');
    return seconds * MS_PER_S;
}

int64_t values_token_expiry_ms(const char *token)
{
    const char *start = strchr(token, '.');
    const char *end = start ? strchr(start + 1, '.') : NULL;
    struct secret claims autosecret = { 0 };
    struct tree *t autotree = NULL;
    const struct tree *expiry;

    if (!end ||
        base64_decode(BASE64_URL_RAW, start + 1, (size_t)(end - start - 1), &claims, NULL) < 0)
        return 0;
    if (json_parse((const char *)claims.bytes, claims.len, &t, NULL) < 0)
        return 0;
    expiry = tree_get(t, "exp");
    return expiry && expiry->kind == TREE_NUMBER ? seconds_to_ms(expiry->text) : 0;
}

static void trim(struct strbuf *b)
{
    while (b->len && strchr(" \t\r\n", b->text[b->len - 1]))
        b->text[--b->len] = '\0';
}

static void add_token(struct strbuf *out, const char *audience, const struct strbuf *token)
{
    int64_t expiry_ms = values_token_expiry_ms(strbuf_text(token));
    char stamp[CLOCK_STAMP_MAX];

    strbuf_add_char(out, out->len ? ',' : '{');
    json_add_text(out, audience, strlen(audience));
    strbuf_add_text(out, ":{\"token\":");
    json_add_text(out, strbuf_text(token), token->len);
    if (expiry_ms) {
        stamp_format(expiry_ms, stamp);
        strbuf_printf(out, ",\"expirationTimestamp\":\"%s\"", stamp);
    }
    strbuf_add_char(out, '}');
}

int values_tokens(struct values *v, const struct option_texts *tokens, struct strbuf *out,
                  struct error *err)
{
    struct pairs seen CLEANUP(pairs_done) = { 0 };

    out->sensitive = true;
    for (size_t i = 0; i < tokens->count; i++) {
        const char *text = tokens->texts[i];
        const char *equals = strrchr(text, '='); /* an audience is a URL and may have one */
        autofree char *audience = xstrndup(text, equals ? (size_t)(equals - text) : 0);
        struct strbuf token CLEANUP(strbuf_done) = { .sensitive = true };

        if (!equals || !equals[1])
            return ctl_usage(err, "--token takes AUDIENCE=FILE (or AUDIENCE=- for standard input)");
        if (pairs_get(&seen, audience))
            return ctl_usage(err, "--token %.100s is given twice", audience);
        pairs_set(&seen, audience, "");
        if (values_read(v, equals + 1, &token, err) < 0)
            return -1;
        trim(&token);
        if (!token.len)
            return error_set(err, CODE_INVALID_ARGUMENT, "the token in %.200s is empty",
                             equals + 1);
        add_token(out, audience, &token);
    }
    if (out->len)
        strbuf_add_char(out, '}');
    return 0;
}
