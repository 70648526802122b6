/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/redact.h"

#include <ctype.h>

#include "lib/base/encode.h"
#include "lib/base/json.h"
#include "lib/base/strbuf.h"

struct redaction redaction_of(char *text)
{
    return (struct redaction){ .text = text, .len = strnlen(text, ERROR_TEXT_MAX - 1) };
}

static void hide(struct redaction *r, size_t from, size_t len)
{
    for (size_t i = from; i < from + len && i < r->len; i++)
        r->hidden[i] = true;
}

/* Marks each window of the text that also stands in the value. */
static void hide_runs(struct redaction *r, const char *value, size_t len, size_t window)
{
    for (size_t i = 0; window && i + window <= r->len; i++)
        if (memmem(value, len, r->text + i, window))
            hide(r, i, window);
}

/* --- the forms of a value ----------------------------------------------------------------------
 */

typedef void use_form(void *arg, const char *form, size_t len);

/* A value as it stands in a text on its own. */
static void each_form(const char *value, size_t len, use_form *use, void *arg)
{
    static const enum base64_alphabet alphabets[] = { BASE64_STD, BASE64_URL_RAW };
    struct strbuf form CLEANUP(strbuf_done) = { .sensitive = true };
    char *copy = NULL;

    use(arg, value, len);
    json_add_text(&form, value, len);
    if (form.len > 2)
        use(arg, form.text + 1, form.len - 2); /* without its quotes */
    for (size_t i = 0; i < COUNT_OF(alphabets); i++) {
        strbuf_reset(&form);
        base64_encode(alphabets[i], &form, value, len);
        use(arg, strbuf_text(&form), form.len);
    }
    strbuf_reset(&form);
    hex_encode(&form, value, len);
    use(arg, strbuf_text(&form), form.len);
    strbuf_reset(&form);
    copy = xstrndup(value, len);
    url_encode(&form, copy, false);
    wipe_free_text(copy);
    use(arg, strbuf_text(&form), form.len);
}

/* Base64 of a larger text shows a value in one of three ways, by how many bytes stand before it in
 * its group of three. Characters that share bits with its neighbours are left out. */
static void each_shifted(enum base64_alphabet alphabet, const char *value, size_t len,
                         use_form *use, void *arg)
{
    static const size_t shared[] = { 0, 2, 3 }; /* characters, for 0, 1 and 2 bytes before */

    for (size_t before = 0; before < COUNT_OF(shared); before++) {
        struct strbuf shifted CLEANUP(strbuf_done) = { .sensitive = true };
        struct strbuf form CLEANUP(strbuf_done) = { .sensitive = true };

        strbuf_add(&shifted, "\0", before);
        strbuf_add(&shifted, value, len);
        base64_encode(alphabet, &form, strbuf_text(&shifted), shifted.len);
        use(arg, strbuf_text(&form) + shared[before], shifted.len * 8 / 6 - shared[before]);
    }
}

/* --- what is done about them -------------------------------------------------------------------
 */

static void hide_form(void *arg, const char *form, size_t len)
{
    if (len < REDACT_WHOLE_MIN)
        return;
    hide_runs(arg, form, len, len < REDACT_RUN_MIN ? len : REDACT_RUN_MIN);
}

void redaction_value(struct redaction *r, const char *value, size_t len)
{
    if (len > REDACT_VALUE_MAX)
        len = REDACT_VALUE_MAX;
    if (len < REDACT_WHOLE_MIN)
        return;
    each_form(value, len, hide_form, r);
    each_shifted(BASE64_STD, value, len, hide_form, r);
    each_shifted(BASE64_URL_RAW, value, len, hide_form, r);
}

struct find {
    const struct redaction *in;
    bool found;
};

static void find_form(void *arg, const char *form, size_t len)
{
    struct find *find = arg;

    find->found = find->found || memmem(find->in->text, find->in->len, form, len);
}

bool redaction_betrays(const struct redaction *r, const char *value, size_t len)
{
    struct find find = { .in = r };

    if (len && len < REDACT_WHOLE_MIN)
        each_form(value, len, find_form, &find);
    return find.found;
}

static bool is_jwt_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.' || c == '=';
}

void redaction_shapes(struct redaction *r)
{
    static const char pem[] = "-----BEGIN ";
    const char *at;

    /* "eyJ" is {" in base64: the first three letters of every JWT's header and claims. */
    for (const char *jwt = r->text; (jwt = strstr(jwt, "eyJ")); jwt++) {
        size_t len = 0;

        while (jwt[len] && is_jwt_char(jwt[len]))
            len++;
        if (len >= 16)
            hide(r, (size_t)(jwt - r->text), len);
    }
    at = strstr(r->text, pem);
    if (at)
        hide(r, (size_t)(at - r->text), r->len);
}

void redaction_apply(struct redaction *r)
{
    static const char label[] = "[redacted]";
    size_t out = 0;

    for (size_t i = 0; i < r->len;) {
        size_t run = 0;

        while (i + run < r->len && r->hidden[i + run])
            run++;
        if (!run) {
            r->text[out++] = r->text[i++];
            continue;
        }
        /* Never longer than what it replaces: the text cannot grow. */
        for (size_t k = 0; k < run && k < sizeof(label) - 1; k++)
            r->text[out++] = (char)(run < sizeof(label) - 1 ? '*' : label[k]);
        i += run;
    }
    explicit_bzero(r->text + out, r->len - out + 1);
}
