/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a dump of a cluster's objects: read, sorted, and each check of a migration run over
 * it.
 */
/* COVERS: ctl/migrate_objects.c ctl/migrate_release.c ctl/migrate_classes.c */
#include <assert.h>

#include "ctl/migrate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autofree char *text = xstrndup((const char *)bytes, len);
    struct migrate m = { 0 };
    struct error err = { 0 };

    if (migrate_read(&m, text, strlen(text), &err) < 0) {
        assert(*err.msg && !m.has_objects);
    } else {
        migrate_run(&m);
        assert(m.count > 0); /* an empty answer says nothing of what was looked at */
    }
    for (size_t i = 0; i < m.count; i++)
        assert(*m.findings[i].about && *m.findings[i].detail && m.findings[i].check &&
               (*m.findings[i].remedy || m.findings[i].verdict != VERDICT_DUE));
    migrate_done(&m);
    return 0;
}
