/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/publish_request.h"

const char *publish_request_get(const struct publish_request *req, const char *key)
{
    const char *value = pairs_get(&req->attributes, key);

    return value ? value : "";
}
