/* SPDX-License-Identifier: Apache-2.0
 *
 * publish_request.h - what one NodePublishVolume asks for, checked and free of protobuf.
 * Does not know volumes. Everything is borrowed from the call for as long as it lasts.
 */
#ifndef LOCKET_VOLUME_PUBLISH_REQUEST_H
#define LOCKET_VOLUME_PUBLISH_REQUEST_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/cancel.h"
#include "lib/model/class.h"

/* Keys that kubelet writes into volume_context.
 * Source: kubernetes pkg/volume/csi/csi_mounter.go, CSIDriver podInfoOnMount and tokenRequests. */
#define CONTEXT_PREFIX "csi.storage.k8s.io/"
#define CONTEXT_POD_NAME CONTEXT_PREFIX "pod.name"
#define CONTEXT_POD_NAMESPACE CONTEXT_PREFIX "pod.namespace"
#define CONTEXT_POD_UID CONTEXT_PREFIX "pod.uid"
#define CONTEXT_SERVICE_ACCOUNT CONTEXT_PREFIX "serviceAccount.name"
#define CONTEXT_TOKENS CONTEXT_PREFIX "serviceAccount.tokens"
#define CONTEXT_EPHEMERAL CONTEXT_PREFIX "ephemeral"
#define CONTEXT_CLASS "secretProviderClass"

struct publish_request {
    const char *volume_id;
    const char *target;
    bool read_only;
    gid_t fs_group;          /* (gid_t)-1: none */
    const char *mount_flags; /* comma list for the tmpfs, "" when none */
    struct pairs attributes; /* volume_context without the tokens */
    const char *tokens;      /* JSON by audience; NULL when none */
    bool tokens_in_secrets;  /* where they came: else in volume_context */
    struct pairs secrets;    /* nodePublishSecretRef without the tokens */
    struct cancel *cancel;   /* the caller's; NULL: none */
    int64_t left_ms;         /* until the caller's deadline; INT64_MAX: none */
};

/* The class a request names and the pod it comes from; "" when absent. Borrowed. */
const char *publish_request_get(const struct publish_request *req, const char *key);

#endif
