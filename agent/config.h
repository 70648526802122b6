/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h - locket-agent's flags as one table.
 */
#ifndef LOCKET_AGENT_CONFIG_H
#define LOCKET_AGENT_CONFIG_H

#include "lib/base/options.h"

struct agent_config {
    char *socket;
    char *node_name;
    char *driver_name;
    char *kubeconfig;
    char *token_folder;
    char *health_addr;
    char *metrics_addr;
    bool spell_units;
    bool remove_taint;
    char *audit_log;
    char *audit_key;
    bool audit_digests;
    char *cluster_name;
    int64_t audit_rotate_bytes;
    int64_t audit_rotated;
    int64_t audit_head_ms;
    bool sync_secrets;
    int64_t secret_check_ms;
    bool log_json;
    int64_t verbosity;
    bool version;
    char *sandbox_switch;
    bool sandbox; /* made of it */
};

/* Parses flags over environment over defaults. Ownership: agent_config_done.
 * Errors: INVALID_ARGUMENT naming the flag. */
must_check int agent_config_parse(int argc, char **argv, struct agent_config *ret,
                                  struct error *err);
void agent_config_done(struct agent_config *config);
void agent_config_print_help(void);

#endif
