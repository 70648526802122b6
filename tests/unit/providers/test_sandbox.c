/* SPDX-License-Identifier: Apache-2.0
 *
 * Children of this binary take the sandbox of the provider's supervisor or of a store's process,
 * and try to reach what is not theirs.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "providers/sandbox.h"
#include "tests/sandbox.h"

static const char *base; /* file/doc.json, ca/ca.pem, links/ca.pem to it, sockets/, driver/token */

static int try_read(const char *name)
{
    autofree char *path = str_printf("%s/%s", base, name);
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

    return sandbox_errno(fd);
}

static int read_document(void)
{
    return try_read("file/doc.json");
}

/* As whoever replaces a file by a rename leaves it: another inode. */
static int read_replaced_document(void)
{
    return try_read("file/new.json");
}

static int read_ca(void)
{
    return try_read("ca/ca.pem");
}

static int read_linked_ca(void)
{
    return try_read("links/ca.pem");
}

static int read_named_by_class(void)
{
    return try_read("classes/ca.pem");
}

static int read_token(void)
{
    return try_read("driver/token");
}

static int read_absolute(const char *path)
{
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

    return sandbox_errno(fd);
}

static int read_users(void)
{
    return read_absolute("/etc/passwd");
}

static int read_name_servers(void)
{
    return read_absolute("/etc/resolv.conf");
}

static int read_other_process(void)
{
    return read_absolute("/proc/1/environ");
}

static int list_root(void)
{
    return read_absolute("/");
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
    return make_socket("sockets");
}

static int serve_elsewhere(void)
{
    return make_socket("driver");
}

static int write_document(void)
{
    autofree char *path = str_printf("%s/file/doc.json", base);
    autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);

    return sandbox_errno(fd);
}

static int try_socket(int family)
{
    autoclose int fd = socket(family, SOCK_STREAM, 0);

    return sandbox_errno(fd);
}

static int tcp(void)
{
    return try_socket(AF_INET);
}

/* A name server that knows no name. */
static void *answer_queries(void *arg)
{
    uint8_t packet[512];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t got;

    while ((got = recvfrom(*(int *)arg, packet, sizeof(packet), 0, (struct sockaddr *)&from,
                           &len)) > 3) {
        packet[2] = 0x81; /* an answer, */
        packet[3] = 0x83; /* of NXDOMAIN */
        (void)sendto(*(int *)arg, packet, (size_t)got, 0, (const struct sockaddr *)&from, len);
    }
    return NULL;
}

/* The C library's resolver, whatever it calls: told that there is no such name. */
static int resolve_name(void)
{
    static int fd; /* of a thread that outlives this function */
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(addr);
    struct addrinfo *found = NULL;
    pthread_t thread;
    int result;

    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(fd, (const struct sockaddr *)&addr, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
        pthread_create(&thread, NULL, answer_queries, &fd) != 0 || res_init() < 0)
        return errno;
    _res.nsaddr_list[0] = addr;
    _res.nscount = 1;
    result = getaddrinfo("a.name.of.nobody.invalid.", "1", NULL, &found);
    return result == EAI_NONAME ? 0 : ENETUNREACH;
}

static int netlink_quietly(void)
{
    return try_socket(AF_NETLINK);
}

static int start_true(void)
{
    char *argv[] = { (char *)"true", NULL };

    return sandbox_errno(execv("/bin/true", argv));
}

/* The suite's own binary, as the supervisor starts its own: it answers 7 to one word. */
static int start_itself(void)
{
    char *argv[] = { sandbox_self, (char *)"seven", NULL };
    int status = 0;
    pid_t pid = vfork();

    if (pid == 0) {
        (void)execv("/proc/self/exe", argv);
        _exit(1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 7 ? 0 : EINVAL;
}

static int mount_it(void)
{
    return sandbox_errno(syscall(SYS_mount, "/nowhere", "/tmp", NULL, 4096, NULL));
}

static const struct sandbox_row file_rows[] = {
    { "the store's document", read_document, 0, 0 },
    { "what replaces it", read_replaced_document, 0, 0 },
    { "not to be written", write_document, EACCES, 0 },
    { "no CA: nobody is called", read_ca, EACCES, 0 },
    { "no credential of another", read_token, EACCES, 0 },
    { "no user names", read_users, EACCES, 0 },
    { "no other process", read_other_process, EACCES, 0 },
    { "nothing to look around in", list_root, EACCES, 0 },
    { "sockets in their folder", serve_own_folder, 0, 0 },
    { "and nowhere else", serve_elsewhere, EACCES, 0 },
    { "no network", tcp, EPERM, 1 },
    { "no program", start_true, EPERM, 1 },
    { "not even its own", start_itself, EPERM, 1 },
    { "no mount", mount_it, EPERM, 1 },
};

static const struct sandbox_row vault_rows[] = {
    { "the CA of the flag", read_ca, 0, 0 },
    { "by a link to it", read_linked_ca, 0, 0 },
    { "one that a class may name", read_named_by_class, 0, 0 },
    { "name servers", read_name_servers, 0, 0 },
    { "no document of another store", read_document, EACCES, 0 },
    { "no credential of another", read_token, EACCES, 0 },
    { "no user names", read_users, EACCES, 0 },
    { "the network", tcp, 0, 0 },
    { "names of it", resolve_name, 0, 0 },
    { "getaddrinfo's question is answered quietly", netlink_quietly, EAFNOSUPPORT, 0 },
    { "no program", start_true, EPERM, 1 },
};

static const struct sandbox_row supervisor_rows[] = {
    { "itself is started", start_itself, 0, 0 },
    { "no other program", start_true, EACCES, 0 },
    { "no credential of another", read_token, EACCES, 0 },
    { "what a worker needs", read_document, 0, 0 },
    { "what another worker needs", read_ca, 0, 0 },
    { "no mount", mount_it, EPERM, 1 },
};

static const struct {
    const char *worker;
    const struct sandbox_row *rows;
    size_t count;
} tables[] = {
    { "file", file_rows, COUNT_OF(file_rows) },
    { "vault", vault_rows, COUNT_OF(vault_rows) },
    { "", supervisor_rows, COUNT_OF(supervisor_rows) },
};

static int enter(const char *worker)
{
    autofree char *document = str_printf("--file-root=%s/file/doc.json", base);
    autofree char *ca = str_printf("--vault-tls-ca-cert=%s/links/ca.pem", base);
    autofree char *readable = str_printf("--readable=%s/classes", base);
    autofree char *folder = str_printf("--provider-dir=%s/sockets", base);
    autofree char *who = str_printf("--worker=%s", worker);
    char *argv[] = {
        (char *)"p", document, ca, readable, folder, who, (char *)"--sandbox=on", NULL
    };
    struct provider_config config = { 0 };
    int result;

    if (provider_config_parse(COUNT_OF(argv) - 1, argv, &config, NULL) < 0)
        return -1;
    result = provider_sandbox_enter(&config, NULL);
    provider_config_done(&config);
    return result;
}

static void each_process_reaches_its_own_alone(void **state)
{
    char folder[] = "/tmp/locket-sandbox-XXXXXX";
    autofree char *make = NULL;
    autofree char *clear = NULL;

    (void)state;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
        skip();
    assert_non_null(mkdtemp(folder));
    make = str_printf("cd %s && mkdir file ca links classes sockets driver && touch file/doc.json "
                      "file/new.json ca/ca.pem classes/ca.pem driver/token && "
                      "ln -s ../ca/ca.pem links/ca.pem",
                      folder);
    clear = str_printf("rm -r %s", folder);
    assert_int_equal(system(make), 0);
    for (size_t t = 0; t < COUNT_OF(tables); t++)
        for (size_t i = 0; i < tables[t].count; i++) {
            autofree char *words = str_printf("%zu %zu %s", t, i, folder);

            sandbox_row_check(&tables[t].rows[i], words);
        }
    assert_int_equal(system(clear), 0);
}

static int child(char **argv)
{
    size_t table = (size_t)strtoul(argv[2], NULL, 10);
    size_t row = (size_t)strtoul(argv[3], NULL, 10);

    base = argv[4];
    return enter(tables[table].worker) == 0 ? sandbox_row_try(&tables[table].rows[row]) : 2;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_process_reaches_its_own_alone),
    };

    if (argc == 2 && strcmp(argv[1], "seven") == 0)
        _exit(7); /* a leak checker would look around */
    if (argc > 4)
        return child(argv);
    assert_int_equal(sandbox_suite_start(), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
