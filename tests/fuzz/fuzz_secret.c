/* SPDX-License-Identifier: Apache-2.0
 *
 * Any JSON as the Secret (or the refusal) that an API server answers: judged, written over, and its
 * owners read; what would be applied is JSON, and never has an owner.
 */
/* COVERS: agent/secret_object.c agent/kube_owner.c */
#include <assert.h>

#include "agent/kube_owner.h"
#include "agent/secret_object.h"
#include "lib/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void write_over(const struct tree *live, const struct secret_wish *wish)
{
    struct strbuf out CLEANUP(strbuf_done) = { .sensitive = true };
    struct tree *applied autotree = NULL;

    assert(secret_object_write(live, wish, &out, NULL) == 0);
    assert(json_parse(strbuf_text(&out), out.len, &applied, NULL) == 0);
    assert(!tree_get(tree_get(applied, "metadata"), "ownerReferences"));
    assert(tree_count(tree_get(applied, "data")) == 1);
}

static void read_owners(const struct tree *live)
{
    struct kube_owners owners CLEANUP(kube_owners_done) = kube_owners_of(live);

    assert(owners.count <= KUBE_OWNERS_MAX);
    for (size_t i = 0; i < owners.count; i++) {
        struct strbuf out CLEANUP(strbuf_done) = { 0 };
        struct tree *patch autotree = NULL;

        assert(kube_owners_has(live, owners.list[i].uid));
        kube_owner_patch(&owners.list[i], i % 2 ? "7" : NULL, &out);
        assert(json_parse(strbuf_text(&out), out.len, &patch, NULL) == 0);
        assert(kube_owners_has(patch, owners.list[i].uid));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct secret_key key = { (char *)"k", (char *)"file" };
    struct secret_object object = {
        .name = (char *)"db", .type = (char *)"Opaque", .keys = &key, .key_count = 1
    };
    struct secret_datum datum = { .key = (char *)"k", .bytes = { (uint8_t *)"value", 5 } };
    const struct secret_data data = { .list = &datum, .count = 1 };
    const struct secret_wish wish = { .ns = "shop",
                                      .class_name = "app",
                                      .object = &object,
                                      .data = &data,
                                      .changed_at_unix_ms = 1769940000000,
                                      .fetched_at_unix_ms = 1769940000000 };
    struct tree *live autotree = NULL;
    enum secret_verdict verdict;
    bool fields = false;
    char *whose;

    if (json_parse((const char *)bytes, len, &live, NULL) < 0)
        return 0;
    assert(secret_judge(live, &wish, &verdict, NULL) == 0);
    assert(verdict <= SECRET_GOING);
    write_over(live, &wish);
    read_owners(live);
    whose = secret_conflict(live, &fields);
    assert(!whose || fields);
    free(whose);
    return 0;
}
