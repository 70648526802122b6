/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_double.h - an agent as its driver meets it: the classes of another double behind a socket.
 */
#ifndef LOCKET_TESTS_FAKES_AGENT_DOUBLE_H
#define LOCKET_TESTS_FAKES_AGENT_DOUBLE_H

#include "driver/cluster/cluster.h"

struct agent_double;

/* Serves on the socket what the cluster (kept, not owned) has. Ownership: agent_double_free. */
must_check int agent_double_new(const char *socket, struct cluster *classes,
                                struct agent_double **ret, struct error *err);
void agent_double_free(struct agent_double *agent);

/* From now on each Watch is answered at once, with the same wish, until its driver has taken the
 * answer of this serial. */
void agent_double_insist(struct agent_double *agent, uint64_t serial);

/* How often it was asked for what it has to tell; how many notes it took. */
int agent_double_watches(struct agent_double *agent);
int agent_double_notes(struct agent_double *agent);

#endif
