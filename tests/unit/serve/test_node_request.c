/* SPDX-License-Identifier: Apache-2.0
 *
 * The ceilings of what a publish carries, at them and one byte above.
 */
#include "driver/serve/node_request.h"
#include "tests/check.h"

static const struct {
    const char *says;
    size_t value_bytes;
    size_t secret_bytes;
    int result;
} rows[] = {
    { "the largest", CONTEXT_BYTES_MAX, CONTEXT_BYTES_MAX, 0 },
    { "an attribute over the ceiling", CONTEXT_BYTES_MAX + 1, 1, -1 },
    { "a secret over the ceiling", 1, CONTEXT_BYTES_MAX + 1, -1 },
};

static char *text_of(size_t len)
{
    char *text = xcalloc(len + 1, 1);

    memset(text, 'x', len);
    return text;
}

static int read_one(size_t value_bytes, size_t secret_bytes, struct error *err)
{
    autofree char *text = text_of(value_bytes);
    autofree char *secret_text = text_of(secret_bytes);
    Csi__V1__NodePublishVolumeRequest__VolumeContextEntry class =
        CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__VOLUME_CONTEXT_ENTRY__INIT;
    Csi__V1__NodePublishVolumeRequest__VolumeContextEntry value = class;
    Csi__V1__NodePublishVolumeRequest__VolumeContextEntry *context[] = { &class, &value };
    Csi__V1__NodePublishVolumeRequest__SecretsEntry secret =
        CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__SECRETS_ENTRY__INIT;
    Csi__V1__NodePublishVolumeRequest__SecretsEntry *secrets[] = { &secret };
    Csi__V1__VolumeCapability capability = CSI__V1__VOLUME_CAPABILITY__INIT;
    Csi__V1__NodePublishVolumeRequest in = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
    struct publish_request req = { 0 };
    int result;

    class.key = (char *)CONTEXT_CLASS;
    class.value = (char *)"app";
    value.key = secret.key = (char *)"k";
    value.value = text;
    secret.value = secret_text;
    in.volume_id = (char *)"csi-1";
    in.target_path = (char *)"/t";
    in.volume_capability = &capability;
    in.n_volume_context = COUNT_OF(context);
    in.volume_context = context;
    in.n_secrets = COUNT_OF(secrets);
    in.secrets = secrets;
    result = node_request_read(&in, false, &req, err);
    node_request_done(&req);
    return result;
}

static void what_is_over_a_ceiling_is_refused_with_its_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err = { 0 };

        if (read_one(rows[i].value_bytes, rows[i].secret_bytes, &err) != rows[i].result ||
            (rows[i].result < 0 && !strstr(err.msg, "at most 1 MiB")))
            fail_msg("%s: %s", rows[i].says, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_over_a_ceiling_is_refused_with_its_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
