/* SPDX-License-Identifier: Apache-2.0
 *
 * provider_mount.h - one Mount call of v1alpha1.CSIDriverProvider as upstream spells it, and its
 * answer as a checked fileset. The only file that knows that message.
 */
#ifndef LOCKET_VOLUME_PROVIDER_MOUNT_H
#define LOCKET_VOLUME_PROVIDER_MOUNT_H

#include "driver/volume/source.h"
#include "lib/net/rpc_client.h"

enum { PROVIDER_FILE_MODE = 0644 }; /* what upstream sends as permission, "420" */

struct provider_mount {
    const struct source_request *request;
    char **audiences; /* NULL: all */
    size_t audience_count;
    bool own; /* locket-provider: our extensions may be used */
    bool send_versions;
};

/* Calls and reads the answer; ret gets all files or none. Errors as source.h's fetch; the metric
 * reason is GRPCProviderError, the provider's own code (provider_code.h) or InvalidAnswer.
 * Source: secrets-store-csi-driver pkg/secrets-store/provider_client.go MountContent. */
must_check int provider_mount_call(struct rpc_client *client, const struct provider_mount *mount,
                                   struct fileset *ret, struct error *err);

/* Tells locket-provider that a volume is gone. */
void provider_mount_release(struct rpc_client *client, const char *volume_id, int64_t timeout_ms);

#endif
