/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/strbuf.h"

#include <stdio.h>

enum { FIRST_ROOM = 64 };

void strbuf_done(struct strbuf *b)
{
    if (b->sensitive)
        wipe_free(b->text, b->room);
    else
        free(b->text);
    *b = (struct strbuf){ .ceiling = b->ceiling, .sensitive = b->sensitive };
}

/* A sensitive buffer never goes through realloc, which could leave the old bytes behind. */
static void grow(struct strbuf *b, size_t need)
{
    size_t room = b->room ? b->room : FIRST_ROOM;
    char *bigger;

    while (room < need)
        room *= 2;
    if (room == b->room)
        return;
    if (b->sensitive) {
        bigger = xmalloc(room);
        if (b->len)
            memcpy(bigger, b->text, b->len);
        wipe_free(b->text, b->room);
    } else {
        bigger = xrealloc(b->text, room);
    }
    bigger[b->len] = '\0';
    b->text = bigger;
    b->room = room;
}

static bool fits(struct strbuf *b, size_t len)
{
    size_t ceiling = b->ceiling ? b->ceiling : STRBUF_CEILING;

    if (!b->overflow && len <= ceiling && b->len <= ceiling - len)
        return true;
    b->overflow = true;
    return false;
}

void strbuf_add(struct strbuf *b, const void *bytes, size_t len)
{
    if (!fits(b, len))
        return;
    grow(b, b->len + len + 1);
    if (len)
        memcpy(b->text + b->len, bytes, len);
    b->len += len;
    b->text[b->len] = '\0';
}

void strbuf_add_text(struct strbuf *b, const char *text)
{
    strbuf_add(b, text, strlen(text));
}

void strbuf_add_char(struct strbuf *b, char c)
{
    strbuf_add(b, &c, 1);
}

void strbuf_printf(struct strbuf *b, const char *fmt, ...)
{
    va_list args;
    va_list again;
    int len;

    va_start(args, fmt);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len > 0 && fits(b, (size_t)len)) {
        grow(b, b->len + (size_t)len + 1);
        (void)vsnprintf(b->text + b->len, (size_t)len + 1, fmt, again);
        b->len += (size_t)len;
    }
    va_end(again);
}

void strbuf_reset(struct strbuf *b)
{
    if (b->text && b->sensitive)
        explicit_bzero(b->text, b->room);
    if (b->text)
        b->text[0] = '\0';
    b->len = 0;
    b->overflow = false;
}

char *strbuf_take(struct strbuf *b)
{
    char *text = b->text ? b->text : xstrdup("");

    *b = (struct strbuf){ .ceiling = b->ceiling, .sensitive = b->sensitive };
    return text;
}

struct secret strbuf_take_secret(struct strbuf *b)
{
    struct secret s = secret_adopt(b->text, b->len);

    if (!s.len)
        wipe_free(s.bytes, b->room);
    *b = (struct strbuf){ .ceiling = b->ceiling, .sensitive = b->sensitive };
    return s.len ? s : (struct secret){ 0 };
}

const char *strbuf_text(const struct strbuf *b)
{
    return b->text ? b->text : "";
}
