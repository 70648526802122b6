/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <link.h>
#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "providers/provider.h"

/* --- system calls -------------------------------------------------------------------------------
 */

/* Of stores that are reached over a network. Name services and OpenSSL's modules are loaded when
 * first needed: memory may be executable that is a file's, never memory that was written to. */
static const struct sandbox_call network_calls[] = {
    SANDBOX_CALL_IS(socket, 0, AF_INET),
    SANDBOX_CALL_IS(socket, 0, AF_INET6),
    /* getaddrinfo asks which families the machine has, and without an answer takes both. */
    SANDBOX_CALL_ANSWER_IS(socket, 0, AF_NETLINK, EAFNOSUPPORT),
    SANDBOX_CALL(sendmmsg),
    SANDBOX_CALL_IS(ioctl, 1, FIONREAD), /* the resolver, before it reads an answer */
    SANDBOX_CALL_IF(mmap, 3, MAP_ANONYMOUS, 0),
};

/* Of the supervisor alone: starting workers, and all that they call before they are sandboxed. */
static const struct sandbox_call supervisor_calls[] = {
    SANDBOX_CALL_IF(clone, 0, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET, 0),
    SANDBOX_CALL(execve),
    SANDBOX_CALL(wait4),
    SANDBOX_CALL(waitid),
    SANDBOX_CALL(kill),
    SANDBOX_CALL(tgkill),
    SANDBOX_CALL(set_tid_address),
    SANDBOX_CALL(prctl),
    SANDBOX_CALL(seccomp),
    SANDBOX_CALL(capget),
    SANDBOX_CALL(capset),
    SANDBOX_CALL(landlock_create_ruleset),
    SANDBOX_CALL(landlock_add_rule),
    SANDBOX_CALL(landlock_restrict_self),
#ifdef SYS_open /* x86-64 alone */
    SANDBOX_CALL(arch_prctl),
    SANDBOX_CALL(vfork),
#endif
};

/* --- paths --------------------------------------------------------------------------------------
 */

/* What the system's libraries read: names, certificates, zones, what they load. */
static const struct sandbox_path system_paths[] = {
    { "/lib", SANDBOX_READ },
    { "/lib64", SANDBOX_READ },
    { "/usr/lib", SANDBOX_READ },
    { "/usr/lib64", SANDBOX_READ },
    { "/usr/local/lib", SANDBOX_READ },
    { "/etc/ld.so.cache", SANDBOX_READ },
    { "/sys/devices/system/cpu", SANDBOX_READ },
    { "/dev/null", SANDBOX_READ },
    { "/dev/urandom", SANDBOX_READ },
    { "/etc/localtime", SANDBOX_READ },
    { "/usr/share/zoneinfo", SANDBOX_READ },
};

static const struct sandbox_path network_paths[] = {
    { "/etc/resolv.conf", SANDBOX_READ },
    { "/etc/hosts", SANDBOX_READ },
    { "/etc/host.conf", SANDBOX_READ },
    { "/etc/gai.conf", SANDBOX_READ },
    { "/etc/nsswitch.conf", SANDBOX_READ },
    { "/etc/services", SANDBOX_READ },
    { "/run/systemd/resolve", SANDBOX_READ },
    { "/run/resolvconf", SANDBOX_READ },
    { "/run/NetworkManager", SANDBOX_READ },
    { "/etc/ssl", SANDBOX_READ },
    { "/etc/pki", SANDBOX_READ },
    { "/etc/ca-certificates", SANDBOX_READ },
    { "/etc/crypto-policies", SANDBOX_READ },
    { "/usr/share/ca-certificates", SANDBOX_READ },
    { "/usr/local/share/ca-certificates", SANDBOX_READ },
    { "/usr/share/crypto-policies", SANDBOX_READ },
    { "/vault/tls", SANDBOX_READ }, /* where vault-helm's examples mount a CA */
};

#define AT(member) offsetof(struct provider_config, member)

/* Flags that name what is read while serving, and whose store reads it. */
static const struct {
    const char *store;
    size_t offset;
} flags[] = {
    { "file", AT(file_root) },         { "vault", AT(vault_ca_file) },
    { "vault", AT(vault_ca_folder) },  { "vault", AT(vault_client_cert) },
    { "vault", AT(vault_client_key) }, { "", AT(hmac_key_file) }, /* read at a worker's start */
};

struct paths {
    struct sandbox_path *items; /* each path owned */
    size_t count;
    size_t room;
};

static void paths_done(struct paths *p)
{
    for (size_t i = 0; i < p->count; i++)
        free((char *)p->items[i].path);
    free(p->items);
}

static void add(struct paths *p, const char *path, enum sandbox_access access)
{
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 64;
        p->items = xrealloc(p->items, p->room * sizeof(*p->items));
    }
    p->items[p->count++] = (struct sandbox_path){ xstrdup(path), access };
}

static void add_all(struct paths *p, const struct sandbox_path *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(p, rows[i].path, rows[i].access);
}

/* The folder of a path's last component; "/" would be everything, then it is the path itself. */
static void add_folder_of(struct paths *p, const char *path)
{
    const char *slash = strrchr(path, '/');
    autofree char *folder = slash && slash > path ? xstrndup(path, (size_t)(slash - path)) : NULL;

    add(p, folder ? folder : path, SANDBOX_READ);
}

/* A folder with all below it; of a file its folder, since files are replaced by renames, and where
 * a link leads to, the folder there. */
static void add_configured(struct paths *p, const char *path)
{
    autofree char *real = path ? realpath(path, NULL) : NULL;
    struct stat st;

    if (!path || !*path)
        return;
    if (real && stat(real, &st) == 0 && S_ISDIR(st.st_mode)) {
        add(p, real, SANDBOX_READ);
        return;
    }
    add_folder_of(p, path);
    if (real)
        add_folder_of(p, real);
}

/* The program itself and the linker that starts it. */
static int add_linker(struct dl_phdr_info *object, size_t size, void *arg)
{
    (void)size;
    if (object->dlpi_addr != getauxval(AT_BASE))
        return 0;
    add(arg, object->dlpi_name, SANDBOX_START);
    return 1;
}

static void collect(const struct provider_config *c, bool network, struct paths *p)
{
    bool supervisor = !*c->worker;

    add_all(p, system_paths, COUNT_OF(system_paths));
    if (network)
        add_all(p, network_paths, COUNT_OF(network_paths));
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if (supervisor || strcmp(flags[i].store, c->worker) == 0)
            add_configured(p, *(char *const *)((const char *)c + flags[i].offset));
    for (size_t i = 0; network && i < c->readable.count; i++)
        add_configured(p, c->readable.texts[i]);
    add(p, c->folder, SANDBOX_SOCKETS);
    if (supervisor) {
        add(p, "/proc/self/exe", SANDBOX_START);
        (void)dl_iterate_phdr(add_linker, p);
    }
}

/* --- both ---------------------------------------------------------------------------------------
 */

static bool needs_network(const char *store)
{
    for (size_t i = 0; i < provider_row_count; i++)
        if (strcmp(provider_rows[i].name, store) == 0)
            return provider_rows[i].network;
    return true; /* the supervisor: its health, and its workers */
}

int provider_sandbox_enter(const struct provider_config *config, struct error *err)
{
    struct paths paths CLEANUP(paths_done) = { 0 };
    struct sandbox sandbox = {
        /* One who is root may use what belongs to others: the folder of sockets is uid 65532's. */
        .capabilities = SANDBOX_CAPABILITY(CAP_DAC_OVERRIDE),
        .lists = { sandbox_list_common },
    };
    bool network = needs_network(config->worker);
    bool landlock = false;

    if (!config->sandbox)
        return 0;
    if (network)
        sandbox.lists[1] = (struct sandbox_list){ network_calls, COUNT_OF(network_calls) };
    if (!*config->worker)
        sandbox.lists[2] = (struct sandbox_list){ supervisor_calls, COUNT_OF(supervisor_calls) };
    collect(config, network, &paths);
    sandbox.paths = paths.items;
    sandbox.path_count = paths.count;
    if (sandbox_enter(&sandbox, &landlock, err) < 0)
        return -1;
    if (!landlock && !*config->worker)
        log_event(LOG_WARN, "this kernel has no Landlock: paths are guarded by their modes alone");
    return 0;
}
