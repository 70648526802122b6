/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/crypto_pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/crypto_pfx.h"

struct pem_bundle {
    X509 **certificates;
    size_t count;
    EVP_PKEY *key;      /* NULL: none, or none that can be used */
    const char *no_use; /* why there is none that can be used: static text, or NULL */
};

static void bio_free_at(BIO **slot)
{
    BIO_free(*slot);
}

static void key_free_at(EVP_PKEY **slot)
{
    EVP_PKEY_free(*slot);
}

static void digest_free_at(EVP_MD_CTX **slot)
{
    EVP_MD_CTX_free(*slot);
}

/* OpenSSL keeps its complaints per thread, where libcurl would take them for its own. They are not
 * shown: none of them is known to be free of content. */
static void forget_complaints(const int *unused)
{
    (void)unused;
    ERR_clear_error();
}
#define quiet_openssl                                                                              \
    int quiet CLEANUP(forget_complaints) = 0;                                                      \
    (void)quiet

/* --- reading --------------------------------------------------------------------------------- */

void pem_bundle_free(struct pem_bundle *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        X509_free(b->certificates[i]);
    EVP_PKEY_free(b->key);
    free(b->certificates);
    free(b);
}

void pem_bundle_free_at(struct pem_bundle **slot)
{
    pem_bundle_free(*slot);
}

static int add_certificate(void *arg, const uint8_t *der, size_t len, struct error *err)
{
    struct pem_bundle *b = arg;
    const uint8_t *end = der;
    X509 *certificate;

    if (b->count == PEM_CERTIFICATES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "holds more than %d certificates",
                         PEM_CERTIFICATES_MAX);
    certificate = d2i_X509(NULL, &end, (long)len);
    if (!certificate || end != der + len) {
        X509_free(certificate);
        return error_set(err, CODE_INVALID_ARGUMENT, "is not an X.509 certificate");
    }
    b->certificates = xrealloc(b->certificates, (b->count + 1) * sizeof(*b->certificates));
    b->certificates[b->count++] = certificate;
    return 0;
}

static bool is_ours(const EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "ED25519");
}

static int add_key(void *arg, const uint8_t *der, size_t len, struct error *err)
{
    struct pem_bundle *b = arg;
    const uint8_t *end = der;
    EVP_PKEY *key CLEANUP(key_free_at) = d2i_AutoPrivateKey(NULL, &end, (long)len);

    if (!key)
        return error_set(err, CODE_INVALID_ARGUMENT, "is not a private key");
    if (!is_ours(key))
        b->no_use = "its private key is neither RSA nor EC nor Ed25519";
    else if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) > PEM_RSA_BITS_MAX)
        b->no_use = "its RSA key has more than 8192 bits";
    else if (!b->key)
        b->key = take(key);
    else if (EVP_PKEY_eq(b->key, key) != 1)
        b->no_use = "it holds more than one private key";
    return 0;
}

/* The blocks that mean something to us; others (parameters, requests, ...) are skipped. */
static const struct block_row {
    const char *label;
    int (*add)(void *arg, const uint8_t *der, size_t len, struct error *err); /* NULL: of no use */
    const char *no_use;
} block_rows[] = {
    { "CERTIFICATE", add_certificate, NULL },
    { "X509 CERTIFICATE", add_certificate, NULL },
    { "PRIVATE KEY", add_key, NULL },
    { "RSA PRIVATE KEY", add_key, NULL },
    { "EC PRIVATE KEY", add_key, NULL },
    { "DSA PRIVATE KEY", NULL, "its private key is neither RSA nor EC nor Ed25519" },
    { "ENCRYPTED PRIVATE KEY", NULL, "its private key is encrypted" },
    { "OPENSSH PRIVATE KEY", NULL, "its private key is in OpenSSH's own form, not PKCS#8" },
};

static const struct block_row *block_row_of(const char *label)
{
    for (size_t i = 0; i < COUNT_OF(block_rows); i++)
        if (str_same(label, block_rows[i].label))
            return &block_rows[i];
    return NULL;
}

struct block {
    char *label;
    char *header;
    uint8_t *der;
    long len;
};

static void block_done(struct block *block)
{
    OPENSSL_free(block->label);
    OPENSSL_free(block->header);
    OPENSSL_clear_free(block->der, (size_t)block->len);
}

static int add_block(struct pem_bundle *b, const struct block *block, struct error *err)
{
    const struct block_row *row = block_row_of(block->label);

    if (!row)
        return 0;
    if (row->add && *block->header) { /* RFC 1421's "Proc-Type: 4,ENCRYPTED" */
        b->no_use = "its private key is encrypted";
        return 0;
    }
    if (row->add)
        return row->add(b, block->der, (size_t)block->len, err);
    b->no_use = row->no_use;
    return 0;
}

/* *ret_more: was there one? */
static int read_block(struct pem_bundle *b, BIO *in, bool *ret_more, struct error *err)
{
    struct block block CLEANUP(block_done) = { 0 };

    ERR_clear_error();
    *ret_more = PEM_read_bio(in, &block.label, &block.header, &block.der, &block.len) == 1;
    if (*ret_more)
        return add_block(b, &block, err);
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return error_set(err, CODE_INVALID_ARGUMENT, "is no PEM: cut off or damaged");
    return 0;
}

static int read_pem(struct pem_bundle *b, const struct secret *file, struct error *err)
{
    BIO *in CLEANUP(bio_free_at) = BIO_new_mem_buf(file->bytes, (int)file->len);
    bool more = true;

    for (unsigned n = 1; in && more; n++)
        if (read_block(b, in, &more, err) < 0)
            return error_within(err, "block %u of the PEM", n);
    return 0;
}

static int read_pfx(struct pem_bundle *b, const struct secret *file, struct error *err)
{
    const struct pfx_taker taker = { .arg = b, .certificate = add_certificate, .key = add_key };

    return pfx_read(file, &taker, err);
}

int pem_bundle_read(const struct secret *file, struct pem_bundle **ret, struct error *err)
{
    static const char begin[] = "-----BEGIN ";
    autobundle struct pem_bundle *b = xcalloc(1, sizeof(*b));
    quiet_openssl;
    int got;

    if (!file->len)
        return error_set(err, CODE_INVALID_ARGUMENT, "is empty");
    if (file->len > PEM_BYTES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "has more than %d bytes", PEM_BYTES_MAX);
    if (memmem(file->bytes, file->len, begin, sizeof(begin) - 1))
        got = read_pem(b, file, err);
    else
        got = read_pfx(b, file, err);
    if (got < 0)
        return -1;
    if (!b->count && !b->key && !b->no_use)
        return error_set(err, CODE_INVALID_ARGUMENT, "holds no certificate and no private key");
    *ret = take(b);
    return 0;
}

/* --- the leaf -------------------------------------------------------------------------------- */

static int want_key(const struct pem_bundle *b, struct error *err)
{
    if (b->no_use)
        return error_set(err, CODE_INVALID_ARGUMENT, "%s", b->no_use);
    if (!b->key)
        return error_set(err, CODE_INVALID_ARGUMENT, "holds no private key");
    return 0;
}

static int want_certificate(const struct pem_bundle *b, struct error *err)
{
    if (!b->count)
        return error_set(err, CODE_INVALID_ARGUMENT, "holds no certificate");
    return 0;
}

static bool has_issued(X509 *issuer, X509 *other)
{
    return X509_cmp(issuer, other) != 0 && X509_check_issued(issuer, other) == X509_V_OK;
}

static bool has_issued_any(const struct pem_bundle *b, X509 *issuer)
{
    for (size_t i = 0; i < b->count; i++)
        if (has_issued(issuer, b->certificates[i]))
            return true;
    return false;
}

/* The public parts being the same does not show that the private one is whole. */
static int check_pair(EVP_PKEY *key, X509 *leaf, struct error *err)
{
    static const uint8_t text[] = "any text";
    const EVP_MD *md = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
    EVP_MD_CTX *signing CLEANUP(digest_free_at) = EVP_MD_CTX_new();
    EVP_MD_CTX *checking CLEANUP(digest_free_at) = EVP_MD_CTX_new();
    uint8_t signature[PEM_RSA_BITS_MAX / 8];
    size_t len = sizeof(signature);

    if (EVP_DigestSignInit(signing, NULL, md, NULL, key) == 1 &&
        EVP_DigestSign(signing, signature, &len, text, sizeof(text)) == 1 &&
        EVP_DigestVerifyInit(checking, NULL, md, NULL, X509_get0_pubkey(leaf)) == 1 &&
        EVP_DigestVerify(checking, signature, len, text, sizeof(text)) == 1)
        return 0;
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "the private key is damaged: the certificate does not verify what it signs");
}

static int find_leaf(const struct pem_bundle *b, EVP_PKEY *key, size_t *ret, struct error *err)
{
    bool of_issuer = false;

    for (size_t i = 0; i < b->count; i++) {
        EVP_PKEY *public = X509_get0_pubkey(b->certificates[i]);

        if (!public || EVP_PKEY_eq(public, key) != 1)
            continue;
        if (!has_issued_any(b, b->certificates[i])) {
            *ret = i;
            return check_pair(key, b->certificates[i], err);
        }
        of_issuer = true;
    }
    if (of_issuer)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "the private key belongs to the issuer of the leaf certificate");
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "the private key belongs to none of the %zu certificates", b->count);
}

static void move_up(struct pem_bundle *b, size_t from, size_t to)
{
    X509 *moved = b->certificates[from];

    memmove(b->certificates + to + 1, b->certificates + to, (from - to) * sizeof(*b->certificates));
    b->certificates[to] = moved;
}

/* Where the issuer of the certificate at `last` stands behind it; count: nowhere. */
static size_t issuer_behind(const struct pem_bundle *b, size_t last)
{
    size_t i = last + 1;

    while (i < b->count && !has_issued(b->certificates[i], b->certificates[last]))
        i++;
    return i;
}

int pem_bundle_lead(struct pem_bundle *b, const struct pem_bundle *holder, struct error *err)
{
    quiet_openssl;
    size_t at = 0;

    if (want_certificate(b, err) < 0 || want_key(holder, err) < 0 ||
        find_leaf(b, holder->key, &at, err) < 0)
        return -1;
    for (size_t next = 0; at < b->count; next++) {
        move_up(b, at, next);
        at = issuer_behind(b, next);
    }
    return 0;
}

/* --- writing --------------------------------------------------------------------------------- */

/* Of the kind that OpenSSL wipes when it is freed. */
static BIO *writer(void)
{
    return BIO_new(BIO_s_secmem());
}

static int written(BIO *out, bool complete, struct secret *ret, struct error *err)
{
    char *text = NULL;
    long len = out ? BIO_get_mem_data(out, &text) : 0;

    if (!complete || len <= 0)
        return error_set(err, CODE_INTERNAL, "OpenSSL cannot write it as PEM");
    *ret = secret_copy(text, (size_t)len);
    return 0;
}

int pem_bundle_certificates(const struct pem_bundle *b, struct secret *ret, struct error *err)
{
    BIO *out CLEANUP(bio_free_at) = writer();
    quiet_openssl;
    bool complete = out;

    if (want_certificate(b, err) < 0)
        return -1;
    for (size_t i = 0; complete && i < b->count; i++)
        complete = PEM_write_bio_X509(out, b->certificates[i]) == 1;
    return written(out, complete, ret, err);
}

int pem_bundle_key(const struct pem_bundle *b, struct secret *ret, struct error *err)
{
    BIO *out CLEANUP(bio_free_at) = writer();
    quiet_openssl;
    int done;

    if (want_key(b, err) < 0)
        return -1;
    if (EVP_PKEY_is_a(b->key, "ED25519"))
        done = PEM_write_bio_PKCS8PrivateKey(out, b->key, NULL, NULL, 0, NULL, NULL);
    else
        done = PEM_write_bio_PrivateKey_traditional(out, b->key, NULL, NULL, 0, NULL, NULL);
    return written(out, done == 1, ret, err);
}
