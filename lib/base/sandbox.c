/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/sandbox_paths.h"

/* What the kernel calls this architecture, and where a system call's result is in a context. */
#ifdef __aarch64__
#define OWN_ARCH AUDIT_ARCH_AARCH64
#define RESULT_OF(context) ((context)->uc_mcontext.regs[0])
#else
#define OWN_ARCH AUDIT_ARCH_X86_64
#define RESULT_OF(context) ((context)->uc_mcontext.gregs[REG_RAX])
#endif

enum {
    CALLS_MAX = 512, /* numbers that are counted apart; Linux 6.18 has 470 of them */
    ROW_INSTRUCTIONS_MAX = 7,
    CAPABILITIES_MAX = 64,
};

/* What a signal's handler can reach must be static; there is one filter in a process. */
static struct {
    _Atomic uint64_t refused[CALLS_MAX]; /* by number; the last is all above */
    uint64_t told[CALLS_MAX];            /* of it, at the last log line; of sandbox_log_refusals */
    uint64_t sum;                        /* the same, of all */
    struct sandbox_list lists[SANDBOX_LISTS_MAX]; /* for names */
} refusals;

/* --- the filter ---------------------------------------------------------------------------------
 */

struct program {
    struct sock_filter *code;
    size_t len;
};

static void program_done(struct program *p)
{
    free(p->code);
}

static void emit(struct program *p, unsigned code, size_t value, size_t if_not)
{
    p->code[p->len++] =
        (struct sock_filter){ .code = (uint16_t)code, .jf = (uint8_t)if_not, .k = (uint32_t)value };
}

static void emit_load(struct program *p, size_t offset)
{
    emit(p, BPF_LD | BPF_W | BPF_ABS, offset, 0);
}

/* The low half: both architectures are little-endian. */
static size_t offset_of_argument(unsigned arg)
{
    return offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t);
}

/* The call's number is loaded before each row and after it. */
static void emit_row(struct program *p, const struct sandbox_call *row)
{
    uint32_t verdict = row->answer ? SECCOMP_RET_ERRNO | (uint32_t)row->answer : SECCOMP_RET_ALLOW;
    uint32_t value = row->own_process ? (uint32_t)getpid() : row->value;

    if (!row->mask) {
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)row->number, 1);
        emit(p, BPF_RET | BPF_K, verdict, 0);
        return;
    }
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)row->number, 5);
    emit_load(p, offset_of_argument(row->arg));
    emit(p, BPF_ALU | BPF_AND | BPF_K, row->mask, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, value, 1);
    emit(p, BPF_RET | BPF_K, verdict, 0);
    emit_load(p, offsetof(struct seccomp_data, nr));
}

/* Calls of another architecture (32-bit ones) have other numbers: all of them are refused. */
static void make_filter(const struct sandbox *sandbox, struct program *p)
{
    size_t rows = 0;

    for (size_t i = 0; i < SANDBOX_LISTS_MAX; i++)
        rows += sandbox->lists[i].count;
    p->code = xcalloc(rows * ROW_INSTRUCTIONS_MAX + 8, sizeof(*p->code));
    emit_load(p, offsetof(struct seccomp_data, arch));
    p->code[p->len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0);
    emit(p, BPF_RET | BPF_K, SECCOMP_RET_TRAP, 0);
    emit_load(p, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < SANDBOX_LISTS_MAX; i++)
        for (size_t k = 0; k < sandbox->lists[i].count; k++)
            emit_row(p, &sandbox->lists[i].calls[k]);
    emit(p, BPF_RET | BPF_K, SECCOMP_RET_TRAP, 0);
}

/* --- what was refused ---------------------------------------------------------------------------
 */

/* In the thread that asked, at the call: it gets its answer here, and main a word. */
static void on_refusal(int number, siginfo_t *info, void *arg)
{
    ucontext_t *context = arg;
    int call = info->si_syscall;
    int errnum = errno;

    (void)number;
    if (call < 0 || call >= CALLS_MAX)
        call = CALLS_MAX - 1;
    (void)atomic_fetch_add(&refusals.refused[call], 1);
    RESULT_OF(context) = (__typeof__(RESULT_OF(context)))-EPERM;
    (void)kill(getpid(), SANDBOX_SIGNAL);
    errno = errnum;
}

static int catch_refusals(const struct sandbox *sandbox, struct error *err)
{
    struct sigaction action = { .sa_sigaction = on_refusal, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigset_t set;

    for (size_t i = 0; i < SANDBOX_LISTS_MAX; i++)
        refusals.lists[i] = sandbox->lists[i];
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SANDBOX_SIGNAL);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 || sigaction(SIGSYS, &action, NULL) < 0)
        return error_sys(err, errno, "sandbox: SIGSYS");
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGSYS);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return 0;
}

/* The name of a call that some row allows with other arguments; "" for what is on no list. */
static const char *name_of(int number)
{
    for (size_t i = 0; i < SANDBOX_LISTS_MAX; i++)
        for (size_t k = 0; k < refusals.lists[i].count; k++)
            if (refusals.lists[i].calls[k].number == number)
                return refusals.lists[i].calls[k].name;
    return "";
}

uint64_t sandbox_log_refusals(void)
{
    uint64_t before = refusals.sum;

    refusals.sum = 0;
    for (int i = 0; i < CALLS_MAX; i++) {
        uint64_t now = atomic_load(&refusals.refused[i]);

        refusals.sum += now;
        if (!now || now < 2 * refusals.told[i])
            continue;
        refusals.told[i] = now;
        log_event(LOG_ERROR, "a system call was refused: this program has no use for it",
                  WITH_NUMBER(KEY_CALL, i), WITH_TEXT(KEY_METHOD, name_of(i)),
                  WITH_NUMBER(KEY_COUNT, (int64_t)now));
    }
    return refusals.sum - before;
}

/* --- giving up ----------------------------------------------------------------------------------
 */

/* Of the calling thread: permitted and effective shrink, inheritable and ambient go, and where we
 * may, the set that a started program is bounded by. */
static int drop_capabilities(uint64_t keep, struct error *err)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

    for (unsigned cap = 0; cap < CAPABILITIES_MAX; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
            return error_sys(err, errno, "sandbox: the bounding set");
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capget, &head, data) < 0)
        return error_sys(err, errno, "sandbox: capget");
    for (size_t i = 0; i < COUNT_OF(data); i++) {
        data[i].permitted &= (uint32_t)(keep >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &head, data) < 0)
        return error_sys(err, errno, "sandbox: capset");
    return 0;
}

static int filter_calls(const struct sandbox *sandbox, struct error *err)
{
    struct program p CLEANUP(program_done) = { 0 };
    struct sock_fprog prog;

    if (!sandbox->lists[0].count)
        return 0;
    if (catch_refusals(sandbox, err) < 0)
        return -1;
    make_filter(sandbox, &p);
    if (p.len > BPF_MAXINSNS)
        return error_set(err, CODE_INTERNAL, "sandbox: a filter of %zu instructions", p.len);
    prog = (struct sock_fprog){ .len = (uint16_t)p.len, .filter = p.code };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        return error_sys(err, errno, "sandbox: seccomp");
    return 0;
}

int sandbox_enter(const struct sandbox *sandbox, bool *ret_landlock, struct error *err)
{
    bool landlock = false;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        error_sys(err, errno, "sandbox: no_new_privs");
    else if ((!sandbox->paths ||
              sandbox_restrict_paths(sandbox->paths, sandbox->path_count, &landlock, err) == 0) &&
             drop_capabilities(sandbox->capabilities, err) == 0 &&
             filter_calls(sandbox, err) == 0) {
        *ret_landlock = landlock;
        return 0;
    }
    if (err)
        err->code = CODE_FAILED_PRECONDITION;
    return error_within(err, "--sandbox=off starts without it");
}

int sandbox_switch_parse(const char *text, bool *ret, struct error *err)
{
    bool on = strcmp(text, "on") == 0;

    if (!on && strcmp(text, "off") != 0)
        return error_set(err, CODE_INVALID_ARGUMENT, "--sandbox \"%.32s\" must be on or off", text);
    *ret = on;
    return 0;
}
