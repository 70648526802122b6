/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/message_json.h"

#include <inttypes.h>

#include "lib/base/json.h"

static void add_name(struct strbuf *out, const char *name)
{
    json_add_text(out, name, strlen(name));
    strbuf_add_char(out, ':');
}

static void add_value(const ProtobufCFieldDescriptor *field, const void *at, struct strbuf *out)
{
    const char *text;

    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        memcpy(&text, at, sizeof(text));
        json_add_text(out, text ? text : "", text ? strlen(text) : 0);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        strbuf_add_text(out, *(const protobuf_c_boolean *)at ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_INT64:
        strbuf_printf(out, "%" PRId64, *(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
        strbuf_printf(out, "%" PRIu64, *(const uint64_t *)at);
        break;
    case PROTOBUF_C_TYPE_INT32:
        strbuf_printf(out, "%" PRId32, *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        strbuf_printf(out, "%" PRIu32, *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        if (*(ProtobufCMessage *const *)at)
            message_json(*(ProtobufCMessage *const *)at, out);
        else
            strbuf_add_text(out, "null");
        break;
    default:
        strbuf_add_text(out, "null");
    }
}

/* protoc makes a message XEntry of key and value for each map field. */
static bool is_map(const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *entry = field->descriptor;

    return field->label == PROTOBUF_C_LABEL_REPEATED && field->type == PROTOBUF_C_TYPE_MESSAGE &&
           entry->n_fields == 2 && str_ends(entry->short_name, "Entry") &&
           strcmp(entry->fields[0].name, "key") == 0;
}

static void add_entry(const ProtobufCMessage *entry, struct strbuf *out)
{
    const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
    const char *bytes = (const char *)entry;

    add_value(&fields[0], bytes + fields[0].offset, out);
    strbuf_add_char(out, ':');
    add_value(&fields[1], bytes + fields[1].offset, out);
}

static void add_repeated(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                         struct strbuf *out)
{
    const char *bytes = (const char *)message;
    size_t size = field->type == PROTOBUF_C_TYPE_BOOL ? sizeof(protobuf_c_boolean) : sizeof(void *);
    const char *items;
    size_t count;

    if (field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_UINT32)
        size = sizeof(int32_t);
    memcpy(&count, bytes + field->quantifier_offset, sizeof(count));
    memcpy(&items, bytes + field->offset, sizeof(items));
    strbuf_add_char(out, is_map(field) ? '{' : '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            strbuf_add_char(out, ',');
        if (is_map(field))
            add_entry(((ProtobufCMessage *const *)(const void *)items)[i], out);
        else
            add_value(field, items + i * size, out);
    }
    strbuf_add_char(out, is_map(field) ? '}' : ']');
}

void message_json(const ProtobufCMessage *message, struct strbuf *out)
{
    const ProtobufCMessageDescriptor *d = message->descriptor;

    strbuf_add_char(out, '{');
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &d->fields[i];

        if (i)
            strbuf_add_char(out, ',');
        add_name(out, field->name);
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            add_repeated(message, field, out);
        else
            add_value(field, (const char *)message + field->offset, out);
    }
    strbuf_add_char(out, '}');
}
