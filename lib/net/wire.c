/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/net/wire.h"

#include "lib/base/encode.h"
#include "lib/base/secret.h"

/* Every block carries its size in front, so that free knows how much to wipe. */
static void *wiping_alloc(void *data, size_t size)
{
    size_t *block = xcalloc(1, size + 2 * sizeof(size_t));

    (void)data;
    *block = size;
    return block + 2;
}

static void wiping_free(void *data, void *p)
{
    size_t *block = p;

    (void)data;
    if (block)
        wipe_free(block - 2, *(block - 2) + 2 * sizeof(size_t));
}

static ProtobufCAllocator wiping = { .alloc = wiping_alloc, .free = wiping_free };

struct check {
    size_t fields;
    int depth;
};

struct span {
    const uint8_t *at;
    const uint8_t *end;
};

/* Source: protobuf.dev/programming-guides/encoding. */
static bool read_varint(struct span *s, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70 && s->at < s->end; shift += 7) {
        uint8_t byte = *s->at++;

        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool skip_bytes(struct span *s, uint64_t len)
{
    if (len > (uint64_t)(s->end - s->at))
        return false;
    s->at += len;
    return true;
}

static int wrong(const ProtobufCMessageDescriptor *type, const char *field, const char *what,
                 struct error *err)
{
    return error_set(err, CODE_INVALID_ARGUMENT, "%s%s%s: %s", type->name, field ? "." : "",
                     field ? field : "", what);
}

static int check_message(struct check *c, const ProtobufCMessageDescriptor *type, struct span s,
                         struct error *err);

static int check_bytes(struct check *c, const ProtobufCMessageDescriptor *type,
                       const ProtobufCFieldDescriptor *field, struct span in, struct error *err)
{
    size_t len = (size_t)(in.end - in.at);
    int result;

    if (!field)
        return 0;
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        if (len && memchr(in.at, '\0', len))
            return wrong(type, field->name, "a NUL byte inside text", err);
        if (!utf8_is_valid(in.at, len))
            return wrong(type, field->name, "text is not UTF-8", err);
    }
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return 0;
    if (++c->depth > WIRE_DEPTH_MAX)
        return wrong(type, field->name, "messages nested deeper than 32", err);
    result = check_message(c, field->descriptor, in, err);
    c->depth--;
    return result;
}

static int check_field(struct check *c, const ProtobufCMessageDescriptor *type, struct span *s,
                       struct error *err)
{
    const ProtobufCFieldDescriptor *field;
    uint64_t tag = 0;
    uint64_t value = 0;
    struct span in;
    bool whole;

    if (!read_varint(s, &tag))
        return wrong(type, NULL, "not a protobuf message", err);
    field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
    switch (tag & 7) {
    case 0:
        whole = read_varint(s, &value);
        break;
    case 1:
        whole = skip_bytes(s, 8);
        break;
    case 2:
        whole = read_varint(s, &value);
        in.at = s->at;
        if (!whole || !skip_bytes(s, value))
            return wrong(type, NULL, "not a protobuf message", err);
        in.end = s->at;
        return check_bytes(c, type, field, in, err);
    case 5:
        whole = skip_bytes(s, 4);
        break;
    default:
        whole = false;
    }
    return whole ? 0 : wrong(type, NULL, "not a protobuf message", err);
}

static int check_message(struct check *c, const ProtobufCMessageDescriptor *type, struct span s,
                         struct error *err)
{
    while (s.at < s.end) {
        if (++c->fields > WIRE_FIELDS_MAX) {
            error_set(err, CODE_RESOURCE_EXHAUSTED, "%s: more than %d fields", type->name,
                      WIRE_FIELDS_MAX);
            return -1;
        }
        if (check_field(c, type, &s, err) < 0)
            return -1;
    }
    return 0;
}

int wire_unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                ProtobufCMessage **ret, struct error *err)
{
    struct check c = { 0 };
    struct span all = { .at = bytes, .end = (const uint8_t *)bytes + len };
    ProtobufCMessage *message;

    if (check_message(&c, type, all, err) < 0)
        return -1;
    message = protobuf_c_message_unpack(type, &wiping, len, bytes);
    if (!message)
        return wrong(type, NULL, "not a protobuf message", err);
    *ret = message;
    return 0;
}

void wire_free(ProtobufCMessage *message)
{
    if (message)
        protobuf_c_message_free_unpacked(message, &wiping);
}
