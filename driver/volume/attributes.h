/* SPDX-License-Identifier: Apache-2.0
 *
 * attributes.h - what a provider is told: the class's parameters overlaid by the pod's volume
 * attributes, under the admin's policy for a pod that contradicts its class.
 * Does not know tokens (credentials.h).
 */
#ifndef LOCKET_VOLUME_ATTRIBUTES_H
#define LOCKET_VOLUME_ATTRIBUTES_H

#include "lib/model/class.h"

/* --attribute-override: what happens when a pod's attribute differs from a class parameter of that
 * name. Parameters that say whom secrets come from, or with what identity, are refused under deny
 * and warn (params_is_trusted). */
enum attribute_override { OVERRIDE_DENY, OVERRIDE_WARN, OVERRIDE_ALLOW };

/* "deny", "warn" or "allow". */
must_check int attribute_override_parse(const char *text, enum attribute_override *ret,
                                        struct error *err);

/* parameters overlaid by attributes. warned (may be NULL) is called for each difference let through
 * under warn.
 * Ownership: the caller, by pairs_done. Errors: INVALID_ARGUMENT naming key, class and flag. */
struct attribute_rules {
    enum attribute_override override;
    void (*warned)(void *arg, const struct class *class, const char *key);
    void *arg;
};
must_check int attributes_merge(const struct class *class, const struct pairs *attributes,
                                const struct attribute_rules *rules, struct pairs *ret,
                                struct error *err);

#endif
