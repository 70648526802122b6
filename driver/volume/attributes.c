/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/attributes.h"

#include "lib/model/params.h"

static const struct {
    const char *name;
    enum attribute_override value;
} policies[] = {
    { "deny", OVERRIDE_DENY },
    { "warn", OVERRIDE_WARN },
    { "allow", OVERRIDE_ALLOW },
};

int attribute_override_parse(const char *text, enum attribute_override *ret, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(policies); i++)
        if (strcmp(text, policies[i].name) == 0) {
            *ret = policies[i].value;
            return 0;
        }
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "--attribute-override is \"%.32s\": it must be deny, warn or allow", text);
}

static int judge(const struct class *class, const char *key, const struct attribute_rules *rules,
                 struct error *err)
{
    bool trusted = params_is_trusted(class->provider, key);

    if (rules->override == OVERRIDE_ALLOW)
        return 0;
    if (trusted || rules->override == OVERRIDE_DENY) {
        error_set(err, CODE_INVALID_ARGUMENT,
                  "volumeAttributes.%.100s differs from the parameter of class %s/%s: remove it "
                  "from the pod, or start the driver with --attribute-override=%s",
                  key, class->ns, class->name, trusted ? "allow" : "warn");
        return error_reason(err, "AttributeOverride");
    }
    if (rules->warned)
        rules->warned(rules->arg, class, key);
    return 0;
}

int attributes_merge(const struct class *class, const struct pairs *attributes,
                     const struct attribute_rules *rules, struct pairs *ret, struct error *err)
{
    for (size_t i = 0; i < attributes->count; i++) {
        const struct pair *p = &attributes->items[i];
        const char *own = pairs_get(&class->parameters, p->key);

        if (own && strcmp(own, p->value) != 0 && judge(class, p->key, rules, err) < 0)
            return -1;
    }
    pairs_copy(ret, &class->parameters);
    for (size_t i = 0; i < attributes->count; i++)
        pairs_set(ret, attributes->items[i].key, attributes->items[i].value);
    return 0;
}
