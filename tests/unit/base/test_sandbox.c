/* SPDX-License-Identifier: Apache-2.0
 *
 * Children of this binary give up rights, and then try to use them.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "tests/sandbox.h"

static int call(long number)
{
    return sandbox_errno(syscall(number, 0, 0, 0, 0, 0, 0));
}

/* --- system calls: what all programs have, and nothing more -------------------------------------
 */

static int open_socket(int family, int type)
{
    autoclose int fd = socket(family, type, 0);

    return sandbox_errno(fd);
}

static int unix_socket(void)
{
    return open_socket(AF_UNIX, SOCK_STREAM);
}

static int ip4_socket(void)
{
    return open_socket(AF_INET, SOCK_STREAM);
}

static int ip6_socket(void)
{
    return open_socket(AF_INET6, SOCK_DGRAM);
}

static int netlink_socket(void)
{
    return open_socket(AF_NETLINK, SOCK_RAW);
}

static int packet_socket(void)
{
    return open_socket(AF_PACKET, SOCK_RAW);
}

static int vsock_socket(void)
{
    return open_socket(AF_VSOCK, SOCK_STREAM);
}

static int start_program(void)
{
    char *argv[] = { (char *)"true", NULL };

    return sandbox_errno(execv("/bin/true", argv));
}

static int start_program_by_descriptor(void)
{
    return call(SYS_execveat);
}

static int new_process(void)
{
    return sandbox_errno(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static int new_process_hidden_flags(void)
{
    return call(SYS_clone3);
}

static int new_namespace(void)
{
    return sandbox_errno(unshare(CLONE_NEWUSER));
}

static int new_root(void)
{
    return sandbox_errno(chroot("/"));
}

static int mount_something(void)
{
    return sandbox_errno(mount("/nowhere", "/tmp", NULL, MS_BIND, NULL));
}

static int trace_another(void)
{
    return sandbox_errno(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int read_another(void)
{
    return call(SYS_process_vm_readv);
}

static int load_bpf(void)
{
    return call(SYS_bpf);
}

static int ask_keys(void)
{
    return call(SYS_keyctl);
}

static int ring(void)
{
    return call(SYS_io_uring_setup);
}

static int watch_faults(void)
{
    return call(SYS_userfaultfd);
}

static int load_module(void)
{
    return call(SYS_init_module);
}

static int memory_file(void)
{
    return call(SYS_memfd_create);
}

static int another_filter(void)
{
    return call(SYS_seccomp);
}

static int another_user(void)
{
    return call(SYS_setuid);
}

static int a_number_that_is_no_call(void)
{
    return call(100000);
}

static int be_dumpable(void)
{
    return sandbox_errno(prctl(PR_SET_DUMPABLE, 1));
}

static int type_into_terminal(void)
{
    return sandbox_errno(ioctl(0, TIOCSTI, "x"));
}

static int signal_parent(void)
{
    return sandbox_errno(kill(getppid(), 0));
}

static int signal_itself(void)
{
    return sandbox_errno(kill(getpid(), 0));
}

static int limits_of_parent(void)
{
    struct rlimit limit;

    return sandbox_errno(prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit));
}

static int executable_memory(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return sandbox_errno(p == MAP_FAILED ? -1 : 0);
}

static int memory_made_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? ENOMEM : sandbox_errno(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static void *in_thread(void *arg)
{
    *(int *)arg = ip4_socket();
    return NULL;
}

static int in_a_thread(void)
{
    pthread_t thread;
    int got = -1;

    if (pthread_create(&thread, NULL, in_thread, &got) != 0)
        return ENOSYS;
    (void)pthread_join(thread, NULL);
    return got;
}

static int a_thousand_times(void)
{
    int got = 0;

    for (int i = 0; i < 1000 && (got == 0 || got == EPERM); i++)
        got = ip4_socket();
    return got;
}

static int write_a_file(void)
{
    autoclose int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    return sandbox_errno(write(fd, "x", 1));
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
/* getpid's number of 32-bit programs is writev's of ours. */
static int old_gate(void)
{
    long got;

    __asm__ volatile("int $0x80" : "=a"(got) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
    return got < 0 ? (int)-got : 0;
}
#endif

static const struct sandbox_row calls[] = {
    { "unix sockets are ours", unix_socket, 0, 0 },
    { "no TCP", ip4_socket, EPERM, 1 },
    { "no UDP over IPv6", ip6_socket, EPERM, 1 },
    { "no netlink", netlink_socket, EPERM, 1 },
    { "no raw packets", packet_socket, EPERM, 1 },
    { "no vsock", vsock_socket, EPERM, 1 },
    { "no program is started", start_program, EPERM, 1 },
    { "nor by its descriptor", start_program_by_descriptor, EPERM, 1 },
    { "no process either", new_process, EPERM, 1 },
    { "nor with flags that a filter cannot see", new_process_hidden_flags, ENOSYS, 0 },
    { "no namespace", new_namespace, EPERM, 1 },
    { "no other root", new_root, EPERM, 1 },
    { "no mount", mount_something, EPERM, 1 },
    { "no tracing", trace_another, EPERM, 1 },
    { "no other process's memory", read_another, EPERM, 1 },
    { "no BPF", load_bpf, EPERM, 1 },
    { "no keyrings", ask_keys, EPERM, 1 },
    { "no io_uring", ring, EPERM, 1 },
    { "no userfaultfd", watch_faults, EPERM, 1 },
    { "no kernel module", load_module, EPERM, 1 },
    { "no file that is nowhere", memory_file, EPERM, 1 },
    { "no filter after this one", another_filter, EPERM, 1 },
    { "no change of user", another_user, EPERM, 1 },
    { "a number beyond the kernel's", a_number_that_is_no_call, EPERM, 1 },
    { "it stays unreadable", be_dumpable, EPERM, 1 },
    { "nothing is typed for who started it", type_into_terminal, EPERM, 1 },
    { "no signal to another process", signal_parent, EPERM, 1 },
    { "one to itself", signal_itself, 0, 0 },
    { "no limits of another process", limits_of_parent, EPERM, 1 },
    { "no memory that is written and run", executable_memory, EPERM, 1 },
    { "nor first the one, then the other", memory_made_executable, EPERM, 1 },
    { "a thread works, and has the same sandbox", in_a_thread, EPERM, 1 },
    { "each of many is counted", a_thousand_times, EPERM, 1000 },
    { "files are written as ever", write_a_file, 0, 0 },
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
    { "no other architecture's calls", old_gate, EPERM, 1 },
#endif
};

static int enter_calls(void)
{
    struct sandbox sandbox = { .lists = { sandbox_list_common } };
    bool landlock = false;

    return sandbox_enter(&sandbox, &landlock, NULL);
}

static void what_no_program_needs_is_refused_counted_and_logged(void **state)
{
    (void)state;
    sandbox_rows_check(calls, COUNT_OF(calls), "calls");
}

/* --- capabilities -------------------------------------------------------------------------------
 */

#define KEPT (SANDBOX_CAPABILITY(CAP_CHOWN) | SANDBOX_CAPABILITY(CAP_FOWNER))

static int has_the_kept_alone(void)
{
    return sandbox_capabilities("CapEff") == KEPT && sandbox_capabilities("CapPrm") == KEPT &&
                   sandbox_capabilities("CapBnd") == KEPT && sandbox_capabilities("CapInh") == 0 &&
                   sandbox_capabilities("CapAmb") == 0
               ? 0
               : EINVAL;
}

static int give_file_away(void)
{
    char path[] = "/tmp/locket-sandbox-XXXXXX";
    autoclose int fd = mkostemp(path, O_CLOEXEC);
    int got = sandbox_errno(fchown(fd, 1, 1));

    (void)unlink(path);
    return got;
}

static int name_the_host(void)
{
    char name[256] = "";

    (void)gethostname(name, sizeof(name) - 1);
    return sandbox_errno(sethostname(name, strlen(name)));
}

static int make_device(void)
{
    return sandbox_errno(mknod("/tmp/locket-sandbox-device", S_IFBLK, 0));
}

static int change_attribute(void)
{
    return sandbox_errno(setxattr("/proc", "trusted.x", "x", 1, 0));
}

static int take_them_back(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { .effective = ~0U, .permitted = ~0U } };

    return sandbox_errno(syscall(SYS_capset, &head, data));
}

static int read_without_right(void)
{
    autoclose int fd = -1;
    char path[] = "/tmp/locket-sandbox-XXXXXX";
    autoclose int made = mkostemp(path, O_CLOEXEC);

    if (fchown(made, 1, 1) < 0 || fchmod(made, 0600) < 0)
        return errno;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)unlink(path);
    return sandbox_errno(fd);
}

static const struct sandbox_row capabilities[] = {
    { "what is kept is all there is", has_the_kept_alone, 0, 0 },
    { "what is kept works", give_file_away, 0, 0 },
    { "CAP_SYS_ADMIN", name_the_host, EPERM, 0 },
    { "CAP_MKNOD", make_device, EPERM, 0 },
    { "CAP_SYS_ADMIN for attributes", change_attribute, EPERM, 0 },
    { "CAP_DAC_OVERRIDE", read_without_right, EACCES, 0 },
    { "none is taken back", take_them_back, EPERM, 0 },
    { "CAP_SYS_ADMIN for mounts", mount_something, EPERM, 0 },
};

static int enter_capabilities(void)
{
    struct sandbox sandbox = { .capabilities = KEPT };
    bool landlock = false;

    return sandbox_enter(&sandbox, &landlock, NULL);
}

static void capabilities_that_are_not_kept_are_gone(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip(); /* there is nothing to give back */
    sandbox_rows_check(capabilities, COUNT_OF(capabilities), "capabilities");
}

/* --- paths --------------------------------------------------------------------------------------
 */

static const char *base; /* a folder with: read/file, sockets/, else/file */

static int try_open(const char *name, int flags)
{
    autofree char *path = str_printf("%s/%s", base, name);
    autoclose int fd = open(path, flags | O_CLOEXEC, 0600);

    return sandbox_errno(fd);
}

static int try_bind(const char *name)
{
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", base, name);
    return sandbox_errno(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)));
}

static int read_listed(void)
{
    return try_open("read/file", O_RDONLY);
}

static int write_listed(void)
{
    return try_open("read/file", O_WRONLY);
}

static int make_listed(void)
{
    return try_open("read/new", O_WRONLY | O_CREAT);
}

static int read_other(void)
{
    return try_open("else/file", O_RDONLY);
}

static int read_other_by_dots(void)
{
    return try_open("read/../else/file", O_RDONLY);
}

static int read_other_by_link(void)
{
    return try_open("read/link", O_RDONLY);
}

static int list_other(void)
{
    return try_open("else", O_RDONLY | O_DIRECTORY);
}

static int bind_in_folder(void)
{
    return try_bind("sockets/new.sock");
}

static int bind_elsewhere(void)
{
    return try_bind("read/new.sock");
}

static int read_user_names(void)
{
    autoclose int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

    return sandbox_errno(fd);
}

static int read_processes(void)
{
    autoclose int fd = open("/proc/1/environ", O_RDONLY | O_CLOEXEC);

    return sandbox_errno(fd);
}

static const struct sandbox_row paths[] = {
    { "what is listed is read", read_listed, 0, 0 },
    { "and not written", write_listed, EACCES, 0 },
    { "nor added to", make_listed, EACCES, 0 },
    { "what is not listed is out of reach", read_other, EACCES, 0 },
    { "by dots too", read_other_by_dots, EACCES, 0 },
    { "by a link too", read_other_by_link, EACCES, 0 },
    { "its names too", list_other, EACCES, 0 },
    { "a socket is made in its folder", bind_in_folder, 0, 0 },
    { "and nowhere else", bind_elsewhere, EACCES, 0 },
    { "the system's files are no exception", read_user_names, EACCES, 0 },
    { "nor are other processes", read_processes, EACCES, 0 },
    { "programs are not started", start_program, EACCES, 0 },
    { "nothing is mounted", mount_something, EPERM, 0 },
};

static int enter_paths(void)
{
    autofree char *readable = str_printf("%s/read", base);
    autofree char *sockets = str_printf("%s/sockets", base);
    struct sandbox_path list[] = {
        { readable, SANDBOX_READ },
        { sockets, SANDBOX_SOCKETS },
        { "/nowhere/at/all", SANDBOX_READ },
    };
    struct sandbox sandbox = { .capabilities = UINT64_MAX,
                               .paths = list,
                               .path_count = COUNT_OF(list) };
    bool landlock = false;

    if (sandbox_enter(&sandbox, &landlock, NULL) < 0)
        return -1;
    return landlock ? 0 : 1;
}

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

static void paths_that_are_not_listed_are_out_of_reach(void **state)
{
    char folder[] = "/tmp/locket-sandbox-XXXXXX";
    autofree char *make = NULL;
    autofree char *clear = NULL;

    (void)state;
    if (!has_landlock())
        skip();
    assert_non_null(mkdtemp(folder));
    make = str_printf("cd %s && mkdir read sockets else && touch read/file else/file && "
                      "ln -s ../else/file read/link",
                      folder);
    clear = str_printf("rm -r %s", folder);
    assert_int_equal(system(make), 0);
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        autofree char *words = str_printf("paths %zu %s", i, folder);

        sandbox_row_check(&paths[i], words);
    }
    assert_int_equal(system(clear), 0);
}

/* --- the switch ---------------------------------------------------------------------------------
 */

static void the_switch_is_on_or_off(void **state)
{
    static const struct {
        const char *text;
        int result;
        bool on;
    } rows[] = {
        { "on", 0, true },
        { "off", 0, false },
        { "", -1, false },
        { "true", -1, false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err = { 0 };
        bool on = false;

        assert_int_equal(sandbox_switch_parse(rows[i].text, &on, &err), rows[i].result);
        assert_int_equal(on, rows[i].on);
        assert_int_equal(err.code, rows[i].result ? CODE_INVALID_ARGUMENT : CODE_OK);
    }
}

static const struct {
    const char *name;
    const struct sandbox_row *rows;
    int (*enter)(void);
} tables[] = {
    { "calls", calls, enter_calls },
    { "capabilities", capabilities, enter_capabilities },
    { "paths", paths, enter_paths },
};

static int child(char **argv)
{
    size_t row = (size_t)strtoul(argv[3], NULL, 10);

    base = argv[4];
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        if (strcmp(tables[i].name, argv[2]) == 0)
            return tables[i].enter() == 0 ? sandbox_row_try(&tables[i].rows[row]) : 2;
    return 3;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_no_program_needs_is_refused_counted_and_logged),
        cmocka_unit_test(capabilities_that_are_not_kept_are_gone),
        cmocka_unit_test(paths_that_are_not_listed_are_out_of_reach),
        cmocka_unit_test(the_switch_is_on_or_off),
    };

    if (argc > 3)
        return child(argv);
    assert_int_equal(sandbox_suite_start(), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
