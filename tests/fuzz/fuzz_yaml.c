/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as YAML: what is read can be written as JSON and is JSON.
 */
/* COVERS: lib/base/yaml.c */
#include <assert.h>

#include "lib/base/json.h"
#include "lib/base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_places(const struct tree *t)
{
    assert(t->line && t->column);
    for (const struct tree *c = t->child; c; c = c->next)
        check_places(c);
}

static void check(const struct tree *t)
{
    struct strbuf out CLEANUP(strbuf_done) = { 0 };
    struct tree *again autotree = NULL;
    struct error err = { 0 };

    check_places(t);
    json_write(&out, t);
    if (json_parse(strbuf_text(&out), out.len, &again, &err) < 0)
        assert(strstr(err.msg, "more than 63 characters")); /* YAML's numbers may have more */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct tree *all autotree = NULL;
    struct tree *one autotree = NULL;
    struct error err = { 0 };

    if (yaml_parse_all((const char *)bytes, len, &all, &err) < 0) {
        assert(!all && err.code && err.msg[0]);
        assert(yaml_parse((const char *)bytes, len, &one, NULL) < 0);
        return 0;
    }
    for (const struct tree *t = all->child; t; t = t->next)
        check(t);
    assert((yaml_parse((const char *)bytes, len, &one, NULL) == 0) == (tree_count(all) <= 1));
    return 0;
}
