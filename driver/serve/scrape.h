/* SPDX-License-Identifier: Apache-2.0
 *
 * scrape.h - the driver's metrics as they are read: gauges brought up to date, series per volume
 * where --volume-metrics is on. Does not know who reads them.
 */
#ifndef LOCKET_SERVE_SCRAPE_H
#define LOCKET_SERVE_SCRAPE_H

#include "driver/serve/registration.h"
#include "driver/volume/lifecycle.h"

/* Brings the gauges up to date: volumes by state, stale ones, tmpfs, providers, kubelet.
 * registration NULL: off. */
void scrape_gauges(struct lifecycle *app, struct registration *registration);

/* The same, and appends all of it as Prometheus text. */
void scrape_write(struct lifecycle *app, struct registration *registration, struct strbuf *out);

#endif
