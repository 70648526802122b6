/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/sandbox.h"

#include <link.h>
#include <linux/capability.h>
#include <sys/auxv.h>

#include "lib/base/log.h"
#include "lib/base/sandbox_paths.h"
#include "providers/provider.h"

/* --- system calls -------------------------------------------------------------------------------
 */

/* Of the supervisor alone: starting workers, and all that they call before they are sandboxed. */
static const struct sandbox_call supervisor_calls[] = {
    SANDBOX_CALL_IF(clone, 0, SANDBOX_NAMESPACES, 0),
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

/* The program itself and the linker that starts it. */
static int add_linker(struct dl_phdr_info *object, size_t size, void *arg)
{
    (void)size;
    if (object->dlpi_addr != getauxval(AT_BASE))
        return 0;
    sandbox_paths_add(arg, object->dlpi_name, SANDBOX_START);
    return 1;
}

static void collect(const struct provider_config *c, bool network, struct sandbox_paths *p)
{
    bool supervisor = !*c->worker;

    sandbox_paths_add_system(p, network);
    if (network) /* where vault-helm's examples mount a CA */
        sandbox_paths_add(p, "/vault/tls", SANDBOX_READ);
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if (supervisor || strcmp(flags[i].store, c->worker) == 0)
            sandbox_paths_add_configured(p, *(char *const *)((const char *)c + flags[i].offset),
                                         SANDBOX_READ);
    if (network && c->mint_tokens)
        sandbox_paths_add_configured(p, c->mint_token_folder, SANDBOX_READ);
    for (size_t i = 0; network && i < c->readable.count; i++)
        sandbox_paths_add_configured(p, c->readable.texts[i], SANDBOX_READ);
    sandbox_paths_add(p, c->folder, SANDBOX_SOCKETS);
    if (supervisor) {
        sandbox_paths_add(p, "/proc/self/exe", SANDBOX_START);
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
    struct sandbox_paths paths CLEANUP(sandbox_paths_done) = { 0 };
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
        sandbox.lists[1] = sandbox_list_network;
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
