/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - builds the program once from its flags, serves until told to stop, takes it down.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "driver/main/config.h"
#include "driver/main/sandbox.h"
#include "driver/serve/admin.h"
#include "driver/serve/identity.h"
#include "driver/serve/node.h"
#include "driver/serve/registration.h"
#include "driver/serve/wishes.h"
#include "driver/volume/note.h"
#include "driver/volume/recovery.h"
#include "lib/base/fault.h"
#include "lib/base/fs.h"
#include "lib/base/harden.h"
#include "lib/base/log.h"
#include "lib/net/rpc_server.h"

enum {
    DRAIN_MS = 20000,     /* below the DaemonSet's terminationGracePeriodSeconds of 30 */
    FETCHES_MAX = 128,    /* at a time; no provider may hold more than half */
    PROVIDER_UID = 65532, /* locket-provider's */
    OPEN_FILES = 65536,
};

struct program {
    int argc; /* as given: for what was ignored */
    char **argv;
    struct config config;
    struct lifecycle app;
    struct identity identity;
    struct node node;
    struct admin admin;
    struct wishes wishes;
    struct rpc_server *csi_server;
    struct rpc_server *admin_server;
    struct registration *registration; /* NULL: off */
};

static int prepare_process(char **argv, struct error *err)
{
    struct rlimit files;

    if (harden_process(argv, err) < 0)
        return -1;
    rpc_process_setup();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < OPEN_FILES ? files.rlim_max : OPEN_FILES;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return 0;
}

static void warn_ignored(void *arg, const char *name, const char *help)
{
    (void)arg;
    log_event(LOG_WARN, "a flag has no effect", WITH_TEXT(KEY_FLAG, name),
              WITH_TEXT(KEY_REASON, help));
}

static void call_ended(void *arg, const char *method, int64_t took_us, const struct error *err)
{
    (void)arg;
    if (err->code)
        log_event(LOG_WARN, "call failed", WITH_TEXT(KEY_METHOD, method),
                  WITH_TEXT(KEY_CODE, code_name(err->code)), WITH_TEXT(KEY_ERROR, err->msg),
                  WITH_NUMBER(KEY_TOOK_MS, took_us / 1000));
    else if (log_shows(LOG_DEBUG))
        log_event(LOG_DEBUG, "call served", WITH_TEXT(KEY_METHOD, method),
                  WITH_NUMBER(KEY_TOOK_MS, took_us / 1000));
}

static struct source *make_source(const struct config *config, struct lifecycle *app)
{
    struct provider_client_config client = {
        .finder = config->finder,
        .own_folder = LOCKET_PROVIDER_FOLDER "/",
        .audiences = (const char *const *)config->provider_audiences.texts,
        .audience_count = config->provider_audiences.count,
        .send_versions = config->send_versions,
        .reply_bytes_max = (size_t)config->reply_bytes_max,
        .inflight_max = FETCHES_MAX,
        .peer_changed = note_peer_changed,
        .arg = app,
    };

    return provider_client_new(&client);
}

static int make_cluster(const struct config *config, struct metrics *metrics, struct cluster **ret,
                        struct error *err)
{
    const struct cluster_metrics counted = { metrics, VM_REPORTS_DROPPED };

    if (!*config->agent_socket)
        return cluster_local_new(config->classes, ret, err);
    *ret = cluster_agent_new(config->agent_socket, &counted);
    return 0;
}

/* The folder that locket-provider's sockets live in is its alone; to it the provider's user may
 * pass through the records' folder, and not look around there. Where it cannot be made (a plain
 * user's namespace) other folders still serve. */
static void make_provider_folder(void)
{
    struct error err = { 0 };

    if (fs_mkdirs(LOCKET_PROVIDER_FOLDER, 0700, &err) < 0 || chmod(LOCKET_RUN_FOLDER, 0711) < 0 ||
        chown(LOCKET_PROVIDER_FOLDER, PROVIDER_UID, PROVIDER_UID) < 0)
        log_event(LOG_DEBUG, "the provider folder cannot be made",
                  WITH_TEXT(KEY_PATH, LOCKET_PROVIDER_FOLDER), WITH_TEXT(KEY_ERROR, err.msg));
}

static int build(struct program *p, struct error *err)
{
    const struct config *c = &p->config;
    autofree char *probe = str_printf("%s/probe", c->state_dir);

    p->app.config = (struct lifecycle_config){
        .grace_ms = c->grace_ms,
        .rotation = c->rotation,
        .rotation_interval_ms = c->rotation_interval_ms,
        .attribute_override = c->override,
        .tmpfs_budget_bytes = c->tmpfs_budget_bytes,
        .audit_required = c->audit_fail_closed,
        .volume_metrics = c->volume_metrics,
        .sync_secrets = c->sync_secrets,
    };
    p->app.metrics = metrics_new(volume_metric_rows, VM_COUNT);
    if (c->spell_units)
        metrics_spell_units(p->app.metrics);
    if (target_root_open(c->target_root, &p->app.root, err) < 0 ||
        state_open(c->state_dir, &p->app.state, err) < 0 ||
        mount_libmount_new(probe, &p->app.mounter, err) < 0 ||
        make_cluster(c, p->app.metrics, &p->app.cluster, err) < 0)
        return -1;
    make_provider_folder();
    p->app.source = make_source(c, &p->app);
    lifecycle_start(&p->app);
    return recovery_run(&p->app, err);
}

static void add_flag(void *arg, const char *name, const char *text)
{
    pairs_set(arg, name, text);
}

static void add_warning(void *arg, const char *name, const char *help)
{
    autofree char *text = str_printf("--%s has no effect: %s", name, help);

    admin_facts_warn(arg, text);
}

/* What locketctl status shows of this process. */
static void tell_of_itself(struct program *p)
{
    struct admin_facts *facts = &p->admin.facts;

    config_each_value(&p->config, add_flag, &facts->flags);
    config_each_ignored(p->argc, p->argv, add_warning, facts);
    if (!p->app.mounter->noswap)
        admin_facts_warn(facts, "tmpfs may be swapped out: Linux 6.4 or later has noswap");
    admin_facts_pool(facts, p->node.publishers);
    admin_facts_pool(facts, p->node.unpublishers);
}

static void wait_for_end(struct program *p)
{
    sigset_t set;
    int got = 0;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SANDBOX_SIGNAL);
    while (sigwait(&set, &got) != 0 || got == SANDBOX_SIGNAL)
        metrics_add(p->app.metrics, VM_REFUSED_CALLS, NULL, (double)sandbox_log_refusals());
}

static void make_registration(struct program *p)
{
    struct registration_config config = { .folder = p->config.registration_folder,
                                          .driver_name = p->config.driver_name,
                                          .endpoint = p->config.kubelet_socket,
                                          .ended = call_ended };

    if (*config.folder)
        p->registration = registration_new(&config);
}

static int serve(struct program *p, struct error *err)
{
    struct node_config node = {
        .node_id = p->config.node_id,
        .require_readonly = p->config.require_readonly,
        .publish_threads = FETCHES_MAX,
    };
    ProtobufCService *csi[] = { &p->identity.service.base, &p->node.service.base };
    ProtobufCService *admin[] = { &p->admin.service.base };
    struct rpc_server_config csi_config = { .path = p->config.socket,
                                            .services = csi,
                                            .service_count = COUNT_OF(csi),
                                            .ended = call_ended };
    struct rpc_server_config admin_config = { .path = p->config.admin_socket,
                                              .services = admin,
                                              .service_count = COUNT_OF(admin),
                                              .ended = call_ended };

    identity_init(&p->identity, p->config.driver_name, &p->app);
    node_init(&p->node, &node, &p->app);
    admin_init(&p->admin, &p->app);
    p->admin.finder = &p->config.finder;
    p->admin.driver_name = p->config.driver_name;
    p->admin.registration = p->registration;
    tell_of_itself(p);
    if (rpc_server_start(&admin_config, &p->admin_server, err) < 0 ||
        rpc_server_start(&csi_config, &p->csi_server, err) < 0)
        return -1;
    p->wishes = (struct wishes){ &p->app, p->registration };
    wishes_listen(&p->wishes);
    if (p->registration)
        registration_start(p->registration);
    log_event(LOG_INFO, "serving", WITH_TEXT(KEY_SOCKET, p->config.socket),
              WITH_NUMBER(KEY_COUNT, (int64_t)p->app.recovered));
    wait_for_end(p);
    log_event(LOG_INFO, "stopping: publishes are refused, unpublishes still served");
    node_stop_publishing(&p->node);
    wishes_end(&p->wishes);                 /* it looks at the registration */
    rpc_server_free(p->admin_server, 1000); /* so does it */
    registration_free(p->registration);     /* kubelet shall know no driver it cannot reach */
    rpc_server_free(p->csi_server, DRAIN_MS);
    return 0;
}

static int run(struct program *p, struct error *err)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread: all inherit it */
    if (p->config.sandbox && driver_sandbox_enter(err) < 0)
        return -1;
    make_registration(p); /* early: kubelet sees that the one before is gone */
    if (build(p, err) < 0 || serve(p, err) < 0)
        return -1;
    lifecycle_halt(&p->app); /* else these would wait for providers that hang */
    admin_done(&p->admin);
    node_done(&p->node);
    lifecycle_stop(&p->app);
    p->app.source->ops->free(p->app.source);
    p->app.cluster->ops->free(p->app.cluster);
    p->app.mounter->ops->free(p->app.mounter);
    metrics_free(p->app.metrics);
    state_close(&p->app.state);
    target_root_done(&p->app.root);
    rpc_process_done();
    return 0;
}

static int usage(const struct error *err)
{
    (void)fprintf(stderr, "locket-driver: %s\n", err->msg);
    return 2;
}

int main(int argc, char **argv)
{
    static struct program p; /* too large for a stack; one per process */
    struct error err = { 0 };

    if (prepare_process(argv, &err) < 0)
        return usage(&err);
    if (options_asked_help(argc, argv)) {
        config_print_help();
        return 0;
    }
    if (config_parse(argc, argv, &p.config, &err) < 0)
        return usage(&err);
    if (p.config.version) {
        (void)printf("{\"BuildVersion\":\"%s\"}\n", LOCKET_VERSION);
        return 0;
    }
#ifdef LOCKET_FAULTS
    if (p.config.list_faults) {
        fault_list();
        return 0;
    }
#endif
    p.argc = argc;
    p.argv = argv;
    log_setup(p.config.verbosity >= 2 ? LOG_DEBUG : LOG_INFO, p.config.log_json);
    config_each_ignored(argc, argv, warn_ignored, NULL);
    if (run(&p, &err) < 0) {
        log_failure(LOG_ERROR, "cannot start", KEY_FLAG, "", &err);
        return 1;
    }
    config_done(&p.config);
    return 0;
}
