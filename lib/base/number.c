/* SPDX-License-Identifier: Apache-2.0
 *
 * number.c - strtoll with what it forgives taken away.
 */
#include "lib/base/number.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

int number_parse(const char *text, int64_t least, int64_t most, int64_t *ret, struct error *err)
{
    const char *digits = *text == '-' ? text + 1 : text;
    char *end = NULL;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (!isdigit((unsigned char)*digits) || *end || errno || value < least || value > most)
        return error_set(err, CODE_INVALID_ARGUMENT, "\"%.32s\" is no number from %lld to %lld",
                         text, (long long)least, (long long)most);
    *ret = value;
    return 0;
}
