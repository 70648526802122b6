/* SPDX-License-Identifier: Apache-2.0
 *
 * target.h - the part of kubelet that knows where a pod's volume goes and what it is called.
 * Source: Kubernetes pkg/volume/csi/csi_mounter.go, GetPath and makeVolumeHandle.
 */
#ifndef LOCKET_CTL_TARGET_H
#define LOCKET_CTL_TARGET_H

#include "lib/base/error.h"

/* "csi-" and 64 hex digits, the same for the same pod uid and volume name. The caller frees. */
must_check int target_volume_id(const char *pod_uid, const char *volume, char **ret,
                                struct error *err);

/* A uid for a pod that has none, the same for the same NS and NAME. The caller frees. */
must_check int target_pod_uid(const char *ns, const char *name, char **ret, struct error *err);

/* <root>/pods/<uid>/volumes/kubernetes.io~csi/<volume>/mount. The caller frees. Errors: a mistake
 * of the command line when uid or volume is no name of a folder. */
must_check int target_path(const char *root, const char *pod_uid, const char *volume, char **ret,
                           struct error *err);

/* Makes the folders above a target, as the caller of NodePublishVolume must. */
must_check int target_make(const char *target, struct error *err);

/* Removes the folders from the target's parent up to the pod's own, as far as they are empty; only
 * when the target is laid out as target_path does. */
void target_remove(const char *target);

#endif
