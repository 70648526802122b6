/* SPDX-License-Identifier: Apache-2.0
 *
 * page.h - the agent over HTTP: /healthz, /livez, /readyz with reasons, /metrics of agent and
 * driver. Does not know how any of it came about.
 */
#ifndef LOCKET_AGENT_PAGE_H
#define LOCKET_AGENT_PAGE_H

#include "agent/audit.h"
#include "agent/class_cache.h"
#include "agent/driver_line.h"
#include "agent/pod_status.h"

/* What it tells of. */
struct page {
    struct kube_api *api;
    struct class_cache *classes;
    struct pod_status *statuses;
    struct driver_line *line;
    struct metrics *metrics;
    int64_t started_ms;  /* clock_mono_ms() */
    struct audit *audit; /* NULL: none is kept */
};

/* An answer of http_server_start: arg is a struct page. Live: this program answers. Ready: the API
 * server answers, classes are watched, the driver is there; each with its reason. Healthy: the
 * driver has been there and is not away for long. */
int page_answer(void *arg, const char *path, struct strbuf *out);

#endif
