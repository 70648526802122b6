/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/page.h"

#include <inttypes.h>

#include "agent/agent_metrics.h"
#include "lib/base/clock.h"

enum {
    DRIVER_GRACE_MS = 120000, /* a driver that never came is given this long before it counts */
    DRIVER_DEAD_MS = 60000,   /* the liveness probe's business; readiness sees it earlier */
};

/* Each appends its line and says whether it is fine. */

static bool driver_is_there(struct page *p, struct strbuf *out, int64_t most_ms)
{
    int64_t silent = driver_line_silent_ms(p->line);

    if (silent >= 0 && silent <= most_ms) {
        strbuf_add_text(out, "[+] driver\n");
        return true;
    }
    if (silent < 0)
        strbuf_add_text(out, "[-] driver: has not come yet; does it run with --agent-socket?\n");
    else
        strbuf_printf(out, "[-] driver: not heard of for %" PRId64 " s\n", silent / MS_PER_S);
    return false;
}

static bool classes_are_watched(struct page *p, struct strbuf *out)
{
    struct error err = { 0 };

    if (!class_cache_failure(p->classes, &err)) {
        strbuf_add_text(out, "[+] classes\n");
        return true;
    }
    strbuf_printf(out, "[-] classes: %s: %s\n", code_name(err.code), err.msg);
    return false;
}

/* Said, but no reason to be taken out of service: everything but old tokens goes on. */
static void tell_of_republish(struct page *p, struct strbuf *out)
{
    if (driver_line_lacks_republish(p->line))
        strbuf_add_text(out, "[!] CSIDriver: requiresRepublish is off while rotation is on: tokens "
                             "of running pods expire; set spec.requiresRepublish: true\n");
}

/* Nor is this: the driver asks where a publish must not be without (--audit-fail-closed). */
static void tell_of_audit(struct page *p, struct strbuf *out)
{
    struct audit_view view = audit_view_of(p->audit);

    if (view.failing)
        strbuf_printf(out, "[!] audit: not written: %s\n", view.failure.msg);
    else if (audit_is_full(p->audit))
        strbuf_printf(out, "[!] audit: %zu lines wait: its sink is slow\n", view.queued);
}

static bool server_answered(struct page *p, struct strbuf *out)
{
    if (kube_api_answered_ms(p->api)) {
        strbuf_add_text(out, "[+] API server\n");
        return true;
    }
    strbuf_add_text(out, "[-] API server: has not answered yet; see the agent's log\n");
    return false;
}

static bool driver_is_near(struct page *p, struct strbuf *out)
{
    return driver_is_there(p, out, DRIVER_AWAY_MS);
}

static bool driver_is_registered(struct page *p, struct strbuf *out)
{
    bool done = false;
    autofree char *text = driver_line_registration(p->line, &done);

    if (!text)
        return true; /* somebody else registers it */
    if (done)
        strbuf_add_text(out, "[+] registration\n");
    else
        strbuf_printf(out, "[-] registration: %s; see locketctl doctor on the node\n", text);
    return done;
}

/* What readiness is made of: /readyz has the reasons, the metrics the numbers. */
static const struct {
    const char *name;
    bool (*holds)(struct page *p, struct strbuf *out);
} checks[] = {
    { "api-server", server_answered },
    { "classes", classes_are_watched },
    { "driver", driver_is_near },
    { "registration", driver_is_registered },
};

static int ready(struct page *p, struct strbuf *out)
{
    bool all = true;

    for (size_t i = 0; i < COUNT_OF(checks); i++)
        all = checks[i].holds(p, out) && all;
    tell_of_republish(p, out);
    tell_of_audit(p, out);
    return all ? 200 : 503;
}

static void gauge_checks(struct page *p)
{
    struct strbuf reasons autostrbuf = { 0 };

    for (size_t i = 0; i < COUNT_OF(checks); i++) {
        const char *label[] = { checks[i].name };

        metrics_set(p->metrics, AM_READY, label, checks[i].holds(p, &reasons) ? 1 : 0);
    }
}

/* What a restart of the pod might mend: never the API server's absence. */
static int healthy(struct page *p, struct strbuf *out)
{
    bool driver = driver_is_there(p, out, DRIVER_DEAD_MS);
    bool young = clock_mono_ms() - p->started_ms < DRIVER_GRACE_MS;

    return driver || (young && driver_line_silent_ms(p->line) < 0) ? 200 : 503;
}

/* The driver's own as it told them last; of one that is away nothing: old numbers would look like a
 * driver that has nothing to do. */
static void add_driver(struct page *p, struct strbuf *out)
{
    int64_t silent = driver_line_silent_ms(p->line);
    autofree char *text = driver_line_metrics(p->line);

    if (silent >= 0 && silent <= DRIVER_AWAY_MS)
        strbuf_add_text(out, text);
}

static int metrics_page(struct page *p, struct strbuf *out)
{
    const char *version[] = { LOCKET_VERSION };
    int64_t silent = driver_line_silent_ms(p->line);

    if (silent < 0)
        silent = clock_mono_ms() - p->started_ms;
    gauge_checks(p);
    metrics_set(p->metrics, AM_DRIVER_SILENT_SECONDS, NULL, (double)silent / MS_PER_S);
    metrics_set(p->metrics, AM_CLASS_WATCHES, NULL, (double)class_cache_watches(p->classes));
    metrics_set(p->metrics, AM_VOLUMES, NULL, (double)pod_status_volumes(p->statuses));
    metrics_set(p->metrics, AM_STATUS_BEHIND, NULL, (double)pod_status_behind(p->statuses));
    metrics_set(p->metrics, AM_BUILD_INFO, version, 1);
    metrics_write(p->metrics, out);
    add_driver(p, out);
    return 200;
}

static int live(struct page *p, struct strbuf *out)
{
    (void)p;
    strbuf_add_text(out, "ok\n");
    return 200;
}

static const struct {
    const char *path;
    int (*answer)(struct page *p, struct strbuf *out);
} pages[] = {
    { "/healthz", healthy },
    { "/livez", live },
    { "/readyz", ready },
    { "/metrics", metrics_page },
};

int page_answer(void *arg, const char *path, struct strbuf *out)
{
    for (size_t i = 0; i < COUNT_OF(pages); i++)
        if (strcmp(path, pages[i].path) == 0)
            return pages[i].answer(arg, out);
    strbuf_add_text(out, "/healthz /livez /readyz /metrics\n");
    return 404;
}
