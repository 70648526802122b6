/* SPDX-License-Identifier: Apache-2.0
 *
 * workers.h - one process per store: started, restarted with back-off, stopped. A hole in one
 * store's parser is a hole in that process alone. Does not know what a worker does.
 */
#ifndef LOCKET_PROVIDERS_WORKERS_H
#define LOCKET_PROVIDERS_WORKERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"
#include "lib/base/strbuf.h"

enum { WORKERS_MAX = 16 };

struct worker {
    char *store;
    pid_t pid; /* 0: not running */
    int64_t started_ms;
    int64_t start_at_ms; /* not before; back-off */
    int64_t restarts;
    int64_t backoff_ms;
};

struct workers {
    pthread_mutex_t lock; /* for the health page's thread: it sees count, pid and restarts */
    struct worker rows[WORKERS_MAX];
    size_t count;
    char **argv; /* of this process; a worker gets the same and --worker STORE */
};

/* Runs the stores of a comma list until SIGTERM or SIGINT (blocked by the caller); then stops them,
 * at most 10 s. Ownership: workers_done. Errors: INVALID_ARGUMENT for a store that is not built in
 * or named twice. */
must_check int workers_run(struct workers *w, const char *stores, char **argv, struct error *err);

/* Frees the list of stores, once nobody asks any more. */
void workers_done(struct workers *w);

/* Appends a line per worker that does not run; true: all do. Any thread. */
bool workers_healthy(struct workers *w, struct strbuf *why);

/* Appends Prometheus text. Any thread. */
void workers_metrics(struct workers *w, struct strbuf *out);

#endif
