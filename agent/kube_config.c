/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kube_config.h"

#include <fcntl.h>

#include "lib/base/encode.h"
#include "lib/base/fs.h"
#include "lib/base/yaml.h"

void kube_config_done(struct kube_config *config)
{
    free(config->server);
    free(config->server_name);
    free(config->ca_file);
    secret_done(&config->ca);
    free(config->token_file);
    secret_done(&config->token);
    free(config->cert_file);
    free(config->key_file);
    secret_done(&config->cert);
    secret_done(&config->key);
    *config = (struct kube_config){ 0 };
}

int kube_config_in_cluster(const char *host, const char *port, const char *folder,
                           struct kube_config *ret, struct error *err)
{
    bool six = host && strchr(host, ':');

    if (!host || !*host || !port || !*port)
        return error_set(err, CODE_FAILED_PRECONDITION,
                         "KUBERNETES_SERVICE_HOST and _PORT are not set: outside of a cluster use "
                         "--kubeconfig");
    *ret = (struct kube_config){
        .server = str_printf("https://%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port),
        .ca_file = str_printf("%s/ca.crt", folder),
        .token_file = str_printf("%s/token", folder),
    };
    return 0;
}

/* --- kubeconfig --------------------------------------------------------------------------------
 */

/* The entry of a list of { name, <member> } with this name; its member. */
static const struct tree *named(const struct tree *top, const char *list, const char *name,
                                const char *member)
{
    const struct tree *rows = tree_get(top, list);

    for (const struct tree *t = rows && rows->kind == TREE_LIST ? rows->child : NULL; t;
         t = t->next) {
        const char *its = tree_get_text(t, "name");

        if (its && strcmp(its, name) == 0)
            return tree_get(t, member);
    }
    return NULL;
}

static char *beside(const char *config_path, const char *path)
{
    const char *slash = strrchr(config_path, '/');

    if (!path || !*path)
        return NULL;
    if (*path == '/' || !slash)
        return xstrdup(path);
    return str_printf("%.*s/%s", (int)(slash - config_path), config_path, path);
}

static int read_data(const struct tree *map, const char *field, struct secret *ret,
                     struct error *err)
{
    const char *text = tree_get_text(map, field);

    if (!text || !*text)
        return 0;
    if (base64_decode(BASE64_STD, text, strlen(text), ret, err) < 0)
        return error_within(err, "%s", field);
    return 0;
}

static int read_cluster(const char *path, const struct tree *cluster, struct kube_config *c,
                        struct error *err)
{
    const char *server = tree_get_text(cluster, "server");
    const char *name = tree_get_text(cluster, "tls-server-name");
    const struct tree *skip = tree_get(cluster, "insecure-skip-tls-verify");
    size_t len = server ? strlen(server) : 0;

    if (!len)
        return error_set(err, CODE_INVALID_ARGUMENT, "clusters: server is not set");
    while (len && server[len - 1] == '/')
        len--;
    c->server = xstrndup(server, len);
    c->server_name = name && *name ? xstrdup(name) : NULL;
    c->skip_verify = skip && skip->kind == TREE_BOOL && skip->truth;
    c->ca_file = beside(path, tree_get_text(cluster, "certificate-authority"));
    return read_data(cluster, "certificate-authority-data", &c->ca, err);
}

static int read_user(const char *path, const struct tree *user, struct kube_config *c,
                     struct error *err)
{
    const char *token = tree_get_text(user, "token");

    if (tree_get(user, "exec") || tree_get(user, "auth-provider"))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "users: exec and auth-provider run commands, which this program does not: "
                         "use tokenFile or a client certificate");
    c->token_file = beside(path, tree_get_text(user, "tokenFile"));
    if (token && *token)
        c->token = secret_copy(token, strlen(token));
    c->cert_file = beside(path, tree_get_text(user, "client-certificate"));
    c->key_file = beside(path, tree_get_text(user, "client-key"));
    if (read_data(user, "client-certificate-data", &c->cert, err) < 0 ||
        read_data(user, "client-key-data", &c->key, err) < 0)
        return -1;
    return 0;
}

static int read_context(const char *path, const struct tree *top, struct kube_config *c,
                        struct error *err)
{
    const char *current = tree_get_text(top, "current-context");
    const struct tree *context = named(top, "contexts", current ? current : "", "context");
    const char *cluster_name = tree_get_text(context, "cluster");
    const char *user_name = tree_get_text(context, "user");
    const struct tree *cluster =
        named(top, "clusters", cluster_name ? cluster_name : "", "cluster");
    const struct tree *user = named(top, "users", user_name ? user_name : "", "user");

    if (!context)
        return error_set(err, CODE_INVALID_ARGUMENT, "current-context names no context");
    if (!cluster)
        return error_set(err, CODE_INVALID_ARGUMENT, "the current context names no cluster");
    if (read_cluster(path, cluster, c, err) < 0)
        return -1;
    return user ? read_user(path, user, c, err) : 0;
}

int kube_config_parse(const char *path, const char *text, size_t len, struct kube_config *ret,
                      struct error *err)
{
    struct kube_config config autokubeconfig = { 0 };
    struct tree *top autotree = NULL;

    if (yaml_parse(text, len, &top, err) < 0 || read_context(path, top, &config, err) < 0)
        return error_within(err, "kubeconfig %s", path);
    *ret = config;
    config = (struct kube_config){ 0 };
    return 0;
}

int kube_config_read(const char *path, struct kube_config *ret, struct error *err)
{
    struct secret text CLEANUP(secret_done) = { 0 };

    if (fs_read(AT_FDCWD, path, KUBE_CONFIG_BYTES_MAX, true, &text, err) < 0)
        return error_within(err, "kubeconfig");
    return kube_config_parse(path, (const char *)text.bytes, text.len, ret, err);
}
