/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/send_files.h"

#include "driver/volume/read_back.h"
#include "lib/base/log.h"

struct wish {
    struct lifecycle *app;
    char *volume_id;
    char **paths;
    size_t count;
};

static void wish_free(struct wish *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->paths[i]);
    free(w->paths);
    free(w->volume_id);
    free(w);
}

static void send(struct lifecycle *app, const char *volume_id, const struct read_back *got,
                 const struct error *failure)
{
    struct volume_files files = {
        .volume_id = volume_id,
        .list = got->list,
        .count = got->count,
        .changed_at_unix_ms = got->changed_at_unix_ms,
        .fetched_at_unix_ms = got->fetched_at_unix_ms,
        .err = failure->code ? failure : NULL,
    };
    struct error err = { 0 };

    if (app->cluster->ops->send_files(app->cluster, &files, &err) < 0)
        log_failure(LOG_DEBUG, "files for Secrets were not taken: they are asked for again",
                    KEY_VOLUME, volume_id, &err);
}

static void run(void *arg)
{
    struct wish *w = arg;
    struct volume *v autovolume = volume_table_get(w->app->volumes, w->volume_id);
    autoreadback struct read_back got = { 0 };
    struct error err = { 0 };

    if (v) {
        (void)!read_back(w->app, v, (const char *const *)w->paths, w->count, &got, &err);
        if (err.code != CODE_NOT_FOUND) /* it left: nobody asks again */
            send(w->app, w->volume_id, &got, &err);
    }
    wish_free(w);
}

void send_files(struct lifecycle *app, const char *volume_id, const char *const *paths,
                size_t count)
{
    struct wish *w;

    if (!app->config.sync_secrets) {
        if (!__atomic_exchange_n(&app->told_unsent, true, __ATOMIC_RELAXED))
            log_event(LOG_WARN, "the agent syncs Secrets, but gets no files: this driver runs "
                                "without --sync-secrets");
        return;
    }
    w = xcalloc(1, sizeof(*w));
    w->app = app;
    w->volume_id = xstrdup(volume_id);
    w->paths = xcalloc(count + 1, sizeof(*w->paths));
    for (; w->count < count; w->count++)
        w->paths[w->count] = xstrdup(paths[w->count]);
    if (work_submit(app->senders, run, w, NULL) < 0)
        wish_free(w);
}
