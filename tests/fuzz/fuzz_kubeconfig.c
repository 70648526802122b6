/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a kubeconfig: what is taken has a server, what is not says why and leaves nothing.
 */
/* COVERS: agent/kube_config.c */
#include <assert.h>
#include <string.h>

#include "agent/kube_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct kube_config c autokubeconfig = { 0 };
    struct error err = { 0 };

    if (kube_config_parse("/etc/kube/config", (const char *)bytes, len, &c, &err) < 0) {
        assert(*err.msg && !c.server && !c.token.bytes && !c.key.bytes);
        return 0;
    }
    assert(c.server && *c.server);
    assert(!c.ca_file || *c.ca_file == '/');
    assert(!c.token_file || *c.token_file == '/');
    return 0;
}
