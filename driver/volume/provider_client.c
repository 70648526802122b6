/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/provider_client.h"

#include <pthread.h>
#include <stdio.h>

#include "driver/volume/provider_mount.h"
#include "lib/base/log.h"
#include "lib/net/rpc_client.h"

enum { RELEASE_TIMEOUT_MS = 1000 };

/* One provider's connection; stays in the list for the life of the client, so that pointers to it
 * need no count: names are few (at most PROVIDERS_MAX). */
struct line {
    char *provider;
    char *socket;              /* where the connection goes; guarded by lock */
    struct rpc_client *client; /* guarded by lock; replaced only when inflight is 0 or it moved */
    struct rpc_peer peer;      /* of the last connection; guarded by lock */
    bool connected;
    size_t inflight; /* guarded by lock */
    struct provider_client *owner;
    struct line *next;
    struct retired *retired;
};

/* A connection to a socket that has moved: freed when its last call ends. */
struct retired {
    struct rpc_client *client;
    size_t users;
    struct retired *next;
};

enum { PROVIDERS_MAX = 256 };

struct provider_client {
    struct source base;
    struct provider_client_config config;
    pthread_mutex_t lock; /* after any volume's lock; never held during a call */
    struct line *lines;   /* guarded by lock */
    size_t line_count;
    size_t inflight; /* guarded by lock: of all lines */
};

static const struct {
    const char *name;
    enum send_versions value;
} choices[] = {
    { "none", SEND_VERSIONS_NONE },
    { "own", SEND_VERSIONS_OWN },
    { "all", SEND_VERSIONS_ALL },
};

int send_versions_parse(const char *text, enum send_versions *ret, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(choices); i++)
        if (strcmp(text, choices[i].name) == 0) {
            *ret = choices[i].value;
            return 0;
        }
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "--send-current-versions is \"%.32s\": it must be own, all or none", text);
}

static void tell_changed(const struct line *line, const char *socket, uid_t uid)
{
    const struct provider_client_config *config = &line->owner->config;

    log_event(LOG_WARN, "a provider's peer has changed", WITH_TEXT(KEY_PROVIDER, line->provider),
              WITH_TEXT(KEY_SOCKET, socket), WITH_NUMBER(KEY_PEER, uid));
    if (config->peer_changed)
        config->peer_changed(config->arg, line->provider, uid);
}

/* Called at each new connection: records who answers, and refuses whom others could replace. */
static int check_peer(void *arg, const struct rpc_peer *peer, struct error *err)
{
    struct line *line = arg;
    struct provider_client *pc = line->owner;
    autofree char *socket = NULL;
    bool warned = false;
    bool changed;

    pthread_mutex_lock(&pc->lock);
    socket = xstrdup(line->socket);
    changed = line->connected && line->peer.uid != peer->uid;
    pthread_mutex_unlock(&pc->lock);
    if (provider_peer_check(&pc->config.finder, socket, peer, &warned, err) < 0)
        return -1;
    if (changed)
        tell_changed(line, socket, peer->uid);
    if (warned)
        log_event(LOG_WARN, "a provider's socket may be changed by others",
                  WITH_TEXT(KEY_PROVIDER, line->provider), WITH_TEXT(KEY_SOCKET, socket),
                  WITH_NUMBER(KEY_PEER, peer->uid));
    pthread_mutex_lock(&pc->lock);
    line->peer = *peer;
    line->connected = true;
    pthread_mutex_unlock(&pc->lock);
    return 0;
}

static struct line *line_of(struct provider_client *pc, const char *provider)
{
    struct line *line;

    for (line = pc->lines; line; line = line->next)
        if (strcmp(line->provider, provider) == 0)
            return line;
    if (pc->line_count == PROVIDERS_MAX)
        return NULL;
    line = xcalloc(1, sizeof(*line));
    line->provider = xstrdup(provider);
    line->owner = pc;
    line->next = pc->lines;
    pc->lines = line;
    pc->line_count++;
    return line;
}

/* Puts the connection of a line to where the socket is now. Caller holds the lock. */
static void line_point(struct provider_client *pc, struct line *line, const char *socket)
{
    struct rpc_client_config config = {
        .path = socket,
        .reply_bytes_max = pc->config.reply_bytes_max,
        .check_peer = check_peer,
        .check_arg = line,
    };

    if (line->client && strcmp(line->socket, socket) == 0)
        return;
    if (line->client) {
        struct retired *old = xcalloc(1, sizeof(*old));

        *old = (struct retired){ line->client, line->inflight, line->retired };
        line->retired = old;
    }
    free(line->socket);
    line->socket = xstrdup(socket);
    line->client = rpc_client_new(&config);
}

/* Frees retired connections without users. Caller holds the lock. */
static struct retired *reap(struct line *line, const struct rpc_client *used)
{
    struct retired *dead = NULL;

    for (struct retired **slot = &line->retired; *slot;) {
        struct retired *r = *slot;

        if (r->client == used && r->users)
            r->users--;
        if (r->users) {
            slot = &r->next;
            continue;
        }
        *slot = r->next;
        r->next = dead;
        dead = r;
    }
    return dead;
}

/* A place in the line of a provider; given back by line_leave. */
struct place {
    struct line *line;
    struct rpc_client *client;
    bool own; /* is it locket-provider's socket? */
};

static int line_enter(struct provider_client *pc, const char *provider, struct place *ret,
                      struct error *err)
{
    autofree char *socket = NULL;
    size_t most = (pc->config.inflight_max + 1) / 2;
    struct line *line;
    size_t inflight;

    if (provider_find(&pc->config.finder, provider, &socket, err) < 0)
        return -1;
    pthread_mutex_lock(&pc->lock);
    line = line_of(pc, provider);
    inflight = line ? line->inflight : 0;
    if (line && inflight < most && pc->inflight < pc->config.inflight_max) {
        line_point(pc, line, socket);
        line->inflight++;
        pc->inflight++;
        *ret = (struct place){
            .line = line,
            .client = line->client,
            .own = pc->config.own_folder && str_starts(socket, pc->config.own_folder),
        };
        pthread_mutex_unlock(&pc->lock);
        return 0;
    }
    pthread_mutex_unlock(&pc->lock);
    error_set(err, CODE_UNAVAILABLE,
              "%zu fetches from provider %s are under way already: waiting behind it", inflight,
              provider);
    return error_reason(err, "ProviderBusy");
}

static void line_leave(struct provider_client *pc, const struct place *place)
{
    struct retired *dead;

    pthread_mutex_lock(&pc->lock);
    place->line->inflight--;
    pc->inflight--;
    dead = reap(place->line, place->client);
    pthread_mutex_unlock(&pc->lock);
    while (dead) {
        struct retired *next = dead->next;

        rpc_client_free(dead->client);
        free(dead);
        dead = next;
    }
}

/* The audiences a provider is listed for, split in place; NULL when it is not listed (it gets all).
 */
static char **audiences_of(const struct provider_client_config *config, const char *provider,
                           size_t *ret_count)
{
    size_t len = strlen(provider);

    *ret_count = 0;
    for (size_t i = 0; i < config->audience_count; i++) {
        const char *row = config->audiences[i];
        autofree char *list = NULL;
        char *rest = NULL;
        char **found;

        if (!str_starts(row, provider) || row[len] != '=')
            continue;
        list = xstrdup(row + len + 1);
        found = xcalloc(TOKENS_AUDIENCES_MAX, sizeof(*found));
        for (char *a = strtok_r(list, ",", &rest); a && *ret_count < TOKENS_AUDIENCES_MAX;
             a = strtok_r(NULL, ",", &rest))
            found[(*ret_count)++] = xstrdup(a);
        return found;
    }
    return NULL;
}

static void audiences_free(char **audiences, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(audiences[i]);
    free(audiences);
}

/* Who answered. A fetch that nobody answered tells nothing: the peer known is of one before. */
static void tell_peer(struct provider_client *pc, const struct line *line, struct source_told *told)
{
    int len;

    pthread_mutex_lock(&pc->lock);
    len = snprintf(told->peer, sizeof(told->peer), "socket=%.150s uid=%u gid=%u", line->socket,
                   line->peer.uid, line->peer.gid);
    if (line->peer.pid > 0) /* else it is of a namespace that we do not see */
        (void)snprintf(told->peer + len, sizeof(told->peer) - (size_t)len, " pid=%d",
                       (int)line->peer.pid);
    pthread_mutex_unlock(&pc->lock);
}

static int provider_fetch(struct source *self, const struct source_request *req,
                          struct fileset *ret, struct error *err)
{
    struct provider_client *pc = (struct provider_client *)self;
    struct provider_mount mount = { .request = req };
    struct error mine = { 0 };
    struct place place;
    int result;

    if (line_enter(pc, req->provider, &place, err) < 0)
        return -1;
    mount.own = place.own;
    mount.send_versions = pc->config.send_versions == SEND_VERSIONS_ALL ||
                          (pc->config.send_versions == SEND_VERSIONS_OWN && mount.own);
    mount.audiences = audiences_of(&pc->config, req->provider, &mount.audience_count);
    result = provider_mount_call(place.client, &mount, ret, &mine);
    if (req->told && mine.code != CODE_UNAVAILABLE)
        tell_peer(pc, place.line, req->told);
    audiences_free(mount.audiences, mount.audience_count);
    line_leave(pc, &place);
    return result < 0 ? error_copy(err, &mine) : 0;
}

static int provider_locate(struct source *self, const char *provider, struct error *err)
{
    struct provider_client *pc = (struct provider_client *)self;
    autofree char *socket = NULL;

    return provider_find(&pc->config.finder, provider, &socket, err);
}

static void provider_release(struct source *self, const char *provider, const char *volume_id)
{
    struct provider_client *pc = (struct provider_client *)self;
    struct place place;

    if (line_enter(pc, provider, &place, NULL) < 0)
        return;
    if (place.own)
        provider_mount_release(place.client, volume_id, RELEASE_TIMEOUT_MS);
    line_leave(pc, &place);
}

static void provider_each(struct source *self,
                          void (*say)(void *arg, const struct source_status *row), void *arg)
{
    struct provider_client *pc = (struct provider_client *)self;

    pthread_mutex_lock(&pc->lock);
    for (struct line *line = pc->lines; line; line = line->next) {
        struct source_status row = {
            .provider = line->provider,
            .socket = line->socket ? line->socket : "",
            .peer_uid = line->peer.uid,
            .inflight = line->inflight,
            .connected = line->connected,
        };

        say(arg, &row);
    }
    pthread_mutex_unlock(&pc->lock);
}

static void line_free(struct line *line)
{
    rpc_client_free(line->client);
    while (line->retired) {
        struct retired *next = line->retired->next;

        rpc_client_free(line->retired->client);
        free(line->retired);
        line->retired = next;
    }
    free(line->provider);
    free(line->socket);
    free(line);
}

static void provider_client_free(struct source *self)
{
    struct provider_client *pc = (struct provider_client *)self;

    while (pc->lines) {
        struct line *next = pc->lines->next;

        line_free(pc->lines);
        pc->lines = next;
    }
    pthread_mutex_destroy(&pc->lock);
    free(pc);
}

static const struct source_ops provider_client_ops = {
    .find = provider_locate,
    .fetch = provider_fetch,
    .release = provider_release,
    .each = provider_each,
    .free = provider_client_free,
};

struct source *provider_client_new(const struct provider_client_config *config)
{
    struct provider_client *pc = xcalloc(1, sizeof(*pc));

    pc->base.ops = &provider_client_ops;
    pc->config = *config;
    pthread_mutex_init(&pc->lock, NULL);
    return &pc->base;
}
