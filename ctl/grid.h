/* SPDX-License-Identifier: Apache-2.0
 *
 * grid.h - rows of cells: aligned and coloured on a terminal, tab-separated in a pipe.
 * Does not know what stands in them.
 */
#ifndef LOCKET_CTL_GRID_H
#define LOCKET_CTL_GRID_H

#include <stdint.h>

#include "ctl/ctl.h"

enum grid_colour { GRID_PLAIN, GRID_BOLD, GRID_GOOD, GRID_BAD, GRID_FAINT };

struct grid_cell {
    char *text;
    enum grid_colour colour;
};

struct grid { /* starts as { .columns = N } */
    size_t columns;
    struct grid_cell *cells;
    size_t count;
};

#define autogrid CLEANUP(grid_done)
/* Frees what it owns. */
void grid_done(struct grid *g);

/* Adds the next cell, left to right. Control characters become '?': texts come from outside and a
 * terminal obeys them. NULL is "". */
void grid_add(struct grid *g, enum grid_colour colour, const char *text);
void grid_printf(struct grid *g, enum grid_colour colour, const char *fmt, ...) printf_like(3, 4);

/* "12s", "3m", "5h", "2d": how long; "-" when ms is negative. */
void grid_add_age(struct grid *g, enum grid_colour colour, int64_t ms);

/* Prints all rows. */
void grid_print(const struct grid *g, const struct ctl *ctl);

#endif
