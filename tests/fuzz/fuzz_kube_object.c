/* SPDX-License-Identifier: Apache-2.0
 *
 * Any JSON as the objects that a list or watch of classes gives, seen twice and swept; and as the
 * Status of an answer.
 */
/* COVERS: agent/class_store.c */
#include <assert.h>
#include <string.h>

#include "agent/class_store.h"
#include "agent/kube_api.h"
#include "lib/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void gone(void *arg, const char *ns, const char *name, enum class_change change)
{
    assert(strcmp(ns, "shop") == 0 && *name && change == CLASS_EDITED); /* nobody waits */
    (*(size_t *)arg)++;
}

/* Whether the store holds it afterwards. */
static bool see(struct class_store *store, const struct tree *object, uint64_t round)
{
    struct class *class autoclass = NULL;
    struct error err = { 0 };
    bool known = false;
    const char *name = kube_meta(object, "name");

    if (!name || !class_ns_of(object) || !class_name_of(object))
        return false;
    (void)class_store_see(store, object, round);
    assert(class_store_see(store, object, round) == CLASS_AS_BEFORE);
    if (class_store_get(store, class_ns_of(object), name, &known, &class, &err) < 0)
        assert(known && *err.msg);
    assert(!class || strcmp(class->name, name) == 0);
    return known;
}

static void status(const struct tree *t)
{
    struct error err = { 0 };

    assert(kube_status_error(t, 500, &err) < 0);
    assert(err.code != CODE_OK && !strpbrk(err.msg, "\n\r\033"));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct tree *top autotree = NULL;
    struct class_store store;
    const struct tree *items;
    uint64_t round;
    size_t held = 0;
    size_t dropped = 0;

    if (json_parse((const char *)bytes, len, &top, NULL) < 0)
        return 0;
    status(top);
    class_store_init(&store);
    class_store_want(&store, "shop", true);
    round = class_store_begin(&store);
    items = tree_get(top, "items");
    if (see(&store, top, round))
        held++;
    for (const struct tree *t = items ? items->child : NULL; t; t = t->next)
        held += see(&store, t, round);
    class_store_sweep(&store, "shop", class_store_begin(&store), gone, &dropped);
    assert(dropped <= held && (!held || dropped)); /* one may have come twice */
    class_store_done(&store);
    return 0;
}
