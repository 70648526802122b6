/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/event_object.h"

#include <ctype.h>
#include <inttypes.h>

#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"

#define NODE_NAMESPACE "default"

const struct event_row event_rows[EVENT_REASONS] = {
    [EVENT_ROTATED] = { "MountRotationComplete", "Normal", "Pod", NULL },
    [EVENT_ROTATION_FAILED] = { "MountRotationFailed", "Warning", "Pod", NULL },
    [EVENT_RECOVERED] = { "MountRotationRecovered", "Normal", "Pod", NULL },
    [EVENT_STALE] = { "SecretsStale", "Warning", "Pod", NULL },
    [EVENT_PROVIDER_AWAY] = { "ProviderUnavailable", "Warning", "Pod", NULL },
    [EVENT_PROVIDER_PEER] = { "ProviderPeerChanged", "Warning", "Pod", NULL },
    [EVENT_TOKEN_MISMATCH] = { "TokenMismatch", "Warning", "Pod", NULL },
    [EVENT_NO_CREDENTIALS] = { "WaitingForCredentials", "Warning", "Pod", NULL },
    [EVENT_REPUBLISH_OFF] = { "RepublishOff", "Warning", "Pod", NULL },
    [EVENT_CLASS_REFUSED] = { "SecretProviderClassRefused", "Warning", "Pod", NULL },
    [EVENT_SYNC_FAILED] = { "FailedToCreateSecret", "Warning", "Pod", NULL },
    [EVENT_SECRET_INVALID] = { "SecretInvalid", "Warning", "Pod", NULL },
    [EVENT_SECRET_FOREIGN] = { "SecretNotOurs", "Warning", "Pod", NULL },
    [EVENT_SECRET_DENIED] = { "SecretDenied", "Warning", "Pod", NULL },
    [EVENT_SECRET_SYNCED] = { "SecretSynced", "Normal", "Pod", NULL },
    [EVENT_AUDIT_HEAD] = { "AuditHead", "Normal", "Node", "locket.dev/audit-head" },
};

static const char *ns_of(const struct event *event)
{
    return event->ns ? event->ns : NODE_NAMESPACE;
}

int event_object_name(const struct event *event, char **ret, struct error *err)
{
    const char *reason = event_rows[event->reason].reason;
    size_t keep = strnlen(event->name, EVENT_NAME_MAX - 1 - (size_t)2 * EVENT_ID_BYTES);
    struct strbuf same autostrbuf = { 0 };
    struct strbuf out autostrbuf = { 0 };
    uint8_t digest[SHA256_BYTES];

    strbuf_printf(&same, "%s\n%s\n%c%s", event->uid, reason, event->series ? 's' : 't',
                  event->series ? event->series : event->text);
    if (sha256(same.text, same.len, digest, err) < 0)
        return -1;
    while (keep && !isalnum((unsigned char)event->name[keep - 1]))
        keep--; /* no label of a name may end with '-' or '.' */
    strbuf_add(&out, event->name, keep);
    strbuf_add_char(&out, '.');
    hex_encode(&out, digest, EVENT_ID_BYTES);
    *ret = strbuf_take(&out);
    return 0;
}

char *event_object_path(const struct event *event)
{
    return str_printf("/api/v1/namespaces/%s/events", ns_of(event));
}

static void add(struct strbuf *out, const char *before, const char *text)
{
    strbuf_add_text(out, before);
    json_add_text(out, text, strlen(text));
}

/* As much of it as fits, cut between characters; what is no UTF-8 becomes '?'. */
static void add_message(struct strbuf *out, const char *text)
{
    struct strbuf clean autostrbuf = { 0 };
    size_t left = strlen(text);

    while (left) {
        size_t used = utf8_next(text, left);
        size_t bytes = used ? used : 1;

        if (clean.len + bytes > EVENT_TEXT_MAX)
            break;
        strbuf_add(&clean, used ? text : "?", bytes);
        text += bytes;
        left -= bytes;
    }
    add(out, "\"message\":", strbuf_text(&clean));
}

static void add_note(struct strbuf *out, const char *before, const struct event *event)
{
    if (!event->note)
        return;
    add(out, before, event_rows[event->reason].annotation);
    add(out, ":", event->note);
    strbuf_add_char(out, '}');
}

void event_object_write(const struct event *event, const char *name, const char *node,
                        const char *when, struct strbuf *out)
{
    const struct event_row *row = &event_rows[event->reason];

    add(out, "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":", name);
    add(out, ",\"namespace\":", ns_of(event));
    add_note(out, ",\"annotations\":{", event);
    add(out, "},\"involvedObject\":{\"apiVersion\":\"v1\",\"kind\":", row->kind);
    if (event->ns)
        add(out, ",\"namespace\":", event->ns);
    add(out, ",\"name\":", event->name);
    add(out, ",\"uid\":", event->uid);
    add(out, "},\"reason\":", row->reason);
    add(out, ",\"type\":", row->type);
    strbuf_add_char(out, ',');
    add_message(out, event->text);
    add(out, ",\"source\":{\"component\":\"" EVENT_COMPONENT "\",\"host\":", node);
    add(out, "},\"reportingComponent\":\"" EVENT_COMPONENT "\",\"reportingInstance\":", node);
    add(out, ",\"firstTimestamp\":", when);
    add(out, ",\"lastTimestamp\":", when);
    strbuf_add_text(out, ",\"count\":1}");
}

void event_object_repeat(const struct event *event, const char *when, int64_t count,
                         struct strbuf *out)
{
    strbuf_add_char(out, '{');
    add_message(out, event->text);
    add(out, ",\"lastTimestamp\":", when);
    if (count)
        strbuf_printf(out, ",\"count\":%" PRId64, count);
    add_note(out, ",\"metadata\":{\"annotations\":{", event);
    strbuf_add_text(out, event->note ? "}}" : "}");
}
