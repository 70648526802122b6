/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a folder's file of classes: read, checked for a publish, and validated.
 */
#include <assert.h>

#include "lib/base/yaml.h"
#include "lib/model/class.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void count(void *arg, unsigned line, unsigned column, const char *text)
{
    size_t *told = arg;

    (void)line;
    (void)column;
    assert(*text);
    (*told)++;
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
