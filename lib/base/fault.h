/* SPDX-License-Identifier: Apache-2.0
 *
 * fault.h - named points where a test build can be killed, made to fail, or delayed.
 * A release build contains none of it: FAULT() is 0 and the names vanish.
 */
#ifndef LOCKET_BASE_FAULT_H
#define LOCKET_BASE_FAULT_H

#include "lib/base/error.h"

#ifdef LOCKET_FAULTS

struct fault_point {
    const char *name; /* "<pipeline>.<step>", such as "write.before_rename"; unique */
};

/* Does what the plan says for this point: nothing, SIGKILL to self, -1 with the planned errno, or
 * a delay. The plan is the environment's LOCKET_FAULTS, rows joined by ';':
 *     name=kill | name=errno:ENOSPC | name=delay:250    each with an optional @N (from the N-th
 *     hit on, default 1) and xM (M times, default 1; x0 = for ever)
 * LOCKET_FAULTS_FILE names a file with the plan instead: it may be replaced while the program runs,
 * and its hits are counted anew then. No file, no plan.
 * Each row that strikes appends "name\n" to the file named by LOCKET_FAULTS_LOG. */
int fault_hit(const struct fault_point *point, struct error *err);

/* Prints the name of every point linked into the program, sorted, one per line. */
void fault_list(void);

#define FAULT(name_, err_)                                                                         \
    ({                                                                                             \
        static const struct fault_point point_ = { .name = (name_) };                              \
        static const struct fault_point *const slot_                                               \
            __attribute__((section("fault_points"), used)) = &point_;                              \
        fault_hit(&point_, (err_));                                                                \
    })

#else

#define FAULT(name_, err_) ((void)(err_), 0)

#endif

#endif
