/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_object.h - a synced Secret as an object: what is applied, and what is to be done about the
 * one that is there. Pure. Does not know when it is written, nor by whom it is owned.
 */
#ifndef LOCKET_AGENT_SECRET_OBJECT_H
#define LOCKET_AGENT_SECRET_OBJECT_H

#include "agent/secret_types.h"
#include "lib/base/crypto_chain.h"
#include "lib/base/tree.h"
#include "lib/model/secret_objects.h"

#define SECRET_MANAGER "locket"
#define SECRET_MANAGED_LABEL "secrets-store.csi.k8s.io/managed" /* upstream's, and ours */

/* What we note on a Secret: the class it was made by, a digest of what that class asked for, when a
 * node's fetch first brought this content, and where the agent has a key KEYID:DIGEST of it. */
#define SECRET_CLASS_NOTE "locket.dev/class"
#define SECRET_FORM_NOTE "locket.dev/class-digest"
#define SECRET_FETCHED_NOTE "locket.dev/fetched-at"
#define SECRET_DIGEST_NOTE "locket.dev/content-digest"

enum {
    SECRET_CLOCK_MS = 10 * 60 * 1000, /* so much may the clocks of two nodes differ */
    SECRET_FORM_BYTES = 8,
    SECRET_FORM_TEXT = 2 * SECRET_FORM_BYTES + 1,
    SECRET_DIGEST_TEXT = CHAIN_KEY_ID_TEXT + CHAIN_HASH_TEXT, /* KEYID, a colon, hex and NUL */
};

/* What a Secret is to be; everything is borrowed. */
struct secret_wish {
    const char *ns;
    const char *class_name;
    const struct secret_object *object;
    const struct secret_data *data;
    const struct chain_key *key; /* NULL: no digest of the content is noted */
    bool adopt;                  /* somebody else's may be taken over */
    int64_t changed_at_unix_ms;  /* when this node's fetch first brought this content */
    int64_t fetched_at_unix_ms;  /* when one last confirmed it */
    int64_t now_unix_ms;         /* times long after it are those of a wrong clock; 0: none are */
};

enum secret_verdict {
    SECRET_APPLY,      /* it is not there, lacks something, or is older than ours */
    SECRET_KEEP,       /* it is as wished */
    SECRET_YIELD,      /* another node's content is newer, or as new: ours is not applied */
    SECRET_FOREIGN,    /* it is neither ours nor the old driver's */
    SECRET_OTHER_TYPE, /* a Secret's type cannot be changed */
    SECRET_GOING,      /* it is being deleted */
};

/* What to do about the Secret that is there (NULL: none). The content on it is contradicted by ours
 * only where a newer fetch of ours brought it; where the class was edited, where a fetch of ours
 * has confirmed it since. Reads data, managedFields and the notes of the live object. Errors:
 * INTERNAL when OpenSSL refuses to digest. */
must_check int secret_judge(const struct tree *live, const struct secret_wish *wish,
                            enum secret_verdict *ret, struct error *err);

/* Its path at the API server. Ownership: the caller frees. */
char *secret_object_path(const char *ns, const char *name);

/* Was it made of this class, and is it nobody's now? Then no collector will ever take it. */
bool secret_is_orphan(const struct tree *live, const char *class_name);

/* Appends the object to be applied over the live one (NULL: none), of that version alone. Owners
 * are no part of it. out: sensitive. Errors: as above. */
must_check int secret_object_write(const struct tree *live, const struct secret_wish *wish,
                                   struct strbuf *out, struct error *err);

/* Who besides us and the old driver wrote what we would write, of the causes in a Status of reason
 * Conflict: "field (manager)"; NULL: nobody. *ret_fields: were there such causes at all (else the
 * object was changed meanwhile)? Ownership: the caller frees. */
char *secret_conflict(const struct tree *status, bool *ret_fields);

#endif
