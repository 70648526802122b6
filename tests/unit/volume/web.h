/* SPDX-License-Identifier: Apache-2.0
 *
 * web.h - what kubelet says of the pod `web` in these suites, and the class that it mounts.
 * Does not know what is made of it.
 */
#ifndef LOCKET_TESTS_UNIT_VOLUME_WEB_H
#define LOCKET_TESTS_UNIT_VOLUME_WEB_H

#include "driver/volume/publish_request.h"
#include "tests/fakes/cluster_double.h"

/* The request; id and target are borrowed. Ownership: pairs_done of its attributes. */
static inline struct publish_request web_request(const char *id, const char *target)
{
    struct publish_request req = {
        .volume_id = id,
        .target = target,
        .read_only = true,
        .fs_group = (gid_t)-1,
        .mount_flags = "",
        .left_ms = INT64_MAX,
    };

    pairs_set(&req.attributes, CONTEXT_CLASS, "app");
    pairs_set(&req.attributes, CONTEXT_POD_NAME, "web");
    pairs_set(&req.attributes, CONTEXT_POD_NAMESPACE, "ns");
    return req;
}

static inline void web_put_class(struct cluster *cluster)
{
    cluster_double_put(cluster,
                       "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"
                       "metadata: {name: app, namespace: ns}\n"
                       "spec: {provider: double, parameters: {objects: ''}}\n");
}

#endif
