/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h - locket-driver's flags as one table: upstream's, served or accepted, and our own.
 */
#ifndef LOCKET_MAIN_CONFIG_H
#define LOCKET_MAIN_CONFIG_H

#include "driver/volume/attributes.h"
#include "driver/volume/provider_client.h"
#include "lib/base/options.h"

struct config {
    char *endpoint;
    char *driver_name;
    char *node_id;
    bool log_json;
    int64_t verbosity;
    char *provider_volume;
    char *additional_provider_volumes; /* comma list */
    bool rotation;
    int64_t rotation_interval_ms;
    int64_t reply_bytes_max;
    bool version;
    char *classes;
    char *agent_socket;
    bool sync_secrets;
    char *target_root;
    char *state_dir;
    char *admin_socket;
    char *registration_folder; /* empty: off */
    char *kubelet_endpoint;
    int64_t grace_ms;
    int64_t tmpfs_budget_bytes;
    char *attribute_override;
    struct option_texts provider_folders;   /* NAME=/path */
    struct option_texts provider_audiences; /* NAME=AUD,AUD */
    char *send_current_versions;
    bool require_readonly;
    bool audit_fail_closed;
    bool volume_metrics;
    bool spell_units;
    char *sandbox_switch;
    bool list_faults; /* test builds */

    /* Made of the above by config_parse. */
    char *socket;         /* of endpoint, without its scheme */
    char *kubelet_socket; /* of kubelet_endpoint; without one the same */
    enum attribute_override override;
    enum send_versions send_versions;
    bool sandbox;
    char *folder_list; /* what finder's folders point into */
    struct provider_finder finder;
};

#define LOCKET_RUN_FOLDER "/run/locket"
#define LOCKET_PROVIDER_FOLDER LOCKET_RUN_FOLDER "/providers"

/* Parses flags over environment over defaults, and checks what can be checked without touching
 * anything. Ownership: config_done. Errors: INVALID_ARGUMENT naming the flag. */
must_check int config_parse(int argc, char **argv, struct config *ret, struct error *err);
/* Calls say(arg, name, text) for each flag with its value in force. */
void config_each_value(const struct config *config,
                       void (*say)(void *arg, const char *name, const char *text), void *arg);
void config_done(struct config *config);

/* The rows as --help, to stdout. */
void config_print_help(void);

/* Calls say for each upstream flag that was given and has no effect here. */
void config_each_ignored(int argc, char **argv,
                         void (*say)(void *arg, const char *name, const char *help), void *arg);

#endif
