/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a folder's file of classes: read, checked for a publish, and validated.
 */
/* COVERS: lib/model/class.c lib/model/class_shape.c lib/model/class_validate.c */
/* COVERS: lib/model/objects_validate.c lib/model/params_validate.c lib/model/secret_objects.c */
#include <assert.h>

#include "lib/base/yaml.h"
#include "lib/model/class.h"
#include "lib/model/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void count(void *arg, unsigned line, unsigned column, const char *text)
{
    size_t *told = arg;

    (void)line;
    (void)column;
    assert(*text);
    (*told)++;
}

/* A copy is the same, sorted, and says of each parameter whether a pod may override it. */
static void copy(const struct class *c)
{
    struct class *same autoclass = class_dup(c);
    struct strbuf one CLEANUP(strbuf_done) = { 0 };
    struct strbuf two CLEANUP(strbuf_done) = { 0 };

    pairs_json(&c->parameters, &one);
    pairs_json(&same->parameters, &two);
    assert(strcmp(strbuf_text(&one), strbuf_text(&two)) == 0);
    assert(class_same(c, same));
    for (size_t i = 0; i < c->secret_objects.count; i++)
        (void)!secret_object_check(&c->secret_objects.list[i], i, NULL);
    for (size_t i = 0; i < same->parameters.count; i++) {
        const struct pair *p = &same->parameters.items[i];

        assert(pairs_get(&c->parameters, p->key));
        assert(!i || strcmp(p[-1].key, p->key) < 0);
        (void)params_is_trusted(same->provider, p->key);
    }
}

static void item(void *arg, const struct tree *t)
{
    const char *source = arg;
    struct class *c autoclass = NULL;
    struct error err = { 0 };
    size_t told = 0;
    size_t mistakes = class_validate(t, source, count, &told);

    assert(told == mistakes);
    (void)class_is_meant(t);
    if (class_read(t, &c, &err) < 0) {
        assert(mistakes > 0); /* what cannot be read is a mistake */
        return;
    }
    copy(c);
    if (class_check(c, &err) < 0)
        assert(mistakes > 0); /* what a publish refuses is one, too */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autofree char *text = xstrndup((const char *)bytes, len);
    struct tree *all autotree = NULL;

    if (yaml_parse_all(text, strlen(text), &all, NULL) < 0)
        return 0;
    for (const struct tree *t = all->child; t; t = t->next)
        class_each(t, item, text);
    return 0;
}
