/* SPDX-License-Identifier: Apache-2.0
 *
 * kube_config.h - where the API server is, whom to believe, and who we are: from a pod's service
 * account or from a kubeconfig file. Does not speak to anybody.
 */
#ifndef LOCKET_AGENT_KUBE_CONFIG_H
#define LOCKET_AGENT_KUBE_CONFIG_H

#include "lib/base/error.h"
#include "lib/base/secret.h"

enum { KUBE_CONFIG_BYTES_MAX = 1 << 20, KUBE_TOKEN_BYTES_MAX = 64 << 10 };

struct kube_config {
    char *server;      /* https://HOST:PORT, without a '/' at its end */
    char *server_name; /* in its certificate, when it is not HOST; NULL: HOST */
    char *ca_file;     /* NULL: ca, or the system's */
    struct secret ca;  /* PEM */
    char *token_file;  /* read again as it changes; NULL: token */
    struct secret token;
    char *cert_file;
    char *key_file;
    struct secret cert; /* PEM */
    struct secret key;
    bool skip_verify;
};

#define autokubeconfig CLEANUP(kube_config_done)

/* Wipes and frees; { 0 } afterwards. */
void kube_config_done(struct kube_config *config);

/* A pod's: the server from host and port (KUBERNETES_SERVICE_HOST, _PORT), token and ca.crt from
 * the folder, which are only named here and read at each use.
 * Errors: FAILED_PRECONDITION when host or port is missing: not in a cluster. */
must_check int kube_config_in_cluster(const char *host, const char *port, const char *folder,
                                      struct kube_config *ret, struct error *err);

/* A kubeconfig's current context: server, certificate-authority(-data), tls-server-name, insecure-
 * skip-tls-verify; token, tokenFile, client-certificate(-data) and -key(-data). Paths are relative
 * to its folder. Errors: INVALID_ARGUMENT naming file and field; an exec or auth-provider user is
 * refused, since this program runs no command. */
must_check int kube_config_read(const char *path, struct kube_config *ret, struct error *err);

/* The same of the text that stands in the file of this name. */
must_check int kube_config_parse(const char *path, const char *text, size_t len,
                                 struct kube_config *ret, struct error *err);

#endif
