/* SPDX-License-Identifier: Apache-2.0
 *
 * kube_owner.h - owner references: read from an object, copied, written.
 * Does not know whom an object should belong to.
 */
#ifndef LOCKET_AGENT_KUBE_OWNER_H
#define LOCKET_AGENT_KUBE_OWNER_H

#include "lib/base/tree.h"

enum { KUBE_OWNERS_MAX = 32 }; /* of one object; pods have one */

struct kube_owner {
    char *api_version;
    char *kind;
    char *name;
    char *uid;
};

struct kube_owners {
    struct kube_owner *list;
    size_t count;
};

#define autoowners CLEANUP(kube_owners_done)

/* Those of an object; whoever lacks one of the four is left out. Ownership: kube_owners_done. */
struct kube_owners kube_owners_of(const struct tree *object);
void kube_owners_done(struct kube_owners *owners);

/* Appends a copy. */
void kube_owners_add(struct kube_owners *owners, const struct kube_owner *owner);

/* A copy of all. */
struct kube_owners kube_owners_copy(const struct kube_owners *owners);

/* Does the object belong to whoever has this uid? */
bool kube_owners_has(const struct tree *object, const char *uid);

/* Appends a strategic merge patch that adds one: the uid is its key, all others stay. version: the
 * only one of the object that it is for; NULL: any. */
void kube_owner_patch(const struct kube_owner *owner, const char *version, struct strbuf *out);

#endif
