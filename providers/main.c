/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - the supervisor of the stores' processes, or (with --worker) one of them.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "lib/base/fs.h"
#include "lib/base/harden.h"
#include "lib/base/log.h"
#include "lib/net/rpc_server.h"
#include "providers/config.h"
#include "providers/health.h"
#include "providers/sandbox.h"
#include "providers/serve.h"
#include "providers/workers.h"

enum { DRAIN_MS = 5000 };

static int prepare_process(char **argv, struct error *err)
{
    if (harden_process(argv, err) < 0)
        return -1;
    rpc_process_setup();
    (void)signal(SIGPIPE, SIG_IGN);
    return 0;
}

/* What the environment says where no flag did: the names that Vault's own tools read. */
static void read_vault_environment(struct provider_config *c)
{
    struct {
        char **slot;
        const char *name;
    } rows[] = {
        { &c->vault_addr, "VAULT_ADDR" },
        { &c->vault_namespace, "VAULT_NAMESPACE" },
        { &c->vault_ca_file, "VAULT_CACERT" },
        { &c->vault_ca_folder, "VAULT_CAPATH" },
        { &c->vault_server_name, "VAULT_TLS_SERVER_NAME" },
        { &c->vault_client_cert, "VAULT_CLIENT_CERT" },
        { &c->vault_client_key, "VAULT_CLIENT_KEY" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (!*rows[i].slot && getenv(rows[i].name))
            *rows[i].slot = xstrdup(getenv(rows[i].name));
}

/* Where a pod finds the API server. */
static void read_cluster_environment(struct provider_config *c)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    bool is_v6 = host && strchr(host, ':');

    if (*c->mint_api_server || !host || !*host || !port || !*port)
        return;
    free(c->mint_api_server);
    c->mint_api_server =
        str_printf("https://%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

static void warn_ignored(void *arg, const char *name, const char *help)
{
    (void)arg;
    log_event(LOG_WARN, "a flag has no effect", WITH_TEXT(KEY_FLAG, name),
              WITH_TEXT(KEY_REASON, help));
}

static void call_ended(void *arg, const char *method, int64_t took_us, const struct error *err)
{
    log_event(err->code ? LOG_WARN : LOG_DEBUG, err->code ? "call failed" : "call served",
              WITH_TEXT(KEY_STORE, arg), WITH_TEXT(KEY_METHOD, method),
              WITH_TEXT(KEY_CODE, code_name(err->code)), WITH_TEXT(KEY_ERROR, err->msg),
              WITH_NUMBER(KEY_TOOK_MS, took_us / 1000));
}

static int make_store(const struct provider_config *config, struct provider **ret,
                      struct error *err)
{
    for (size_t i = 0; i < provider_row_count; i++)
        if (strcmp(provider_rows[i].name, config->worker) == 0)
            return provider_rows[i].make(config, ret, err);
    return error_set(err, CODE_INVALID_ARGUMENT, "--worker: \"%.32s\" is no store of ours",
                     config->worker);
}

static void wait_for_end(void)
{
    sigset_t set;
    int got = 0;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SANDBOX_SIGNAL);
    while (sigwait(&set, &got) != 0 || got == SANDBOX_SIGNAL)
        (void)sandbox_log_refusals();
}

static int run_worker(const struct provider_config *config, struct error *err)
{
    autofree char *path = worker_socket(config->folder, config->worker);
    struct provider *provider = NULL;
    struct provider_service service;
    struct extras_service extras;
    ProtobufCService *services[] = { &service.service.base, &extras.service.base };
    uid_t allowed = (uid_t)config->allow_uid;
    struct rpc_server_config server_config = {
        .path = path,
        .services = services,
        .service_count = COUNT_OF(services),
        .uids = &allowed,
        .uid_count = config->allow_uid >= 0,
        .ended = call_ended,
        .ended_arg = config->worker,
    };
    struct rpc_server *server = NULL;

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* a worker does not outlive its supervisor */
    if (provider_sandbox_enter(config, err) < 0 || make_store(config, &provider, err) < 0)
        return -1;
    provider_service_init(&service, provider);
    extras_service_init(&extras, provider);
    if (rpc_server_start(&server_config, &server, err) < 0)
        return -1;
    wait_for_end();
    rpc_server_free(server, DRAIN_MS);
    provider_service_done(&service);
    provider->ops->free(provider);
    rpc_process_done();
    return 0;
}

static int run_supervisor(const struct provider_config *config, char **argv, struct error *err)
{
    struct workers workers = { .lock = PTHREAD_MUTEX_INITIALIZER,
                               .folder = config->folder,
                               .timeout_ms = config->worker_timeout_ms };
    struct health *health = NULL;
    int result;

    if (fs_mkdirs(config->folder, 0700, err) < 0)
        return error_within(err, "--provider-dir");
    if (provider_sandbox_enter(config, err) < 0)
        return -1;
    if (*config->health_addr && health_start(config->health_addr, &workers, &health, err) < 0)
        return -1;
    result = workers_run(&workers, config->stores, argv, err);
    health_stop(health);
    workers_done(&workers);
    return result;
}

static int run(const struct provider_config *config, char **argv, struct error *err)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (*config->worker)
        return run_worker(config, err);
    return run_supervisor(config, argv, err);
}

static int usage(const struct error *err)
{
    (void)fprintf(stderr, "locket-provider: %s\n", err->msg);
    return 2;
}

int main(int argc, char **argv)
{
    struct provider_config config = { 0 };
    struct error err = { 0 };
    int result;

    if (prepare_process(argv, &err) < 0)
        return usage(&err);
    if (options_asked_help(argc, argv)) {
        provider_config_print_help();
        return 0;
    }
    if (provider_config_parse(argc, argv, &config, &err) < 0)
        return usage(&err);
    if (config.version) {
        (void)printf("{\"BuildVersion\":\"%s\"}\n", LOCKET_VERSION);
        return 0;
    }
    read_vault_environment(&config);
    read_cluster_environment(&config);
    log_setup(config.verbosity >= 2 ? LOG_DEBUG : LOG_INFO, config.log_json);
    if (!*config.worker)
        provider_config_each_ignored(argc, argv, warn_ignored, NULL);
    result = run(&config, argv, &err);
    if (result < 0)
        log_failure(LOG_ERROR, "cannot start", KEY_STORE, config.worker, &err);
    provider_config_done(&config);
    return result < 0 ? 1 : 0;
}
