/* SPDX-License-Identifier: Apache-2.0
 *
 * provider_client.h - the `source` that speaks v1alpha1.CSIDriverProvider to any provider's socket,
 * returning or writing, ours or somebody else's.
 * Does not know volumes; keeps one connection per provider name.
 */
#ifndef LOCKET_VOLUME_PROVIDER_CLIENT_H
#define LOCKET_VOLUME_PROVIDER_CLIENT_H

#include "driver/volume/provider_finder.h"
#include "driver/volume/source.h"

/* --send-current-versions: which providers are told the versions that a volume holds. */
enum send_versions { SEND_VERSIONS_NONE, SEND_VERSIONS_OWN, SEND_VERSIONS_ALL };

/* "own", "all" or "none". INVALID_ARGUMENT naming the flag. */
must_check int send_versions_parse(const char *text, enum send_versions *ret, struct error *err);

struct provider_client_config {
    struct provider_finder finder; /* what it points to must outlive the client */
    const char *own_folder;        /* sockets here are locket-provider's: extensions are used */
    const char *const *audiences;  /* NAME=AUD[,AUD...]; a name not listed gets all */
    size_t audience_count;
    enum send_versions send_versions;
    size_t reply_bytes_max; /* --max-call-recv-msg-size */
    size_t inflight_max;    /* fetches at a time of all providers */
    /* Another user answers at a provider's socket than before; NULL: nobody wants to know. On the
     * thread of a fetch, with no lock held. */
    void (*peer_changed)(void *arg, const char *provider, uid_t uid);
    void *arg;
};

/* No provider may hold more than half of inflight_max. Ownership: ops->free. Never fails. */
struct source *provider_client_new(const struct provider_client_config *config);

#endif
