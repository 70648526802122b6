/* SPDX-License-Identifier: Apache-2.0
 *
 * number.h - whole numbers as people and stores write them.
 * Does not know units (clock.h, options.h).
 */
#ifndef LOCKET_BASE_NUMBER_H
#define LOCKET_BASE_NUMBER_H

#include <stdint.h>

#include "lib/base/error.h"

/* The whole text as a decimal number from least to most: digits, and '-' before them; no blanks, no
 * '+', no base, no point.
 * Errors: INVALID_ARGUMENT naming both ends. err may be NULL. */
must_check int number_parse(const char *text, int64_t least, int64_t most, int64_t *ret,
                            struct error *err);

#endif
