/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster_service.h - locket.cluster.v1: what the driver asks of the agent and tells it.
 * Translates; decides nothing.
 */
#ifndef LOCKET_AGENT_CLUSTER_SERVICE_H
#define LOCKET_AGENT_CLUSTER_SERVICE_H

#include "agent/class_cache.h"
#include "agent/driver_line.h"
#include "agent/note.h"
#include "agent/pod_status.h"
#include "agent/secret_sync.h"
#include "lib/net/work.h"

struct cluster_service {
    Locket__Cluster__V1__Cluster_Service service; /* first */
    struct class_cache *classes;
    struct pod_status *statuses;
    struct secret_sync *secrets;
    struct driver_line *line;
    struct note_sinks sinks;
    struct work_pool *askers;    /* classes that the API server is asked for */
    struct work_pool *tidiers;   /* one thread */
    struct work_pool *reporters; /* one thread: reports and notes keep their order */
};

/* What the calls are handed to; borrowed. */
struct cluster_service_parts {
    struct class_cache *classes;
    struct pod_status *statuses;
    struct secret_sync *secrets; /* NULL: nothing is synced */
    struct driver_line *line;
    struct note_sinks sinks;
};

/* Starts its threads over what it is given. cluster_service_done ends them, after the last call. */
void cluster_service_init(struct cluster_service *service,
                          const struct cluster_service_parts *parts);
void cluster_service_done(struct cluster_service *service);

/* Lets go of what a driver has not told of that came anew, and of classes that nobody uses, on a
 * thread of its own: the server may be asked. To be called every now and then. Never blocks. */
void cluster_service_tidy(struct cluster_service *service);

#endif
