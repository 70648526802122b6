/* SPDX-License-Identifier: Apache-2.0
 *
 * crypto_pem.h - certificates and a private key out of a file of PEM or PKCS#12, and as PEM again.
 * Does not know who wants them, nor whether a certificate is trusted or still valid.
 */
#ifndef LOCKET_BASE_CRYPTO_PEM_H
#define LOCKET_BASE_CRYPTO_PEM_H

#include "lib/base/error.h"
#include "lib/base/secret.h"

enum {
    PEM_BYTES_MAX = 1 << 20,    /* one file; all values of a Kubernetes Secret may have 1 MiB */
    PEM_CERTIFICATES_MAX = 512, /* of one file; all authorities that browsers trust are some 150 */
    PEM_RSA_BITS_MAX = 8192,    /* Go's crypto/tls takes no larger key */
};

/* What one file holds: certificates in the file's order, at most one private key. */
struct pem_bundle;

/* Reads a file: PEM (whatever else stands in it is skipped), else PKCS#12 with an empty password.
 *
 * Ownership    ret is the caller's, by pem_bundle_free.
 * Errors       INVALID_ARGUMENT: empty, neither form, a broken block, nothing of use inside.
 *              RESOURCE_EXHAUSTED over a ceiling. The text has numbers of blocks, never content.
 *              A key that cannot be used (encrypted, of another kind, one of several) is told by
 *              pem_bundle_key, so that the file still serves who wants its certificates. */
must_check int pem_bundle_read(const struct secret *file, struct pem_bundle **ret,
                               struct error *err);
void pem_bundle_free(struct pem_bundle *b);
void pem_bundle_free_at(struct pem_bundle **slot);
#define autobundle CLEANUP(pem_bundle_free_at)

/* Puts the certificate that the key in `holder` belongs to first, its issuers behind it as far as
 * the bundle has them, and the others after these in their old order. The two may be the same.
 * Errors: INVALID_ARGUMENT when there is no key or certificate, when the key belongs to none, or to
 * one that issued another certificate of the bundle, or does not sign what the leaf verifies. */
must_check int pem_bundle_lead(struct pem_bundle *b, const struct pem_bundle *holder,
                               struct error *err);

/* All certificates as PEM, one behind the other. Ownership: the caller, by secret_done.
 * INVALID_ARGUMENT when there is none. */
must_check int pem_bundle_certificates(const struct pem_bundle *b, struct secret *ret,
                                       struct error *err);

/* The private key as PEM: RSA as PKCS#1, EC as SEC1, Ed25519 as PKCS#8. Ownership: the caller, by
 * secret_done. INVALID_ARGUMENT when there is none, or why there is none that can be used.
 * Source: what the old driver writes into tls.key (RFC 8017, RFC 5915, RFC 8410). */
must_check int pem_bundle_key(const struct pem_bundle *b, struct secret *ret, struct error *err);

#endif
