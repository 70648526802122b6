/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h - locket-provider's flags as one table.
 */
#ifndef LOCKET_PROVIDERS_CONFIG_H
#define LOCKET_PROVIDERS_CONFIG_H

#include "lib/base/options.h"
#include "lib/base/secret.h"

struct provider_config {
    char *folder;
    char *stores;              /* comma list */
    char *worker;              /* the store that this process serves; "" in the supervisor */
    int64_t worker_timeout_ms; /* of a worker that answers nothing; 0: for ever */
    char *health_addr;
    char *file_root;
    char *hmac_key_file;
    struct option_texts readable; /* folders and files that a class may name */
    char *sandbox_switch;
    bool sandbox;      /* made of it */
    int64_t allow_uid; /* may connect besides root; -1: nobody */
    bool mint_tokens;
    char *mint_api_server;
    char *mint_token_folder;
    bool log_json;
    int64_t verbosity;
    bool version;
    char *vault_addr;
    char *vault_mount;
    char *vault_namespace;
    char *vault_ca_file;
    char *vault_ca_folder;
    char *vault_server_name;
    char *vault_client_cert;
    char *vault_client_key;
    bool vault_skip_verify;
    int64_t vault_tokens_max;
    struct secret hmac_key; /* of the file, or random: made by provider_config_parse */
};

/* Parses flags over environment over defaults, reads the key. Ownership: provider_config_done.
 * Errors: INVALID_ARGUMENT naming the flag. */
must_check int provider_config_parse(int argc, char **argv, struct provider_config *ret,
                                     struct error *err);
void provider_config_done(struct provider_config *config);
void provider_config_print_help(void);
void provider_config_each_ignored(int argc, char **argv,
                                  void (*say)(void *arg, const char *name, const char *help),
                                  void *arg);

#endif
