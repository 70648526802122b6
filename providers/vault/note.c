/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>

#include "lib/base/clock.h"
#include "providers/vault/vault.h"

const char *vault_auth_mount(const struct vault_session *s)
{
    return s->id->role_id && !pairs_get(&s->req->params, "vaultAuthMountPath") ? "approle"
                                                                               : s->id->mount;
}

/* A role_id is of a Secret, and not told. */
void vault_note_session(const struct vault_session *s)
{
    const struct vault_identity *id = s->id;
    struct fetch_how *how = s->req->how;
    bool is_socket = id->unix_socket != NULL;
    const char *address = is_socket ? id->unix_socket : id->base;
    autofree char *store =
        str_printf("%s%.*s%s%s%s", is_socket ? "unix://" : "", (int)strcspn(address, "?#"), address,
                   *id->ns ? " (namespace " : "", id->ns, *id->ns ? ")" : "");
    autofree char *method = str_printf("auth/%s", vault_auth_mount(s));

    fetch_how_text(how->store, store);
    fetch_how_text(how->auth_method, id->static_token ? "token" : method);
    fetch_how_text(how->role, id->static_token || id->role_id ? "" : id->role);
    how->own_versions = !s->vault->config->hmac_key_file || !*s->vault->config->hmac_key_file;
}

/* The form of the ids of Vault and OpenBao. What has another may be anything that the other side
 * knows: the token of the call, or a field of a document that has no envelope. */
static bool is_uuid(const char *id)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    if (strlen(id) != sizeof(form) - 1)
        return false;
    for (size_t i = 0; form[i]; i++)
        if (form[i] == '-' ? id[i] != '-' : !isxdigit((unsigned char)id[i]))
            return false;
    return true;
}

void vault_note_request(const struct vault_session *s, const struct tree *reply)
{
    const char *id = tree_get_text(reply, "request_id");

    if (id && is_uuid(id))
        fetch_how_add(s->req->how->request, id);
}

void vault_note_lease(const struct vault_session *s, const struct lease_got *got)
{
    struct fetch_how *how = s->req->how;
    int64_t now = clock_mono_ms();

    if (got->expires_at_ms == INT64_MAX)
        return;
    how->leases += !got->cached;
    how->leases_kept += got->cached;
    how->leases_failed += got->cached && got->renew_at_ms <= now;
    fetch_how_expires(how, clock_unix_ms() + got->expires_at_ms - now);
}
