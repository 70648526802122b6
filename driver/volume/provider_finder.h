/* SPDX-License-Identifier: Apache-2.0
 *
 * provider_finder.h - which socket serves a provider's name, and whether its owner may be trusted.
 * Does not speak to it (provider_client.h).
 */
#ifndef LOCKET_VOLUME_PROVIDER_FINDER_H
#define LOCKET_VOLUME_PROVIDER_FINDER_H

#include <stdbool.h>

#include "lib/base/error.h"
#include "lib/net/rpc_peer.h"

enum { PROVIDER_FOLDERS_MAX = 16 };

struct provider_folder {
    const char *path;
    bool lenient; /* upstream's default folders: taken as they are, reported */
};

struct provider_finder {
    struct provider_folder folders[PROVIDER_FOLDERS_MAX]; /* searched in this order */
    size_t count;
    const char *const *pins; /* NAME=/path of a folder; such a name is looked for nowhere else */
    size_t pin_count;
};

/* The name rule: ^[a-zA-Z0-9_-]{1,30}$. INVALID_ARGUMENT `invalid provider: ...`.
 * Source: secrets-store-csi-driver pkg/secrets-store/provider_client.go. */
must_check int provider_name_check(const char *name, struct error *err);

/* The path of <folder>/<name>.sock, first folder that has one.
 * Ownership: the caller frees. Errors: INVALID_ARGUMENT (name); UNAVAILABLE
 * `provider not found: provider "x"` and where it was looked for. */
must_check int provider_find(const struct provider_finder *finder, const char *name, char **ret,
                             struct error *err);

/* Is the socket, and the folder it lies in, writable by nobody but root and the peer that answers
 * on it? warned is set to true where a lenient folder was let pass though it is not. Errors:
 * PERMISSION_DENIED naming path, owner and the chmod that helps. */
must_check int provider_peer_check(const struct provider_finder *finder, const char *socket,
                                   const struct rpc_peer *peer, bool *warned, struct error *err);

#endif
