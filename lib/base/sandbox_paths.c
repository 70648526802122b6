/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/sandbox_paths.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the list ---
 */

/* What the system's libraries read: names, certificates, zones, what they load. */
static const char *const system_paths[] = {
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
    "/etc/localtime",
    "/usr/share/zoneinfo",
};

static const char *const network_paths[] = {
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/crypto-policies",
};

void sandbox_paths_done(struct sandbox_paths *p)
{
    for (size_t i = 0; i < p->count; i++)
        free((char *)p->items[i].path);
    free(p->items);
}

void sandbox_paths_add(struct sandbox_paths *p, const char *path, enum sandbox_access access)
{
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 64;
        p->items = xrealloc(p->items, p->room * sizeof(*p->items));
    }
    p->items[p->count++] = (struct sandbox_path){ xstrdup(path), access };
}

static void add_all(struct sandbox_paths *p, const char *const *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sandbox_paths_add(p, rows[i], SANDBOX_READ);
}

void sandbox_paths_add_system(struct sandbox_paths *p, bool network)
{
    add_all(p, system_paths, COUNT_OF(system_paths));
    if (network)
        add_all(p, network_paths, COUNT_OF(network_paths));
}

/* The folder of a path's last component; "/" would be everything, then it is the path itself. */
static void add_folder_of(struct sandbox_paths *p, const char *path, enum sandbox_access access)
{
    const char *slash = strrchr(path, '/');
    autofree char *folder = slash && slash > path ? xstrndup(path, (size_t)(slash - path)) : NULL;

    sandbox_paths_add(p, folder ? folder : path, access);
}

void sandbox_paths_add_configured(struct sandbox_paths *p, const char *path,
                                  enum sandbox_access access)
{
    autofree char *real = path ? realpath(path, NULL) : NULL;
    struct stat st;

    if (!path || !*path)
        return;
    if (real && stat(real, &st) == 0 && S_ISDIR(st.st_mode)) {
        sandbox_paths_add(p, real, access);
        return;
    }
    add_folder_of(p, path, access);
    if (real)
        add_folder_of(p, real, access);
}

/* --- the kernel ---
 */

/* As the kernel's headers have them from 6.2 on; Debian 12's are of 6.1. */
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define SCOPE_ABSTRACT_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

struct ruleset {
    uint64_t fs;
    uint64_t net; /* no TCP port is forbidden: who may have sockets at all is the filter's */
    uint64_t scoped;
};

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_OF_FILES                                                                                \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE |   \
     FS_TRUNCATE | FS_IOCTL_DEV)

static const uint64_t rights[] = {
    [SANDBOX_READ] = FS_READ,
    [SANDBOX_START] = FS_READ | LANDLOCK_ACCESS_FS_EXECUTE,
    [SANDBOX_WRITE] = FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                      LANDLOCK_ACCESS_FS_MAKE_REG | FS_TRUNCATE,
    [SANDBOX_SOCKETS] = FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                        LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK,
};

/* All that this kernel can forbid. REFER is always denied where it is not handled. */
static struct ruleset all_of(long abi)
{
    struct ruleset all = { .fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };

    if (abi >= 2)
        all.fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        all.fs |= FS_TRUNCATE;
    if (abi >= 5)
        all.fs |= FS_IOCTL_DEV;
    if (abi >= 6)
        all.scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
    return all;
}

static int add_path(int ruleset, uint64_t handled, const struct sandbox_path *path,
                    struct error *err)
{
    autoclose int fd = open(path->path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = { .parent_fd = fd,
                                               .allowed_access = rights[path->access] & handled };
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return 0; /* not there, or out of our reach already */
    if (!S_ISDIR(st.st_mode))
        rule.allowed_access &= FS_OF_FILES;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return error_sys(err, errno, "sandbox: Landlock rule for %s", path->path);
    return 0;
}

int sandbox_restrict_paths(const struct sandbox_path *paths, size_t count, bool *ret_done,
                           struct error *err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct ruleset all = all_of(abi);
    autoclose int fd = -1;

    if (abi < 1) {
        *ret_done = false;
        return 0;
    }
    /* An older kernel takes a longer struct whose new members are 0. */
    fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
    if (fd < 0)
        return error_sys(err, errno, "sandbox: Landlock");
    for (size_t i = 0; i < count; i++)
        if (add_path(fd, all.fs, &paths[i], err) < 0)
            return -1;
    if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return error_sys(err, errno, "sandbox: Landlock");
    *ret_done = true;
    return 0;
}
