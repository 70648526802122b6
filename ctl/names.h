/* SPDX-License-Identifier: Apache-2.0
 *
 * names.h - NS/NAME as it is written on a command line.
 */
#ifndef LOCKET_CTL_NAMES_H
#define LOCKET_CTL_NAMES_H

#include "lib/base/error.h"

struct names {
    char *ns;
    char *name;
};

/* Frees what it owns. */
void names_done(struct names *n);

/* Takes "NS/NAME" apart; a name alone is in "default". Errors: a mistake of the command line,
 * naming the flag. Ownership: names_done. */
must_check int names_split(const char *text, const char *flag, struct names *ret,
                           struct error *err);

#endif
