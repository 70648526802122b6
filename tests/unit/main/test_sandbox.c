/* SPDX-License-Identifier: Apache-2.0
 *
 * Children of this binary take the driver's own sandbox, and try what it must and must not do.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "driver/main/sandbox.h"
#include "tests/sandbox.h"

/* Harmless where it is allowed: there is no such thing to mount. */
static int mount_it(void)
{
    return sandbox_errno(mount("/nowhere", "/tmp", NULL, MS_BIND, NULL));
}

static int unmount_it(void)
{
    return sandbox_errno(umount2("/nowhere", UMOUNT_NOFOLLOW));
}

static int give_away(void)
{
    char path[] = "/tmp/locket-sandbox-XXXXXX";
    autoclose int fd = mkostemp(path, O_CLOEXEC);
    int got = sandbox_errno(fchown(fd, 1, 1));

    if (!got)
        got = sandbox_errno(fchmod(fd, 0440));
    (void)unlink(path);
    return got;
}

static int read_anothers(void)
{
    char path[] = "/tmp/locket-sandbox-XXXXXX";
    autoclose int made = mkostemp(path, O_CLOEXEC);
    autoclose int fd = -1;

    if (fchmod(made, 0) < 0 || fchown(made, 1, 1) < 0)
        return errno;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)unlink(path);
    return sandbox_errno(fd);
}

static int watch_folder(void)
{
    autoclose int fd = inotify_init1(IN_CLOEXEC);

    return sandbox_errno(inotify_add_watch(fd, "/tmp", IN_DELETE));
}

static int unix_socket(void)
{
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    return sandbox_errno(fd);
}

static int tcp_socket(void)
{
    autoclose int fd = socket(AF_INET, SOCK_STREAM, 0);

    return sandbox_errno(fd);
}

static int netlink_socket(void)
{
    autoclose int fd = socket(AF_NETLINK, SOCK_RAW, 0);

    return sandbox_errno(fd);
}

static int start_program(void)
{
    char *argv[] = { (char *)"true", NULL };

    return sandbox_errno(execv("/bin/true", argv));
}

static int make_device(void)
{
    int got = sandbox_errno(mknod("/tmp/locket-sandbox-device", S_IFCHR, 0));

    (void)unlink("/tmp/locket-sandbox-device");
    return got;
}

static int other_root(void)
{
    return sandbox_errno(chroot("/"));
}

static int other_namespace(void)
{
    return sandbox_errno(syscall(SYS_setns, 0, 0));
}

static int kill_parent(void)
{
    return sandbox_errno(kill(getppid(), 0));
}

#define KEPT                                                                                       \
    (SANDBOX_CAPABILITY(CAP_SYS_ADMIN) | SANDBOX_CAPABILITY(CAP_DAC_OVERRIDE) |                    \
     SANDBOX_CAPABILITY(CAP_CHOWN) | SANDBOX_CAPABILITY(CAP_FOWNER))

static int four_capabilities(void)
{
    return sandbox_capabilities("CapEff") == KEPT && sandbox_capabilities("CapBnd") == KEPT
               ? 0
               : EINVAL;
}

static const struct sandbox_row rows[] = {
    { "it mounts", mount_it, ENOENT, 0 },
    { "it unmounts", unmount_it, ENOENT, 0 },
    { "it gives files to a pod's group", give_away, 0, 0 },
    { "it enters kubelet's folders", read_anothers, 0, 0 },
    { "it watches a folder", watch_folder, 0, 0 },
    { "it speaks over unix sockets", unix_socket, 0, 0 },
    { "and over no network", tcp_socket, EPERM, 1 },
    { "nor asks the kernel about one", netlink_socket, EPERM, 1 },
    { "it starts no program", start_program, EPERM, 1 },
    { "it makes no device", make_device, EPERM, 1 },
    { "it changes no root", other_root, EPERM, 1 },
    { "it enters no namespace", other_namespace, EPERM, 1 },
    { "it signals nobody", kill_parent, EPERM, 1 },
    { "four capabilities are left", four_capabilities, 0, 0 },
};

static void the_driver_does_its_work_and_nothing_else(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip(); /* half of the rows are root's */
    sandbox_rows_check(rows, COUNT_OF(rows), "driver");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_driver_does_its_work_and_nothing_else),
    };

    if (argc > 3)
        return driver_sandbox_enter(NULL) == 0 ? sandbox_row_try(&rows[strtoul(argv[3], NULL, 10)])
                                               : 2;
    assert_int_equal(sandbox_suite_start(), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
