/* SPDX-License-Identifier: Apache-2.0
 *
 * node.h - CSI's Node service: a table of request checks, then one call down.
 * Decides nothing about volumes (lifecycle.h).
 */
#ifndef LOCKET_SERVE_NODE_H
#define LOCKET_SERVE_NODE_H

#include "csi/csi.pb-c.h"
#include "driver/volume/lifecycle.h"
#include "lib/net/work.h"

struct node {
    Csi__V1__Node_Service service; /* first, so a handler's service pointer is its node */
    const char *node_id;
    bool require_readonly; /* --require-readonly */
    struct lifecycle *app;
    struct work_pool *publishers;   /* publishes block in a fetch */
    struct work_pool *unpublishers; /* never behind a publish */
    bool stopping;                  /* new publishes are refused; atomic */
};

struct node_config {
    const char *node_id;
    bool require_readonly;
    size_t publish_threads; /* bound of publishes at a time */
};

/* Starts the pools. node_done ends them after the last call. */
void node_init(struct node *node, const struct node_config *config, struct lifecycle *app);
void node_done(struct node *node);

/* From now on publishes get UNAVAILABLE; unpublishes are served on. */
void node_stop_publishing(struct node *node);

#endif
