/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/json.h"
#include "lib/model/params.h"
#include "providers/vault/vault.h"

#define DEFAULT_ADDRESS "https://127.0.0.1:8200"
#define DEFAULT_AUDIENCE "vault"

enum { AUDIENCE_SHOWN_MAX = 160 };

static const char *param(const struct fetch_request *req, const char *name, const char *fallback)
{
    const char *value = pairs_get(&req->params, name);

    return value && *value ? value : fallback;
}

/* A flag or variable that is set to nothing, as charts render them, is not set. */
static const char *or_null(const char *flag)
{
    return flag && *flag ? flag : NULL;
}

static int read_address(const struct vault *vault, const struct fetch_request *req,
                        struct vault_identity *id, struct error *err)
{
    const char *flag = or_null(vault->config->vault_addr);
    const char *address = param(req, "vaultAddress", flag ? flag : DEFAULT_ADDRESS);

    if (str_starts(address, "unix://")) {
        id->unix_socket = address + strlen("unix://");
        id->base = xstrdup("http://localhost");
        return 0;
    }
    if (!str_starts(address, "http://") && !str_starts(address, "https://"))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "vaultAddress \"%.100s\" must begin with http://, https:// or unix://",
                         address);
    if (strpbrk(address, " @\r\n"))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "vaultAddress must not hold spaces or a user name");
    id->base = xstrdup(address);
    while (str_ends(id->base, "/"))
        id->base[strlen(id->base) - 1] = '\0';
    return 0;
}

static int read_tls(const struct vault *vault, const struct fetch_request *req,
                    struct http_tls *tls, struct error *err)
{
    const struct provider_config *c = vault->config;
    const char *skip = param(req, "vaultSkipTLSVerify", NULL);

    *tls = (struct http_tls){
        .ca_file = param(req, "vaultCACertPath", or_null(c->vault_ca_file)),
        .ca_folder = param(req, "vaultCADirectory", or_null(c->vault_ca_folder)),
        .server_name = param(req, "vaultTLSServerName", or_null(c->vault_server_name)),
        .cert_file = param(req, "vaultTLSClientCertPath", or_null(c->vault_client_cert)),
        .key_file = param(req, "vaultTLSClientKeyPath", or_null(c->vault_client_key)),
        .skip_verify = c->vault_skip_verify,
    };
    if (tls->ca_file)
        tls->ca_folder = NULL; /* the file takes precedence */
    if (!tls->cert_file != !tls->key_file)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "vaultTLSClientCertPath and vaultTLSClientKeyPath must be set together");
    return skip ? param_bool("vaultSkipTLSVerify", skip, &tls->skip_verify, err) : 0;
}

static int read_mount(const struct vault *vault, const struct fetch_request *req,
                      struct vault_identity *id, struct error *err)
{
    const char *old = pairs_get(&req->params, "vaultKubernetesMountPath");
    const char *now = pairs_get(&req->params, "vaultAuthMountPath");

    if (old && now)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "cannot set both vaultKubernetesMountPath and vaultAuthMountPath");
    id->mount = now && *now ? now : old && *old ? old : vault->config->vault_mount;
    if (strstr(id->mount, "..") || strpbrk(id->mount, "?#\r\n "))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "vaultAuthMountPath \"%.64s\" is not the path of an auth mount",
                         id->mount);
    return 0;
}

static const char *secret_of(const struct fetch_request *req, const char *a, const char *b)
{
    const char *value = pairs_get(&req->secrets, a);

    value = value ? value : pairs_get(&req->secrets, b);
    return value && *value ? value : NULL;
}

static int error_no_token(const struct fetch_request *req, const struct vault_identity *id,
                          struct error *err)
{
    struct strbuf audience autostrbuf = { .ceiling = AUDIENCE_SHOWN_MAX };

    json_add_text(&audience, id->audience, strlen(id->audience));
    return error_set(err, CODE_FAILED_PRECONDITION,
                     "class %.63s/%.100s: no service account token for audience %s was sent: add "
                     "`- audience: %s` below spec.tokenRequests of the CSIDriver object, or use "
                     "nodePublishSecretRef",
                     id->pod_ns, fetch_request_get(req, CLASS_NAME), strbuf_text(&audience),
                     strbuf_text(&audience));
}

/* As whom: a static token, an AppRole, or the pod's own service account. */
static int read_credentials(const struct vault *vault, const struct fetch_request *req,
                            struct vault_identity *id, struct error *err)
{
    id->role = param(req, "roleName", "");
    id->audience = param(req, "audience", DEFAULT_AUDIENCE);
    id->jwt = pairs_get(&req->tokens, id->audience);
    id->static_token = secret_of(req, "token", "vaultToken");
    id->role_id = secret_of(req, "role_id", "roleID");
    id->secret_id = secret_of(req, "secret_id", "secretID");
    if (id->static_token || id->role_id)
        return 0;
    if (!*id->role)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "missing 'roleName' in SecretProviderClass definition");
    return id->jwt || vault->minter ? 0 : error_no_token(req, id, err);
}

int vault_identity_read(const struct vault *vault, const struct fetch_request *req,
                        struct vault_identity *ret, struct error *err)
{
    struct vault_identity id CLEANUP(vault_identity_done) = {
        .ns = param(req, "vaultNamespace",
                    vault->config->vault_namespace ? vault->config->vault_namespace : ""),
        .pod_name = fetch_request_get(req, POD_NAME),
        .pod_uid = fetch_request_get(req, POD_UID),
        .pod_ns = fetch_request_get(req, POD_NAMESPACE),
        .service_account = fetch_request_get(req, SERVICE_ACCOUNT),
    };

    if (strpbrk(id.ns, "\r\n"))
        return error_set(err, CODE_INVALID_ARGUMENT, "vaultNamespace must be one line");
    if (read_address(vault, req, &id, err) < 0 || read_tls(vault, req, &id.tls, err) < 0 ||
        read_mount(vault, req, &id, err) < 0 || read_credentials(vault, req, &id, err) < 0)
        return -1;
    *ret = id;
    id.base = NULL;
    return 0;
}

void vault_identity_done(struct vault_identity *id)
{
    free(id->base);
    id->base = NULL;
}
