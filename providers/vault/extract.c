/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/encode.h"
#include "lib/base/json.h"
#include "providers/vault/vault.h"

/* --- paths -------------------------------------------------------------------------------------
 */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum { QUERY_MAX = 64 };

/* As written, with '=' and its %XX; bytes that no URL may hold are encoded, as Go's net/url does.
 */
static void add_query_part(struct strbuf *out, char before, const char *part)
{
    strbuf_add_char(out, before);
    for (; *part; part++) {
        unsigned char c = (unsigned char)*part;

        if (c <= 0x20 || c >= 0x7f || strchr("\"#<>\\^`{|}", c))
            strbuf_printf(out, "%%%02X", c);
        else
            strbuf_add_char(out, (char)c);
    }
}

/* a=1&b=2, sorted by key as Go's url.Values encodes it. */
static int add_query(const char *query, struct strbuf *out, struct error *err)
{
    autofree char *copy = xstrdup(query);
    char *parts[QUERY_MAX];
    char *rest = NULL;
    size_t count = 0;

    if (strchr(query, ';'))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "failed to parse query parameters from secretPath: ';' is no separator");
    for (char *p = strtok_r(copy, "&", &rest); p; p = strtok_r(NULL, "&", &rest)) {
        if (count == QUERY_MAX)
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "secretPath: more than %d query parameters", QUERY_MAX);
        parts[count++] = p;
    }
    if (count > 1)
        qsort(parts, count, sizeof(parts[0]), by_text);
    for (size_t i = 0; i < count; i++)
        add_query_part(out, i ? '&' : '?', parts[i]);
    return 0;
}

int vault_path(const char *secret_path, char **ret, struct error *err)
{
    size_t len = strcspn(secret_path, "?");
    autofree char *path = xstrndup(secret_path, len);
    struct strbuf out CLEANUP(strbuf_done) = { 0 };
    char *rest = NULL;
    bool first = true;

    strbuf_add_text(&out, "/v1");
    for (char *part = strtok_r(path, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        if (strcmp(part, "..") == 0 || strcmp(part, ".") == 0)
            return error_set(err, CODE_INVALID_ARGUMENT,
                             "secretPath must not contain . or .. components");
        if (!first || strcmp(part, "v1") != 0) {
            strbuf_add_char(&out, '/');
            url_encode(&out, part, false);
        }
        first = false;
    }
    if (out.len == strlen("/v1"))
        return error_set(err, CODE_INVALID_ARGUMENT, "secretPath is missing");
    if (secret_path[len] && add_query(secret_path + len + 1, &out, err) < 0)
        return -1;
    *ret = strbuf_take(&out);
    return 0;
}

/* --- values ------------------------------------------------------------------------------------
 */

/* A KV v2 answer wraps data and metadata in data; a KV v1 secret that merely has a field called
 * data is not descended into, as upstream does by mistake. */
static const struct tree *data_of(const struct tree *reply)
{
    const struct tree *data = tree_get(reply, "data");
    const struct tree *inner = tree_get(data, "data");
    const struct tree *metadata = tree_get(data, "metadata");

    if (inner && inner->kind == TREE_MAP && tree_get(metadata, "created_time") &&
        tree_get(metadata, "version"))
        return inner;
    return data ? data : reply;
}

/* Members in the order of the SDK's struct; request_id stays empty, since it differs at each read
 * and would make every poll look like a rotation. */
static struct secret whole(const struct tree *reply)
{
    static const struct {
        const char *key;
        const char *absent; /* NULL: left out when absent, empty or null */
    } members[] = {
        { "request_id", "\"\"" }, { "lease_id", "\"\"" }, { "lease_duration", "0" },
        { "renewable", "false" }, { "data", "null" },     { "warnings", "null" },
        { "auth", NULL },         { "wrap_info", NULL },  { "mount_type", NULL },
    };
    struct strbuf out CLEANUP(strbuf_done) = { .sensitive = true };

    for (size_t i = 0; i < COUNT_OF(members); i++) {
        const struct tree *t = i ? tree_get(reply, members[i].key) : NULL;
        bool empty = !t || t->kind == TREE_NULL || (t->text && !t->text_len);

        if (empty && !members[i].absent)
            continue;
        strbuf_printf(&out, "%c\"%s\":", out.len ? ',' : '{', members[i].key);
        if (empty)
            strbuf_add_text(&out, members[i].absent);
        else
            json_write(&out, t);
    }
    strbuf_add_char(&out, '}');
    return strbuf_take_secret(&out);
}

int vault_extract(const struct tree *reply, const char *secret_path, const char *secret_key,
                  struct secret *ret, struct error *err)
{
    struct strbuf text CLEANUP(strbuf_done) = { .sensitive = true };
    const struct tree *value;

    if (!secret_key || !*secret_key) {
        *ret = whole(reply);
        return 0;
    }
    value = tree_get(data_of(reply), secret_key);
    if (!value)
        return error_set(err, CODE_NOT_FOUND,
                         "{%.100s}: {key \"%.64s\" does not exist at the secret path}", secret_path,
                         secret_key);
    if (value->kind == TREE_TEXT) {
        *ret = secret_copy(value->text, value->text_len);
        return 0;
    }
    json_write(&text, value);
    *ret = strbuf_take_secret(&text);
    return 0;
}
