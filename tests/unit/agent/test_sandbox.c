/* SPDX-License-Identifier: Apache-2.0
 *
 * Children of this binary take the agent's sandbox, and try to reach what is not its own.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/sandbox.h"
#include "tests/sandbox.h"

static const char *base; /* token/..data -> ..1, token/token -> ..data/token, run/, providers/ */

static int try_open(const char *name, int flags)
{
    autoclose int fd = open(name, flags | O_CLOEXEC);

    return sandbox_errno(fd);
}

static int try_below(const char *name, int flags)
{
    autofree char *path = str_printf("%s/%s", base, name);

    return try_open(path, flags);
}

static int read_token(void)
{
    return try_below("token/token", O_RDONLY);
}

/* As kubelet renews it: another folder, and ..data leads there. */
static int read_renewed_token(void)
{
    return try_below("token/..2/token", O_RDONLY);
}

static int write_token(void)
{
    return try_below("token/..1/token", O_WRONLY);
}

static int read_providers_key(void)
{
    return try_below("providers/key", O_RDONLY);
}

static int read_users(void)
{
    return try_open("/etc/passwd", O_RDONLY);
}

static int read_name_servers(void)
{
    return try_open("/etc/resolv.conf", O_RDONLY);
}

static int read_other_process(void)
{
    return try_open("/proc/1/environ", O_RDONLY);
}

static int make_socket(const char *folder)
{
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int got;

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s/x.sock", base, folder);
    got = sandbox_errno(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)));
    (void)unlink(addr.sun_path);
    return got;
}

static int serve_own_folder(void)
{
    return make_socket("run");
}

static int serve_as_provider(void)
{
    return make_socket("providers");
}

/* As a rotation of the audit's file does. */
static int rotate_audit(void)
{
    autofree char *from = str_printf("%s/audit/log", base);
    autofree char *to = str_printf("%s/audit/log.1", base);
    autoclose int fd = open(from, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    return fd < 0 ? sandbox_errno(fd) : sandbox_errno(rename(from, to));
}

static int tcp(void)
{
    autoclose int fd = socket(AF_INET, SOCK_STREAM, 0);

    return sandbox_errno(fd);
}

static int packets(void)
{
    autoclose int fd = socket(AF_PACKET, SOCK_RAW, 0);

    return sandbox_errno(fd);
}

static int start_program(void)
{
    char *argv[] = { (char *)"true", NULL };

    return sandbox_errno(execv("/bin/true", argv));
}

static int mount_it(void)
{
    return sandbox_errno(mount("/nowhere", "/tmp", NULL, MS_BIND, NULL));
}

static const struct sandbox_row rows[] = {
    { "its token", read_token, 0, 0 },
    { "its next token", read_renewed_token, 0, 0 },
    { "not to be written", write_token, EACCES, 0 },
    { "no key of the provider's", read_providers_key, EACCES, 0 },
    { "no user names", read_users, EACCES, 0 },
    { "name servers", read_name_servers, 0, 0 },
    { "no other process", read_other_process, EACCES, 0 },
    { "its socket's folder", serve_own_folder, 0, 0 },
    { "not the providers'", serve_as_provider, EACCES, 0 },
    { "its audit", rotate_audit, 0, 0 },
    { "the network", tcp, 0, 0 },
    { "but no packets of others", packets, EPERM, 1 },
    { "no program", start_program, EPERM, 1 },
    { "no mount", mount_it, EPERM, 1 },
};

static int enter(void)
{
    autofree char *token = str_printf("%s/token", base);
    autofree char *token_file = str_printf("%s/token/token", base);
    autofree char *sock = str_printf("%s/run/agent.sock", base);
    autofree char *audit = str_printf("%s/audit/log", base);
    struct agent_config config = { .socket = sock,
                                   .kubeconfig = (char *)"",
                                   .token_folder = token,
                                   .audit_log = audit,
                                   .sandbox = true };
    struct kube_config kube = { .token_file = token_file };

    return agent_sandbox_enter(&config, &kube, NULL);
}

static void the_agent_reaches_its_own_alone(void **state)
{
    char folder[] = "/tmp/locket-sandbox-XXXXXX";
    autofree char *make = NULL;
    autofree char *clear = NULL;

    (void)state;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
        skip();
    assert_non_null(mkdtemp(folder));
    make = str_printf("cd %s && mkdir -p token/..1 token/..2 run providers audit && ln -s ..1 "
                      "token/..data && ln -s ..data/token token/token && touch token/..1/token "
                      "token/..2/token providers/key",
                      folder);
    clear = str_printf("rm -r %s", folder);
    assert_int_equal(system(make), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        autofree char *words = str_printf("%zu %s", i, folder);

        sandbox_row_check(&rows[i], words);
    }
    assert_int_equal(system(clear), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_agent_reaches_its_own_alone),
    };

    if (argc > 3) {
        base = argv[3];
        return enter() == 0 ? sandbox_row_try(&rows[strtoul(argv[2], NULL, 10)]) : 2;
    }
    assert_int_equal(sandbox_suite_start(), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
