/* SPDX-License-Identifier: Apache-2.0
 *
 * slept.h - a machine that has slept: CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC, which threads
 * wait by. The suite has clock_gettime in its WRAP line.
 */
#ifndef LOCKET_TESTS_SLEPT_H
#define LOCKET_TESTS_SLEPT_H

#include <stdint.h>
#include <time.h>

static int64_t slept_s_;

/* So many seconds more, or fewer. Any thread. */
static inline void slept_add(int64_t seconds)
{
    (void)__atomic_add_fetch(&slept_s_, seconds, __ATOMIC_ACQ_REL);
}

/* The C library's. */
int __real_clock_gettime(clockid_t id, struct timespec *ret);

/* What the suite's code calls in its place. */
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);

/* The sleep is in this clock alone. */
int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
    int result = __real_clock_gettime(id, ret);

    if (id == CLOCK_BOOTTIME)
        ret->tv_sec += (time_t)__atomic_load_n(&slept_s_, __ATOMIC_ACQUIRE);
    return result;
}

#endif
