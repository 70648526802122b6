/* SPDX-License-Identifier: Apache-2.0
 *
 * workers.h - one process per store: started, restarted with back-off, replaced when it hangs,
 * stopped. A hole in one store's parser is a hole in that process alone. Does not know what a
 * worker does.
 */
#ifndef LOCKET_PROVIDERS_WORKERS_H
#define LOCKET_PROVIDERS_WORKERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"
#include "lib/base/metrics.h"
#include "lib/base/strbuf.h"

enum {
    WORKERS_MAX = 16,
    WORKER_PROBES = 4, /* so many in a row without an answer: it is killed */
};

struct worker {
    char *store;
    pid_t pid; /* 0: not running */
    int64_t started_ms;
    int64_t start_at_ms; /* not before; back-off */
    int64_t restarts;
    int64_t backoff_ms;
    int64_t probe_at_ms;
    bool is_probed;
    int probe;    /* of rpc_probe_begin, when is_probed */
    int unheeded; /* probes in a row */
};

struct workers {
    pthread_mutex_t lock; /* for the health page's thread: it sees count, pid, restarts, unheeded */
    const char *folder;   /* of their sockets; borrowed, like argv */
    int64_t timeout_ms;   /* one that answers no probe for so long is killed; 0: none is asked */
    struct worker rows[WORKERS_MAX];
    size_t count;
    char **argv; /* of this process; a worker gets the same and --worker STORE */
};

/* The socket of a store's worker. Ownership: the caller frees. */
char *worker_socket(const char *folder, const char *store);

/* Runs the stores of a comma list until SIGTERM or SIGINT (blocked by the caller); then stops them,
 * at most 10 s. The caller has set lock, folder and timeout_ms. Ownership: workers_done. Errors:
 * INVALID_ARGUMENT for a store that is not built in or named twice. */
must_check int workers_run(struct workers *w, const char *stores, char **argv, struct error *err);

/* Frees the list of stores, once nobody asks any more. */
void workers_done(struct workers *w);

/* Appends a line per worker that does not run or does not answer; true: all do. Any thread. */
bool workers_healthy(struct workers *w, struct strbuf *why);

enum worker_metric { WM_UP, WM_RESTARTS, WM_COUNT };

/* The table of the supervisor's metrics. */
extern const struct metric_row worker_metric_rows[WM_COUNT];

/* Appends Prometheus text. Any thread. */
void workers_metrics(struct workers *w, struct strbuf *out);

#endif
