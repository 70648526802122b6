/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/json.h"

/* What Go's encoding/json writes for a byte; NULL: the byte itself. */
static const char *short_escape(unsigned char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

void json_add_text(struct strbuf *out, const char *text, size_t len)
{
    strbuf_add_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *escape = short_escape(c);

        if (escape)
            strbuf_add_text(out, escape);
        else if (c < 0x20 || c == '<' || c == '>' || c == '&')
            strbuf_printf(out, "\\u%04x", c);
        else if (len - i >= 3 && memcmp(text + i, "\xe2\x80", 2) == 0 &&
                 ((unsigned char)text[i + 2] & 0xfe) == 0xa8) {
            strbuf_printf(out, "\\u202%c", text[i + 2] & 1 ? '9' : '8');
            i += 2;
        } else
            strbuf_add_char(out, (char)c);
    }
    strbuf_add_char(out, '"');
}

static void write_map(struct strbuf *out, const struct tree *t)
{
    size_t count = 0;
    autofree const struct tree **sorted = tree_sorted(t, &count);

    strbuf_add_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i)
            strbuf_add_char(out, ',');
        json_add_text(out, sorted[i]->key, strlen(sorted[i]->key));
        strbuf_add_char(out, ':');
        json_write(out, sorted[i]);
    }
    strbuf_add_char(out, '}');
}

static void write_list(struct strbuf *out, const struct tree *t)
{
    strbuf_add_char(out, '[');
    for (const struct tree *c = t->child; c; c = c->next) {
        if (c != t->child)
            strbuf_add_char(out, ',');
        json_write(out, c);
    }
    strbuf_add_char(out, ']');
}

static size_t digits_at(const char *text)
{
    return strspn(text, "0123456789");
}

/* Source: RFC 8259, section 6. */
static bool is_json_number(const char *text)
{
    size_t whole;

    text += *text == '-';
    whole = digits_at(text);
    if (!whole || (*text == '0' && whole > 1))
        return false;
    text += whole;
    if (*text == '.') {
        size_t part = digits_at(++text);

        if (!part)
            return false;
        text += part;
    }
    if (*text == 'e' || *text == 'E') {
        text += 1 + (text[1] == '-' || text[1] == '+');
        return digits_at(text) && !text[digits_at(text)];
    }
    return !*text;
}

void json_write(struct strbuf *out, const struct tree *t)
{
    switch (t->kind) {
    case TREE_MAP:
        write_map(out, t);
        break;
    case TREE_LIST:
        write_list(out, t);
        break;
    case TREE_TEXT:
        json_add_text(out, t->text, t->text_len);
        break;
    case TREE_NUMBER:
        if (is_json_number(t->text))
            strbuf_add(out, t->text, t->text_len);
        else
            json_add_text(out, t->text, t->text_len);
        break;
    case TREE_BOOL:
        strbuf_add_text(out, t->truth ? "true" : "false");
        break;
    case TREE_NULL:
        strbuf_add_text(out, "null");
        break;
    }
}
