/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include "lib/base/clock.h"
#include "lib/base/sandbox.h"

enum { AUDIT_ROTATE_MIN = 1 << 20 };

#define AT(member) offsetof(struct agent_config, member)

static const struct option_row rows[] = {
    { "agent-socket", OPTION_TEXT, AT(socket), "/run/locket/agent/agent.sock", "SOCKET",
      "where the driver of this node is served" },
    { "node-name", OPTION_TEXT, AT(node_name), "", "NAME",
      "of this node, as the cluster calls it" },
    { "driver-name", OPTION_TEXT, AT(driver_name), "secrets-store.csi.k8s.io", "NAME",
      "of the CSIDriver object" },
    { "kubeconfig", OPTION_TEXT, AT(kubeconfig), "", "FILE",
      "how to reach the API server; empty: as a pod does" },
    { "token-folder", OPTION_TEXT, AT(token_folder),
      "/var/run/secrets/kubernetes.io/serviceaccount", "DIR",
      "where a pod finds token and ca.crt" },
    { "health-addr", OPTION_TEXT, AT(health_addr), ":9808", "HOST:PORT",
      "serve /healthz, /livez and /readyz there; empty: do not" },
    { "metrics-addr", OPTION_TEXT, AT(metrics_addr), ":8095", "HOST:PORT",
      "serve /metrics there; empty: do not" },
    { "spell-metric-units", OPTION_BOOL, AT(spell_units), NULL, NULL,
      "metrics named _seconds where the Secrets Store CSI Driver has _sec; give it to the driver, "
      "too" },
    { "remove-startup-taint", OPTION_BOOL, AT(remove_taint), NULL, NULL,
      "take the taint <driver name>/agent-not-ready from the node once kubelet has confirmed the "
      "driver" },
    { "audit-log", OPTION_TEXT, AT(audit_log), "", "FILE",
      "a line for each access to secrets; -: on standard output; empty: none" },
    { "audit-key", OPTION_TEXT, AT(audit_key), "", "FILE",
      "seal the lines with a key of it, and note a digest on synced Secrets by another; only this "
      "program needs the file" },
    { "audit-digests", OPTION_BOOL, AT(audit_digests), NULL, NULL,
      "digests of values that this program writes into Secrets, too, by another key of "
      "--audit-key" },
    { "audit-rotate-size", OPTION_BYTES, AT(audit_rotate_bytes), "64Mi", "BYTES",
      "an --audit-log of this size becomes FILE.1; 0: never" },
    { "audit-rotate-keep", OPTION_INT, AT(audit_rotated), "4", "COUNT", "how many of these stay" },
    { "audit-head-interval", OPTION_DURATION, AT(audit_head_ms), "10m", "DURATION",
      "how often the end of the audit's chain is noted in an Event about the node" },
    { "cluster-name", OPTION_TEXT, AT(cluster_name), "", "NAME", "said on each line of the audit" },
    { "sync-secrets", OPTION_BOOL, AT(sync_secrets), NULL, NULL,
      "make Secrets of the files that a class's secretObjects name" },
    { "secret-check-interval", OPTION_DURATION, AT(secret_check_ms), "5m", "DURATION",
      "how often a synced Secret is looked at, whether it is still there and whole" },
    { "sandbox", OPTION_TEXT, AT(sandbox_switch), SANDBOX_DEFAULT, "on|off",
      "give up system calls and paths before serving" },
    { "log-format-json", OPTION_BOOL, AT(log_json), NULL, NULL, "log JSON instead of text" },
    { "v", OPTION_INT, AT(verbosity), "0", "LEVEL", "2 or more: debug lines too" },
    { "version", OPTION_BOOL, AT(version), NULL, NULL, "print the version as JSON and exit" },
};

static const struct option_table table = {
    .program = "locket-agent",
    .summary =
        "locket-agent - the cluster's side of locket-driver: classes, pod status, health and "
        "metrics.",
    .rows = rows,
    .count = COUNT_OF(rows),
    .environment = true,
};

void agent_config_print_help(void)
{
    options_print_help(&table, "locket-agent --node-name=NAME [flags]");
}

void agent_config_done(struct agent_config *config)
{
    options_done(&table, config);
}

/* What the audit itself does not check before it opens its file. */
static int check_audit(const struct agent_config *config, struct error *err)
{
    if (!*config->audit_log && config->audit_digests)
        return error_set(err, CODE_INVALID_ARGUMENT, "--audit-digests needs --audit-log");
    if (!*config->audit_log && *config->audit_key && !config->sync_secrets)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--audit-key needs --audit-log or --sync-secrets");
    if (config->audit_rotate_bytes < 0 ||
        (config->audit_rotate_bytes && config->audit_rotate_bytes < AUDIT_ROTATE_MIN))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--audit-rotate-size must be 0, or at least 1Mi");
    if (config->audit_head_ms < MS_PER_S)
        return error_set(err, CODE_INVALID_ARGUMENT, "--audit-head-interval must be 1s or more");
    return 0;
}

int agent_config_parse(int argc, char **argv, struct agent_config *ret, struct error *err)
{
    struct agent_config config CLEANUP(agent_config_done) = { 0 };

    if (options_parse(&table, argc, argv, &config, NULL, err) < 0 ||
        sandbox_switch_parse(config.sandbox_switch, &config.sandbox, err) < 0)
        return -1;
    if (!*config.node_name && !config.version)
        return error_set(err, CODE_INVALID_ARGUMENT, "--node-name (LOCKET_NODE_NAME) must be set");
    if (check_audit(&config, err) < 0)
        return -1;
    *ret = config;
    config = (struct agent_config){ 0 };
    return 0;
}
