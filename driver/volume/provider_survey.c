/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/provider_survey.h"

#include <fcntl.h>

#include "lib/base/fs.h"
#include "lib/net/rpc_client.h"
#include "provider/provider.pb-c.h"

struct survey {
    const struct provider_finder *finder;
    char *sockets[SURVEY_PROVIDERS_MAX];
    size_t count;
    const char *folder; /* being read */
};

/* One provider being asked. */
struct question {
    const struct provider_finder *finder;
    const char *socket;
    int64_t peer_uid;
};

static int add_socket(void *arg, const char *name, struct error *err)
{
    struct survey *s = arg;

    (void)err;
    if (str_ends(name, ".sock") && s->count < SURVEY_PROVIDERS_MAX)
        s->sockets[s->count++] = str_printf("%s/%s", s->folder, name);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_folder(struct survey *s, const char *folder)
{
    size_t before = s->count;
    size_t len = strlen(folder);

    for (size_t i = 0; i < s->count; i++)
        if (str_starts(s->sockets[i], folder) && strrchr(s->sockets[i], '/') == s->sockets[i] + len)
            return; /* it was named twice */
    s->folder = folder;
    (void)!fs_each(AT_FDCWD, folder, add_socket, s, NULL);
    if (s->count > before)
        qsort(&s->sockets[before], s->count - before, sizeof(char *), by_text);
}

static int note_peer(void *arg, const struct rpc_peer *peer, struct error *err)
{
    struct question *q = arg;
    bool warned = false;

    q->peer_uid = peer->uid;
    return provider_peer_check(q->finder, q->socket, peer, &warned, err);
}

static int ask(struct question *q, ProtobufCMessage **ret, struct error *err)
{
    V1alpha1__VersionRequest in = V1ALPHA1__VERSION_REQUEST__INIT;
    struct rpc_client_config config = { .path = q->socket,
                                        .check_peer = note_peer,
                                        .check_arg = q };
    struct rpc_request request = { .service = &v1alpha1__csidriver_provider__descriptor,
                                   .method = "Version",
                                   .in = &in.base,
                                   .timeout_ms = SURVEY_TIMEOUT_MS };
    struct rpc_client *client = rpc_client_new(&config);
    int result;

    in.version = (char *)"v1alpha1";
    result = rpc_client_call(client, &request, ret, err);
    rpc_client_free(client);
    return result;
}

/* Would a class that names it get this socket? */
static int check_found(const struct question *q, const char *name, struct error *err)
{
    autofree char *first = NULL;

    if (provider_find(q->finder, name, &first, err) < 0)
        return -1;
    if (strcmp(first, q->socket) != 0)
        return error_set(err, CODE_UNAVAILABLE, "hidden by %.100s", first);
    return 0;
}

static void tell(const struct provider_finder *finder, const char *socket,
                 void (*say)(void *arg, const struct provider_sighting *seen), void *arg)
{
    const char *file = strrchr(socket, '/') + 1;
    autofree char *name = xstrndup(file, strlen(file) - strlen(".sock"));
    struct question q = { .finder = finder, .socket = socket, .peer_uid = -1 };
    struct provider_sighting seen = { name, socket, -1, "", "", "", "" };
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    if (check_found(&q, name, &err) < 0 ||
        (ask(&q, &reply, &err) < 0 && err.code != CODE_UNIMPLEMENTED)) /* a fetch asks no version */
        seen.problem = err.msg;
    if (reply) {
        const V1alpha1__VersionResponse *version = (const V1alpha1__VersionResponse *)reply;

        seen.api = version->version;
        seen.runtime = version->runtime_name;
        seen.runtime_version = version->runtime_version;
    }
    seen.peer_uid = q.peer_uid;
    say(arg, &seen);
    rpc_reply_free(reply);
}

void provider_survey(const struct provider_finder *finder,
                     void (*say)(void *arg, const struct provider_sighting *seen), void *arg)
{
    struct survey s = { .finder = finder };

    for (size_t i = 0; i < finder->count; i++)
        read_folder(&s, finder->folders[i].path);
    for (size_t i = 0; i < finder->pin_count; i++)
        read_folder(&s, strchr(finder->pins[i], '=') + 1);
    for (size_t i = 0; i < s.count; i++) {
        tell(finder, s.sockets[i], say, arg);
        free(s.sockets[i]);
    }
}
