/* SPDX-License-Identifier: Apache-2.0
 *
 * node_request.h - CSI's publish message as a checked publish_request.
 * Source of texts: upstream's nodeserver.go; users and tests match on them.
 */
#ifndef LOCKET_SERVE_NODE_REQUEST_H
#define LOCKET_SERVE_NODE_REQUEST_H

#include "csi/csi.pb-c.h"
#include "driver/volume/publish_request.h"

enum {
    VOLUME_ID_MAX = 4096,        /* bytes; kubelet's ids have 68 */
    CONTEXT_ENTRIES_MAX = 1000,  /* volumeAttributes and kubelet's own */
    CONTEXT_BYTES_MAX = 1 << 20, /* one value; etcd refuses objects over 1.5 MiB */
};

/* Checks a request and takes it apart: tokens from `secrets` first, else from volume_context. What
 * is text stays borrowed from the message. Ownership: node_request_done. Errors: INVALID_ARGUMENT
 * naming the field. */
must_check int node_request_read(const Csi__V1__NodePublishVolumeRequest *in, bool require_readonly,
                                 struct publish_request *ret, struct error *err);
void node_request_done(struct publish_request *req);

#endif
