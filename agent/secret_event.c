/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_event.h"

#include "lib/base/log.h"

void secret_event(const struct secret_event *e)
{
    autofree char *secret = str_printf("%s/%s", e->ns, e->secret);

    log_event(e->err ? LOG_WARN : LOG_INFO,
              e->err ? "a Secret is not as its class wishes" : "a Secret is synced again",
              WITH_TEXT(KEY_SECRET, secret), WITH_TEXT(KEY_CLASS, e->class_name),
              WITH_TEXT(KEY_POD, e->pod_name), WITH_TEXT(KEY_STATE, secret_result_name(e->result)),
              WITH_TEXT(KEY_CODE, e->err ? code_name(e->err->code) : ""),
              WITH_TEXT(KEY_ERROR, e->err ? e->err->msg : ""));
}
