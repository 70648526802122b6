/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox_list.c - the system calls that every program needs, and those of a network, found by
 * running the suites.
 * The C library's newer and older ways stand beside each other: which it takes is its own affair.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "lib/base/sandbox.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

static const struct sandbox_call common[] = {
    /* Memory. */
    SANDBOX_CALL(brk),
    SANDBOX_CALL(munmap),
    SANDBOX_CALL(mremap),
    SANDBOX_CALL(madvise),
    SANDBOX_CALL_IF(mmap, 2, PROT_EXEC, 0),
    SANDBOX_CALL_IF(mprotect, 2, PROT_EXEC, 0),
    /* Threads, never processes or namespaces. clone3 hides its flags from a filter; the C library
     * takes clone where it is not there. */
    SANDBOX_CALL_IF(clone, 0, CLONE_THREAD | SANDBOX_NAMESPACES, CLONE_THREAD),
    SANDBOX_CALL_ANSWER(clone3, ENOSYS),
    SANDBOX_CALL(exit),
    SANDBOX_CALL(exit_group),
    SANDBOX_CALL(futex),
    SANDBOX_CALL(set_robust_list),
    SANDBOX_CALL(rseq),
    SANDBOX_CALL(membarrier),
    SANDBOX_CALL(sched_yield),
    SANDBOX_CALL(sched_getaffinity),
    SANDBOX_CALL(sched_getparam),
    SANDBOX_CALL(sched_getscheduler),
    SANDBOX_CALL(restart_syscall),
    /* Signals. */
    SANDBOX_CALL(rt_sigaction),
    SANDBOX_CALL(rt_sigprocmask),
    SANDBOX_CALL(rt_sigreturn),
    SANDBOX_CALL(rt_sigtimedwait),
    SANDBOX_CALL(sigaltstack),
    SANDBOX_CALL_OWN(kill),
    SANDBOX_CALL_OWN(tgkill),
    /* What it is, and what time. */
    SANDBOX_CALL(getpid),
    SANDBOX_CALL(getppid),
    SANDBOX_CALL(gettid),
    SANDBOX_CALL(getuid),
    SANDBOX_CALL(geteuid),
    SANDBOX_CALL(getgid),
    SANDBOX_CALL(getegid),
    SANDBOX_CALL(uname),
    SANDBOX_CALL(sysinfo),
    SANDBOX_CALL(getrusage),
    SANDBOX_CALL_IS(prlimit64, 0, 0),
    SANDBOX_CALL_IS(prctl, 0, PR_SET_NAME),
    SANDBOX_CALL_IS(prctl, 0, PR_SET_VMA),
    SANDBOX_CALL(umask),
    SANDBOX_CALL(getrandom),
    SANDBOX_CALL(clock_gettime),
    SANDBOX_CALL(clock_getres),
    SANDBOX_CALL(clock_nanosleep),
    SANDBOX_CALL(nanosleep),
    SANDBOX_CALL(gettimeofday),
    /* Descriptors. */
    SANDBOX_CALL(read),
    SANDBOX_CALL(readv),
    SANDBOX_CALL(pread64),
    SANDBOX_CALL(write),
    SANDBOX_CALL(writev),
    SANDBOX_CALL(pwrite64),
    SANDBOX_CALL(lseek),
    SANDBOX_CALL(close),
    SANDBOX_CALL(dup),
    SANDBOX_CALL(dup3),
    SANDBOX_CALL(fcntl),
    SANDBOX_CALL(flock),
    SANDBOX_CALL(ppoll),
    SANDBOX_CALL(pselect6),
    SANDBOX_CALL(epoll_create1),
    SANDBOX_CALL(epoll_ctl),
    SANDBOX_CALL(epoll_pwait),
    SANDBOX_CALL(epoll_pwait2),
    SANDBOX_CALL(eventfd2),
    SANDBOX_CALL(pipe2),
    /* Files: what may be read or written says who we are, and Landlock. */
    SANDBOX_CALL(openat),
    SANDBOX_CALL(openat2),
    SANDBOX_CALL(fstat),
    SANDBOX_CALL(newfstatat),
    SANDBOX_CALL(statx),
    SANDBOX_CALL(statfs),
    SANDBOX_CALL(fstatfs),
    SANDBOX_CALL(getdents64),
    SANDBOX_CALL(readlinkat),
    SANDBOX_CALL(faccessat),
    SANDBOX_CALL(faccessat2),
    SANDBOX_CALL(unlinkat),
    SANDBOX_CALL(renameat),
    SANDBOX_CALL(renameat2),
    SANDBOX_CALL(fchmod),
    SANDBOX_CALL(fchmodat),
    SANDBOX_CALL(mkdirat),
    /* Unix sockets. */
    SANDBOX_CALL_IS(socket, 0, AF_UNIX),
    SANDBOX_CALL_IS(socketpair, 0, AF_UNIX),
    SANDBOX_CALL(bind),
    SANDBOX_CALL(listen),
    SANDBOX_CALL(accept),
    SANDBOX_CALL(accept4),
    SANDBOX_CALL(connect),
    SANDBOX_CALL(getsockname),
    SANDBOX_CALL(getpeername),
    SANDBOX_CALL(getsockopt),
    SANDBOX_CALL(setsockopt),
    SANDBOX_CALL(sendmsg),
    SANDBOX_CALL(sendto),
    SANDBOX_CALL(recvmsg),
    SANDBOX_CALL(recvfrom),
    SANDBOX_CALL(shutdown),
#ifdef SYS_open /* x86-64 alone has the calls of before *at */
    SANDBOX_CALL(open),
    SANDBOX_CALL(stat),
    SANDBOX_CALL(lstat),
    SANDBOX_CALL(access),
    SANDBOX_CALL(readlink),
    SANDBOX_CALL(unlink),
    SANDBOX_CALL(rename),
    SANDBOX_CALL(chmod),
    SANDBOX_CALL(mkdir),
    SANDBOX_CALL(poll),
    SANDBOX_CALL(select),
    SANDBOX_CALL(epoll_wait),
    SANDBOX_CALL(dup2),
    SANDBOX_CALL(pipe),
    SANDBOX_CALL(time),
#endif
};

/* Of programs that speak to others over a network. Name services and OpenSSL's modules are loaded
 * when first needed: memory may be executable that is a file's, never memory that was written to.
 */
static const struct sandbox_call network[] = {
    SANDBOX_CALL_IS(socket, 0, AF_INET),
    SANDBOX_CALL_IS(socket, 0, AF_INET6),
    /* getaddrinfo asks which families the machine has, and without an answer takes both. */
    SANDBOX_CALL_ANSWER_IS(socket, 0, AF_NETLINK, EAFNOSUPPORT),
    SANDBOX_CALL(sendmmsg),
    SANDBOX_CALL_IS(ioctl, 1, FIONREAD), /* the resolver, before it reads an answer */
    SANDBOX_CALL_IF(mmap, 3, MAP_ANONYMOUS, 0),
};

const struct sandbox_list sandbox_list_common = { common, COUNT_OF(common) };
const struct sandbox_list sandbox_list_network = { network, COUNT_OF(network) };
