/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <strings.h>

#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "lib/base/yaml.h"
#include "lib/model/params.h"
#include "providers/provider.h"

enum { VERSION_BYTES = 16 }; /* of the HMAC: enough to differ, short enough to read */

const char *fetch_request_get(const struct fetch_request *req, const char *key)
{
    const char *value = pairs_get(&req->params, key);

    return value ? value : "";
}

static int read_object(const struct tree *node, mode_t default_mode, struct object *ret,
                       struct error *err)
{
    const struct tree *mode = tree_get(node, "filePermission");

    *ret = (struct object){ .node = node, .mode = default_mode, .encoding = "" };
    if (node->kind != TREE_MAP)
        return error_set(err, CODE_INVALID_ARGUMENT, "objects: line %u: an entry must be a map",
                         node->line);
    ret->name = tree_get_text(node, "objectName");
    if (!ret->name)
        return error_set(err, CODE_INVALID_ARGUMENT, "objects: line %u: objectName is missing",
                         node->line);
    if (fileset_check_path(ret->name, strlen(ret->name), err) < 0)
        return error_within(err, "objects: line %u", node->line);
    if (mode && mode->kind != TREE_NULL && param_mode(mode, &ret->mode, err) < 0)
        return error_within(err, "objects: line %u", node->line);
    if (!ret->mode)
        ret->mode = default_mode;
    if (tree_get_text(node, "encoding"))
        ret->encoding = tree_get_text(node, "encoding");
    return 0;
}

static int check_unique(const struct object *objects, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(objects[i].name, objects[k].name) == 0)
                return error_set(err, CODE_INVALID_ARGUMENT,
                                 "each `objectName` within a SecretProviderClass must be unique, "
                                 "but the following keys were duplicated: %.100s",
                                 objects[i].name);
    return 0;
}

int objects_read(const struct fetch_request *req, struct tree **ret_tree, struct object **ret,
                 size_t *ret_count, struct error *err)
{
    const char *text = fetch_request_get(req, "objects");
    struct tree *tree autotree = NULL;
    autofree struct object *objects = NULL;
    size_t count = 0;

    if (yaml_parse(text, strlen(text), &tree, err) < 0)
        return error_within(err, "objects");
    if (tree->kind != TREE_LIST && tree->kind != TREE_NULL)
        return error_set(err, CODE_INVALID_ARGUMENT, "objects must be a YAML list, not %s",
                         tree_kind_name(tree->kind));
    if (tree_count(tree) > FILESET_FILES_MAX)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "objects: more than %d entries",
                         FILESET_FILES_MAX);
    objects = xcalloc(tree_count(tree), sizeof(*objects));
    for (const struct tree *node = tree->child; node; node = node->next)
        if (read_object(node, req->default_mode, &objects[count++], err) < 0)
            return -1;
    if (check_unique(objects, count, err) < 0)
        return -1;
    *ret_tree = take(tree);
    *ret = take(objects);
    *ret_count = count;
    return 0;
}

int object_decode(const struct object *object, struct secret *bytes, struct error *err)
{
    struct secret plain CLEANUP(secret_done) = { 0 };
    const char *text = bytes->len ? (const char *)bytes->bytes : "";
    int result;

    if (!*object->encoding || strcasecmp(object->encoding, "utf-8") == 0)
        return 0;
    if (strcasecmp(object->encoding, "base64") == 0)
        result = base64_decode(BASE64_STD, text, bytes->len, &plain, err);
    else if (strcasecmp(object->encoding, "hex") == 0)
        result = hex_decode(text, bytes->len, &plain, err);
    else
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "invalid encoding type. Should be utf-8, base64, or hex");
    if (result < 0)
        return error_within(err, "object %.100s: encoding %s", object->name, object->encoding);
    secret_done(bytes);
    *bytes = secret_take(&plain);
    return 0;
}

int object_version_make(const struct secret *key, const char *config, const struct secret *bytes,
                        char **ret, struct error *err)
{
    struct strbuf text CLEANUP(strbuf_done) = { .sensitive = true };
    struct strbuf version CLEANUP(strbuf_done) = { 0 };
    uint8_t digest[SHA256_BYTES];

    strbuf_add(&text, config, strlen(config) + 1);
    strbuf_add(&text, bytes->bytes, bytes->len);
    if (text.overflow)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "an object is too large");
    if (hmac_sha256(key, text.text, text.len, digest, err) < 0)
        return -1;
    base64_encode(BASE64_URL_RAW, &version, digest, VERSION_BYTES);
    *ret = strbuf_take(&version);
    return 0;
}
