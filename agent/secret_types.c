/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_types.h"

#include "lib/base/crypto_pem.h"
#include "lib/base/json.h"

#define TLS_CERT "tls.crt"
#define TLS_KEY "tls.key"
#define TLS_CA "ca.crt"
#define DOCKER_CONFIG ".dockerconfigjson"

enum { KEYS_OF_TYPE_MAX = 3 };

struct type_row;

/* Brings *ret's values, still as the provider gave them, into what the type wants. */
typedef int make_fn(const struct type_row *row, const struct secret_order *order,
                    struct secret_data *ret, struct error *err);

static make_fn make_tls;
static make_fn make_docker;
static make_fn make_ssh;
static make_fn make_as_it_is;

static const struct type_row {
    const char *name;
    const char *refused;                  /* why it is never written; NULL: it is */
    const char *needs[KEYS_OF_TYPE_MAX];  /* each of these keys */
    const char *one_of[KEYS_OF_TYPE_MAX]; /* at least one of these */
    const char *may[KEYS_OF_TYPE_MAX];    /* these as well, and no others; empty: any others */
    make_fn *make;
} type_rows[] = {
    { .name = "Opaque", .make = make_as_it_is },
    { .name = "kubernetes.io/tls",
      .needs = { TLS_CERT, TLS_KEY },
      .may = { TLS_CA },
      .make = make_tls },
    { .name = "kubernetes.io/dockerconfigjson", .needs = { DOCKER_CONFIG }, .make = make_docker },
    { .name = "kubernetes.io/dockercfg", .needs = { ".dockercfg" }, .make = make_docker },
    { .name = "kubernetes.io/basic-auth",
      .one_of = { "username", "password" },
      .make = make_as_it_is },
    { .name = "kubernetes.io/ssh-auth", .needs = { "ssh-privatekey" }, .make = make_ssh },
    { .name = "kubernetes.io/service-account-token",
      .refused = "the API server makes these tokens by itself" },
    { .name = "bootstrap.kubernetes.io/token",
      .refused = "whoever writes one can join nodes to the cluster" },
};

static const struct type_row own_type = { .make = make_as_it_is };

void secret_data_done(struct secret_data *data)
{
    for (size_t i = 0; i < data->count; i++) {
        free(data->list[i].key);
        secret_done(&data->list[i].bytes);
    }
    free(data->list);
    *data = (struct secret_data){ 0 };
}

/* --- where it went wrong --------------------------------------------------------------------- */

/* Names an entry of the class in front of what is wrong with it. */
static int within_datum(const struct secret_order *order, size_t i, struct error *err)
{
    return error_within(err, "spec.secretObjects[%zu].data[%zu] (%.*s)", order->place, i,
                        SECRET_KEY_MAX, order->list[i].key);
}

/* Where the last entry of a key stands, the one that counts; count: nowhere. */
static size_t place_of(const struct secret_order *order, const char *key)
{
    size_t i = order->count;

    while (i && strcmp(order->list[i - 1].key, key) != 0)
        i--;
    return i ? i - 1 : order->count;
}

static int within_key(const struct secret_order *order, const char *key, struct error *err)
{
    return within_datum(order, place_of(order, key), err);
}

/* --- types ----------------------------------------------------------------------------------- */

static int find_type(const struct secret_order *order, const struct type_row **ret,
                     struct error *err)
{
    const char *type = order->type;

    if (!*type)
        return error_set(err, CODE_INVALID_ARGUMENT, "is empty");
    for (size_t i = 0; i < COUNT_OF(type_rows); i++) {
        const struct type_row *row = &type_rows[i];

        if (strcmp(type, row->name) != 0)
            continue;
        if (row->refused)
            return error_set(err, CODE_INVALID_ARGUMENT, "%s is refused: %s", row->name,
                             row->refused);
        *ret = row;
        return 0;
    }
    *ret = &own_type;
    return 0;
}

static bool has_name(const char *const *names, const char *name)
{
    for (size_t i = 0; i < KEYS_OF_TYPE_MAX && names[i]; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static bool has_key(const struct secret_order *order, const char *key)
{
    return place_of(order, key) < order->count;
}

static int check_needs(const struct type_row *row, const struct secret_order *order,
                       struct error *err)
{
    bool any = !row->one_of[0];

    for (size_t i = 0; i < KEYS_OF_TYPE_MAX && row->needs[i]; i++)
        if (!has_key(order, row->needs[i]))
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "spec.secretObjects[%zu].data: has no key %s, which type %s needs",
                             order->place, row->needs[i], row->name);
    for (size_t i = 0; i < KEYS_OF_TYPE_MAX && row->one_of[i]; i++)
        any = any || has_key(order, row->one_of[i]);
    if (any)
        return 0;
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "spec.secretObjects[%zu].data: has neither key %s nor %s, type %s needs one",
                     order->place, row->one_of[0], row->one_of[1], row->name);
}

/* --- keys ------------------------------------------------------------------------------------ */

static int check_key(const struct type_row *row, const char *key, struct error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = strlen(key);

    if (!len || len > SECRET_KEY_MAX || strspn(key, letters) != len || !strcmp(key, ".") ||
        str_starts(key, ".."))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "a key of a Secret is 1 to %d letters, digits, '-', '_' and '.', and does "
                         "not begin with \"..\"",
                         SECRET_KEY_MAX);
    if (row->may[0] && !has_name(row->may, key) && !has_name(row->needs, key))
        return error_set(err, CODE_INVALID_ARGUMENT, "type %s takes the keys %s, %s and %s alone",
                         row->name, row->needs[0], row->needs[1], row->may[0]);
    return 0;
}

static int check_keys(const struct type_row *row, const struct secret_order *order,
                      struct error *err)
{
    if (!order->count)
        return error_set(err, CODE_INVALID_ARGUMENT, "spec.secretObjects[%zu].data: is empty",
                         order->place);
    if (order->count > SECRET_KEYS_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED,
                         "spec.secretObjects[%zu].data: has more than %d entries", order->place,
                         SECRET_KEYS_MAX);
    for (size_t i = 0; i < order->count; i++)
        if (check_key(row, order->list[i].key, err) < 0)
            return within_datum(order, i, err);
    return 0;
}

/* --- values ---------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct secret_datum *one = a;
    const struct secret_datum *other = b;

    return strcmp(one->key, other->key);
}

static struct secret_data copy_of(const struct secret_order *order)
{
    struct secret_data copy = { .list = xcalloc(order->count, sizeof(*copy.list)) };

    for (size_t i = 0; i < order->count; i++)
        if (place_of(order, order->list[i].key) == i)
            copy.list[copy.count++] =
                (struct secret_datum){ .key = xstrdup(order->list[i].key),
                                       .bytes = secret_dup(&order->list[i].bytes) };
    qsort(copy.list, copy.count, sizeof(*copy.list), by_key);
    return copy;
}

/* The value under a key; NULL when there is none. Borrowed. */
static struct secret *value_of(struct secret_data *data, const char *key)
{
    const struct secret_datum wanted = { .key = (char *)key };
    struct secret_datum *found =
        bsearch(&wanted, data->list, data->count, sizeof(*data->list), by_key);

    return found ? &found->bytes : NULL;
}

static void replace(struct secret *value, struct secret *by)
{
    secret_done(value);
    *value = secret_take(by);
}

static int make_as_it_is(const struct type_row *row, const struct secret_order *order,
                         struct secret_data *ret, struct error *err)
{
    (void)row;
    (void)order;
    (void)ret;
    (void)err;
    return 0;
}

static int make_ssh(const struct type_row *row, const struct secret_order *order,
                    struct secret_data *ret, struct error *err)
{
    if (value_of(ret, row->needs[0])->len)
        return 0;
    (void)error_set(err, CODE_INVALID_ARGUMENT, "is empty");
    return within_key(order, row->needs[0], err);
}

/* A JSON object; what names its registries is one as well. */
static int check_docker(const struct secret *value, bool has_auths, struct error *err)
{
    autotree struct tree *t = NULL;
    const struct tree *auths;

    if (json_parse((const char *)value->bytes, value->len, &t, err) < 0)
        return -1;
    if (t->kind != TREE_MAP)
        return error_set(err, CODE_INVALID_ARGUMENT, "is JSON, but not an object");
    auths = has_auths ? tree_get(t, "auths") : NULL;
    if (auths && auths->kind != TREE_MAP)
        return error_set(err, CODE_INVALID_ARGUMENT, "its \"auths\" is not an object");
    return 0;
}

static int make_docker(const struct type_row *row, const struct secret_order *order,
                       struct secret_data *ret, struct error *err)
{
    const char *key = row->needs[0];

    if (check_docker(value_of(ret, key), !strcmp(key, DOCKER_CONFIG), err) < 0)
        return within_key(order, key, err);
    return 0;
}

/* --- kubernetes.io/tls ----------------------------------------------------------------------- */

static int read_tls(const struct secret_order *order, struct secret_data *data, const char *key,
                    struct pem_bundle **ret, struct error *err)
{
    if (pem_bundle_read(value_of(data, key), ret, err) < 0)
        return within_key(order, key, err);
    return 0;
}

/* A file of authorities; nothing is known of their order, and it is kept. */
static int make_authorities(const struct secret_order *order, struct secret_data *ret,
                            struct error *err)
{
    autobundle struct pem_bundle *authorities = NULL;
    autosecret struct secret pem = { 0 };

    if (!value_of(ret, TLS_CA))
        return 0;
    if (read_tls(order, ret, TLS_CA, &authorities, err) < 0)
        return -1;
    if (pem_bundle_certificates(authorities, &pem, err) < 0)
        return within_key(order, TLS_CA, err);
    replace(value_of(ret, TLS_CA), &pem);
    return 0;
}

/* Certificates and key may come from one file (PKCS#12, or PEM of both) or from two; each key of
 * the Secret gets its part alone, so that no private key ends in tls.crt. */
static int make_tls(const struct type_row *row, const struct secret_order *order,
                    struct secret_data *ret, struct error *err)
{
    autobundle struct pem_bundle *chain = NULL;
    autobundle struct pem_bundle *holder = NULL;
    autosecret struct secret chain_pem = { 0 };
    autosecret struct secret key_pem = { 0 };

    (void)row;
    if (read_tls(order, ret, TLS_CERT, &chain, err) < 0 ||
        read_tls(order, ret, TLS_KEY, &holder, err) < 0)
        return -1;
    if (pem_bundle_key(holder, &key_pem, err) < 0)
        return within_key(order, TLS_KEY, err);
    if (pem_bundle_lead(chain, holder, err) < 0 ||
        pem_bundle_certificates(chain, &chain_pem, err) < 0)
        return within_key(order, TLS_CERT, err);
    replace(value_of(ret, TLS_CERT), &chain_pem);
    replace(value_of(ret, TLS_KEY), &key_pem);
    return make_authorities(order, ret, err);
}

/* --- all ------------------------------------------------------------------------------------- */

static int check_size(const struct secret_order *order, const struct secret_data *data,
                      struct error *err)
{
    size_t bytes = 0;

    for (size_t i = 0; i < data->count && bytes <= SECRET_DATA_BYTES_MAX; i++)
        bytes += data->list[i].bytes.len;
    if (bytes > SECRET_DATA_BYTES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED,
                         "spec.secretObjects[%zu].data: the values have more than %d bytes, which "
                         "Kubernetes refuses",
                         order->place, SECRET_DATA_BYTES_MAX);
    return 0;
}

int secret_data_make(const struct secret_order *order, struct secret_data *ret, struct error *err)
{
    autosecretdata struct secret_data data = { 0 };
    const struct type_row *row = NULL;

    if (find_type(order, &row, err) < 0)
        return error_within(err, "spec.secretObjects[%zu].type", order->place);
    if (check_keys(row, order, err) < 0 || check_needs(row, order, err) < 0)
        return -1;
    data = copy_of(order);
    if (row->make(row, order, &data, err) < 0 || check_size(order, &data, err) < 0)
        return -1;
    *ret = data;
    data = (struct secret_data){ 0 };
    return 0;
}
