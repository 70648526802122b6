/* SPDX-License-Identifier: Apache-2.0
 *
 * health.h - /healthz and /metrics of the supervisor over HTTP.
 */
#ifndef LOCKET_PROVIDERS_HEALTH_H
#define LOCKET_PROVIDERS_HEALTH_H

#include "lib/base/error.h"
#include "providers/workers.h"

struct health;

/* Serves on HOST:PORT. Ownership: health_stop. */
must_check int health_start(const char *address, struct workers *workers, struct health **ret,
                            struct error *err);

/* NULL is fine. */
void health_stop(struct health *h);

#endif
