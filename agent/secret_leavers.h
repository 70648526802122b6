/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_leavers.h - pods that left before it was certain that their Secrets have an owner: which
 * Secrets are to be looked at once more, and when. Does not know what is done about one
 * (secret_orphan.h), nor why it is not certain.
 */
#ifndef LOCKET_AGENT_SECRET_LEAVERS_H
#define LOCKET_AGENT_SECRET_LEAVERS_H

#include "agent/class_cache.h"

enum {
    SECRET_ORPHAN_MS = 20000,     /* between two looks: more than a call may take */
    SECRET_LEAVER_MS = 1000,      /* what failed; doubled up to */
    SECRET_LEAVER_MAX_MS = 60000, /* this */
    SECRET_LEAVERS_MAX = 20000,   /* as many as the driver may tell of at once; of more none are
                                     looked after, which is logged */
};

struct secret_leavers;

/* Ownership: secret_leavers_free. Both are borrowed. */
struct secret_leavers *secret_leavers_new(struct kube_api *api, struct class_cache *classes);

/* Gives up what is being asked. Nothing that was borrowed is used after it. */
void secret_leavers_end(struct secret_leavers *leavers);
void secret_leavers_free(struct secret_leavers *leavers);

/* Whose volume of which class left, and the Secret; NULL: each that the class names. Borrowed. */
struct secret_leaver {
    const char *ns;
    const char *pod_name;
    const char *pod_uid;
    const char *class_name;
    const char *secret;
};

/* Takes a copy. Never blocks. Any thread. */
void secret_leavers_add(struct secret_leavers *leavers, const struct secret_leaver *leaver);

/* Those that are looked after now. */
size_t secret_leavers_count(struct secret_leavers *leavers);

#endif
