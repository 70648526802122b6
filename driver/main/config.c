/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/main/config.h"

#include <ctype.h>

#include "lib/base/sandbox.h"

enum {
    DRIVER_NAME_MAX = 63,  /* of the CSI specification */
    SOCKET_PATH_MAX = 107, /* of the kernel */
};

#define AT(member) offsetof(struct config, member)
#define KLOG "klog's; this program logs to stderr alone"
#define AGENTS "metrics over HTTP are the agent's; locketctl metrics prints them"
#define CLUSTERS "this program holds no API token"
#define HEALTH "a provider's health shows at its calls: see locketctl status"

static const struct option_row rows[] = {
    /* Upstream's. Source: secrets-store-csi-driver cmd/secrets-store-csi-driver/main.go. */
    { "endpoint", OPTION_TEXT, AT(endpoint), "unix:///csi/csi.sock", "SOCKET",
      "where the CSI services listen: unix:///path" },
    { "drivername", OPTION_TEXT, AT(driver_name), "secrets-store.csi.k8s.io", "NAME",
      "the CSI driver's name" },
    { "nodeid", OPTION_TEXT, AT(node_id), "", "NAME", "this node's name" },
    { "log-format-json", OPTION_BOOL, AT(log_json), NULL, NULL, "log JSON instead of text" },
    { "v", OPTION_INT, AT(verbosity), "0", "LEVEL", "2 or more: debug lines too" },
    { "provider-volume", OPTION_TEXT, AT(provider_volume), "/var/run/secrets-store-csi-providers",
      "DIR", "folder of providers' sockets, searched last" },
    { "additional-provider-volume-paths", OPTION_TEXT, AT(additional_provider_volumes),
      "/etc/kubernetes/secrets-store-csi-providers", "DIR,DIR",
      "more such folders, searched before it" },
    { "enable-secret-rotation", OPTION_BOOL, AT(rotation), NULL, NULL,
      "refresh volumes; without it only locketctl refresh does" },
    { "rotation-poll-interval", OPTION_DURATION, AT(rotation_interval_ms), "2m", "DURATION",
      "how often each volume is refreshed, unless its class says otherwise" },
    { "max-call-recv-msg-size", OPTION_BYTES, AT(reply_bytes_max), "4194304", "BYTES",
      "the largest answer taken from a provider" },
    { "version", OPTION_BOOL, AT(version), NULL, NULL, "print the version as JSON and exit" },
    { "metrics-addr", OPTION_ACCEPTED, 0, NULL, "ADDR", AGENTS },
    { "metrics-backend", OPTION_ACCEPTED, 0, NULL, "NAME", AGENTS },
    { "enable-pprof", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, "there is no Go runtime to profile" },
    { "pprof-port", OPTION_ACCEPTED, 0, NULL, "PORT", "there is no Go runtime to profile" },
    { "provider-health-check", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, HEALTH },
    { "provider-health-check-interval", OPTION_ACCEPTED, 0, NULL, "DURATION", HEALTH },
    { "kubeconfig", OPTION_ACCEPTED, 0, NULL, "FILE", CLUSTERS },
    { "filtered-watch-secret", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, CLUSTERS },
    { "min-provider-version", OPTION_ACCEPTED, 0, NULL, "LIST", "upstream has dropped it too" },
    { "vmodule", OPTION_ACCEPTED, 0, NULL, "LIST", KLOG },
    { "logtostderr", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, KLOG },
    { "alsologtostderr", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, KLOG },
    { "stderrthreshold", OPTION_ACCEPTED, 0, NULL, "LEVEL", KLOG },
    { "log_dir", OPTION_ACCEPTED, 0, NULL, "DIR", KLOG },
    { "log_file", OPTION_ACCEPTED, 0, NULL, "FILE", KLOG },
    { "log_file_max_size", OPTION_ACCEPTED, 0, NULL, "MB", KLOG },
    { "log_backtrace_at", OPTION_ACCEPTED, 0, NULL, "PLACE", KLOG },
    { "add_dir_header", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, KLOG },
    { "skip_headers", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, KLOG },
    { "skip_log_headers", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, KLOG },
    { "one_output", OPTION_ACCEPTED_BOOL, 0, NULL, NULL, KLOG },
    /* Our own. */
    { "classes", OPTION_TEXT, AT(classes), "", "DIR",
      "read SecretProviderClasses from this folder of YAML and JSON files" },
    { "agent-socket", OPTION_TEXT, AT(agent_socket), "", "SOCKET",
      "ask locket-agent here for classes, and tell it of volumes; not together with --classes" },
    { "sync-secrets", OPTION_BOOL, AT(sync_secrets), NULL, NULL,
      "give the agent the files that a class's secretObjects name; without it, it gets no secret" },
    { "target-root", OPTION_TEXT, AT(target_root), "/var/lib/kubelet", "DIR",
      "every target path must lie below it" },
    { "state-dir", OPTION_TEXT, AT(state_dir), LOCKET_RUN_FOLDER, "DIR",
      "one record per volume is kept here" },
    { "admin-socket", OPTION_TEXT, AT(admin_socket), "/run/locket/admin.sock", "SOCKET",
      "where locketctl asks" },
    { "registration-folder", OPTION_TEXT, AT(registration_folder), "", "DIR",
      "kubelet's plugins_registry: register there; empty: somebody else does, or nobody" },
    { "kubelet-endpoint", OPTION_TEXT, AT(kubelet_endpoint), "", "SOCKET",
      "where kubelet finds --endpoint, when its paths are not ours" },
    { "generation-grace", OPTION_DURATION, AT(grace_ms), "2s", "DURATION",
      "how long the files before a rotation stay for readers that hold ..data; 0 as kubelet" },
    { "tmpfs-budget", OPTION_BYTES, AT(tmpfs_budget_bytes), "0", "BYTES",
      "what all volumes' tmpfs may sum to; 0: 70 % of the memory limit, else 10 % of RAM" },
    { "attribute-override", OPTION_TEXT, AT(attribute_override), "deny", "deny|warn|allow",
      "what a pod's volumeAttributes may do to parameters of its class" },
    { "provider-folder", OPTION_TEXTS, AT(provider_folders), NULL, "NAME=DIR",
      "look for this provider's socket in this folder alone; may be repeated" },
    { "provider-audiences", OPTION_TEXTS, AT(provider_audiences), NULL, "NAME=AUD,AUD",
      "send this provider tokens for these audiences alone; may be repeated" },
    { "send-current-versions", OPTION_TEXT, AT(send_current_versions), "own", "own|all|none",
      "which providers are told the versions that a volume holds" },
    { "require-readonly", OPTION_BOOL, AT(require_readonly), "true", NULL,
      "refuse volumes that a pod does not mount readOnly" },
    { "audit-fail-closed", OPTION_BOOL, AT(audit_fail_closed), NULL, NULL,
      "publish nothing new while locket-agent cannot write its audit; needs --agent-socket" },
    { "volume-metrics", OPTION_BOOL, AT(volume_metrics), NULL, NULL,
      "metrics per volume too: age, next refresh, failures; of 250 volumes at most" },
    { "spell-metric-units", OPTION_BOOL, AT(spell_units), NULL, NULL,
      "metrics named _seconds where the Secrets Store CSI Driver has _sec; give it to the agent, "
      "too" },
    { "sandbox", OPTION_TEXT, AT(sandbox_switch), SANDBOX_DEFAULT, "on|off",
      "give up capabilities and system calls before serving" },
#ifdef LOCKET_FAULTS
    { "list-faults", OPTION_BOOL, AT(list_faults), NULL, NULL, "print the fault points and exit" },
#endif
};

static const struct option_table table = {
    .program = "locket-driver",
    .summary = "locket-driver - mounts secrets from outside stores into pods, and rotates them.",
    .rows = rows,
    .count = COUNT_OF(rows),
    .environment = true,
};

void config_print_help(void)
{
    options_print_help(&table, "locket-driver [flags]");
}

void config_each_ignored(int argc, char **argv,
                         void (*say)(void *arg, const char *name, const char *help), void *arg)
{
    options_each_ignored(&table, argc, argv, say, arg);
}

void config_each_value(const struct config *config,
                       void (*say)(void *arg, const char *name, const char *text), void *arg)
{
    options_each_value(&table, config, say, arg);
}

void config_done(struct config *config)
{
    options_done(&table, config);
    free(config->socket);
    free(config->kubelet_socket);
    free(config->folder_list);
    *config = (struct config){ 0 };
}

/* unix:///path, unix://path (upstream reads it as /path), unix:/path or a bare path. */
static int read_socket(const char *flag, const char *path, char **ret, struct error *err)
{
    if (strstr(path, "://") && !str_starts(path, "unix://"))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--%s %.64s: only unix:// is served: this program opens no TCP socket",
                         flag, path);
    path += str_starts(path, "unix://") ? 7 : str_starts(path, "unix:") ? 5 : 0;
    if (!*path)
        return error_set(err, CODE_INVALID_ARGUMENT, "--%s is empty", flag);
    *ret = str_printf("%s%s", *path == '/' ? "" : "/", path);
    return 0;
}

static int read_sockets(struct config *config, struct error *err)
{
    const char *kubelets = config->kubelet_endpoint;

    if (read_socket("endpoint", config->endpoint, &config->socket, err) < 0)
        return -1;
    if (!*kubelets)
        kubelets = config->socket;
    return read_socket("kubelet-endpoint", kubelets, &config->kubelet_socket, err);
}

/* Source: the CSI specification, GetPluginInfo. */
static bool is_driver_name(const char *name)
{
    size_t len = strlen(name);
    bool fine = len > 0 && len <= DRIVER_NAME_MAX && isalnum((unsigned char)*name);

    for (size_t i = 0; fine && i < len; i++)
        fine = isalnum((unsigned char)name[i]) || strchr(".-_", name[i]);
    return fine;
}

/* What kubelet is told, and the socket that it is told at, must be of use to it. */
static int check_registration(const struct config *config, struct error *err)
{
    const char *folder = config->registration_folder;

    if (!*folder)
        return 0;
    if (*folder != '/')
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--registration-folder \"%.100s\" must be an absolute path", folder);
    if (!is_driver_name(config->driver_name))
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--drivername \"%.64s\" must be 1 to %d letters, digits, '.', '-' and '_'",
                         config->driver_name, DRIVER_NAME_MAX);
    if (strlen(folder) + strlen(config->driver_name) + strlen("/-reg.sock") > SOCKET_PATH_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--registration-folder %.100s: DIR/%s-reg.sock has more than %d bytes",
                         folder, config->driver_name, SOCKET_PATH_MAX);
    if (strlen(config->kubelet_socket) > SOCKET_PATH_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--kubelet-endpoint %.100s has more than %d bytes", config->kubelet_socket,
                         SOCKET_PATH_MAX);
    return 0;
}

static int add_folder(struct config *config, const char *path, bool lenient, struct error *err)
{
    struct provider_finder *f = &config->finder;

    if (*path != '/')
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "provider folder \"%.100s\" must be an absolute path", path);
    if (f->count == PROVIDER_FOLDERS_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT, "more than %d provider folders",
                         PROVIDER_FOLDERS_MAX);
    f->folders[f->count++] = (struct provider_folder){ .path = path, .lenient = lenient };
    return 0;
}

/* Ours first, then upstream's: the additional ones in their order, the main one last. */
static int read_folders(struct config *config, struct error *err)
{
    char *rest = NULL;

    config->folder_list = xstrdup(config->additional_provider_volumes);
    if (add_folder(config, LOCKET_PROVIDER_FOLDER, false, err) < 0)
        return -1;
    for (char *path = strtok_r(config->folder_list, ",", &rest); path;
         path = strtok_r(NULL, ",", &rest))
        if (add_folder(config, path, true, err) < 0)
            return -1;
    if (add_folder(config, config->provider_volume, true, err) < 0)
        return -1;
    config->finder.pins = (const char *const *)config->provider_folders.texts;
    config->finder.pin_count = config->provider_folders.count;
    return 0;
}

/* NAME=VALUE rows of a repeated flag. */
static int check_rows(const struct option_texts *texts, const char *flag, bool path,
                      struct error *err)
{
    for (size_t i = 0; i < texts->count; i++) {
        const char *equals = strchr(texts->texts[i], '=');
        autofree char *name =
            equals ? xstrndup(texts->texts[i], (size_t)(equals - texts->texts[i])) : NULL;

        if (!equals || !equals[1] || (path && equals[1] != '/'))
            return error_set(err, CODE_INVALID_ARGUMENT, "--%s \"%.64s\" must be NAME=%s", flag,
                             texts->texts[i], path ? "/folder" : "AUDIENCE,AUDIENCE");
        if (provider_name_check(name, err) < 0)
            return error_within(err, "--%s", flag);
    }
    return 0;
}

static int check(struct config *config, struct error *err)
{
    if (config->rotation_interval_ms <= 0)
        return error_set(err, CODE_INVALID_ARGUMENT, "--rotation-poll-interval must be over 0");
    if (config->reply_bytes_max <= 0 || config->reply_bytes_max > INT32_MAX)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--max-call-recv-msg-size must be from 1 to 2147483647");
    if (strlen(config->node_id) > 256)
        return error_set(err, CODE_INVALID_ARGUMENT, "--nodeid must be at most 256 bytes");
    if (*config->classes && *config->agent_socket)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--classes and --agent-socket exclude each other: classes come from the "
                         "folder or from the cluster");
    if (!*config->classes && !*config->agent_socket)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--classes or --agent-socket is missing: name the folder of "
                         "SecretProviderClasses, or the agent that knows the cluster's");
    if (config->audit_fail_closed && !*config->agent_socket)
        return error_set(err, CODE_INVALID_ARGUMENT,
                         "--audit-fail-closed needs --agent-socket: the agent keeps the audit");
    if (check_rows(&config->provider_folders, "provider-folder", true, err) < 0 ||
        check_rows(&config->provider_audiences, "provider-audiences", false, err) < 0 ||
        attribute_override_parse(config->attribute_override, &config->override, err) < 0)
        return -1;
    if (sandbox_switch_parse(config->sandbox_switch, &config->sandbox, err) < 0)
        return -1;
    return send_versions_parse(config->send_current_versions, &config->send_versions, err);
}

int config_parse(int argc, char **argv, struct config *ret, struct error *err)
{
    struct config config CLEANUP(config_done) = { 0 };

    if (options_parse(&table, argc, argv, &config, NULL, err) < 0)
        return -1;
    if (!config.version && !config.list_faults &&
        (check(&config, err) < 0 || read_sockets(&config, err) < 0 ||
         check_registration(&config, err) < 0 || read_folders(&config, err) < 0))
        return -1;
    *ret = config;
    config = (struct config){ 0 };
    return 0;
}
