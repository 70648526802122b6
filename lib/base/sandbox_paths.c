/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/sandbox_paths.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <unistd.h>

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
