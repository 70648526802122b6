/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/config.h"

#include <fcntl.h>

#include "lib/base/crypto.h"
#include "lib/base/fs.h"
#include "lib/base/sandbox.h"

#define AT(member) offsetof(struct provider_config, member)

enum { KEY_BYTES = 32, KEY_FILE_MAX = 4096, WORKER_TIMEOUT_MIN_MS = 1000 };

static const struct option_row rows[] = {
    { "provider-dir", OPTION_TEXT, AT(folder), "/run/locket/providers", "DIR",
      "a socket per store is made here: <store>.sock" },
    { "stores", OPTION_TEXT, AT(stores), "file,vault", "NAME,NAME",
      "which stores to serve, each by a process of its own" },
    { "worker", OPTION_TEXT, AT(worker), "", "NAME", "serve this one store in this process" },
    { "worker-timeout", OPTION_DURATION, AT(worker_timeout_ms), "1m", "DURATION",
      "kill a store's process that has not answered for so long, and start it again; 0: do not" },
    { "health-addr", OPTION_TEXT, AT(health_addr), "", "HOST:PORT",
      "serve /healthz and /metrics there; empty: do not" },
    { "file-root", OPTION_TEXT, AT(file_root), "/etc/locket/secrets", "PATH",
      "the file store: a folder of files, or one YAML or JSON document of keys and values" },
    { "hmac-key-file", OPTION_TEXT, AT(hmac_key_file), "", "FILE",
      "key of the versions shown; the same on all nodes makes them equal; empty: a random one" },
    { "allow-uid", OPTION_INT, AT(allow_uid), "-1", "UID",
      "this user's processes may connect too, besides root and the own user" },
    { "readable", OPTION_TEXTS, AT(readable), NULL, "PATH",
      "classes may name CA files below it, besides the system's own folders; may be repeated" },
    { "mint-tokens", OPTION_BOOL, AT(mint_tokens), NULL, NULL,
      "where kubelet sent no token for the audience of a class, ask the API server for the pod's" },
    { "mint-api-server", OPTION_TEXT, AT(mint_api_server), "", "URL",
      "that API server; empty: as a pod finds it" },
    { "mint-token-folder", OPTION_TEXT, AT(mint_token_folder),
      "/var/run/secrets/kubernetes.io/serviceaccount", "DIR",
      "token and ca.crt of the account that may create tokens" },
    { "sandbox", OPTION_TEXT, AT(sandbox_switch), SANDBOX_DEFAULT, "on|off",
      "give up system calls and paths before serving" },
    { "log-format-json", OPTION_BOOL, AT(log_json), NULL, NULL, "log JSON instead of text" },
    { "v", OPTION_INT, AT(verbosity), "0", "LEVEL", "2 or more: debug lines too" },
    { "version", OPTION_BOOL, AT(version), NULL, NULL, "print the version as JSON and exit" },
    /* As vault-csi-provider spells them. */
    { "vault-addr", OPTION_TEXT, AT(vault_addr), NULL, "URL",
      "where Vault or OpenBao is, unless the class says (VAULT_ADDR)" },
    { "vault-mount", OPTION_TEXT, AT(vault_mount), "kubernetes", "PATH",
      "auth mount, unless the class says" },
    { "vault-namespace", OPTION_TEXT, AT(vault_namespace), NULL, "NAME",
      "namespace, unless the class says (VAULT_NAMESPACE)" },
    { "vault-tls-ca-cert", OPTION_TEXT, AT(vault_ca_file), NULL, "FILE", "CA file (VAULT_CACERT)" },
    { "vault-tls-ca-directory", OPTION_TEXT, AT(vault_ca_folder), NULL, "DIR",
      "folder of CA files (VAULT_CAPATH)" },
    { "vault-tls-server-name", OPTION_TEXT, AT(vault_server_name), NULL, "NAME",
      "name in the server's certificate (VAULT_TLS_SERVER_NAME)" },
    { "vault-tls-client-cert", OPTION_TEXT, AT(vault_client_cert), NULL, "FILE",
      "client certificate (VAULT_CLIENT_CERT)" },
    { "vault-tls-client-key", OPTION_TEXT, AT(vault_client_key), NULL, "FILE",
      "its key (VAULT_CLIENT_KEY)" },
    { "vault-tls-skip-verify", OPTION_BOOL, AT(vault_skip_verify), NULL, NULL,
      "do not verify the server's certificate" },
    { "cache-size", OPTION_INT, AT(vault_tokens_max), "1000", "COUNT",
      "Vault tokens kept, one per identity" },
    { "log-level", OPTION_ACCEPTED, 0, NULL, "LEVEL", "see -v" },
    { "debug", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, "see -v" },
    { "endpoint", OPTION_ACCEPTED, 0, NULL, "SOCKET", "see --provider-dir" },
    { "output", OPTION_ACCEPTED, 0, NULL, "FORMAT", "the version is printed as JSON" },
    { "hmac-secret-name", OPTION_ACCEPTED, 0, NULL, "NAME",
      "this program reads no Kubernetes Secret: see --hmac-key-file" },
};

static const struct option_table table = {
    .program = "locket-provider",
    .summary = "locket-provider - fetches secrets from stores for locket-driver or any driver that "
               "speaks its protocol.",
    .rows = rows,
    .count = COUNT_OF(rows),
    .environment = true,
};

void provider_config_print_help(void)
{
    options_print_help(&table, "locket-provider [flags]");
}

void provider_config_each_ignored(int argc, char **argv,
                                  void (*say)(void *arg, const char *name, const char *help),
                                  void *arg)
{
    options_each_ignored(&table, argc, argv, say, arg);
}

void provider_config_done(struct provider_config *config)
{
    options_done(&table, config);
    secret_done(&config->hmac_key);
}

static int read_key(struct provider_config *config, struct error *err)
{
    uint8_t key[KEY_BYTES];

    if (*config->hmac_key_file)
        return fs_read(AT_FDCWD, config->hmac_key_file, KEY_FILE_MAX, true, &config->hmac_key, err);
    if (random_bytes(key, sizeof(key), err) < 0)
        return -1;
    config->hmac_key = secret_copy(key, sizeof(key));
    explicit_bzero(key, sizeof(key));
    return 0;
}

int provider_config_parse(int argc, char **argv, struct provider_config *ret, struct error *err)
{
    struct provider_config config CLEANUP(provider_config_done) = { 0 };

    if (options_parse(&table, argc, argv, &config, NULL, err) < 0 ||
        sandbox_switch_parse(config.sandbox_switch, &config.sandbox, err) < 0)
        return -1;
    if (config.worker_timeout_ms && config.worker_timeout_ms < WORKER_TIMEOUT_MIN_MS)
        return error_set(err, CODE_INVALID_ARGUMENT, "--worker-timeout must be 0, or 1s or more");
    if (read_key(&config, err) < 0)
        return error_within(err, "--hmac-key-file");
    if (config.hmac_key.len < KEY_BYTES)
        return error_set(err, CODE_INVALID_ARGUMENT, "--hmac-key-file must hold %d bytes or more",
                         KEY_BYTES);
    *ret = config;
    config = (struct provider_config){ 0 };
    return 0;
}
