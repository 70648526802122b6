/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/checks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MIB = 1 << 20,
    BUDGET_PERCENT = 10, /* of memory: the driver's default --tmpfs-budget */
    LINE_MAX_BYTES = 4096,
};

/* Ends of the child that tries a mount. */
enum trial { TRIAL_OK = 0, TRIAL_NO_NAMESPACE = 1, TRIAL_NO_MOUNT = 2, TRIAL_LOST = 3 };

void check_done(struct check *c)
{
    free(c->detail);
    c->detail = NULL;
}

static bool kernel(const struct checks_target *t, char **detail)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH };
    struct utsname name = { 0 };
    long fd = syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how));
    bool ok = fd >= 0;

    (void)t;
    if (ok)
        (void)close((int)fd);
    (void)uname(&name);
    *detail = str_printf("Linux %.60s%s", name.release, ok ? "" : " without openat2");
    return ok;
}

/* Mounts a tmpfs with these options where nobody else sees it. */
static enum trial try_tmpfs(const char *mount_options)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int flags = CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER);

        if (unshare(flags) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(TRIAL_NO_NAMESPACE);
        _exit(mount("locket-doctor", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                    mount_options) < 0
                  ? TRIAL_NO_MOUNT
                  : TRIAL_OK);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return TRIAL_LOST;
    return (enum trial)WEXITSTATUS(status);
}

static bool tmpfs(const struct checks_target *t, char **detail)
{
    enum trial trial = try_tmpfs("size=1m,mode=0755");

    (void)t;
    if (trial == TRIAL_OK)
        *detail = xstrdup("can be mounted");
    else
        *detail = xstrdup(trial == TRIAL_NO_NAMESPACE ? "no mount namespace is to be had"
                                                      : "cannot be mounted");
    return trial == TRIAL_OK;
}

/* Is any swap in use? Its list has one line of headings. */
static bool has_swap(void)
{
    FILE *f = fopen("/proc/swaps", "re");
    char line[LINE_MAX_BYTES];
    int lines = 0;

    while (f && fgets(line, sizeof(line), f))
        lines++;
    if (f)
        (void)fclose(f);
    return lines > 1;
}

static bool noswap(const struct checks_target *t, char **detail)
{
    bool known = try_tmpfs("size=1m,noswap") == TRIAL_OK;
    bool swap = has_swap();

    (void)t;
    *detail = str_printf("tmpfs %s noswap, %s", known ? "takes" : "does not take",
                         swap ? "and swap is in use" : "no swap is in use");
    return known || !swap;
}

/* A socket that is there, and that none but its owner and group may open. */
static bool socket_file(const char *path, char **detail)
{
    struct stat st;

    if (lstat(path, &st) < 0) {
        *detail =
            str_printf("%s: %s", path, errno == ENOENT ? "is not there" : strerrordesc_np(errno));
        return false;
    }
    *detail =
        str_printf("%s: %s, owner %u, mode %04o", path,
                   S_ISSOCK(st.st_mode) ? "socket" : "no socket", st.st_uid, st.st_mode & 07777);
    return S_ISSOCK(st.st_mode) && !(st.st_mode & S_IWOTH);
}

static bool admin_socket(const struct checks_target *t, char **detail)
{
    return socket_file(t->admin_socket, detail);
}

static bool csi_socket(const struct checks_target *t, char **detail)
{
    return socket_file(t->csi_socket, detail);
}

static bool memory(const struct checks_target *t, char **detail)
{
    struct sysinfo info = { 0 };
    unsigned long long total;

    (void)t;
    (void)sysinfo(&info);
    total = (unsigned long long)info.totalram * info.mem_unit;
    *detail = str_printf("%llu MiB; %d %% for tmpfs are %llu MiB", total / MIB, BUDGET_PERCENT,
                         total * BUDGET_PERCENT / 100 / MIB);
    return total > 0;
}

/* Finds the mount that holds a path in a list like /proc/self/mountinfo: the longest mount point
 * above it. Is it shared? Source: proc(5), mountinfo. */
static bool is_shared(FILE *mountinfo, const char *path, char **ret_point)
{
    char line[LINE_MAX_BYTES];
    size_t longest = 0;
    bool shared = false;

    while (fgets(line, sizeof(line), mountinfo)) {
        char point[1024];
        size_t len;

        if (sscanf(line, "%*s %*s %*s %*s %1023s", point) != 1)
            continue;
        len = strcmp(point, "/") == 0 ? 0 : strlen(point);
        if (strncmp(path, point, len) != 0 || (path[len] && path[len] != '/') || len < longest)
            continue;
        longest = len;
        shared = strstr(line, " shared:") != NULL;
        free(*ret_point);
        *ret_point = xstrdup(point);
    }
    return shared;
}

/* Only containers need it: without kubelet whoever mounts is whoever reads. */
static bool propagation(const struct checks_target *t, char **detail)
{
    autofree char *plugins = str_printf("%s/plugins_registry", t->target_root);
    FILE *f = fopen("/proc/self/mountinfo", "re");
    autofree char *real = realpath(t->target_root, NULL);
    autofree char *point = NULL;
    bool shared = f && is_shared(f, real ? real : t->target_root, &point);

    if (f)
        (void)fclose(f);
    *detail = str_printf("%s%s: on %s, which is %s", t->target_root, real ? "" : " (not there yet)",
                         point ? point : "?", shared ? "shared" : "not shared");
    return shared || access(plugins, F_OK) < 0;
}

static const struct {
    const char *name;
    bool (*run)(const struct checks_target *target, char **detail);
    const char *remedy;
} table[] = {
    { "kernel", kernel, "run Linux 5.6 or later, and a seccomp profile that lets openat2 through" },
    { "tmpfs", tmpfs,
      "run as root, or where user namespaces are allowed; in a container, privileged" },
    { "noswap", noswap,
      "run Linux 6.4 or later, or switch swap off: secrets may be written to it" },
    { "memory", memory, "mount /proc" },
    { "mount propagation", propagation,
      "mount --make-rshared the file system of --target-root, or containers see no volume" },
    { "admin socket", admin_socket,
      "start locket-driver, or name its socket by --admin-socket; it must not be open to all" },
    { "CSI socket", csi_socket,
      "start locket-driver, or name its socket by --csi-socket; it must not be open to all" },
};

size_t checks_run(const struct checks_target *target, struct check *ret)
{
    _Static_assert(COUNT_OF(table) <= CHECKS_MAX, "room for all checks");

    for (size_t i = 0; i < COUNT_OF(table); i++) {
        ret[i] = (struct check){ .name = table[i].name };
        ret[i].ok = table[i].run(target, &ret[i].detail);
        ret[i].remedy = ret[i].ok ? "" : table[i].remedy;
    }
    return COUNT_OF(table);
}
