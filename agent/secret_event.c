/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secret_event.h"

#include "lib/base/log.h"

static const enum event_reason reasons[] = {
    [SECRET_FAILED] = EVENT_SYNC_FAILED,     [SECRET_APPLIED] = EVENT_SECRET_SYNCED,
    [SECRET_KEPT] = EVENT_SECRET_SYNCED,     [SECRET_YIELDED] = EVENT_SECRET_SYNCED,
    [SECRET_REFUSED] = EVENT_SECRET_FOREIGN, [SECRET_DENIED] = EVENT_SECRET_DENIED,
    [SECRET_INVALID] = EVENT_SECRET_INVALID,
};

/* What goes on meanwhile, and when it is tried again. */
static const char *const outlooks[] = {
    [SECRET_FAILED] = "the Secret stays as it is; tried again until it works",
    [SECRET_REFUSED] = "the Secret stays as it is; looked at again within the hour",
    [SECRET_DENIED] = ("the Secret stays as it is; tried again with the next version, or within "
                       "the hour"),
    [SECRET_INVALID] = "the Secret stays as it is until class or content are mended",
};

static char *words_of(const struct secret_event *e)
{
    if (!e->err)
        return str_printf("Secret %s of class %s is as the class wishes again", e->secret,
                          e->class_name);
    return str_printf("Secret %s of class %s: %s; %s", e->secret, e->class_name, e->err->msg,
                      outlooks[e->result]);
}

void secret_event(struct events *events, const struct secret_event *e)
{
    autofree char *secret = str_printf("%s/%s", e->ns, e->secret);
    autofree char *words = words_of(e);
    const struct event event = { .reason = reasons[e->result],
                                 .ns = e->ns,
                                 .name = e->pod_name,
                                 .uid = e->pod_uid,
                                 .text = words,
                                 .series = e->err ? NULL : e->secret };

    log_event(e->err ? LOG_WARN : LOG_INFO,
              e->err ? "a Secret is not as its class wishes" : "a Secret is synced again",
              WITH_TEXT(KEY_SECRET, secret), WITH_TEXT(KEY_CLASS, e->class_name),
              WITH_TEXT(KEY_POD, e->pod_name), WITH_TEXT(KEY_STATE, secret_result_name(e->result)),
              WITH_TEXT(KEY_CODE, e->err ? code_name(e->err->code) : ""),
              WITH_TEXT(KEY_ERROR, e->err ? e->err->msg : ""));
    events_put(events, &event);
}
