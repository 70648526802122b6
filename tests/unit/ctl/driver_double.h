/* SPDX-License-Identifier: Apache-2.0
 *
 * driver_double.h - a driver that answers locketctl, and notes what it was asked.
 */
#ifndef LOCKET_TESTS_UNIT_CTL_DRIVER_DOUBLE_H
#define LOCKET_TESTS_UNIT_CTL_DRIVER_DOUBLE_H

#include <pthread.h>

#include "csi/csi.pb-c.h"
#include "lib/base/strbuf.h"
#include "lib/net/rpc_server.h"
#include "locket/admin.pb-c.h"

/* What the driver was asked last, and what it is to answer. */
static struct {
    struct strbuf publish; /* as text, in the order of the maps */
    char *unpublished;
    char *refreshed;
    struct error refusal; /* code OK: none */
} driver;

/* Orders the test's thread and the driver's: TSan sees nothing of what gRPC does between them. */
static inline void in_turn(void)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

    (void)pthread_mutex_lock(&turn);
    (void)pthread_mutex_unlock(&turn);
}

static inline void publish(Csi__V1__Node_Service *service,
                           const Csi__V1__NodePublishVolumeRequest *in,
                           Csi__V1__NodePublishVolumeResponse_Closure reply, void *call)
{
    Csi__V1__NodePublishVolumeResponse out = CSI__V1__NODE_PUBLISH_VOLUME_RESPONSE__INIT;
    struct error refusal;

    (void)service;
    in_turn();
    strbuf_reset(&driver.publish);
    strbuf_printf(&driver.publish, "id=%s target=%s readonly=%d mode=%d group=%s\n", in->volume_id,
                  in->target_path, in->readonly, in->volume_capability->access_mode->mode,
                  in->volume_capability->mount->volume_mount_group);
    for (size_t i = 0; i < in->n_volume_context; i++)
        strbuf_printf(&driver.publish, "%s=%s\n", in->volume_context[i]->key,
                      in->volume_context[i]->value);
    for (size_t i = 0; i < in->n_secrets; i++)
        strbuf_printf(&driver.publish, "secret %s=%s\n", in->secrets[i]->key,
                      in->secrets[i]->value);
    refusal = driver.refusal;
    in_turn();
    if (refusal.code)
        rpc_fail(call, &refusal);
    else
        reply(&out, call);
}

static inline void unpublish(Csi__V1__Node_Service *service,
                             const Csi__V1__NodeUnpublishVolumeRequest *in,
                             Csi__V1__NodeUnpublishVolumeResponse_Closure reply, void *call)
{
    Csi__V1__NodeUnpublishVolumeResponse out = CSI__V1__NODE_UNPUBLISH_VOLUME_RESPONSE__INIT;

    (void)service;
    in_turn();
    free(driver.unpublished);
    driver.unpublished = str_printf("%s %s", in->volume_id, in->target_path);
    in_turn();
    reply(&out, call);
}

static inline void list(Locket__Admin__V1__Admin_Service *service,
                        const Locket__Admin__V1__ListRequest *in,
                        Locket__Admin__V1__ListResponse_Closure reply, void *call)
{
    Locket__Admin__V1__ListResponse out = LOCKET__ADMIN__V1__LIST_RESPONSE__INIT;
    Locket__Admin__V1__Volume v = LOCKET__ADMIN__V1__VOLUME__INIT;
    Locket__Admin__V1__Volume *volumes[] = { &v };

    (void)service;
    (void)in;
    v.volume_id = (char *)"csi-1";
    v.target = (char *)"/nowhere/target";
    v.pod_namespace = (char *)"shop";
    v.pod_name = (char *)"web";
    v.class_name = (char *)"app";
    v.provider = (char *)"vault";
    v.state = (char *)"idle";
    v.generation = 3;
    v.next_due_ms = -1;
    v.last_error = (char *)"403: permission\033[2J denied";
    out.n_volumes = 1;
    out.volumes = volumes;
    reply(&out, call);
}

static inline void status(Locket__Admin__V1__Admin_Service *service,
                          const Locket__Admin__V1__StatusRequest *in,
                          Locket__Admin__V1__StatusResponse_Closure reply, void *call)
{
    Locket__Admin__V1__StatusResponse out = LOCKET__ADMIN__V1__STATUS_RESPONSE__INIT;
    Locket__Admin__V1__Provider p = LOCKET__ADMIN__V1__PROVIDER__INIT;
    Locket__Admin__V1__Provider *providers[] = { &p };

    (void)service;
    (void)in;
    p.name = (char *)"vault";
    p.socket = (char *)"/run/v.sock";
    p.peer_uid = 65532;
    p.connected = 1;
    out.version = (char *)"9.8.7";
    out.budget_bytes = 64 << 20;
    out.budget_used_bytes = 8 << 20;
    out.rotation_enabled = 1;
    out.rotation_interval_ms = 120000;
    out.registration = (char *)"registered";
    out.n_providers = 1;
    out.providers = providers;
    reply(&out, call);
}

static inline void refresh(Locket__Admin__V1__Admin_Service *service,
                           const Locket__Admin__V1__RefreshRequest *in,
                           Locket__Admin__V1__RefreshResponse_Closure reply, void *call)
{
    Locket__Admin__V1__RefreshResponse out = LOCKET__ADMIN__V1__REFRESH_RESPONSE__INIT;
    Locket__Admin__V1__RefreshResult good = LOCKET__ADMIN__V1__REFRESH_RESULT__INIT;
    Locket__Admin__V1__RefreshResult bad = LOCKET__ADMIN__V1__REFRESH_RESULT__INIT;
    Locket__Admin__V1__RefreshResult *results[] = { &good, &bad };

    (void)service;
    in_turn();
    free(driver.refreshed);
    driver.refreshed =
        str_printf("volume=%s class=%s/%s pod=%s/%s", in->volume_id, in->class_namespace,
                   in->class_name, in->pod_namespace, in->pod_name);
    good.volume_id = (char *)"csi-1";
    good.code = (char *)"OK";
    good.changed = 1;
    bad.volume_id = (char *)"csi-2";
    bad.code = (char *)"UNAVAILABLE";
    bad.text = (char *)"the store is away";
    out.n_results = driver.refusal.code ? 2 : 1;
    out.results = results;
    in_turn();
    reply(&out, call);
}

static inline void metrics(Locket__Admin__V1__Admin_Service *service,
                           const Locket__Admin__V1__MetricsRequest *in,
                           Locket__Admin__V1__MetricsResponse_Closure reply, void *call)
{
    Locket__Admin__V1__MetricsResponse out = LOCKET__ADMIN__V1__METRICS_RESPONSE__INIT;

    (void)service;
    (void)in;
    out.text = (char *)"# TYPE a counter\na 1\n";
    reply(&out, call);
}

static inline void doctor(Locket__Admin__V1__Admin_Service *service,
                          const Locket__Admin__V1__DoctorRequest *in,
                          Locket__Admin__V1__DoctorResponse_Closure reply, void *call)
{
    Locket__Admin__V1__DoctorResponse out = LOCKET__ADMIN__V1__DOCTOR_RESPONSE__INIT;
    Locket__Admin__V1__Check c = LOCKET__ADMIN__V1__CHECK__INIT;
    Locket__Admin__V1__Check *checks[] = { &c };

    (void)service;
    (void)in;
    c.name = (char *)"state folder";
    c.detail = (char *)"cannot be written";
    c.remedy = (char *)"chmod it";
    out.n_checks = 1;
    out.checks = checks;
    reply(&out, call);
}

static Csi__V1__Node_Service node = {
    .base = CSI__V1__NODE__BASE_INIT,
    .node_publish_volume = publish,
    .node_unpublish_volume = unpublish,
};

static Locket__Admin__V1__Admin_Service admin = {
    .base = LOCKET__ADMIN__V1__ADMIN__BASE_INIT,
    .list = list,
    .status = status,
    .refresh = refresh,
    .metrics = metrics,
    .doctor = doctor,
};

#endif
