/* SPDX-License-Identifier: Apache-2.0
 *
 * Every system call of a write fails once: the pod sees old files or new files, never a mix, and
 * nothing is left behind.
 */
/* WRAP: openat write renameat symlinkat mkdirat unlinkat fchmod fchown readlinkat read */
#include <errno.h>

#include "driver/volume/atomic_writer.h"
#include "tests/unit/volume/rig.h"

enum call {
    OPENAT,
    WRITE,
    RENAMEAT,
    SYMLINKAT,
    MKDIRAT,
    UNLINKAT,
    FCHMOD,
    FCHOWN,
    READLINKAT,
    READ,
    CALL_COUNT
};

enum { CALLS_MAX = 1000 };

static const char *const names[CALL_COUNT] = { "openat",     "write",    "renameat", "symlinkat",
                                               "mkdirat",    "unlinkat", "fchmod",   "fchown",
                                               "readlinkat", "read" };

/* The one call that fails: the n-th of its kind while armed. */
static struct {
    bool armed;
    enum call call;
    int left; /* calls of that kind until it fails */
    int errnum;
    bool struck;
    bool stubborn;  /* it fails ever after */
    bool shortened; /* write writes half of what it should, each time */
} plan;

static bool fails(enum call call)
{
    if (!plan.armed || plan.call != call)
        return false;
    if (plan.struck ? !plan.stubborn : --plan.left > 0)
        return false;
    plan.struck = true;
    errno = plan.errnum;
    return true;
}

#define WRAP(call, type, name, params, args)                                                       \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return fails(call) ? -1 : __real_##name args;                                              \
    }

WRAP(RENAMEAT, int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(SYMLINKAT, int, symlinkat, (const char *to, int fd, const char *name), (to, fd, name))
WRAP(MKDIRAT, int, mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode))
WRAP(UNLINKAT, int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags))
WRAP(FCHMOD, int, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(FCHOWN, int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
WRAP(READLINKAT, ssize_t, readlinkat, (int fd, const char *name, char *text, size_t len),
     (fd, name, text, len))
WRAP(READ, ssize_t, read, (int fd, void *bytes, size_t len), (fd, bytes, len))

int __real_openat(int fd, const char *path, int flags, mode_t mode);
int __wrap_openat(int fd, const char *path, int flags, mode_t mode);
int __wrap_openat(int fd, const char *path, int flags, mode_t mode)
{
    return fails(OPENAT) ? -1 : __real_openat(fd, path, flags, mode);
}

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    if (fails(WRITE))
        return -1;
    return __real_write(fd, bytes, plan.armed && plan.shortened && len > 1 ? len / 2 : len);
}

/* --- two sets of files, and what of them a pod sees ----------------------------------------------
 */

static const struct row old_rows[] = { { "a", "old a", 0644 },
                                       { "gone", "old", 0600 },
                                       { "d/x", "old x", 0640 },
                                       { "same", "same", 0644 } };
static const struct row new_rows[] = {
    { "same", "same", 0644 },   { "a", "new a", 0600 },  { "d/x", "new x", 0640 },
    { "d/e/y", "new y", 0400 }, { "more", "new", 0644 },
};

static const struct {
    const struct row *rows;
    size_t count;
} sets[] = { { old_rows, COUNT_OF(old_rows) }, { new_rows, COUNT_OF(new_rows) } };

enum sight { SEES_OLD, SEES_NEW, SEES_NOTHING, SEES_MIX };

static bool sees_set(int dir_fd, const char *prefix, size_t set)
{
    for (size_t i = 0; i < sets[set].count; i++) {
        autofree char *path = str_printf("%s%s", prefix, sets[set].rows[i].path);

        if (!reads(dir_fd, path, sets[set].rows[i].text) ||
            mode_of(dir_fd, path) != sets[set].rows[i].mode)
            return false;
    }
    return true;
}

/* By the one link that decides. */
static enum sight sight(int dir_fd)
{
    if (!is_there(dir_fd, "..data"))
        return SEES_NOTHING;
    if (sees_set(dir_fd, "..data/", 0) && !is_there(dir_fd, "..data/more"))
        return SEES_OLD;
    return sees_set(dir_fd, "..data/", 1) && !is_there(dir_fd, "..data/gone") ? SEES_NEW : SEES_MIX;
}

static int write_set(int dir_fd, size_t which, bool keep, struct write_result *result,
                     struct error *err)
{
    struct writer_options options = { .fs_group = geteuid() == 0 ? 4711 : (gid_t)-1,
                                      .keep_previous = keep };
    struct fileset set CLEANUP(fileset_done) = { 0 };

    add_rows(&set, sets[which].rows, sets[which].count);
    return atomic_writer_write(dir_fd, &set, &options, result, err);
}

/* What must hold after a write in which a call failed, and then after the next one. */
static void judge(int dir_fd, bool had_old, int outcome, const struct error *err)
{
    enum sight seen = sight(dir_fd);
    struct write_result result = { 0 };
    struct error none = { 0 };
    const char *call = names[plan.call];

    if (seen == SEES_MIX || (seen == SEES_NOTHING && had_old) || (seen == SEES_OLD && !had_old))
        fail_msg("%s: the pod sees a mix (%d)", call, seen);
    if (outcome == 0 && seen != SEES_NEW)
        fail_msg("%s: success, but the pod does not see the new files", call);
    if (seen == SEES_OLD && !sees_set(dir_fd, "", 0))
        fail_msg("%s: links of old files are gone", call);
    if (outcome < 0 && (err->code == CODE_OK || !*err->msg))
        fail_msg("%s: an error without a text", call);
    assert_int_equal(atomic_writer_fold(dir_fd, &none), 0);
    if (entries(dir_fd).dotted != (seen == SEES_NOTHING ? 0 : 2))
        fail_msg("%s: something is left after a fold", call);
    if (write_set(dir_fd, 1, false, &result, &none) < 0)
        fail_msg("%s: the next write fails: %s", call, none.msg);
    if (sight(dir_fd) != SEES_NEW || !sees_set(dir_fd, "", 1) || is_there(dir_fd, "gone"))
        fail_msg("%s: the next write does not put everything right", call);
    assert_int_equal(entries(dir_fd).dotted, 2);
}

/* Fails call number n of its kind in one write; false: the write had no n-th. */
static bool strike(int n, bool had_old, bool keep)
{
    struct write_result result = { 0 };
    struct error err = { 0 };
    static struct folder none;
    struct folder *f = &none;
    size_t fds;
    int outcome;

    assert_int_equal(folder_make((void **)&f), 0);
    if (had_old)
        assert_int_equal(write_set(f->fd, 0, false, &result, &err), 0);
    fds = open_fds();
    plan.left = n;
    plan.struck = false;
    plan.armed = true;
    outcome = write_set(f->fd, 1, keep, &result, &err);
    plan.armed = false;
    assert_int_equal(open_fds(), fds);
    judge(f->fd, had_old, outcome, &err);
    assert_int_equal(folder_remove((void **)&f), 0);
    return plan.struck;
}

static int strike_all(bool had_old, bool keep, bool stubborn)
{
    static const int errnums[] = { ENOSPC, EIO, EMFILE };
    int struck = 0;

    for (enum call call = 0; call < CALL_COUNT; call++)
        for (size_t e = 0; e < COUNT_OF(errnums); e++) {
            int n = 1;

            memset(&plan, 0, sizeof(plan));
            plan.call = call;
            plan.errnum = errnums[e];
            plan.stubborn = stubborn;
            while (n < CALLS_MAX && strike(n, had_old, keep))
                n++;
            if (n == 1 && call != FCHOWN && (had_old || (call != READ && call != UNLINKAT)))
                fail_msg("%s is never called", names[call]);
            struck += n - 1;
        }
    return struck;
}

static void a_first_write_leaves_nothing_or_new_files(void **state)
{
    (void)state;
    assert_in_range(strike_all(false, false, false), 60, 3000);
}

static void a_later_write_leaves_old_or_new_files(void **state)
{
    (void)state;
    assert_in_range(strike_all(true, false, false), 100, 3000);
}

static void a_later_write_within_a_grace_leaves_old_or_new_files(void **state)
{
    (void)state;
    assert_in_range(strike_all(true, true, false), 100, 3000);
}

static void cleaning_up_may_fail_too(void **state)
{
    (void)state;
    assert_in_range(strike_all(true, true, true), 100, 3000);
}

static void short_writes_and_interrupts_are_no_failures(void **state)
{
    struct folder *f = *state;
    struct write_result result = { 0 };
    struct error err = { 0 };

    memset(&plan, 0, sizeof(plan));
    plan.armed = plan.shortened = true;
    plan.call = WRITE;
    plan.errnum = EINTR;
    plan.left = 3;
    assert_int_equal(write_set(f->fd, 1, false, &result, &err), 0);
    plan.armed = false;
    assert_true(plan.struck);
    assert_int_equal(sight(f->fd), SEES_NEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_write_leaves_nothing_or_new_files),
        cmocka_unit_test(a_later_write_leaves_old_or_new_files),
        cmocka_unit_test(a_later_write_within_a_grace_leaves_old_or_new_files),
        cmocka_unit_test(cleaning_up_may_fail_too),
        in_folder(short_writes_and_interrupts_are_no_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
