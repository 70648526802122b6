/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/complaints.h"

#include <stdio.h>

/* The line with this number (from 1); *ret_len without its line break. NULL: there is none. */
static const char *line_of(const char *text, unsigned number, size_t *ret_len)
{
    for (unsigned n = 1; text; n++) {
        const char *end = strchr(text, '\n');

        *ret_len = end ? (size_t)(end - text) : strlen(text);
        if (n == number)
            return text;
        text = end ? end + 1 : NULL;
    }
    return NULL;
}

/* Does the value's node begin with the '|' of a literal block? */
static bool is_block(const struct place *p)
{
    size_t len = 0;
    const char *line = p->source ? line_of(p->source, p->node->line, &len) : NULL;

    return line && p->node->column && p->node->column <= len && line[p->node->column - 1] == '|';
}

/* A literal block's lines follow the line of its '|' one by one, each with the same white space
 * before it, which the value no longer has. Any other style is left at the value's own place. */
static bool find_in_block(const struct place *p, unsigned *line, unsigned *column)
{
    size_t inner_len = 0;
    size_t outer_len = 0;
    const char *inner = line_of(p->node->text, *line, &inner_len);
    const char *outer = p->source ? line_of(p->source, p->node->line + *line, &outer_len) : NULL;

    if (!inner || !outer || !inner_len || !is_block(p) || outer_len < inner_len ||
        memcmp(outer + outer_len - inner_len, inner, inner_len) != 0)
        return false;
    *line += p->node->line;
    *column += (unsigned)(outer_len - inner_len);
    return true;
}

void complain_at(struct complaints *c, unsigned line, unsigned column, const char *text)
{
    for (const struct place *p = c->place; p; p = p->outer) {
        if (line && find_in_block(p, &line, &column))
            continue;
        line = p->node->line;
        column = p->node->column;
    }
    c->count++;
    c->say(c->arg, line, column, text);
}

void complain(struct complaints *c, const struct tree *at, const char *fmt, ...)
{
    struct error text = { 0 };
    char line[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    (void)error_set(&text, CODE_INVALID_ARGUMENT, "%s", line);
    complain_at(c, at ? at->line : 0, at ? at->column : 0, text.msg);
}

/* Reads a number after a word, as in "line 12"; moves on behind it. */
static bool number_after(const char **at, const char *word, unsigned *ret)
{
    const char *s = *at;
    unsigned value = 0;

    if (!str_starts(s, word))
        return false;
    s += strlen(word);
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9' && value < 100000000; s++)
        value = value * 10 + (unsigned)(*s - '0');
    *ret = value;
    *at = s;
    return true;
}

void complain_of(struct complaints *c, const char *field, const struct error *err)
{
    const char *rest = err->msg;
    unsigned line = 0;
    unsigned column = 0;
    autofree char *text = NULL;

    if (number_after(&rest, "line ", &line) && number_after(&rest, " column ", &column) &&
        str_starts(rest, ": "))
        rest += 2;
    else
        rest = err->msg;
    text = *field ? str_printf("%s: %s", field, rest) : xstrdup(rest);
    complain_at(c, line, column, text);
}
