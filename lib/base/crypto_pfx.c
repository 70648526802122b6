/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/crypto_pfx.h"

#include <openssl/pkcs12.h>
#include <openssl/provider.h>

/* A file being read, with one of the two ways to write "no password": a string of no characters,
 * and no string at all. The old methods derive different keys from them. */
struct reading {
    const struct pfx_taker *taker;
    const char *password; /* "" or NULL */
    OSSL_LIB_CTX *methods;
    unsigned parts;
};

static void p12_free_at(PKCS12 **slot)
{
    PKCS12_free(*slot);
}

static void safes_free_at(STACK_OF(PKCS7) * *slot)
{
    sk_PKCS7_pop_free(*slot, PKCS7_free);
}

static void bags_free_at(STACK_OF(PKCS12_SAFEBAG) * *slot)
{
    sk_PKCS12_SAFEBAG_pop_free(*slot, PKCS12_SAFEBAG_free);
}

static void p8_free_at(PKCS8_PRIV_KEY_INFO **slot)
{
    PKCS8_PRIV_KEY_INFO_free(*slot);
}

static void x509_free_at(X509 **slot)
{
    X509_free(*slot);
}

/* Of a context of its own, so that the old ciphers are there for these files and nothing else. */
struct methods {
    OSSL_LIB_CTX *ctx;
    OSSL_PROVIDER *usual;
    OSSL_PROVIDER *old; /* RC2, which older programs write; NULL where OpenSSL's module is not */
};

static void methods_done(struct methods *m)
{
    if (m->old)
        OSSL_PROVIDER_unload(m->old);
    if (m->usual)
        OSSL_PROVIDER_unload(m->usual);
    OSSL_LIB_CTX_free(m->ctx);
}

static struct methods methods_load(void)
{
    struct methods m = { .ctx = OSSL_LIB_CTX_new() };

    if (m.ctx) {
        m.usual = OSSL_PROVIDER_load(m.ctx, "default");
        m.old = OSSL_PROVIDER_load(m.ctx, "legacy");
    }
    return m;
}

static int not_pkcs12(struct error *err)
{
    return error_set(err, CODE_INVALID_ARGUMENT, "is neither PEM nor PKCS#12");
}

/* --- ceilings -------------------------------------------------------------------------------- */

static int check_rounds(const ASN1_INTEGER *rounds, struct error *err)
{
    int64_t n = 1;

    if (rounds && (!ASN1_INTEGER_get_int64(&n, rounds) || n < 1 || n > PFX_ROUNDS_MAX))
        return error_set(err, CODE_RESOURCE_EXHAUSTED,
                         "is PKCS#12 with more than %d rounds of key derivation", PFX_ROUNDS_MAX);
    return 0;
}

static const ASN1_STRING *parameters_of(const X509_ALGOR *method, int *ret_nid)
{
    const ASN1_OBJECT *name = NULL;
    const void *value = NULL;
    int type = V_ASN1_UNDEF;

    X509_ALGOR_get0(&name, &type, &value, method);
    *ret_nid = OBJ_obj2nid(name);
    return type == V_ASN1_SEQUENCE ? value : NULL;
}

static int check_pbkdf2(const X509_ALGOR *derivation, struct error *err)
{
    int nid = NID_undef;
    const ASN1_STRING *text = parameters_of(derivation, &nid);
    PBKDF2PARAM *parameters = NULL;
    int got;

    if (nid != NID_id_pbkdf2 || !text)
        return 0; /* scrypt: OpenSSL's own ceiling of memory holds */
    parameters = ASN1_item_unpack(text, ASN1_ITEM_rptr(PBKDF2PARAM));
    got = check_rounds(parameters ? parameters->iter : NULL, err);
    PBKDF2PARAM_free(parameters);
    return got;
}

/* The rounds of whichever method a part is encrypted with. What is damaged passes: decrypting it
 * fails. */
static int check_method(const X509_ALGOR *method, struct error *err)
{
    int nid = NID_undef;
    const ASN1_STRING *text = parameters_of(method, &nid);
    int got;

    if (!text)
        return 0;
    if (nid == NID_pbes2) {
        PBE2PARAM *parameters = ASN1_item_unpack(text, ASN1_ITEM_rptr(PBE2PARAM));

        got = parameters ? check_pbkdf2(parameters->keyfunc, err) : 0;
        PBE2PARAM_free(parameters);
    } else {
        PBEPARAM *parameters = ASN1_item_unpack(text, ASN1_ITEM_rptr(PBEPARAM));

        got = check_rounds(parameters ? parameters->iter : NULL, err);
        PBEPARAM_free(parameters);
    }
    return got;
}

static int count_part(struct reading *r, struct error *err)
{
    if (++r->parts > PFX_PARTS_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "is PKCS#12 of more than %d encrypted parts",
                         PFX_PARTS_MAX);
    return 0;
}

/* --- parts ----------------------------------------------------------------------------------- */

static int undecipherable(struct error *err)
{
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "is PKCS#12 with a password, or encrypted by a method that is not known here");
}

static int give(const struct reading *r, bool is_key, uint8_t *der, int len, struct error *err)
{
    int got = -1;

    if (len <= 0)
        return not_pkcs12(err);
    if (is_key)
        got = r->taker->key(r->taker->arg, der, (size_t)len, err);
    else
        got = r->taker->certificate(r->taker->arg, der, (size_t)len, err);
    OPENSSL_clear_free(der, (size_t)len);
    return got < 0 ? error_within(err, "a part of the PKCS#12") : 0;
}

static int give_key(const struct reading *r, const PKCS8_PRIV_KEY_INFO *key, struct error *err)
{
    uint8_t *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(key, &der);

    return give(r, true, der, len, err);
}

static int give_certificate(const struct reading *r, const PKCS12_SAFEBAG *bag, struct error *err)
{
    X509 *certificate CLEANUP(x509_free_at) = NULL;
    uint8_t *der = NULL;
    int len;

    if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
        return 0;
    certificate = PKCS12_SAFEBAG_get1_cert(bag);
    if (!certificate)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "a part of the PKCS#12: is not an X.509 certificate");
    len = i2d_X509(certificate, &der);
    return give(r, false, der, len, err);
}

static int open_key(struct reading *r, const PKCS12_SAFEBAG *bag, struct error *err)
{
    PKCS8_PRIV_KEY_INFO *key CLEANUP(p8_free_at) = NULL;
    const X509_ALGOR *method = NULL;

    X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &method, NULL);
    if (count_part(r, err) < 0 || check_method(method, err) < 0)
        return -1;
    key = PKCS12_decrypt_skey_ex(bag, r->password, 0, r->methods, NULL);
    if (!key)
        return undecipherable(err);
    return give_key(r, key, err);
}

static int read_bag(struct reading *r, const PKCS12_SAFEBAG *bag, struct error *err)
{
    switch (PKCS12_SAFEBAG_get_nid(bag)) {
    case NID_keyBag:
        return give_key(r, PKCS12_SAFEBAG_get0_p8inf(bag), err);
    case NID_pkcs8ShroudedKeyBag:
        return open_key(r, bag, err);
    case NID_certBag:
        return give_certificate(r, bag, err);
    default:
        return 0;
    }
}

static int open_safe(struct reading *r, PKCS7 *safe, STACK_OF(PKCS12_SAFEBAG) * *ret,
                     struct error *err)
{
    if (PKCS7_type_is_data(safe)) {
        *ret = PKCS12_unpack_p7data(safe);
        return *ret ? 0 : not_pkcs12(err);
    }
    if (!PKCS7_type_is_encrypted(safe) || !safe->d.encrypted || !safe->d.encrypted->enc_data)
        return 0; /* for the holder of another key */
    if (count_part(r, err) < 0 || check_method(safe->d.encrypted->enc_data->algorithm, err) < 0)
        return -1;
    *ret = PKCS12_unpack_p7encdata(safe, r->password, 0);
    return *ret ? 0 : undecipherable(err);
}

static int read_safe(struct reading *r, PKCS7 *safe, struct error *err)
{
    STACK_OF(PKCS12_SAFEBAG) * bags CLEANUP(bags_free_at) = NULL;

    if (open_safe(r, safe, &bags, err) < 0)
        return -1;
    for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); i++)
        if (read_bag(r, sk_PKCS12_SAFEBAG_value(bags, i), err) < 0)
            return -1;
    return 0;
}

/* --- the file -------------------------------------------------------------------------------- */

/* Whichever way to write "no password" the file was made with. One without a MAC does not tell. */
static int choose_password(struct reading *r, PKCS12 *p12, struct error *err)
{
    static const char *const passwords[] = { NULL, "" };
    const ASN1_INTEGER *rounds = NULL;

    if (!PKCS12_mac_present(p12))
        return 0;
    PKCS12_get0_mac(NULL, NULL, NULL, &rounds, p12);
    if (check_rounds(rounds, err) < 0)
        return -1;
    for (size_t i = 0; i < COUNT_OF(passwords); i++) {
        r->password = passwords[i];
        if (PKCS12_verify_mac(p12, r->password, 0))
            return 0;
    }
    return undecipherable(err);
}

static int read_safes(struct reading *r, PKCS12 *p12, struct error *err)
{
    STACK_OF(PKCS7) * safes CLEANUP(safes_free_at) = PKCS12_unpack_authsafes(p12);

    if (!safes)
        return not_pkcs12(err);
    for (int i = 0; i < sk_PKCS7_num(safes); i++)
        if (read_safe(r, sk_PKCS7_value(safes, i), err) < 0)
            return -1;
    return 0;
}

int pfx_read(const struct secret *file, const struct pfx_taker *taker, struct error *err)
{
    struct methods methods CLEANUP(methods_done) = methods_load();
    struct reading r = { .taker = taker, .methods = methods.ctx };
    PKCS12 *p12 CLEANUP(p12_free_at) = NULL;
    const uint8_t *at = file->bytes;

    if (!methods.usual)
        return error_set(err, CODE_INTERNAL, "OpenSSL has no methods to read PKCS#12 with");
    p12 = PKCS12_init_ex(NID_pkcs7_data, methods.ctx, NULL);
    if (!p12 || !d2i_PKCS12(&p12, &at, (long)file->len))
        return not_pkcs12(err);
    if (choose_password(&r, p12, err) < 0)
        return -1;
    return read_safes(&r, p12, err);
}
