/* SPDX-License-Identifier: Apache-2.0
 *
 * floor_server.c - the least program: links what a program of ours links, serves one RPC. What it
 * takes is the floor that our programs' memory is measured against.
 *
 *     floor_server SOCKET [provider]
 */
#include <signal.h>
#include <stdio.h>

#include "csi/csi.pb-c.h"
#include "lib/net/rpc_server.h"

static void get_plugin_info(Csi__V1__Identity_Service *service,
                            const Csi__V1__GetPluginInfoRequest *in,
                            Csi__V1__GetPluginInfoResponse_Closure reply, void *call)
{
    Csi__V1__GetPluginInfoResponse out = CSI__V1__GET_PLUGIN_INFO_RESPONSE__INIT;

    (void)service;
    (void)in;
    out.name = (char *)"floor";
    reply(&out, call);
}

int main(int argc, char **argv)
{
    Csi__V1__Identity_Service service = { .base = CSI__V1__IDENTITY__BASE_INIT,
                                          .get_plugin_info = get_plugin_info };
    ProtobufCService *services[] = { &service.base };
    struct rpc_server_config config = { .services = services, .service_count = 1 };
    struct rpc_server *server = NULL;
    sigset_t set;
    int got = 0;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    rpc_process_setup();
    config.path = argc > 1 ? argv[1] : "";
    if (rpc_server_start(&config, &server, NULL) < 0)
        return 1;
    (void)sigwait(&set, &got);
    rpc_server_free(server, 100);
    return 0;
}
