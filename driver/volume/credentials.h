/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials.h - what a pod's newest (re)publish brought to authenticate with: service account
 * tokens by audience and the nodePublishSecretRef. Kept sealed and never written anywhere.
 * Does not know what a provider does with them.
 */
#ifndef LOCKET_VOLUME_CREDENTIALS_H
#define LOCKET_VOLUME_CREDENTIALS_H

#include "driver/volume/publish_request.h"
#include "driver/volume/token_trust.h"
#include "lib/base/sealed.h"
#include "lib/base/strbuf.h"

enum {
    TOKENS_BYTES_MAX = 256 << 10, /* JSON of all audiences; a token has 1-4 KiB */
    TOKENS_AUDIENCES_MAX = 64,    /* CSIDriver.spec.tokenRequests has a handful */
    CREDENTIAL_ID_MAX = 64,       /* a jti is a UUID */
    CREDENTIAL_SLACK_MS = 5000,   /* a token about to expire is not worth a call */
};

struct credentials {
    struct sealed tokens;       /* JSON as kubelet sent it */
    struct sealed secrets;      /* JSON of the nodePublishSecretRef's map */
    const char *refusal;        /* why tokens that came did not count; NULL: none such came */
    int64_t expires_at_unix_ms; /* the first expiry of a token; 0: none expires */
    char
        id[CREDENTIAL_ID_MAX]; /* a token's own (jti), as the API server's audit has it; "": none */
};

/* Wipes; empty afterwards. */
void credentials_done(struct credentials *c);

/* Who a token must speak for. */
struct token_owner {
    const char *ns;
    const char *pod_uid;
    const char *service_account;
};

/* Checks the request's tokens (JSON shape, and the claims of each token against the pod: namespace,
 * pod uid, service account; signatures are the store's to check) and takes tokens and secretRef
 * over. A request without tokens empties them; those that trust (NULL: all count) does not take are
 * none. On failure *c is unchanged. Errors: INVALID_ARGUMENT
 * for bad JSON; PERMISSION_DENIED "token for audience A belongs to another pod: ..." with reason
 * TokenMismatch. No error contains a piece of a token. */
must_check int credentials_take(struct credentials *c, const struct publish_request *req,
                                struct token_trust *trust, struct error *err);

/* Are these the same credentials that a request brings? Costs a compare, no parsing. */
bool credentials_same(const struct credentials *c, const struct publish_request *req);

/* Makes dst, empty before, a copy that stays sealed. */
void credentials_copy(struct credentials *dst, const struct credentials *src);

/* Are any kept? Expired ones count until credentials_are_fresh drops them. */
bool credentials_has_tokens(const struct credentials *c);
bool credentials_has_secrets(const struct credentials *c);

/* How many bytes are kept. */
size_t credentials_bytes(const struct credentials *c);

/* Are there tokens, and none about to expire? */
bool credentials_are_fresh(const struct credentials *c, int64_t now_unix_ms);

/* Appends the tokens' JSON restricted to these audiences (NULL: all). Nothing is appended when
 * there are no tokens. out must be sensitive. */
must_check int credentials_tokens(const struct credentials *c, const char *const *audiences,
                                  size_t count, struct strbuf *out, struct error *err);

/* Appends the secrets as upstream spells them: a JSON map, or null when there are none. */
void credentials_secrets(const struct credentials *c, struct strbuf *out);

/* Blanks, in a text from outside, every run of 8 bytes or more (and every whole value of 4 or more)
 * that also stands in a token or secret (as it is, and in JSON, base64, hex and URL form), and
 * anything JWT- or PEM-shaped. NULL credentials: shapes only. */
void credentials_redact(const struct credentials *c, char *text);

#endif
