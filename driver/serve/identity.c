/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/serve/identity.h"

#include "lib/base/fault.h"
#include "lib/net/rpc_server.h"

static void get_plugin_info(Csi__V1__Identity_Service *service,
                            const Csi__V1__GetPluginInfoRequest *in,
                            Csi__V1__GetPluginInfoResponse_Closure reply, void *call)
{
    const struct identity *self = (const struct identity *)service;
    Csi__V1__GetPluginInfoResponse out = CSI__V1__GET_PLUGIN_INFO_RESPONSE__INIT;
    struct error err = { 0 };

    (void)in;
    out.name = (char *)self->driver_name;
    out.vendor_version = (char *)LOCKET_VERSION;
    if (FAULT("identity.plugin_info", &err) < 0)
        rpc_fail(call, &err);
    else
        reply(&out, call);
}

/* None: there is no controller, and nothing else that the list knows. */
static void get_plugin_capabilities(Csi__V1__Identity_Service *service,
                                    const Csi__V1__GetPluginCapabilitiesRequest *in,
                                    Csi__V1__GetPluginCapabilitiesResponse_Closure reply,
                                    void *call)
{
    Csi__V1__GetPluginCapabilitiesResponse out = CSI__V1__GET_PLUGIN_CAPABILITIES_RESPONSE__INIT;
    struct error err = { 0 };

    (void)service;
    (void)in;
    if (FAULT("identity.capabilities", &err) < 0)
        rpc_fail(call, &err);
    else
        reply(&out, call);
}

/* Ready once recovery has ended and records can be kept. Never depends on a provider or store: a
 * restart of this program would not bring them back. That a tmpfs can be mounted was shown at
 * start. */
static void probe(Csi__V1__Identity_Service *service, const Csi__V1__ProbeRequest *in,
                  Csi__V1__ProbeResponse_Closure reply, void *call)
{
    const struct identity *self = (const struct identity *)service;
    Csi__V1__ProbeResponse out = CSI__V1__PROBE_RESPONSE__INIT;
    Google__Protobuf__BoolValue ready = GOOGLE__PROTOBUF__BOOL_VALUE__INIT;
    struct error err = { 0 };

    (void)in;
    if (FAULT("identity.probe", &err) < 0 || state_check(&self->app->state, &err) < 0) {
        err.code = CODE_FAILED_PRECONDITION;
        rpc_fail(call, &err);
        return;
    }
    ready.value = self->app->ready;
    out.ready = &ready;
    reply(&out, call);
}

void identity_init(struct identity *identity, const char *driver_name, struct lifecycle *app)
{
    *identity = (struct identity){
        .service.base = CSI__V1__IDENTITY__BASE_INIT,
        .service.get_plugin_info = get_plugin_info,
        .service.get_plugin_capabilities = get_plugin_capabilities,
        .service.probe = probe,
        .driver_name = driver_name,
        .app = app,
    };
}
