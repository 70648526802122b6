/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/audit_line.h"

#include <inttypes.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/json.h"

enum {
    NS_PER_MS = 1000000,
    TAIL_MAX = 256, /* what follows the objects: the count of those left out, digits */
    ROOM = CHAIN_LINE_MAX - CHAIN_FRAME_MAX - TAIL_MAX,
};

/* Most bytes that JSON makes of one character. */
static size_t cost(const char *text, size_t used)
{
    unsigned char c = (unsigned char)*text;

    if (c < 0x20 || c == '<' || c == '>' || c == '&' || used == 3) /* three: U+2028 is one */
        return sizeof("\\u0000") - 1;
    return c == '"' || c == '\\' ? 2 : used;
}

/* Bytes that are no UTF-8 become '?'. */
static void add_text(struct strbuf *out, const char *text)
{
    struct strbuf clean CLEANUP(strbuf_done) = { 0 };
    size_t left = strlen(text);
    size_t room = AUDIT_TEXT_MAX;

    while (left) {
        size_t used = utf8_next(text, left);
        size_t costs = used ? cost(text, used) : 1;

        if (costs > room)
            break;
        strbuf_add(&clean, used ? text : "?", used ? used : 1);
        room -= costs;
        text += used ? used : 1;
        left -= used ? used : 1;
    }
    json_add_text(out, strbuf_text(&clean), clean.len);
}

static void add_member(struct strbuf *out, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    strbuf_printf(out, ",\"%s\":", name);
    add_text(out, text);
}

static void add_number(struct strbuf *out, const char *name, int64_t number)
{
    if (number)
        strbuf_printf(out, ",\"%s\":%" PRId64, name, number);
}

static int64_t now_unix_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * MS_PER_S * NS_PER_MS + now.tv_nsec;
}

/* RFC 3339 with nanoseconds. */
static void begin(const struct audit_place *place, const char *event, int64_t unix_ns,
                  struct strbuf *out)
{
    char stamp[CLOCK_STAMP_MAX];

    stamp_format(unix_ns / NS_PER_MS, stamp);
    stamp[strcspn(stamp, "Z")] = '\0';
    strbuf_printf(out, "\"time\":\"%s%06dZ\",\"event\":\"%s\"", stamp, (int)(unix_ns % NS_PER_MS),
                  event);
    add_member(out, "cluster", place->cluster);
    add_member(out, "node", place->node);
}

void audit_line_begin(const struct audit_place *place, const char *event, struct strbuf *out)
{
    begin(place, event, now_unix_ns(), out);
}

static const char *const events[] = {
    [AUDIT_PUBLISH] = "publish",  [AUDIT_REPUBLISH] = "republish", [AUDIT_ROTATE] = "rotate",
    [AUDIT_SYNC] = "sync",        [AUDIT_UNPUBLISH] = "unpublish", [AUDIT_REVOKE] = "revoke",
    [AUDIT_DENY] = "policy-deny",
};

/* The texts of an entry, in the order of the line. */
static const struct {
    const char *name;
    size_t offset;
} members[] = {
    { "namespace", offsetof(struct audit_entry, pod_ns) },
    { "pod", offsetof(struct audit_entry, pod_name) },
    { "pod_uid", offsetof(struct audit_entry, pod_uid) },
    { "service_account", offsetof(struct audit_entry, service_account) },
    { "owner", offsetof(struct audit_entry, owner) },
    { "credential", offsetof(struct audit_entry, credential) },
    { "volume", offsetof(struct audit_entry, volume_id) },
    { "class", offsetof(struct audit_entry, class_name) },
    { "provider", offsetof(struct audit_entry, provider) },
    { "store", offsetof(struct audit_entry, store) },
    { "secret", offsetof(struct audit_entry, secret) },
    { "auth_method", offsetof(struct audit_entry, auth_method) },
    { "role", offsetof(struct audit_entry, role) },
    { "peer", offsetof(struct audit_entry, peer) },
    { "request", offsetof(struct audit_entry, request_id) },
};

static const char *text_at(const struct audit_entry *entry, size_t offset)
{
    const char *text;

    memcpy(&text, (const char *)entry + offset, sizeof(text));
    return text;
}

static int64_t bytes_of(const struct audit_object *o)
{
    return o->value ? (int64_t)o->value->len : o->bytes;
}

static void add_object(struct strbuf *out, const struct audit_object *o,
                       const struct chain_key *key)
{
    char digest[CHAIN_HASH_TEXT];

    strbuf_add_text(out, "{\"name\":");
    add_text(out, o->name ? o->name : "");
    add_member(out, "path", o->path);
    add_member(out, "version", o->version);
    add_number(out, "bytes", bytes_of(o));
    if (key && o->value && chain_digest(key, o->value->bytes, o->value->len, digest, NULL) == 0)
        add_member(out, "digest", digest);
    strbuf_add_char(out, '}');
}

/* As many as fit: whoever has thousands of files still gets a line. */
static void add_objects(struct strbuf *out, const struct audit_entry *entry,
                        const struct chain_key *key)
{
    struct strbuf one CLEANUP(strbuf_done) = { 0 };
    int64_t bytes = 0;
    size_t told = 0;

    if (!entry->object_count)
        return;
    strbuf_add_text(out, ",\"objects\":[");
    for (; told < entry->object_count; told++) {
        strbuf_reset(&one);
        add_object(&one, &entry->objects[told], key);
        if (out->len + one.len + 1 > ROOM)
            break;
        if (told)
            strbuf_add_char(out, ',');
        strbuf_add(out, one.text, one.len);
    }
    strbuf_add_char(out, ']');
    for (size_t i = 0; i < entry->object_count; i++)
        bytes += bytes_of(&entry->objects[i]);
    add_number(out, "objects_left_out", (int64_t)(entry->object_count - told));
    add_number(out, "files", (int64_t)entry->object_count);
    add_number(out, "bytes", bytes);
}

void audit_line_write(const struct audit_place *place, const struct audit_entry *entry,
                      const struct chain_key *key, struct strbuf *out)
{
    begin(place, events[entry->event],
          entry->when_unix_ns > 0 ? entry->when_unix_ns : now_unix_ns(), out);
    for (size_t i = 0; i < COUNT_OF(members); i++)
        add_member(out, members[i].name, text_at(entry, members[i].offset));
    strbuf_printf(out, ",\"code\":\"%s\"", code_name(entry->err ? entry->err->code : CODE_OK));
    if (entry->err)
        add_member(out, "error", entry->err->msg);
    strbuf_printf(out, ",\"took_ms\":%" PRId64, entry->took_ms);
    add_number(out, "generation", entry->generation);
    add_objects(out, entry, key);
}
