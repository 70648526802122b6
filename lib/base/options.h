/* SPDX-License-Identifier: Apache-2.0
 *
 * options.h - a program's flags as a table: parse, defaults, environment, --help.
 * Flag over LOCKET_NAME over default (also for lists: the stronger replaces the weaker); --x=v and
 * --x v; booleans --x, --x=true, --x=false; no abbreviations; single-dash spellings (-v=5) as Go's
 * flag package takes them. Does not know what a flag means.
 */
#ifndef LOCKET_BASE_OPTIONS_H
#define LOCKET_BASE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"

enum option_kind {
    OPTION_TEXT,     /* char *, heap */
    OPTION_TEXTS,    /* struct option_texts: the flag may be repeated, each adds one */
    OPTION_BOOL,     /* bool */
    OPTION_INT,      /* int64_t */
    OPTION_DURATION, /* int64_t milliseconds */
    OPTION_BYTES,    /* int64_t; 4194304, 64Mi, 1Gi, 500k */
    OPTION_ACCEPTED, /* taken and ignored with one warning line; offset unused; help says why */
    OPTION_ACCEPTED_BOOL, /* the same for a flag that needs no value */
};

struct option_texts {
    char **texts;
    size_t count;
};

struct option_row {
    const char *name; /* --name, and LOCKET_NAME in upper case with _ for - in the environment */
    enum option_kind kind;
    size_t offset;           /* into the program's config struct */
    const char *fallback;    /* as it would be written on the command line; NULL: zero value */
    const char *placeholder; /* for --help: DIR, PATH, DURATION; NULL for booleans */
    const char *help;
};

struct option_table {
    const char *program;
    const char *summary; /* one line above the flags in --help */
    const struct option_row *rows;
    size_t count;
    bool environment; /* are LOCKET_* read? */
};

enum { OPTION_TEXTS_MAX = 256, OPTION_VALUE_MAX = 64 << 10 };

/* Fills *config (zeroed before by the caller) from defaults, environment and argv[1..]. What does
 * not begin with '-' is put to ret_rest in order (borrowed from argv; the caller frees the array);
 * a NULL ret_rest makes any such word an error. "--" ends the flags.
 * Ownership: the caller frees config's texts with options_done.
 * Errors: INVALID_ARGUMENT naming the flag and what it wants. "--help" is not handled here: see
 * options_asked_help. */
must_check int options_parse(const struct option_table *table, int argc, char **argv, void *config,
                             char ***ret_rest, struct error *err);

/* Frees the texts that options_parse put into *config. */
void options_done(const struct option_table *table, void *config);

/* Is --help or -h among the words before "--"? */
bool options_asked_help(int argc, char **argv);

/* Prints usage text made from the rows, aligned, 100 columns. */
void options_print_help(const struct option_table *table, const char *usage);

/* Calls say(arg, name, help) once for each OPTION_ACCEPTED flag that was given. */
void options_each_ignored(const struct option_table *table, int argc, char **argv,
                          void (*say)(void *arg, const char *name, const char *help), void *arg);

/* Calls say(arg, name, text) for each flag that has an effect, with its value in force; lists are
 * joined by spaces. */
void options_each_value(const struct option_table *table, const void *config,
                        void (*say)(void *arg, const char *name, const char *text), void *arg);

/* "64Mi", "1Gi", "500k", "4194304" to bytes. */
must_check int bytes_parse(const char *text, int64_t *ret, struct error *err);

#endif
