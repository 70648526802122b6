/* SPDX-License-Identifier: Apache-2.0
 *
 * values.h - secret values that a command line names by file: never by themselves, so that no
 * list of processes shows them.
 */
#ifndef LOCKET_CTL_VALUES_H
#define LOCKET_CTL_VALUES_H

#include "ctl/ctl.h"
#include "lib/base/secret.h"
#include "lib/base/strbuf.h"
#include "lib/model/pairs.h"

enum { VALUE_BYTES_MAX = 1 << 20 /* Kubernetes refuses larger Secrets */ };

/* Where values are read from; standard input can be read once. */
struct values {
    const struct ctl *ctl;
    size_t bytes_max; /* 0: VALUE_BYTES_MAX */
    bool input_read;
};

/* Reads a file (pipes too), or standard input for "-", as text: NUL and bad UTF-8 are refused.
 * Ownership: the caller, by strbuf_done; ret is made sensitive. */
must_check int values_read(struct values *v, const char *file, struct strbuf *ret,
                           struct error *err);

/* Adds KEY=FILE, of --secret, to secrets. */
must_check int values_add_secret(struct values *v, const char *text, struct pairs *secrets,
                                 struct error *err);

/* Appends the JSON that kubelet makes of a pod's tokens, from AUDIENCE=FILE of --token. A token
 * that is a JWT gets the expiry that it claims; another none. Nothing is appended when there are
 * none. Source: Kubernetes pkg/volume/csi/csi_mounter.go podServiceAccountTokenAttrs. */
must_check int values_tokens(struct values *v, const struct option_texts *tokens,
                             struct strbuf *out, struct error *err);

/* When a token ends by its own claim exp, in ms since 1970; 0: it does not say. */
int64_t values_token_expiry_ms(const char *token);

#endif
