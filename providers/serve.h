/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.h - one store behind v1alpha1.CSIDriverProvider and locket.provider.v1.Extras.
 * Decides nothing about secrets (provider.h).
 */
#ifndef LOCKET_PROVIDERS_SERVE_H
#define LOCKET_PROVIDERS_SERVE_H

#include "lib/net/work.h"
#include "provider/extras.pb-c.h"
#include "provider/provider.pb-c.h"
#include "providers/provider.h"

struct provider_service {
    V1alpha1__CSIDriverProvider_Service service; /* first */
    struct provider *provider;
    struct work_pool *workers; /* a hung store holds threads of its own process alone */
};

struct extras_service {
    Locket__Provider__V1__Extras_Service service; /* first */
    struct provider *provider;
};

/* Fill the services in over a store, which outlives them; provider_service_done ends its threads.
 */
void provider_service_init(struct provider_service *s, struct provider *provider);
void provider_service_done(struct provider_service *s);
void extras_service_init(struct extras_service *s, struct provider *provider);

#endif
