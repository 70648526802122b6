/* SPDX-License-Identifier: Apache-2.0
 *
 * What a Secret of each type gets from what providers give, and what is said where it gets nothing:
 * the field of the class and the key, never a byte of content.
 */
#include "agent/secret_types.h"
#include "tests/unit/base/pem_maker.h"

#define MARK "c2VjcmV0LW1hcms"

static struct family family;

static int make_family(void **state)
{
    (void)state;
    family = family_make(EVP_EC_gen("P-256"));
    return 0;
}

static int free_family(void **state)
{
    (void)state;
    family_free(&family);
    return 0;
}

/* --- data that is plain text ----------------------------------------------------------------- */

enum { ENTRIES_MAX = 4 };

struct entry {
    const char *key;
    const char *text;
};

static int make(const char *type, const struct entry *entries, struct secret_data *ret,
                struct error *err)
{
    struct secret_datum list[ENTRIES_MAX];
    struct secret_order order = { .place = 7, .type = type, .list = list };

    while (order.count < ENTRIES_MAX && entries[order.count].key) {
        const struct entry *e = &entries[order.count];

        list[order.count++] =
            (struct secret_datum){ .key = (char *)e->key,
                                   .bytes = { (uint8_t *)e->text, strlen(e->text) } };
    }
    return secret_data_make(&order, ret, err);
}

static const struct {
    const char *says;
    const char *type;
    struct entry given[ENTRIES_MAX];
    struct entry wanted[ENTRIES_MAX];
} taken[] = {
    { "any keys, sorted",
      "Opaque",
      { { "z", "1" }, { "a.b-c_D", "" }, { ".hidden", "3" } },
      { { ".hidden", "3" }, { "a.b-c_D", "" }, { "z", "1" } } },
    { "an own type", "example.com/x", { { "any", MARK } }, { { "any", MARK } } },
    { "a type of Kubernetes that is not known here",
      "kubernetes.io/of-tomorrow",
      { { "any", MARK } },
      { { "any", MARK } } },
    { "a known type in other letters is an own one, as for the API server",
      "opaque",
      { { "any", MARK } },
      { { "any", MARK } } },
    { "the last of two entries with one key",
      "Opaque",
      { { "a", "1" }, { "b", "2" }, { "a", "3" } },
      { { "a", "3" }, { "b", "2" } } },
    { "a user alone",
      "kubernetes.io/basic-auth",
      { { "username", "u" } },
      { { "username", "u" } } },
    { "a password with another key",
      "kubernetes.io/basic-auth",
      { { "password", "p" }, { "host", "h" } },
      { { "host", "h" }, { "password", "p" } } },
    { "a key of ssh as it is",
      "kubernetes.io/ssh-auth",
      { { "ssh-privatekey", "-----BEGIN OPENSSH PRIVATE KEY-----\n" } },
      { { "ssh-privatekey", "-----BEGIN OPENSSH PRIVATE KEY-----\n" } } },
    { "docker's config, byte for byte",
      "kubernetes.io/dockerconfigjson",
      { { ".dockerconfigjson", " { \"auths\" : {} }\n" } },
      { { ".dockerconfigjson", " { \"auths\" : {} }\n" } } },
    { "docker's config with helpers alone",
      "kubernetes.io/dockerconfigjson",
      { { ".dockerconfigjson", "{\"credHelpers\":{}}" } },
      { { ".dockerconfigjson", "{\"credHelpers\":{}}" } } },
    { "docker's old config; a registry may be called anything",
      "kubernetes.io/dockercfg",
      { { ".dockercfg", "{\"auths\":1}" } },
      { { ".dockercfg", "{\"auths\":1}" } } },
};

static void what_a_type_takes_is_applied_as_it_was_given(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(taken); i++) {
        autosecretdata struct secret_data got = { 0 };
        struct error err = { 0 };
        size_t n = 0;

        if (make(taken[i].type, taken[i].given, &got, &err) < 0)
            fail_msg("%s: %s", taken[i].says, err.msg);
        for (; n < ENTRIES_MAX && taken[i].wanted[n].key; n++) {
            const char *text = taken[i].wanted[n].text;

            if (n >= got.count || strcmp(got.list[n].key, taken[i].wanted[n].key) != 0 ||
                got.list[n].bytes.len != strlen(text) ||
                (*text && memcmp(got.list[n].bytes.bytes, text, strlen(text)) != 0))
                fail_msg("%s: %s is not what it was", taken[i].says, taken[i].wanted[n].key);
        }
        assert_int_equal(got.count, n);
    }
}

static const struct {
    const char *says;
    const char *type;
    struct entry given[ENTRIES_MAX];
    const char *words;
} refused[] = {
    { "no type", "", { { "a", MARK } }, "spec.secretObjects[7].type: is empty" },
    { "a token of a service account",
      "kubernetes.io/service-account-token",
      { { "token", MARK } },
      "spec.secretObjects[7].type: kubernetes.io/service-account-token is refused: " },
    { "a token that joins nodes",
      "bootstrap.kubernetes.io/token",
      { { "token-id", MARK } },
      "spec.secretObjects[7].type: bootstrap.kubernetes.io/token is refused: " },
    { "no data", "Opaque", { { NULL, NULL } }, "spec.secretObjects[7].data: is empty" },
    { "an empty key", "Opaque", { { "", MARK } }, "spec.secretObjects[7].data[0] (): a key of" },
    { "a key with a slash",
      "example.com/x",
      { { "a", "1" }, { "a/b", MARK } },
      "spec.secretObjects[7].data[1] (a/b): a key of a Secret" },
    { "a key of one dot", "Opaque", { { ".", MARK } }, "data[0] (.): a key of a Secret" },
    { "a key that climbs", "Opaque", { { "..a", MARK } }, "data[0] (..a): a key of a Secret" },
    { "neither user nor password",
      "kubernetes.io/basic-auth",
      { { "user", MARK } },
      "spec.secretObjects[7].data: has neither key username nor password" },
    { "ssh without its key",
      "kubernetes.io/ssh-auth",
      { { "id_rsa", MARK } },
      "spec.secretObjects[7].data: has no key ssh-privatekey, which type kubernetes.io/ssh-auth" },
    { "ssh with nothing in it",
      "kubernetes.io/ssh-auth",
      { { "known_hosts", MARK }, { "ssh-privatekey", "" } },
      "spec.secretObjects[7].data[1] (ssh-privatekey): is empty" },
    { "docker's config under another key",
      "kubernetes.io/dockerconfigjson",
      { { ".dockercfg", "{}" } },
      "has no key .dockerconfigjson" },
    { "docker's config of nothing",
      "kubernetes.io/dockerconfigjson",
      { { ".dockerconfigjson", "" } },
      "data[0] (.dockerconfigjson): not JSON: " },
    { "docker's config that is cut off",
      "kubernetes.io/dockerconfigjson",
      { { ".dockerconfigjson", "{\"auths\":{\"" MARK } },
      "data[0] (.dockerconfigjson): not JSON: line 1" },
    { "docker's config that is a word",
      "kubernetes.io/dockerconfigjson",
      { { ".dockerconfigjson", MARK } },
      "not JSON: " },
    { "docker's config that names a key twice",
      "kubernetes.io/dockerconfigjson",
      { { ".dockerconfigjson", "{\"" MARK "\":1,\"" MARK "\":2}" } },
      "not JSON: " },
    { "docker's config that is a list",
      "kubernetes.io/dockerconfigjson",
      { { ".dockerconfigjson", "[\"" MARK "\"]" } },
      "is JSON, but not an object" },
    { "docker's config whose registries are a text",
      "kubernetes.io/dockerconfigjson",
      { { ".dockerconfigjson", "{\"auths\":\"" MARK "\"}" } },
      "its \"auths\" is not an object" },
    { "docker's old config that is null",
      "kubernetes.io/dockercfg",
      { { ".dockercfg", "null" } },
      "data[0] (.dockercfg): is JSON, but not an object" },
    { "tls without a key",
      "kubernetes.io/tls",
      { { "tls.crt", MARK } },
      "has no key tls.key, which type kubernetes.io/tls needs" },
    { "tls with a key of its own",
      "kubernetes.io/tls",
      { { "tls.crt", MARK }, { "tls.key", MARK }, { "chain", MARK } },
      "data[2] (chain): type kubernetes.io/tls takes the keys tls.crt, tls.key and ca.crt alone" },
    { "tls of a word",
      "kubernetes.io/tls",
      { { "tls.crt", MARK }, { "tls.key", MARK } },
      "spec.secretObjects[7].data[0] (tls.crt): is neither PEM nor PKCS#12" },
};

static void what_a_type_does_not_take_names_field_and_key_without_content(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        autosecretdata struct secret_data got = { 0 };
        struct error err = { 0 };

        if (make(refused[i].type, refused[i].given, &got, &err) == 0)
            fail_msg("%s: was taken", refused[i].says);
        if (!strstr(err.msg, refused[i].words))
            fail_msg("%s: \"%s\" does not say \"%s\"", refused[i].says, err.msg, refused[i].words);
        if (strstr(err.msg, MARK))
            fail_msg("%s: shows content: %s", refused[i].says, err.msg);
        assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
        assert_null(got.list);
    }
}

static void ceilings_are_those_of_kubernetes(void **state)
{
    autosecret struct secret half = { .bytes = xcalloc(1, SECRET_DATA_BYTES_MAX / 2),
                                      .len = SECRET_DATA_BYTES_MAX / 2 };
    char names[][2] = { "a", "b", "c" };
    char long_key[SECRET_KEY_MAX + 2];
    uint8_t one = 1;
    struct secret_datum list[] = { { names[0], half },
                                   { names[1], half },
                                   { names[2], { NULL, 0 } } };
    struct secret_order order = { .type = "Opaque", .list = list, .count = COUNT_OF(list) };
    autosecretdata struct secret_data fits = { 0 };
    autosecretdata struct secret_data longest = { 0 };
    autosecretdata struct secret_data none = { 0 };
    struct error err = { 0 };

    (void)state;
    assert_int_equal(secret_data_make(&order, &fits, NULL), 0);
    list[2].bytes = (struct secret){ &one, 1 };
    assert_int_equal(secret_data_make(&order, &none, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "more than 1048576 bytes"));

    memset(long_key, 'k', sizeof(long_key));
    long_key[SECRET_KEY_MAX] = '\0';
    list[0] = (struct secret_datum){ long_key, { NULL, 0 } };
    assert_int_equal(secret_data_make(&order, &longest, NULL), 0);
    long_key[SECRET_KEY_MAX] = 'k';
    long_key[SECRET_KEY_MAX + 1] = '\0';
    assert_int_equal(secret_data_make(&order, &none, &err), -1);
}

static void more_keys_than_a_volume_has_files_are_refused(void **state)
{
    struct secret_datum *list = xcalloc(SECRET_KEYS_MAX + 1, sizeof(*list));
    struct secret_order order = { .type = "Opaque", .list = list, .count = SECRET_KEYS_MAX + 1 };
    autosecretdata struct secret_data got = { 0 };
    struct error err = { 0 };

    (void)state;
    for (size_t i = 0; i < order.count; i++)
        list[i].key = str_printf("k%zu", i);
    assert_int_equal(secret_data_make(&order, &got, &err), -1);
    assert_non_null(strstr(err.msg, "more than 4096 entries"));
    order.count--;
    assert_int_equal(secret_data_make(&order, &got, NULL), 0);
    assert_int_equal(got.count, SECRET_KEYS_MAX);
    for (size_t i = 0; i <= SECRET_KEYS_MAX; i++)
        free(list[i].key);
    free(list);
}

/* --- kubernetes.io/tls ----------------------------------------------------------------------- */

/* Files that a provider may give, and what they become. */
struct files {
    struct strbuf chain;     /* leaf, middle, root */
    struct strbuf backwards; /* root, middle, leaf */
    struct strbuf key;       /* SEC1 */
    struct strbuf pkcs8;
    struct strbuf both; /* key and certificates, backwards */
    struct strbuf authorities;
    struct strbuf stranger; /* a key of nobody's */
    struct strbuf pfx;
    struct strbuf nothing;
    struct strbuf noise;
};

static void files_done(struct files *f)
{
    strbuf_done(&f->chain);
    strbuf_done(&f->backwards);
    strbuf_done(&f->key);
    strbuf_done(&f->pkcs8);
    strbuf_done(&f->both);
    strbuf_done(&f->authorities);
    strbuf_done(&f->stranger);
    strbuf_done(&f->pfx);
    strbuf_done(&f->noise);
}

static void add_pfx(struct strbuf *out)
{
    static const struct pfx_style style = { .password = "" };
    STACK_OF(X509) *others = sk_X509_new_null();
    autosecret struct secret file = { 0 };

    assert_true(sk_X509_push(others, family.root) > 0 && sk_X509_push(others, family.middle) > 0);
    file = make_pfx(&style, family.leaf_key, family.leaf, others);
    strbuf_add(out, file.bytes, file.len);
    sk_X509_free(others);
}

static void files_make(struct files *f)
{
    add_cert(&f->chain, family.leaf);
    add_cert(&f->chain, family.middle);
    add_cert(&f->chain, family.root);
    add_cert(&f->backwards, family.root);
    add_cert(&f->backwards, family.middle);
    add_cert(&f->backwards, family.leaf);
    add_traditional(&f->key, family.leaf_key);
    add_pkcs8(&f->pkcs8, family.leaf_key);
    add_pkcs8(&f->both, family.leaf_key);
    strbuf_add(&f->both, f->backwards.text, f->backwards.len);
    add_cert(&f->authorities, family.root);
    add_cert(&f->authorities, family.lone);
    add_pkcs8(&f->stranger, family.other_key);
    add_pfx(&f->pfx);
    strbuf_add_text(&f->noise, "-----BEGIN CERTIFICATE-----\n" MARK "x\n-----END CERTIFICATE-----");
}

static struct secret_datum datum(const char *key, const struct strbuf *file)
{
    return (struct secret_datum){ (char *)key, { (uint8_t *)file->text, file->len } };
}

static void expect_datum(const struct secret_data *data, const char *key,
                         const struct strbuf *wanted, const char *says)
{
    for (size_t i = 0; i < data->count; i++) {
        if (strcmp(data->list[i].key, key) != 0)
            continue;
        if (data->list[i].bytes.len != wanted->len ||
            memcmp(data->list[i].bytes.bytes, wanted->text, wanted->len) != 0)
            fail_msg("%s: %s is\n%.*s", says, key, (int)data->list[i].bytes.len,
                     (const char *)data->list[i].bytes.bytes);
        return;
    }
    fail_msg("%s: has no %s", says, key);
}

static void tls_becomes_a_chain_and_a_key_from_whatever_files(void **state)
{
    struct files f CLEANUP(files_done) = { 0 };
    const struct {
        const char *says;
        const struct strbuf *certificates;
        const struct strbuf *key;
        const struct strbuf *authorities; /* NULL: no ca.crt */
        const struct strbuf *wanted_authorities;
    } rows[] = {
        { "two files", &f.chain, &f.pkcs8, NULL, NULL },
        { "its own output", &f.chain, &f.key, NULL, NULL },
        { "one file of both, the leaf last", &f.both, &f.both, NULL, NULL },
        { "one PKCS#12", &f.pfx, &f.pfx, NULL, NULL },
        { "certificates of PEM, a key of PKCS#12", &f.backwards, &f.pfx, NULL, NULL },
        { "authorities", &f.chain, &f.pkcs8, &f.authorities, &f.authorities },
        { "authorities from the file of the key", &f.chain, &f.both, &f.both, &f.backwards },
    };

    (void)state;
    files_make(&f);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct secret_datum list[] = {
            datum("tls.key", rows[i].key), datum("tls.crt", rows[i].certificates),
            datum("ca.crt", rows[i].authorities ? rows[i].authorities : &f.nothing)
        };
        struct secret_order order = { .type = "kubernetes.io/tls", .list = list, .count = 2 };
        autosecretdata struct secret_data got = { 0 };
        struct error err = { 0 };

        if (rows[i].authorities)
            order.count = 3;
        if (secret_data_make(&order, &got, &err) < 0)
            fail_msg("%s: %s", rows[i].says, err.msg);
        assert_int_equal(got.count, order.count);
        expect_datum(&got, "tls.crt", &f.chain, rows[i].says);
        expect_datum(&got, "tls.key", &f.key, rows[i].says);
        if (rows[i].authorities)
            expect_datum(&got, "ca.crt", rows[i].wanted_authorities, rows[i].says);
    }
}

static void tls_that_would_not_serve_is_refused(void **state)
{
    struct files f CLEANUP(files_done) = { 0 };
    const struct {
        const char *says;
        const struct strbuf *certificates;
        const struct strbuf *key;
        const struct strbuf *authorities;
        const char *words;
    } rows[] = {
        { "nothing for a certificate", &f.nothing, &f.key, &f.authorities,
          "spec.secretObjects[2].data[0] (tls.crt): is empty" },
        { "nothing for a key", &f.chain, &f.nothing, &f.authorities,
          "data[1] (tls.key): is empty" },
        { "a key for a certificate", &f.key, &f.key, &f.authorities,
          "data[0] (tls.crt): holds no certificate" },
        { "certificates for a key", &f.chain, &f.chain, &f.authorities,
          "data[1] (tls.key): holds no private key" },
        { "a key of somebody else", &f.chain, &f.stranger, &f.authorities,
          "data[0] (tls.crt): the private key belongs to none of the 3 certificates" },
        { "noise for a certificate", &f.noise, &f.key, &f.authorities,
          "data[0] (tls.crt): block 1 of the PEM: is not an X.509 certificate" },
        { "nothing for authorities", &f.chain, &f.key, &f.nothing, "data[2] (ca.crt): is empty" },
        { "noise for authorities", &f.chain, &f.key, &f.noise, "data[2] (ca.crt): block 1 of" },
        { "a key for authorities", &f.chain, &f.key, &f.key,
          "data[2] (ca.crt): holds no certificate" },
    };

    (void)state;
    files_make(&f);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct secret_datum list[] = { datum("tls.crt", rows[i].certificates),
                                       datum("tls.key", rows[i].key),
                                       datum("ca.crt", rows[i].authorities) };
        struct secret_order order = {
            .place = 2, .type = "kubernetes.io/tls", .list = list, .count = COUNT_OF(list)
        };
        autosecretdata struct secret_data got = { 0 };
        struct error err = { 0 };

        if (secret_data_make(&order, &got, &err) == 0)
            fail_msg("%s: was taken", rows[i].says);
        if (!strstr(err.msg, rows[i].words) || strstr(err.msg, MARK))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].says, err.msg, rows[i].words);
        assert_null(got.list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_type_takes_is_applied_as_it_was_given),
        cmocka_unit_test(what_a_type_does_not_take_names_field_and_key_without_content),
        cmocka_unit_test(ceilings_are_those_of_kubernetes),
        cmocka_unit_test(more_keys_than_a_volume_has_files_are_refused),
        cmocka_unit_test(tls_becomes_a_chain_and_a_key_from_whatever_files),
        cmocka_unit_test(tls_that_would_not_serve_is_refused),
    };

    return cmocka_run_group_tests(tests, make_family, free_family);
}
