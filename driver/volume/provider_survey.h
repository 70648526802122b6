/* SPDX-License-Identifier: Apache-2.0
 *
 * provider_survey.h - every provider whose socket is on this node, asked who it is.
 * Fetches nothing, and keeps no connection.
 */
#ifndef LOCKET_VOLUME_PROVIDER_SURVEY_H
#define LOCKET_VOLUME_PROVIDER_SURVEY_H

#include "driver/volume/provider_finder.h"

enum { SURVEY_PROVIDERS_MAX = 64, SURVEY_TIMEOUT_MS = 1000 /* of each */ };

/* Texts live as long as the callback. */
struct provider_sighting {
    const char *name;
    const char *socket;
    int64_t peer_uid;            /* -1: it was not reached */
    const char *api;             /* "v1alpha1" */
    const char *runtime;         /* as it calls itself; "": it does not say */
    const char *runtime_version; /* the same */
    const char *problem;         /* why it would not be asked for a volume; "": it would */
};

/* Calls say for each NAME.sock in the folders, in the order they are searched. Blocks for a second
 * for each that does not answer. Folders that are not there are passed over; never fails. */
void provider_survey(const struct provider_finder *finder,
                     void (*say)(void *arg, const struct provider_sighting *seen), void *arg);

#endif
