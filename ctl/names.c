/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/names.h"

#include "ctl/ctl.h"

void names_done(struct names *n)
{
    free(n->ns);
    free(n->name);
    *n = (struct names){ 0 };
}

int names_split(const char *text, const char *flag, struct names *ret, struct error *err)
{
    const char *slash = strchr(text, '/');
    const char *name = slash ? slash + 1 : text;

    if (!*name || slash == text || strchr(name, '/'))
        return ctl_usage(err, "%s takes NS/NAME", flag);
    ret->ns = slash ? xstrndup(text, (size_t)(slash - text)) : xstrdup("default");
    ret->name = xstrdup(name);
    return 0;
}
