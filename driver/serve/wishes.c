/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/wishes.h"

#include "driver/serve/scrape.h"
#include "driver/volume/note.h"
#include "driver/volume/report.h"
#include "driver/volume/rotation.h"
#include "driver/volume/send_files.h"

struct search {
    struct lifecycle *app;
    const struct cluster_wish *wish;
};

static bool matches(const char *want, const char *have)
{
    return !want || str_same(want, have);
}

/* Was it filled by another form of its class, or is it being filled by one? What has not asked for
 * the class yet will have it as it is. Caller holds the lock. */
static bool is_of_another_form(const struct volume *v, const struct cluster_wish *wish)
{
    bool is_idle = v->state == VOLUME_IDLE;
    const char *form = is_idle ? v->record.class_stamp : v->form;

    if (form)
        return !str_same(form, wish->class_stamp);
    return !wish->unless_known && (is_idle || !wish->class_stamp);
}

static void hasten_one(void *arg, struct volume *v)
{
    const struct search *s = arg;
    bool meant;

    pthread_mutex_lock(&v->lock);
    meant = matches(s->wish->ns, v->record.pod_ns) &&
            matches(s->wish->class_name, v->record.class_name) &&
            matches(s->wish->pod_name, v->record.pod_name) &&
            (s->wish->forced || is_of_another_form(v, s->wish));
    pthread_mutex_unlock(&v->lock);
    if (meant)
        rotation_hasten(s->app, v, s->wish->forced ? 0 : WISH_SPREAD_MS, s->wish->forced);
}

static void wish(void *arg, const struct cluster_wish *wish)
{
    struct wishes *wishes = arg;
    struct search search = { wishes->app, wish };

    volume_table_each(search.app->volumes, hasten_one, &search);
}

static void resend(void *arg)
{
    report_all(((struct wishes *)arg)->app);
}

static void csi_driver(void *arg, const struct csi_driver_facts *facts)
{
    struct lifecycle *app = ((struct wishes *)arg)->app;
    bool lacked = token_trust_lacks_republish(&app->trust);

    token_trust_set(&app->trust, facts);
    if (app->config.rotation && !lacked && token_trust_lacks_republish(&app->trust))
        note_republish_off_all(app);
}

static void files(void *arg, const char *volume_id, const char *const *paths, size_t count)
{
    send_files(((struct wishes *)arg)->app, volume_id, paths, count);
}

static char *metrics(void *arg)
{
    struct wishes *wishes = arg;
    struct strbuf text autostrbuf = { 0 };

    scrape_write(wishes->app, wishes->registration, &text);
    return strbuf_take(&text);
}

static bool registered(void *arg, char **ret_text)
{
    struct registration *r = ((struct wishes *)arg)->registration;
    char text[REGISTRATION_TEXT_MAX];
    bool done = registration_tell(r, text);

    *ret_text = r ? xstrdup(text) : NULL;
    return done;
}

void wishes_listen(struct wishes *wishes)
{
    const struct cluster_listener listener = {
        .arg = wishes,
        .wish = wish,
        .resend = resend,
        .csi_driver = csi_driver,
        .rotation = wishes->app->config.rotation,
        .files = files,
        .metrics = metrics,
        .registered = registered,
    };

    wishes->app->cluster->ops->listen(wishes->app->cluster, &listener);
}

void wishes_end(struct wishes *wishes)
{
    wishes->app->cluster->ops->listen(wishes->app->cluster, NULL);
}
