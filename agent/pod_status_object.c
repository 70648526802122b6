/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pod_status_object.h"

#include <ctype.h>

#include "agent/group_version.h"
#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"

enum { DIGEST_BYTES = 16 }; /* of a name that was cut: 32 digits */

/* The text, or what of its beginning leaves room for '-' and the digest of all of it. */
static int shorten(const char *text, size_t most, char **ret, struct error *err)
{
    struct strbuf out autostrbuf = { 0 };
    uint8_t digest[SHA256_BYTES];
    size_t keep = most - 1 - (size_t)2 * DIGEST_BYTES;

    if (strlen(text) <= most) {
        *ret = xstrdup(text);
        return 0;
    }
    if (sha256(text, strlen(text), digest, err) < 0)
        return -1;
    while (keep && !isalnum((unsigned char)text[keep - 1]))
        keep--; /* no label of a name may end or begin with '-' or '.' */
    strbuf_add(&out, text, keep);
    strbuf_add_char(&out, '-');
    hex_encode(&out, digest, DIGEST_BYTES);
    *ret = strbuf_take(&out);
    return 0;
}

int pod_status_name(const char *pod, const char *ns, const char *class_name, char **ret,
                    struct error *err)
{
    autofree char *full = str_printf("%s-%s-%s", pod, ns, class_name);

    return shorten(full, POD_STATUS_NAME_MAX, ret, err);
}

int pod_status_node_label(const char *node, char **ret, struct error *err)
{
    return shorten(node, NODE_LABEL_MAX, ret, err);
}

static void add_text(struct strbuf *out, const char *before, const char *text)
{
    strbuf_add_text(out, before);
    json_add_text(out, text, strlen(text));
}

static void add_owner(struct strbuf *out, const struct pod_status_facts *facts)
{
    add_text(out, "[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":", facts->pod_name);
    add_text(out, ",\"uid\":", facts->pod_uid);
    strbuf_add_text(out, "}]");
}

static void add_status(struct strbuf *out, const struct pod_status_facts *facts)
{
    add_text(out, "{\"podName\":", facts->pod_name);
    add_text(out, ",\"secretProviderClassName\":", facts->class_name);
    add_text(out, ",\"mounted\":true,\"targetPath\":", facts->target);
    strbuf_add_text(out, ",\"objects\":[");
    for (size_t i = 0; i < facts->object_count; i++) {
        add_text(out, i ? ",{\"id\":" : "{\"id\":", facts->objects[i].id);
        add_text(out, ",\"version\":", facts->objects[i].version);
        strbuf_add_char(out, '}');
    }
    strbuf_add_char(out, ']');
    for (size_t i = 0; i < facts->other_target_count; i++)
        add_text(out, i ? "," : ",\"otherTargetPaths\":[", facts->other_targets[i]);
    strbuf_add_text(out, facts->other_target_count ? "]}" : "}");
}

void pod_status_write(const struct pod_status_facts *facts, struct strbuf *out)
{
    strbuf_printf(out, "{\"apiVersion\":\"" CLASS_GROUP "/%s\",", facts->version);
    strbuf_add_text(out, "\"kind\":\"SecretProviderClassPodStatus\",\"metadata\":{");
    add_text(out, "\"name\":", facts->name);
    add_text(out, ",\"namespace\":", facts->ns);
    add_text(out, ",\"labels\":{\"" POD_STATUS_NODE_LABEL "\":", facts->node_label);
    strbuf_add_text(out, "},\"ownerReferences\":");
    add_owner(out, facts);
    strbuf_add_text(out, "},\"status\":");
    add_status(out, facts);
    strbuf_add_char(out, '}');
}

void pod_status_own(const struct pod_status_facts *facts, const char *resource_version,
                    struct strbuf *out)
{
    add_text(out, "[{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\",\"value\":",
             resource_version);
    strbuf_add_text(out, "},{\"op\":\"replace\",\"path\":\"/metadata/ownerReferences\",\"value\":");
    add_owner(out, facts);
    strbuf_add_text(out, "},{\"op\":\"add\",\"path\":\"/metadata/labels\",\"value\":{");
    add_text(out, "\"" POD_STATUS_NODE_LABEL "\":", facts->node_label);
    strbuf_add_text(out, "}}]");
}

void object_versions_free(struct object_version *objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(objects[i].id);
        free(objects[i].version);
    }
    free(objects);
}

struct object_version *object_versions_copy(const struct object_version *objects, size_t count)
{
    struct object_version *copy = xcalloc(count + 1, sizeof(*copy));

    for (size_t i = 0; i < count; i++)
        copy[i] = (struct object_version){ xstrdup(objects[i].id), xstrdup(objects[i].version) };
    return copy;
}
