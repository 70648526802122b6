/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - builds the agent once from its flags, serves until told to stop, takes it down.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/agent_metrics.h"
#include "agent/audit_head.h"
#include "agent/cluster_service.h"
#include "agent/config.h"
#include "agent/csi_driver.h"
#include "agent/events.h"
#include "agent/page.h"
#include "agent/pod_watch.h"
#include "agent/sandbox.h"
#include "agent/secret_sync.h"
#include "agent/taint.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/harden.h"
#include "lib/base/log.h"
#include "lib/net/http_server.h"
#include "lib/net/rpc_server.h"

enum { DRAIN_MS = 3000, TIDY_S = 60 };

struct program {
    struct agent_config config;
    struct metrics *metrics;
    struct kube_api *api;
    struct group_version *version;
    struct class_cache *classes;
    struct pod_status *statuses;
    struct driver_line *line;
    struct csi_driver *csi_driver;
    struct pod_watch *pods;
    struct taint *taint; /* NULL: off */
    struct events *events;
    struct audit *audit;
    struct audit_head head;
    struct secret_sync *secrets; /* NULL: off */
    struct chain_key digests;    /* of what Secrets hold, where there is a key */
    struct cluster_service service;
    struct rpc_server *server;
    struct page page;
    struct http_server *health;
    struct http_server *metrics_server;
};

static void call_ended(void *arg, const char *method, int64_t took_us, const struct error *err)
{
    (void)arg;
    log_event(err->code ? LOG_INFO : LOG_DEBUG, err->code ? "call failed" : "call served",
              WITH_TEXT(KEY_METHOD, method), WITH_TEXT(KEY_CODE, code_name(err->code)),
              WITH_TEXT(KEY_ERROR, err->msg), WITH_NUMBER(KEY_TOOK_MS, took_us / 1000));
}

static void class_changed(void *arg, const char *ns, const char *name, enum class_change change)
{
    struct program *p = arg;
    bool forced = change == CLASS_ASKED;
    const char *reason[] = { forced ? "class-annotation" : "class" };
    struct class *now autoclass = NULL;
    struct line_refresh refresh = {
        .ns = ns, .class_name = name, .forced = forced, .unless_known = change == CLASS_AWAITED
    };
    bool known = false;

    if (change != CLASS_AWAITED) {
        log_event(LOG_INFO, forced ? "a class is to be refreshed" : "a class changed",
                  WITH_TEXT(KEY_CLASS, name));
        metrics_add(p->metrics, AM_REFRESHES, reason, 1);
    }
    (void)!class_cache_peek(p->classes, ns, name, &known, &now, NULL);
    refresh.stamp = now ? now->stamp : NULL;
    driver_line_refresh(p->line, &refresh);
    secret_sync_class(p->secrets, ns, name);
}

static void pod_asked(void *arg, const char *ns, const char *name)
{
    static const char *const reason[] = { "pod-annotation" };
    struct program *p = arg;

    log_event(LOG_INFO, "a pod is to be refreshed", WITH_TEXT(KEY_POD, name));
    metrics_add(p->metrics, AM_REFRESHES, reason, 1);
    driver_line_refresh(p->line,
                        &(struct line_refresh){ .ns = ns, .pod_name = name, .forced = true });
}

static void csi_driver_changed(void *arg, const Locket__Cluster__V1__CsiDriver *facts)
{
    driver_line_set_csi_driver(((struct program *)arg)->line, facts);
}

static void driver_registered(void *arg)
{
    struct program *p = arg;

    log_event(LOG_INFO, "kubelet has confirmed the driver");
    taint_remove(p->taint);
}

static int read_kube_config(const struct agent_config *c, struct kube_config *ret,
                            struct error *err)
{
    if (*c->kubeconfig)
        return kube_config_read(c->kubeconfig, ret, err);
    return kube_config_in_cluster(getenv("KUBERNETES_SERVICE_HOST"),
                                  getenv("KUBERNETES_SERVICE_PORT"), c->token_folder, ret, err);
}

/* The socket's folder, which the driver (root) passes through and nobody else. */
static int make_folder(const char *socket, struct error *err)
{
    const char *slash = strrchr(socket, '/');
    autofree char *folder = slash ? xstrndup(socket, (size_t)(slash - socket)) : NULL;

    if (!folder || !*folder)
        return 0;
    return fs_mkdirs(folder, 0700, err);
}

static int open_audit(struct program *p, struct error *err)
{
    const struct agent_config *c = &p->config;
    struct audit_config audit = {
        .path = c->audit_log,
        .key_file = *c->audit_key ? c->audit_key : NULL,
        .value_digests = c->audit_digests,
        .cluster = *c->cluster_name ? c->cluster_name : NULL,
        .node = c->node_name,
        .rotate_bytes = c->audit_rotate_bytes,
        .rotated = c->audit_rotated,
        .metrics = { p->metrics, AM_AUDIT_WRITTEN, AM_AUDIT_DROPPED, AM_AUDIT_BLOCKED_SECONDS,
                     AM_AUDIT_QUEUED, AM_AUDIT_FAILING, AM_AUDIT_SEQ, AM_AUDIT_HEAD },
    };

    if (!*c->audit_log)
        return 0;
    if (audit_new(&audit, &p->audit, err) < 0)
        return error_within(err, "--audit-log");
    driver_line_want_audit(p->line);
    return 0;
}

static int start_secrets(struct program *p, struct error *err)
{
    const struct agent_config *c = &p->config;
    const struct secret_sync_config config = {
        .api = p->api,
        .classes = p->classes,
        .pods = p->pods,
        .line = p->line,
        .sinks = { p->audit, p->events, p->pods },
        .key = *c->audit_key ? &p->digests : NULL,
        .check_ms = c->secret_check_ms,
        .metrics = p->metrics,
        .results = AM_SECRET_SYNCS,
        .written = AM_SYNC_SECRETS,
        .seconds = AM_SYNC_SECRET_SECONDS,
    };

    if (!c->sync_secrets)
        return 0;
    if (*c->audit_key && chain_key_read(c->audit_key, &p->digests, err) < 0)
        return error_within(err, "--audit-key");
    p->secrets = secret_sync_new(&config);
    return 0;
}

static int build(struct program *p, struct error *err)
{
    struct kube_config kube autokubeconfig = { 0 };
    struct class_cache_config classes = { .changed = class_changed, .arg = p };
    struct pod_status_config statuses = { .node_name = p->config.node_name };
    struct kube_api_metrics counted;
    struct events_metrics events;

    if (make_folder(p->config.socket, err) < 0)
        return error_within(err, "--agent-socket");
    if (read_kube_config(&p->config, &kube, err) < 0 ||
        agent_sandbox_enter(&p->config, &kube, err) < 0)
        return -1;
    p->metrics = metrics_new(agent_metric_rows, AM_COUNT);
    if (p->config.spell_units)
        metrics_spell_units(p->metrics);
    counted = (struct kube_api_metrics){ p->metrics, AM_API_REQUESTS, AM_API_THROTTLED_SECONDS };
    statuses.metrics = (struct pod_status_metrics){ p->metrics, AM_STATUS_WRITES };
    events = (struct events_metrics){ p->metrics, AM_EVENTS };
    p->api = kube_api_new(&kube, &counted);
    p->events = events_new(p->api, p->config.node_name, &events);
    p->version = group_version_new(p->api);
    classes.api = statuses.api = p->api;
    classes.version = statuses.version = p->version;
    if (driver_line_new(&p->line, err) < 0 || open_audit(p, err) < 0)
        return -1;
    p->classes = class_cache_new(&classes);
    p->csi_driver = csi_driver_new(p->api, p->config.driver_name, csi_driver_changed, p);
    p->pods = pod_watch_new(p->api, p->config.node_name, pod_asked, p);
    if (p->config.remove_taint)
        p->taint = taint_new(p->api, p->config.node_name, p->config.driver_name);
    if (start_secrets(p, err) < 0)
        return -1;
    driver_line_heed(p->line, driver_registered, p);
    return pod_status_new(&statuses, &p->statuses, err);
}

static int start_pages(struct program *p, struct error *err)
{
    p->page = (struct page){ p->api,     p->classes,      p->statuses, p->line,
                             p->metrics, clock_mono_ms(), p->audit };
    if (*p->config.health_addr &&
        http_server_start(p->config.health_addr, page_answer, &p->page, &p->health, err) < 0)
        return error_within(err, "--health-addr");
    if (*p->config.metrics_addr && http_server_start(p->config.metrics_addr, page_answer, &p->page,
                                                     &p->metrics_server, err) < 0)
        return error_within(err, "--metrics-addr");
    return 0;
}

static void note_head(struct program *p)
{
    if (p->audit)
        audit_head_note(&p->head, p->audit, p->events, p->config.node_name,
                        p->config.audit_head_ms);
}

static void wait_for_end(struct program *p)
{
    int64_t head_s = p->config.audit_head_ms / MS_PER_S;
    const struct timespec minute = { .tv_sec = p->audit && head_s < TIDY_S ? head_s : TIDY_S };
    sigset_t set;
    int got = 0;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SANDBOX_SIGNAL);
    while (got != SIGTERM && got != SIGINT) {
        got = sigtimedwait(&set, NULL, &minute);
        if (got < 0)
            cluster_service_tidy(&p->service);
        note_head(p);
        (void)sandbox_log_refusals();
    }
}

static int serve(struct program *p, struct error *err)
{
    ProtobufCService *services[] = { &p->service.service.base };
    struct rpc_server_config config = { .path = p->config.socket,
                                        .services = services,
                                        .service_count = COUNT_OF(services),
                                        .ended = call_ended };
    const struct cluster_service_parts parts = {
        p->classes, p->statuses, p->secrets, p->line, { p->audit, p->events, p->pods }
    };

    cluster_service_init(&p->service, &parts);
    if (rpc_server_start(&config, &p->server, err) < 0 || start_pages(p, err) < 0)
        return -1;
    log_event(LOG_INFO, "serving", WITH_TEXT(KEY_SOCKET, p->config.socket));
    wait_for_end(p);
    return 0;
}

static void take_down(struct program *p)
{
    http_server_stop(p->health);
    http_server_stop(p->metrics_server);
    driver_line_end(p->line);
    group_version_end(p->version);
    class_cache_end(p->classes);
    secret_sync_end(p->secrets);
    rpc_server_free(p->server, DRAIN_MS);
    cluster_service_done(&p->service);
    audit_free(p->audit);
    pod_status_free(p->statuses);
    class_cache_free(p->classes);
    secret_sync_free(p->secrets);
    chain_key_done(&p->digests);
    csi_driver_free(p->csi_driver);
    pod_watch_free(p->pods);
    taint_free(p->taint);
    driver_line_free(p->line);
    events_free(p->events);
    group_version_free(p->version);
    kube_api_free(p->api);
    metrics_free(p->metrics);
    rpc_process_done();
}

static int run(struct program *p, struct error *err)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread: all inherit it */
    if (build(p, err) < 0 || serve(p, err) < 0)
        return -1;
    take_down(p);
    return 0;
}

static int usage(const struct error *err)
{
    (void)fprintf(stderr, "locket-agent: %s\n", err->msg);
    return 2;
}

int main(int argc, char **argv)
{
    static struct program p;
    struct error err = { 0 };

    if (harden_process(argv, &err) < 0)
        return usage(&err);
    rpc_process_setup();
    (void)signal(SIGPIPE, SIG_IGN);
    if (options_asked_help(argc, argv)) {
        agent_config_print_help();
        return 0;
    }
    if (agent_config_parse(argc, argv, &p.config, &err) < 0)
        return usage(&err);
    if (p.config.version) {
        (void)printf("{\"BuildVersion\":\"%s\"}\n", LOCKET_VERSION);
        return 0;
    }
    log_setup(p.config.verbosity >= 2 ? LOG_DEBUG : LOG_INFO, p.config.log_json);
    if (run(&p, &err) < 0) {
        log_failure(LOG_ERROR, "cannot start", KEY_FLAG, "", &err);
        return 1;
    }
    agent_config_done(&p.config);
    return 0;
}
