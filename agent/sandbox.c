/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sandbox.h"

#include <linux/capability.h>

#include "lib/base/log.h"
#include "lib/base/sandbox_paths.h"

/* Beyond what all programs with a network need. */
static const struct sandbox_call calls[] = {
    SANDBOX_CALL(ftruncate), /* the audit's file: a torn line at its end */
    SANDBOX_CALL(fsync),
    SANDBOX_CALL(fdatasync),
};

int agent_sandbox_enter(const struct agent_config *config, const struct kube_config *kube,
                        struct error *err)
{
    const char *read[] = { config->kubeconfig, config->token_folder, kube->ca_file,
                           kube->token_file,   kube->cert_file,      kube->key_file };
    struct sandbox_paths paths CLEANUP(sandbox_paths_done) = { 0 };
    struct sandbox sandbox = {
        /* One who is root may use what belongs to others. */
        .capabilities = SANDBOX_CAPABILITY(CAP_DAC_OVERRIDE),
        .lists = { sandbox_list_common, sandbox_list_network, { calls, COUNT_OF(calls) } },
    };
    bool landlock = false;

    if (!config->sandbox)
        return 0;
    sandbox_paths_add_system(&paths, true);
    for (size_t i = 0; i < COUNT_OF(read); i++)
        sandbox_paths_add_configured(&paths, read[i], SANDBOX_READ);
    sandbox_paths_add_configured(&paths, config->socket, SANDBOX_SOCKETS);
    sandbox_paths_add_configured(&paths, config->audit_key, SANDBOX_READ);
    if (!str_same(config->audit_log, "-")) /* its folder: it is renamed there and made anew */
        sandbox_paths_add_configured(&paths, config->audit_log, SANDBOX_WRITE);
    sandbox.paths = paths.items;
    sandbox.path_count = paths.count;
    if (sandbox_enter(&sandbox, &landlock, err) < 0)
        return -1;
    if (!landlock)
        log_event(LOG_WARN, "this kernel has no Landlock: paths are guarded by their modes alone");
    return 0;
}
