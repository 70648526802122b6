/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver of this node sees: providers' sockets, and live volumes of the driver before.
 */
#include <inttypes.h>

#include "ctl/migrate.h"

enum { KIB = 1024 };

static bool is_here(const Locket__Admin__V1__SurveyResponse *s, const char *provider)
{
    for (size_t i = 0; i < s->n_providers; i++)
        if (strcmp(s->providers[i]->name, provider) == 0)
            return true;
    return false;
}

/* Tells of providers that classes name and that no socket is there for, each once. */
static void say_missing(struct migrate *m)
{
    struct pairs told CLEANUP(pairs_done) = { 0 };

    for (size_t i = 0; i < m->objects.class_count; i++) {
        const char *provider = m->objects.classes[i]->provider;

        if (!*provider || is_here(m->survey, provider) || pairs_get(&told, provider))
            continue;
        pairs_set(&told, provider, "");
        migrate_say(m, VERDICT_DUE, xstrdup(provider),
                    xstrdup("classes name it, and it has no socket on this node"),
                    str_printf("is its DaemonSet running here? Or is it one of --stores? (%s.sock)",
                               provider));
    }
}

static void say_sighting(struct migrate *m, const Locket__Admin__V1__Sighting *s)
{
    bool hidden = str_starts(s->problem, "hidden by ");

    if (*s->problem)
        migrate_say(m, hidden ? VERDICT_NOTE : VERDICT_DUE, xstrdup(s->socket), xstrdup(s->problem),
                    xstrdup(hidden ? "remove one of the two" : "start it, or remove its socket"));
    else
        migrate_say(m, VERDICT_OK, xstrdup(s->socket),
                    str_printf("%.60s %.60s%s%.20s, uid %" PRId64,
                               *s->runtime_name ? s->runtime_name : "says no name",
                               s->runtime_version, *s->api ? ", API " : "", s->api, s->peer_uid),
                    xstrdup(""));
}

void migrate_check_providers(struct migrate *m)
{
    for (size_t i = 0; i < m->survey->n_providers; i++)
        say_sighting(m, m->survey->providers[i]);
    say_missing(m);
    for (size_t i = 0; m->status && i < m->status->n_warnings; i++)
        migrate_say(m, VERDICT_NOTE, xstrdup("driver"), xstrdup(m->status->warnings[i]),
                    xstrdup(""));
}

void migrate_check_volumes(struct migrate *m)
{
    for (size_t i = 0; i < m->survey->n_volumes; i++) {
        const Locket__Admin__V1__ForeignVolume *v = m->survey->volumes[i];

        if (*v->problem)
            migrate_say(m, VERDICT_DUE, xstrdup(v->target),
                        str_printf("cannot be adopted: %.300s", v->problem),
                        xstrdup("start its pod anew"));
        else
            migrate_say(m, VERDICT_OK, xstrdup(v->target),
                        str_printf("%s, %" PRId64 " KiB: adopted at kubelet's next republish",
                                   v->has_files ? "live" : "empty", v->used_bytes / KIB),
                        xstrdup(""));
    }
}
