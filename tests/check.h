/* SPDX-License-Identifier: Apache-2.0
 *
 * check.h - cmocka with the headers that it needs before itself, in the order it needs them.
 */
#ifndef LOCKET_TESTS_CHECK_H
#define LOCKET_TESTS_CHECK_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
/* clang-format on */

#endif
