/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.h - seam `cluster`: where classes come from and where volumes are reported to
 * (a folder of YAML, the agent, a double).
 * Does not know volumes' insides, nor how the cluster is spoken to.
 */
#ifndef LOCKET_CLUSTER_CLUSTER_H
#define LOCKET_CLUSTER_CLUSTER_H

#include "lib/model/class.h"
#include "lib/model/fileset.h"

struct cluster;

/* What became of a volume; everything is borrowed. Output only: nothing is read back from it. */
struct volume_report {
    const char *volume_id;
    const char *pod_ns;
    const char *pod_name;
    const char *pod_uid;
    const char *class_name;
    const char *target;
    bool mounted;
    const struct object_version *versions;
    size_t version_count;
    const struct error *err; /* of the last refresh; NULL: it succeeded */
};

/* Contract (tests/contract/test_cluster.c): any thread. */
struct cluster_ops {
    /* The class as it is now. Ownership: the caller, by class_free.
     * NOT_FOUND `failed to get secretproviderclass NS/NAME, error: ... not found` (users match on
     * it), reason SecretProviderClassNotFound; INVALID_ARGUMENT when it cannot be read; UNAVAILABLE
     * when nobody can be asked. */
    int (*get_class)(struct cluster *self, const char *ns, const char *name, struct class **ret,
                     struct error *err);
    /* Hands over a report; never blocks for long, never fails a publish. */
    void (*report)(struct cluster *self, const struct volume_report *report);
    /* Frees self and all it owns. */
    void (*free)(struct cluster *self);
};

struct cluster { /* first member of every implementation's own struct */
    const struct cluster_ops *ops;
};

/* Classes from a folder (--classes): see docs/ARCHITECTURE.md. Errors: by errno, INVALID_ARGUMENT.
 * Ownership: ops->free. */
must_check int cluster_local_new(const char *folder, struct cluster **ret, struct error *err);

#endif
