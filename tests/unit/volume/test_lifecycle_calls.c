/* SPDX-License-Identifier: Apache-2.0
 *
 * Every system call of a volume's whole life fails once: publish, rotations, a republish, made
 * ready for the driver before, and an unpublish over real mounts, and a restart in between. Each
 * answers an error or success, the pod sees old files or new files, nothing leaks, and the next try
 * succeeds.
 */
/* WRAP: openat __openat_2 syscall write renameat symlinkat mkdirat unlinkat umount2 */
/* WRAP: statx fstatat readlinkat */
#include <errno.h>
#include <sys/syscall.h>

#include "driver/volume/atomic_writer.h"
#include "driver/volume/lifecycle.h"
#include "driver/volume/recovery.h"
#include "driver/volume/rollback.h"
#include "driver/volume/rotation.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "tests/fakes/cluster_double.h"
#include "tests/unit/volume/rig.h"
#include "tests/unit/volume/web.h"

enum call {
    MOUNT,
    UMOUNT,
    OPEN,
    WRITE,
    RENAME,
    SYMLINK,
    MKDIR,
    UNLINK,
    STATX,
    FSTATAT,
    READLINK,
    CALL_COUNT
};

enum { CALLS_MAX = 1000, LARGE_BYTES = 1200000, WRONG_BYTES = 400, SETTLE_MS = 2000 };

static const char *const names[CALL_COUNT] = {
    "mount", "umount", "open",  "write",   "rename",   "symlink",
    "mkdir", "unlink", "statx", "fstatat", "readlink",
};

/* The one call that fails: the n-th of its kind while armed. */
static struct {
    bool armed;
    enum call call;
    int left; /* calls of that kind until it fails */
    int errnum;
    bool struck;
    bool stubborn; /* it fails ever after, until disarmed */
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

WRAP(OPEN, int, openat, (int fd, const char *path, int flags, mode_t mode), (fd, path, flags, mode))
/* What openat becomes where the flags are no constants. */
WRAP(OPEN, int, __openat_2, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(READLINK, ssize_t, readlinkat, (int fd, const char *name, char *text, size_t len),
     (fd, name, text, len))
WRAP(WRITE, ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len))
WRAP(RENAME, int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(SYMLINK, int, symlinkat, (const char *to, int fd, const char *name), (to, fd, name))
WRAP(MKDIR, int, mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode))
WRAP(UNLINK, int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags))
WRAP(UMOUNT, int, umount2, (const char *path, int flags), (path, flags))
WRAP(STATX, int, statx, (int fd, const char *path, int flags, unsigned mask, struct statx *ret),
     (fd, path, flags, mask, ret))
WRAP(FSTATAT, int, fstatat, (int fd, const char *path, struct stat *ret, int flags),
     (fd, path, ret, flags))

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d);
long __wrap_syscall(long number, long a, long b, long c, long d)
{
    return number == SYS_openat2 && fails(OPEN) ? -1 : __real_syscall(number, a, b, c, d);
}

/* libmount's own calls are met by taking libc's place. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data)
{
    if (fails(MOUNT))
        return -1;
    return (int)__real_syscall(SYS_mount, (long)source, (long)target, (long)type, (long)flags,
                               (long)data);
}

/* --- the store: sets of files, of which the new one needs a larger tmpfs
 * --------------------------
 */

enum sight { NOTHING, OLD, NEW, NEXT, MIX };

static const char *const sights[] = { "nothing", "old files", "new files", "next files", "a mix" };
static const char *const words[] = { "", "old", "new", "next" };

static enum sight stored; /* the set that a fetch answers */

static int add(struct fileset *set, const char *path, const char *text, struct error *err)
{
    struct file_spec spec = { .path = path,
                              .path_len = strlen(path),
                              .mode = 0644,
                              .uid = FILE_OWNER_UNSET,
                              .gid = FILE_OWNER_UNSET,
                              .contents = secret_copy(text, strlen(text)) };

    if (fileset_add(set, &spec, err) < 0)
        return -1;
    return fileset_add_version(set, path, words[stored], err);
}

static int find(struct source *self, const char *provider, struct error *err)
{
    (void)self;
    (void)provider;
    (void)err;
    return 0;
}

static int fetch(struct source *self, const struct source_request *req, struct fileset *ret,
                 struct error *err)
{
    autofree char *large = xcalloc(1, LARGE_BYTES);
    struct fileset set CLEANUP(fileset_done) = { 0 };

    (void)self;
    (void)req;
    memset(large, words[stored][0], stored == NEW ? LARGE_BYTES - 1 : 1);
    if (add(&set, "a", words[stored], err) < 0 || add(&set, "d/b", words[stored], err) < 0 ||
        add(&set, "large", large, err) < 0 ||
        (stored != OLD && add(&set, "later", words[stored], err) < 0))
        return -1;
    *ret = set;
    set = (struct fileset){ 0 };
    return 0;
}

static void release(struct source *self, const char *provider, const char *volume_id)
{
    (void)self;
    (void)provider;
    (void)volume_id;
}

static void each(struct source *self, void (*say)(void *arg, const struct source_status *row),
                 void *arg)
{
    (void)self;
    (void)say;
    (void)arg;
}

static void keep(struct source *self)
{
    (void)self;
}

static const struct source_ops store_ops = {
    .find = find, .fetch = fetch, .release = release, .each = each, .free = keep
};
static struct source store = { .ops = &store_ops };

/* --- the world: one lifecycle for all lives ------------------------------------------------------
 */

static struct {
    char *root;
    char *target;
    char *state;
    char *probe;
    struct lifecycle app;
} w;

static char wrong[WRONG_BYTES]; /* the first thing that was not as it must be */

printf_like(1, 2) static bool say_wrong(const char *format, ...)
{
    va_list args;
    int n = snprintf(wrong, sizeof(wrong), "%s fails (%s): ", names[plan.call],
                     strerrorname_np(plan.errnum));

    va_start(args, format);
    (void)vsnprintf(wrong + n, sizeof(wrong) - (size_t)n, format, args);
    va_end(args);
    return false;
}

static void put_class(void)
{
    web_put_class(w.app.cluster);
}

/* What a program's start does; it may fail. */
static int start(struct error *err)
{
    w.app = (struct lifecycle){ .root = { .fd = -1 }, .state = { .fd = -1 } };
    w.app.metrics = metrics_new(volume_metric_rows, VM_COUNT);
    w.app.source = &store;
    w.app.cluster = cluster_double_new();
    put_class();
    lifecycle_start(&w.app);
    if (target_root_open(w.root, &w.app.root, err) < 0 ||
        state_open(w.state, &w.app.state, err) < 0 ||
        mount_libmount_new(w.probe, &w.app.mounter, err) < 0)
        return -1;
    return recovery_run(&w.app, err);
}

static void stop(void)
{
    lifecycle_stop(&w.app);
    w.app.cluster->ops->free(w.app.cluster);
    if (w.app.mounter)
        w.app.mounter->ops->free(w.app.mounter);
    metrics_free(w.app.metrics);
    state_close(&w.app.state);
    target_root_done(&w.app.root);
}

/* --- what the pod sees ---------------------------------------------------------------------------
 */

static bool sees(int dir_fd, enum sight set)
{
    autofree char *large = text_of(dir_fd, "large");
    size_t len = large ? strlen(large) : 0;

    return reads(dir_fd, "a", words[set]) && reads(dir_fd, "d/b", words[set]) &&
           len == (set == NEW ? LARGE_BYTES - 1 : 1) && large[0] == words[set][0];
}

static enum sight look(void)
{
    int dir_fd autoclose = open(w.target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir_fd < 0 || !is_there(dir_fd, "..data"))
        return NOTHING;
    for (enum sight set = OLD; set <= NEXT; set++)
        if (sees(dir_fd, set))
            return set;
    return MIX;
}

static bool is_mounted(void)
{
    autofree char *text = NULL;

    return fs_read_text("/proc/self/mountinfo", RIG_BYTES_MAX, &text, NULL) < 0 ||
           strstr(text, "locket:") != NULL;
}

/* A rotation's thread says goodbye to the provider after the answer. */
static bool nothing_left(const char *when)
{
    if (is_mounted())
        return say_wrong("%s leaves a mount", when);
    if (access(w.target, F_OK) == 0)
        return say_wrong("%s leaves the target's folder", when);
    if (entries(w.app.state.fd).all != 1) /* the probe's folder */
        return say_wrong("%s leaves a record", when);
    if (volume_table_count(w.app.volumes))
        return say_wrong("%s leaves a volume", when);
    if (budget_used(&w.app.budget))
        return say_wrong("%s leaves %ld bytes of the budget taken", when,
                         (long)budget_used(&w.app.budget));
    return true;
}

/* --- steps ---------------------------------------------------------------------------------------
 */

static int publish(struct error *err)
{
    struct publish_request req = web_request("csi-1", w.target);
    bool done = false;
    int result;

    result = lifecycle_republish(&w.app, &req, &done, err);
    if (result == 0 && !done)
        result = lifecycle_publish(&w.app, &req, err);
    pairs_done(&req.attributes);
    return result;
}

static int refresh(struct error *err)
{
    struct volume *v autovolume = volume_table_get(w.app.volumes, "csi-1");
    bool changed = false;

    if (!v)
        return error_set(err, CODE_NOT_FOUND, "no such volume");
    return rotation_refresh(&w.app, v, NULL, &changed, err);
}

static int hand_back(struct error *err)
{
    struct volume *v autovolume = volume_table_get(w.app.volumes, "csi-1");
    bool changed = false;

    if (!v)
        return error_set(err, CODE_NOT_FOUND, "no such volume");
    return rollback_prepare(&w.app, v, 0, &changed, err);
}

static int unpublish(struct error *err)
{
    return lifecycle_unpublish(&w.app, "csi-1", w.target, err);
}

static const struct step {
    const char *says;
    int (*act)(struct error *err);
    enum sight before;
    enum sight after;
} steps[] = {
    { "a publish", publish, NOTHING, OLD },    { "a republish", publish, OLD, OLD },
    { "a rotation", refresh, OLD, NEW },       { "the next rotation", refresh, NEW, NEXT },
    { "a way back", hand_back, NEXT, NEXT },   { "another rotation", refresh, NEXT, OLD },
    { "a late republish", publish, OLD, OLD }, { "an unpublish", unpublish, OLD, NOTHING },
};

/* What must hold after a step that met the fault. */
static bool judge(const struct step *s, int outcome, const struct error *err)
{
    enum sight seen = look();

    if (outcome == 0 && seen != s->after)
        return say_wrong("%s succeeds, and the pod sees %s", s->says, sights[seen]);
    if (outcome < 0 && (err->code == CODE_OK || !*err->msg))
        return say_wrong("%s fails without a text", s->says);
    if (seen == s->before || seen == s->after)
        return true;
    if (s->act == unpublish && outcome < 0) /* what is half wiped is wiped by the next */
        return true;
    return say_wrong("%s answers %d, and the pod sees %s", s->says, outcome, sights[seen]);
}

static bool act(const struct step *s)
{
    struct error err = { 0 };
    bool struck = plan.struck;
    int outcome;

    if (s->after)
        stored = s->after;
    plan.armed = !struck;
    outcome = s->act(&err);
    plan.armed = false;
    if (!judge(s, outcome, &err))
        return false;
    if (outcome == 0)
        return true;
    if (struck || !plan.struck)
        return say_wrong("%s fails without a fault: %s", s->says, err.msg);
    if (s->before == NOTHING && !plan.stubborn && look() == NOTHING && !nothing_left(s->says))
        return false;
    err = (struct error){ 0 };
    if (s->act(&err) < 0)
        return say_wrong("the next try of %s fails: %s", s->says, err.msg);
    return judge(s, 0, &err);
}

/* Threads of the pools may be at their last lines. */
static bool same_fds(size_t before)
{
    int64_t end = clock_mono_ms() + SETTLE_MS;

    while (open_fds() != before && clock_mono_ms() < end)
        clock_sleep_ms(1);
    return open_fds() == before || say_wrong("%zu descriptors are left", open_fds() - before);
}

/* One life in which call number n of its kind fails. */
static bool live(int n)
{
    size_t fds = open_fds();

    plan.left = n;
    plan.struck = false;
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        if (!act(&steps[i]))
            return false;
    return nothing_left("a life") && same_fds(fds);
}

/* --- a restart in between ------------------------------------------------------------------------
 */

/* A record of a publish that did not end, with its mount. */
static bool half_publish(void)
{
    struct record r CLEANUP(record_done) = {
        .volume_id = xstrdup("csi-1"), .target = xstrdup(w.target), .fs_group = -1, .made_target = 1
    };
    struct mount_spec spec = { .volume_id = "csi-1", .size_bytes = 1 << 20, .inodes = 64 };
    struct target t autotarget = { .parent_fd = -1 };
    struct error err = { 0 };
    bool flag = false;

    if (state_save(&w.app.state, &r, &err) < 0 ||
        target_open(&w.app.root, w.target, true, &t, &flag, &err) < 0 ||
        target_make(&t, &flag, &err) < 0 ||
        w.app.mounter->ops->mount(w.app.mounter, &t, &spec, &err) < 0)
        return say_wrong("preparing: %s", err.msg);
    return true;
}

/* Starts again while call number n fails; a start that failed is tried once more. */
static bool restart(int n, bool whole)
{
    struct error err = { 0 };
    int outcome;

    plan.struck = false;
    stored = OLD;
    if (whole ? publish(&err) < 0 : !half_publish())
        return say_wrong("preparing: %s", err.msg);
    stop();
    plan.left = n;
    plan.armed = true;
    outcome = start(&err);
    plan.armed = false;
    if (outcome < 0 && !plan.struck)
        return say_wrong("a start fails without a fault: %s", err.msg);
    if (whole && look() != OLD)
        return say_wrong("a restart, and the pod sees %s", sights[look()]);
    if (outcome < 0)
        stop();
    if (outcome < 0 && start(&err) < 0)
        return say_wrong("the next start fails: %s", err.msg);
    stored = OLD;
    if (publish(&err) < 0 || look() != OLD)
        return say_wrong("a publish after the restart: %s", err.msg);
    if (unpublish(&err) < 0)
        return say_wrong("an unpublish after the restart: %s", err.msg);
    (void)unlinkat(w.app.state.fd, "csi-1.vol.bad", 0); /* it could not be read */
    return nothing_left("a restart");
}

static bool restart_whole(int n)
{
    return restart(n, true);
}

static bool restart_half(int n)
{
    return restart(n, false);
}

/* --- loops over n --------------------------------------------------------------------------------
 */

/* For n = 1, 2, 3...: until a life has no n-th call of the kind. How many had. */
static int strike_all(bool (*one)(int n), bool stubborn)
{
    static const int errnums[] = { EIO, ENOSPC, ENOMEM };
    int struck = 0;

    for (enum call call = 0; call < CALL_COUNT; call++)
        for (size_t e = 0; e < (stubborn ? 1 : COUNT_OF(errnums)); e++) {
            int n = 1;

            memset(&plan, 0, sizeof(plan));
            plan.call = call;
            plan.errnum = errnums[e];
            plan.stubborn = stubborn;
            while (one(n) && plan.struck && n < CALLS_MAX)
                n++;
            if (*wrong)
                return -1;
            struck += n - 1;
        }
    return struck;
}

/* The sanitizer's, where there is one: the child ends without its own look. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static const char *in_world(struct folder *f, bool (*one)(int n), bool stubborn, int least)
{
    struct error err = { 0 };
    int struck;

    log_setup(LOG_ERROR, false);
    w.root = str_printf("%s/root", f->path);
    w.target = str_printf("%s/pods/1/v/mount", w.root);
    w.state = str_printf("%s/state", f->path);
    w.probe = str_printf("%s/probe", w.state);
    if (mkdirat(f->fd, "root", 0700) < 0 || start(&err) < 0) {
        (void)snprintf(wrong, sizeof(wrong), "no start: %.300s", err.msg);
        return wrong;
    }
    struck = strike_all(one, stubborn);
    if (struck >= 0 && struck < least)
        (void)snprintf(wrong, sizeof(wrong), "only %d calls failed", struck);
    stop();
    if (!*wrong && __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
        (void)snprintf(wrong, sizeof(wrong), "memory leaks");
    return *wrong ? wrong : NULL;
}

static const char *each_once(struct folder *f)
{
    return in_world(f, live, false, 300);
}

static const char *each_ever_after(struct folder *f)
{
    return in_world(f, live, true, 150);
}

static const char *each_at_restart(struct folder *f)
{
    return in_world(f, restart_whole, false, 30);
}

static const char *each_at_restart_with_half(struct folder *f)
{
    return in_world(f, restart_half, false, 30);
}

static void a_life_survives_the_failure_of_any_one_call(void **state)
{
    in_namespace(each_once, *state);
}

static void a_life_survives_a_call_that_fails_ever_after(void **state)
{
    in_namespace(each_ever_after, *state);
}

static void a_restart_survives_the_failure_of_any_one_call(void **state)
{
    in_namespace(each_at_restart, *state);
}

static void undoing_survives_the_failure_of_any_one_call(void **state)
{
    in_namespace(each_at_restart_with_half, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(a_life_survives_the_failure_of_any_one_call),
        in_folder(a_life_survives_a_call_that_fails_ever_after),
        in_folder(a_restart_survives_the_failure_of_any_one_call),
        in_folder(undoing_survives_the_failure_of_any_one_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
