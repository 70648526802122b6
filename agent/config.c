/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include "lib/base/sandbox.h"

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

int agent_config_parse(int argc, char **argv, struct agent_config *ret, struct error *err)
{
    struct agent_config config CLEANUP(agent_config_done) = { 0 };

    if (options_parse(&table, argc, argv, &config, NULL, err) < 0 ||
        sandbox_switch_parse(config.sandbox_switch, &config.sandbox, err) < 0)
        return -1;
    if (!*config.node_name && !config.version)
        return error_set(err, CODE_INVALID_ARGUMENT, "--node-name (LOCKET_NODE_NAME) must be set");
    *ret = config;
    config = (struct agent_config){ 0 };
    return 0;
}
