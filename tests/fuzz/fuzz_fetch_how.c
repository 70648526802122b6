/* SPDX-License-Identifier: Apache-2.0
 *
 * Any words beside a provider's answer: what is taken of them is told and taken again as the same.
 */
/* COVERS: lib/model/fetch_how.c */
#include <assert.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/model/fetch_how.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void hand_over(void *arg, const char *key, const char *value)
{
    fetch_how_take(arg, key, value);
}

/* Lines of KEY VALUE. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    autofree char *text = xstrndup((const char *)bytes, len);
    struct fetch_how how = { 0 };
    struct fetch_how again = { 0 };
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *blank = strchr(line, ' ');

        if (blank)
            *blank = '\0';
        fetch_how_take(&how, line, blank ? blank + 1 : "");
        fetch_how_add(how.request, blank ? blank + 1 : line);
        fetch_how_text(how.role, line);
    }
    fetch_how_each(&how, hand_over, &again);
    assert(!*how.store || strcmp(how.request, again.request) == 0);
    assert(!*how.store || (strcmp(how.role, again.role) == 0 && how.calls == again.calls));
    return 0;
}
