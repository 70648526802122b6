/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kube_watch.h"

#include <pthread.h>

#include "agent/kube_retry.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

enum {
    BACKOFF_FIRST_MS = 500,
    BACKOFF_MAX_MS = 3000,  /* a server that is back is seen in four seconds: all is well in five */
    WATCH_S = 450,          /* plus or minus a third: not all nodes at once */
    WATCH_GRACE_MS = 30000, /* for a server that ends its watches late */
    STEADY_MS = 5000,       /* a stream that lived this long was no failure */
};

#define INITIAL_EVENTS_END "k8s.io/initial-events-end"

struct kube_watch {
    struct kube_watch_config config;
    char *path;
    char *query;
    pthread_t thread;
    struct cancel cancel;
    pthread_mutex_t lock;
    bool synced;        /* guarded by lock */
    struct error error; /* guarded by lock; code OK: it works */

    /* The thread's own. */
    char *version;      /* to go on from; NULL: from the start */
    bool pages;         /* the server does not stream lists */
    int page;           /* objects of a page */
    bool listing;       /* between BEGIN and END */
    struct strbuf line; /* a part of an event */
    int failures;       /* since it last worked for a while */
    bool mended;        /* since then */
};

/* --- state that others see ---------------------------------------------------------------------
 */

bool kube_watch_is_synced(struct kube_watch *watch)
{
    bool synced;

    (void)pthread_mutex_lock(&watch->lock);
    synced = watch->synced;
    (void)pthread_mutex_unlock(&watch->lock);
    return synced;
}

bool kube_watch_failure(struct kube_watch *watch, struct error *ret)
{
    bool failed;

    (void)pthread_mutex_lock(&watch->lock);
    failed = watch->error.code != CODE_OK;
    if (failed)
        *ret = watch->error;
    (void)pthread_mutex_unlock(&watch->lock);
    return failed;
}

/* Once per change of state: a server that is away is not a line at each try. */
static void set_state(struct kube_watch *w, const struct error *err)
{
    bool failed_before;

    (void)pthread_mutex_lock(&w->lock);
    failed_before = w->error.code != CODE_OK;
    w->error = *err;
    w->synced = w->synced || (!err->code && !w->listing && w->version);
    (void)pthread_mutex_unlock(&w->lock);
    if (err->code && !failed_before)
        log_failure(LOG_WARN, "watch failed: tried again until it works", KEY_PATH, w->path, err);
    if (err->code || !failed_before)
        return;
    log_event(LOG_INFO, "watch works again", WITH_TEXT(KEY_PATH, w->path));
    if (w->config.back)
        w->config.back(w->config.arg);
}

/* --- events ------------------------------------------------------------------------------------
 */

static void tell(struct kube_watch *w, enum kube_event event, const struct tree *object)
{
    w->config.event(w->config.arg, event, object);
}

/* Of an object: one without a name is none of a server's. */
static int tell_of(struct kube_watch *w, enum kube_event event, const struct tree *object,
                   struct error *err)
{
    if (!kube_meta(object, "name"))
        return error_set(err, CODE_INTERNAL, "an object without a name");
    tell(w, event, object);
    return 0;
}

static void begin(struct kube_watch *w)
{
    w->listing = true;
    tell(w, KUBE_BEGIN, NULL);
}

static void end(struct kube_watch *w)
{
    static const struct error fine = { 0 };

    w->listing = false;
    tell(w, KUBE_END, NULL);
    set_state(w, &fine);
}

static void start_anew(struct kube_watch *w)
{
    free(take(w->version));
}

static void set_version(struct kube_watch *w, const struct tree *object)
{
    const char *version = kube_meta(object, "resourceVersion");

    if (!version || !*version)
        return;
    free(w->version);
    w->version = xstrdup(version);
}

/* A bookmark carries a version; the one that ends the streamed list says so. Within the list only
 * that one is a place to go on from. */
static void bookmark(struct kube_watch *w, const struct tree *object)
{
    const struct tree *notes = tree_get(tree_get(object, "metadata"), "annotations");
    bool ends_list = w->listing && tree_get(notes, INITIAL_EVENTS_END);

    if (w->listing && !ends_list)
        return;
    set_version(w, object);
    if (ends_list)
        end(w);
}

/* The versions of objects inside a streamed list are no place to go on from: only its end is. */
static int changed(struct kube_watch *w, enum kube_event event, const struct tree *object,
                   struct error *err)
{
    if (tell_of(w, event, object, err) < 0)
        return -1;
    if (!w->listing)
        set_version(w, object);
    return 0;
}

static int take_event(struct kube_watch *w, const struct tree *event, struct error *err)
{
    const char *type = tree_get_text(event, "type");
    const struct tree *object = tree_get(event, "object");

    if (!type || !object || object->kind != TREE_MAP)
        return error_set(err, CODE_INTERNAL, "an event without type or object");
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
        return changed(w, KUBE_OBJECT, object, err);
    if (strcmp(type, "DELETED") == 0)
        return changed(w, KUBE_DELETED, object, err);
    if (strcmp(type, "ERROR") == 0)
        return kube_status_error(object, 500, err);
    if (strcmp(type, "BOOKMARK") == 0)
        bookmark(w, object);
    return 0;
}

static int take_line(struct kube_watch *w, struct error *err)
{
    struct tree *event autotree = NULL;

    if (w->line.overflow)
        return error_set(err, CODE_RESOURCE_EXHAUSTED, "an event of more than %d bytes",
                         KUBE_EVENT_MAX);
    if (!w->line.len)
        return 0;
    if (json_parse(w->line.text, w->line.len, &event, err) < 0) {
        err->code = CODE_INTERNAL; /* of the line, not of what was asked */
        return error_within(err, "an event");
    }
    return take_event(w, event, err);
}

/* Sink of the stream: a line is an event. */
static int take_bytes(void *arg, const void *bytes, size_t len, struct error *err)
{
    static const struct error fine = { 0 };
    struct kube_watch *w = arg;
    const char *at = bytes;

    if (!len && w->version)
        set_state(w, &fine); /* the server took the watch up, if it has nothing to tell yet */
    while (len) {
        const char *stop = memchr(at, '\n', len);
        size_t part = stop ? (size_t)(stop - at) : len;

        strbuf_add(&w->line, at, part);
        if (stop) {
            int result = take_line(w, err);

            strbuf_reset(&w->line);
            if (result < 0)
                return -1;
            part++;
        } else if (w->line.overflow)
            return take_line(w, err);
        at += part;
        len -= part;
    }
    return 0;
}

/* --- calls -------------------------------------------------------------------------------------
 */

static int ask(struct kube_watch *w, const char *path, int64_t timeout_ms, struct tree **ret,
               struct error *err)
{
    struct kube_request request = {
        .method = "GET",
        .path = path,
        .accept = w->config.metadata_only ? KUBE_ACCEPT_METADATA : NULL,
        .timeout_ms = timeout_ms,
        .cancel = &w->cancel,
        .sink = ret ? NULL : take_bytes,
        .sink_arg = w,
    };

    return kube_call(w->config.api, &request, ret, err);
}

/* Watches from the version, or (NULL) with all that is there as its first events. */
static int stream(struct kube_watch *w, struct error *err)
{
    int64_t for_s = WATCH_S + clock_jitter_ms(WATCH_S, 33);
    struct strbuf path autostrbuf = { 0 };

    strbuf_printf(&path, "%s?watch=true&allowWatchBookmarks=true&timeoutSeconds=%d", w->path,
                  (int)for_s);
    if (w->query)
        strbuf_printf(&path, "&%s", w->query);
    if (w->version)
        strbuf_printf(&path, "&resourceVersion=%s", w->version);
    else
        strbuf_add_text(&path, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    if (!w->version)
        begin(w);
    strbuf_reset(&w->line);
    return ask(w, strbuf_text(&path), for_s * MS_PER_S + WATCH_GRACE_MS, NULL, err);
}

/* A page has items and a version; what somebody answers in its place does not, and is not to be
 * taken for a list of nothing. *ret_next: borrowed of the page; NULL: it is the last. */
static int take_page(struct kube_watch *w, const struct tree *page, const char **ret_next,
                     struct error *err)
{
    const struct tree *items = tree_get(page, "items");
    const char *version = kube_meta(page, "resourceVersion");
    const char *next = kube_meta(page, "continue");

    if (!items || !version || !*version)
        return error_set(err, CODE_INTERNAL, "a list without items or version");
    for (const struct tree *t = items->child; t; t = t->next)
        if (tell_of(w, KUBE_OBJECT, t, err) < 0)
            return -1;
    *ret_next = next && *next ? next : NULL;
    if (!*ret_next)
        set_version(w, page);
    return 0;
}

/* One page, from what the last one said on ("": the first). */
static int ask_page(struct kube_watch *w, const char *at, struct tree **ret, struct error *err)
{
    struct strbuf path autostrbuf = { 0 };

    strbuf_printf(&path, "%s?limit=%d%s%s", w->path, w->page, w->query ? "&" : "",
                  w->query ? w->query : "");
    if (*at)
        strbuf_add_text(&path, "&continue=");
    url_encode(&path, at, false);
    return ask(w, strbuf_text(&path), 0, ret, err);
}

/* The same, of fewer objects when they are too large. */
static int ask_page_that_fits(struct kube_watch *w, const char *at, struct tree **ret,
                              struct error *err)
{
    struct error mine = { 0 };

    while (ask_page(w, at, ret, &mine) < 0) {
        if (mine.code != CODE_RESOURCE_EXHAUSTED || w->page == 1)
            return error_copy(err, &mine);
        w->page /= 2;
    }
    return 0;
}

/* The list in pages, whose versions are one and the same. */
static int list(struct kube_watch *w, struct error *err)
{
    autofree char *at = xstrdup("");

    begin(w);
    while (at) {
        struct tree *page autotree = NULL;
        const char *next = NULL;

        if (ask_page_that_fits(w, at, &page, err) < 0)
            return -1;
        if (take_page(w, page, &next, err) < 0)
            return error_within(err, "GET %s", w->path);
        free(at);
        at = next ? xstrdup(next) : NULL;
    }
    end(w);
    return 0;
}

/* One round: list or stream until it ends. */
static int round_once(struct kube_watch *w, struct error *err)
{
    if (!w->version && w->pages && list(w, err) < 0)
        return -1;
    return stream(w, err);
}

/* How long to wait after a round that failed. */
static int64_t pause_ms(int failures, const struct error *err)
{
    return kube_retry_ms(kube_backoff_ms(BACKOFF_FIRST_MS, BACKOFF_MAX_MS, failures), err);
}

/* Does the failure say that the way to ask must change, and not the time? Changes it. */
static bool mend(struct kube_watch *w, const struct error *err)
{
    if (err->code == CODE_OUT_OF_RANGE && w->version) {
        start_anew(w);
        return true;
    }
    if (err->code == CODE_INVALID_ARGUMENT && !w->version && !w->pages) {
        w->pages = true; /* before 1.34, or with the feature off */
        return true;
    }
    return false;
}

/* How long to wait after a round: as it ended, and whether it had worked for a while. */
static int64_t judge(struct kube_watch *w, bool ended_well, bool steady, struct error *err)
{
    if (ended_well || steady)
        w->failures = 0;
    if (steady)
        w->mended = false;
    if (ended_well && steady)
        return 0;
    if (mend(w, err) && !w->mended) { /* at once, but not again and again */
        w->mended = true;
        return 0;
    }
    if (!ended_well && !err->code)
        (void)error_set(err, CODE_UNAVAILABLE, "the list ended before its end");
    if (err->code)
        set_state(w, err);
    w->failures++;
    return pause_ms(w->failures, err);
}

static void *run(void *arg)
{
    struct kube_watch *w = arg;

    while (!cancel_is_raised(&w->cancel)) {
        int64_t began = clock_mono_ms();
        struct error err = { 0 };
        bool ended_well = round_once(w, &err) == 0 && !w->listing;
        bool steady = clock_mono_ms() - began >= STEADY_MS;

        if (!cancel_is_raised(&w->cancel))
            (void)cancel_sleep_ms(&w->cancel, judge(w, ended_well, steady, &err));
    }
    return NULL;
}

struct kube_watch *kube_watch_start(const struct kube_watch_config *config)
{
    struct kube_watch *w = xcalloc(1, sizeof(*w));

    w->config = *config;
    w->path = xstrdup(config->path);
    w->query = config->query ? xstrdup(config->query) : NULL;
    w->line.ceiling = KUBE_EVENT_MAX;
    w->page = KUBE_PAGE;
    cancel_init(&w->cancel);
    (void)pthread_mutex_init(&w->lock, NULL);
    if (pthread_create(&w->thread, NULL, run, w) != 0)
        abort();
    return w;
}

void kube_watch_end(struct kube_watch *watch)
{
    cancel_raise(&watch->cancel);
}

void kube_watch_stop(struct kube_watch *watch)
{
    if (!watch)
        return;
    kube_watch_end(watch);
    (void)pthread_join(watch->thread, NULL);
    cancel_done(&watch->cancel);
    (void)pthread_mutex_destroy(&watch->lock);
    strbuf_done(&watch->line);
    free(watch->version);
    free(watch->query);
    free(watch->path);
    free(watch);
}
