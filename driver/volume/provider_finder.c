/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/provider_finder.h"

#include <ctype.h>
#include <errno.h>
#include <sys/stat.h>

#include "lib/model/class.h"

int provider_name_check(const char *name, struct error *err)
{
    size_t len = strlen(name);
    bool fine = len > 0 && len <= PROVIDER_NAME_MAX;

    for (size_t i = 0; fine && i < len; i++)
        fine = isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '-';
    if (fine)
        return 0;
    error_set(err, CODE_INVALID_ARGUMENT,
              "invalid provider: \"%.64s\": spec.provider must be 1 to %d letters, digits, _ or -",
              name, PROVIDER_NAME_MAX);
    return error_reason(err, "InvalidProvider");
}

/* The pinned folder of a name; NULL when it is not pinned. */
static const char *pinned(const struct provider_finder *finder, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < finder->pin_count; i++)
        if (str_starts(finder->pins[i], name) && finder->pins[i][len] == '=')
            return finder->pins[i] + len + 1;
    return NULL;
}

static char *socket_in(const char *folder, const char *name)
{
    char *path = str_printf("%s/%s.sock", folder, name);
    struct stat st;

    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        return path;
    free(path);
    return NULL;
}

int provider_find(const struct provider_finder *finder, const char *name, char **ret,
                  struct error *err)
{
    const char *pin;
    char *path = NULL;

    if (provider_name_check(name, err) < 0)
        return -1;
    pin = pinned(finder, name);
    if (pin)
        path = socket_in(pin, name);
    for (size_t i = 0; !pin && !path && i < finder->count; i++)
        path = socket_in(finder->folders[i].path, name);
    if (path) {
        *ret = path;
        return 0;
    }
    error_set(
        err, CODE_UNAVAILABLE,
        "error connecting to provider \"%s\": provider not found: provider \"%s\": no %s.sock "
        "in %s%s; is its DaemonSet running on this node?",
        name, name, name,
        pin             ? pin
        : finder->count ? finder->folders[0].path
                        : "no folder",
        !pin && finder->count > 1 ? " or the other provider folders" : "");
    return error_reason(err, "ProviderNotFound");
}

static bool is_lenient(const struct provider_finder *finder, const char *socket)
{
    for (size_t i = 0; i < finder->count; i++) {
        const char *folder = finder->folders[i].path;

        if (str_starts(socket, folder) && socket[strlen(folder)] == '/')
            return finder->folders[i].lenient;
    }
    return false;
}

/* May anybody but root and the peer change what is at this path? */
static bool is_open_to_others(const struct stat *st, const struct rpc_peer *peer)
{
    bool foreign = st->st_uid != 0 && st->st_uid != peer->uid;
    bool by_group = (st->st_mode & S_IWGRP) && st->st_gid != 0 && st->st_gid != peer->gid;

    return foreign || by_group || (st->st_mode & S_IWOTH);
}

int provider_peer_check(const struct provider_finder *finder, const char *socket,
                        const struct rpc_peer *peer, bool *warned, struct error *err)
{
    autofree char *folder = xstrdup(socket);
    const char *places[] = { socket, folder };

    *strrchr(folder, '/') = '\0';
    *warned = false;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        const char *path = *places[i] ? places[i] : "/";
        struct stat st;

        if (stat(path, &st) < 0)
            return error_sys(err, errno, "provider socket %s", path);
        if (!is_open_to_others(&st, peer))
            continue;
        *warned = true;
        if (is_lenient(finder, socket))
            continue;
        error_set(err, CODE_PERMISSION_DENIED,
                  "provider socket %s: %s (uid %u, mode %04o) may be changed by others than root "
                  "and the provider (uid %u): chown it and chmod go-w",
                  socket, path, st.st_uid, st.st_mode & 07777, peer->uid);
        return error_reason(err, "ProviderPeer");
    }
    return 0;
}
