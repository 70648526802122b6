/* SPDX-License-Identifier: Apache-2.0
 *
 * pod_status_object.h - the SecretProviderClassPodStatus of a pod and a class as an object: its
 * name, its label, its JSON. The old driver's shape, which dashboards and Reloader read.
 * Does not know when it is written.
 */
#ifndef LOCKET_AGENT_POD_STATUS_OBJECT_H
#define LOCKET_AGENT_POD_STATUS_OBJECT_H

#include "lib/base/strbuf.h"
#include "lib/model/fileset.h"

#define POD_STATUS_NODE_LABEL "internal.secrets-store.csi.k8s.io/node-name"

enum { POD_STATUS_NAME_MAX = 253, NODE_LABEL_MAX = 63 };

/* What the objects says; everything is borrowed. */
struct pod_status_facts {
    const char *version; /* of the group, as the server has it */
    const char *ns;
    const char *name; /* of the object */
    const char *node_label;
    const char *pod_name;
    const char *pod_uid;
    const char *class_name;
    const char *target;
    const char *const *other_targets; /* of more volumes of this pod and class, sorted */
    size_t other_target_count;
    const struct object_version *objects; /* sorted by id, ids unique */
    size_t object_count;
};

/* <pod>-<namespace>-<class>; too long for a name: its beginning and a digest of all of it.
 * Ownership: the caller frees. INTERNAL when OpenSSL refuses to digest. */
must_check int pod_status_name(const char *pod, const char *ns, const char *class_name, char **ret,
                               struct error *err);

/* The node's name as a label's value, in the same way. */
must_check int pod_status_node_label(const char *node, char **ret, struct error *err);

/* Appends the object to be applied. */
void pod_status_write(const struct pod_status_facts *facts, struct strbuf *out);

/* Appends a JSON patch that makes the pod the only owner and this node the object's, if it still
 * has this version: both at once, since whoever owns it decides whose node it is. */
void pod_status_own(const struct pod_status_facts *facts, const char *resource_version,
                    struct strbuf *out);

/* A copy of the objects and their texts, the caller's by object_versions_free. */
struct object_version *object_versions_copy(const struct object_version *objects, size_t count);
void object_versions_free(struct object_version *objects, size_t count);

#endif
