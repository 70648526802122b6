/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/grid.h"

void grid_done(struct grid *g)
{
    for (size_t i = 0; i < g->count; i++)
        free(g->cells[i].text);
    free(g->cells);
    *g = (struct grid){ .columns = g->columns };
}

void grid_add(struct grid *g, enum grid_colour colour, const char *text)
{
    char *copy = xstrdup(text ? text : "");

    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    g->cells = xrealloc(g->cells, (g->count + 1) * sizeof(*g->cells));
    g->cells[g->count++] = (struct grid_cell){ .text = copy, .colour = colour };
}

void grid_printf(struct grid *g, enum grid_colour colour, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    grid_add(g, colour, text);
}

void grid_add_age(struct grid *g, enum grid_colour colour, int64_t ms)
{
    static const struct {
        int64_t ms;
        char unit;
    } steps[] = { { 48 * 3600000LL, 'd' }, { 2 * 3600000LL, 'h' }, { 2 * 60000LL, 'm' } };
    static const int64_t unit_ms[] = { 24 * 3600000LL, 3600000LL, 60000LL };

    if (ms < 0) {
        grid_add(g, colour, "-");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        if (ms >= steps[i].ms) {
            grid_printf(g, colour, "%lld%c", (long long)(ms / unit_ms[i]), steps[i].unit);
            return;
        }
    }
    grid_printf(g, colour, "%llds", (long long)(ms / 1000));
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static size_t column_width(const struct grid *g, size_t column)
{
    size_t most = 0;

    for (size_t i = column; i < g->count; i += g->columns) {
        size_t width = width_of(g->cells[i].text);

        most = width > most ? width : most;
    }
    return most;
}

/* Is there nothing more to see in this cell's row? */
static bool is_last(const struct grid *g, size_t i)
{
    for (i++; i % g->columns; i++)
        if (*g->cells[i].text)
            return false;
    return true;
}

static void print_cell(const struct grid *g, const struct ctl *ctl, size_t i)
{
    static const char *const starts[] = {
        [GRID_PLAIN] = "",       [GRID_BOLD] = "\033[1m",  [GRID_GOOD] = "\033[32m",
        [GRID_BAD] = "\033[31m", [GRID_FAINT] = "\033[2m",
    };
    const struct grid_cell *cell = &g->cells[i];
    bool last = ctl->terminal ? is_last(g, i) : (i + 1) % g->columns == 0;
    bool coloured = ctl->colour && cell->colour != GRID_PLAIN && *cell->text;

    (void)fprintf(ctl->out, "%s%s%s", coloured ? starts[cell->colour] : "", cell->text,
                  coloured ? "\033[0m" : "");
    if (last)
        (void)fputc('\n', ctl->out);
    else if (!ctl->terminal)
        (void)fputc('\t', ctl->out);
    else
        (void)fprintf(ctl->out, "%*s",
                      (int)(column_width(g, i % g->columns) - width_of(cell->text)) + 2, "");
}

void grid_print(const struct grid *g, const struct ctl *ctl)
{
    for (size_t i = 0; i < g->count; i++) {
        print_cell(g, ctl, i);
        if (ctl->terminal && is_last(g, i))
            i += g->columns - 1 - i % g->columns; /* the rest is empty */
    }
}
