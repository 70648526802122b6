/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox.h - what a program gives up before it serves: capabilities, system calls, and (by
 * Landlock) the paths it has no business with. Does not know which program needs what: each has its
 * own table.
 *
 * The filter is BPF made of a table of allowed calls, without a library: the table is the whole
 * policy, the maker is 40 lines, and libseccomp would stay in the memory of each process.
 * What is on no list answers EPERM and is counted and logged by the process itself: the kernel's
 * own log of such calls is off without an audit daemon, is rate-limited, and is out of a pod's
 * sight.
 */
#ifndef LOCKET_BASE_SANDBOX_H
#define LOCKET_BASE_SANDBOX_H

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"

/* A system call that is allowed, or answered without a word. */
struct sandbox_call {
    const char *name;
    int number;
    unsigned arg;   /* which argument is looked at, from 0 */
    uint32_t mask;  /* allowed when (argument & mask) == value; 0: any argument will do */
    uint32_t value; /* only the low half of an argument is compared: all that are listed are ints */
    bool own_process; /* value is this process's id */
    int answer; /* not 0: refused with this errno, neither counted nor logged: a library is known to
                 * ask for it, and to go on without */
};

#define SANDBOX_CALL(name_)                                                                        \
    {                                                                                              \
        .name = #name_, .number = SYS_##name_                                                      \
    }
#define SANDBOX_CALL_IF(name_, arg_, mask_, value_)                                                \
    {                                                                                              \
        .name = #name_, .number = SYS_##name_, .arg = (arg_), .mask = (mask_), .value = (value_)   \
    }
#define SANDBOX_CALL_IS(name_, arg_, value_) SANDBOX_CALL_IF(name_, arg_, UINT32_MAX, value_)
#define SANDBOX_CALL_OWN(name_)                                                                    \
    {                                                                                              \
        .name = #name_, .number = SYS_##name_, .mask = UINT32_MAX, .own_process = true             \
    }
#define SANDBOX_CALL_ANSWER(name_, errno_)                                                         \
    {                                                                                              \
        .name = #name_, .number = SYS_##name_, .answer = (errno_)                                  \
    }
#define SANDBOX_CALL_ANSWER_IS(name_, arg_, value_, errno_)                                        \
    {                                                                                              \
        .name = #name_, .number = SYS_##name_, .arg = (arg_), .mask = UINT32_MAX,                  \
        .value = (value_), .answer = (errno_)                                                      \
    }

/* clone's flags that make a namespace. */
#define SANDBOX_NAMESPACES                                                                         \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

/* A call may stand in several rows: the first that fits decides. */
struct sandbox_list {
    const struct sandbox_call *calls;
    size_t count;
};

/* What each of our programs needs: memory that is never both new and executable, threads of its own
 * process, time, descriptors, reading files, unix sockets served and called. */
extern const struct sandbox_list sandbox_list_common;
/* Besides: TCP, UDP and the C library's resolver. */
extern const struct sandbox_list sandbox_list_network;

enum sandbox_access {
    SANDBOX_READ,    /* files and folders below */
    SANDBOX_START,   /* the same, and to start it as a program */
    SANDBOX_SOCKETS, /* the same as READ, and to make and remove sockets and their lock files */
    SANDBOX_WRITE,   /* the same as READ, and to make, write, rename and remove files */
};

struct sandbox_path {
    const char *path; /* a folder with all below it, or a file; one that is not there is left out */
    enum sandbox_access access;
};

enum { SANDBOX_LISTS_MAX = 4 };

struct sandbox {
    uint64_t
        capabilities; /* kept, a bit each; those that the process does not have are not gained */
    struct sandbox_list lists[SANDBOX_LISTS_MAX]; /* none: system calls are not filtered */
    const struct sandbox_path *paths; /* NULL: paths are not restricted (Landlock forbids mount) */
    size_t path_count;
};

#define SANDBOX_CAPABILITY(number_) (UINT64_C(1) << (number_))

/* Sent to the process after a refused call; sandbox_enter blocks it, so that who waits for signals
 * may wait for this one too, and call sandbox_log_refusals. */
enum { SANDBOX_SIGNAL = SIGUSR2 };

/* Gives up everything that is not in *sandbox, for good, for this process and all it starts. A
 * second call takes away more. ret_landlock: were paths restricted? (false before Linux 5.13.) Call
 * before the first thread is started: capabilities and Landlock are of threads, and go with them.
 * SIGSYS must stay unblocked in all threads: where it is blocked, a refused call ends the process.
 * Errors: FAILED_PRECONDITION: the kernel cannot; the state is then undefined, end. */
must_check int sandbox_enter(const struct sandbox *sandbox, bool *ret_landlock, struct error *err);

/* Logs calls that were refused since the last time: for each its 1st, 2nd, 4th, 8th ... time. One
 * thread. Returns how many were refused since the last time. */
uint64_t sandbox_log_refusals(void);

/* Of the flag --sandbox: on or off. Errors: INVALID_ARGUMENT. */
must_check int sandbox_switch_parse(const char *text, bool *ret, struct error *err);

/* Its default. Sanitizers call what no program of ours does, and read what Landlock hides. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_DEFAULT "off"
#else
#define SANDBOX_DEFAULT "on"
#endif

#endif
