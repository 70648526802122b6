/* SPDX-License-Identifier: Apache-2.0 */
#include "csi/csi.pb-c.h"
#include "lib/base/strbuf.h"
#include "lib/net/wire.h"
#include "tests/check.h"

#define REQUEST csi__v1__node_publish_volume_request__descriptor

static const struct {
    const char *says;
    const char *bytes;
    size_t len;
    enum code code;
    const char *word;
} rows[] = {
    { "an empty message is a message", "", 0, CODE_OK, "" },
    { "text",
      "\x0a\x03"
      "abc",
      5, CODE_OK, "" },
    { "a NUL inside text would cut it",
      "\x0a\x03"
      "a\0c",
      5, CODE_INVALID_ARGUMENT, "volume_id" },
    { "text must be UTF-8", "\x0a\x02\xff\xfe", 4, CODE_INVALID_ARGUMENT, "volume_id" },
    { "a surrogate is no UTF-8", "\x0a\x03\xed\xa0\x80", 5, CODE_INVALID_ARGUMENT, "UTF-8" },
    { "NUL in a nested map value", "\x42\x06\x0a\x01k\x12\x01\0", 8, CODE_INVALID_ARGUMENT,
      "value" },
    { "a length past the end",
      "\x0a\x7f"
      "abc",
      5, CODE_INVALID_ARGUMENT, "not a protobuf" },
    { "a varint without an end", "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11,
      CODE_INVALID_ARGUMENT, "not a protobuf" },
    { "a group, which proto3 has not", "\x0b", 1, CODE_INVALID_ARGUMENT, "not a protobuf" },
    { "an unknown field is skipped", "\xfa\x7f\x01x", 4, CODE_OK, "" },
    { "half a tag", "\x80", 1, CODE_INVALID_ARGUMENT, "not a protobuf" },
};

static void messages_are_checked_before_they_are_unpacked(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err = { 0 };
        ProtobufCMessage *message = NULL;
        int result = wire_unpack(&REQUEST, rows[i].bytes, rows[i].len, &message, &err);

        if (err.code != rows[i].code || (result == 0) != (rows[i].code == CODE_OK) ||
            !strstr(err.msg, rows[i].word))
            fail_msg("%s: %s %s", rows[i].says, code_name(err.code), err.msg);
        wire_free(message);
    }
}

static void more_fields_than_the_ceiling_are_refused(void **state)
{
    struct strbuf many CLEANUP(strbuf_done) = { 0 };
    struct error err = { 0 };
    ProtobufCMessage *message = NULL;

    (void)state;
    for (int i = 0; i < WIRE_FIELDS_MAX; i++)
        strbuf_add(&many, "\x42\x00", 2); /* an empty map entry: two bytes become sixty */
    assert_int_equal(wire_unpack(&REQUEST, many.text, many.len, &message, &err), 0);
    wire_free(message);
    strbuf_add(&many, "\x42\x00", 2);
    assert_int_equal(wire_unpack(&REQUEST, many.text, many.len, &message, &err), -1);
    assert_int_equal(err.code, CODE_RESOURCE_EXHAUSTED);
}

/* --- depth: none of our messages holds itself, so one that does is described here --- */

struct nest {
    ProtobufCMessage base;
    struct nest *inner;
};

static const ProtobufCMessageDescriptor nest_descriptor;

static void nest_init(ProtobufCMessage *message)
{
    *(struct nest *)message = (struct nest){ .base.descriptor = &nest_descriptor };
}

static const ProtobufCFieldDescriptor nest_fields[] = { {
    .name = "inner",
    .id = 1,
    .label = PROTOBUF_C_LABEL_NONE,
    .type = PROTOBUF_C_TYPE_MESSAGE,
    .offset = offsetof(struct nest, inner),
    .descriptor = &nest_descriptor,
} };
static const unsigned nest_by_name[] = { 0 };
static const ProtobufCIntRange nest_ranges[] = { { 1, 0 }, { 0, 1 } };
static const ProtobufCMessageDescriptor nest_descriptor = {
    .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
    .name = "test.Nest",
    .sizeof_message = sizeof(struct nest),
    .n_fields = 1,
    .fields = nest_fields,
    .fields_sorted_by_name = nest_by_name,
    .n_field_ranges = 1,
    .field_ranges = nest_ranges,
    .message_init = nest_init,
};

static const struct {
    const char *says;
    int depth;
    enum code code;
} depths[] = {
    { "as deep as allowed", WIRE_DEPTH_MAX, CODE_OK },
    { "one deeper", WIRE_DEPTH_MAX + 1, CODE_INVALID_ARGUMENT },
    { "far deeper", 60, CODE_INVALID_ARGUMENT },
};

static void messages_nested_too_deep_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(depths); i++) {
        uint8_t bytes[2 * 64];
        size_t len = 0;
        struct error err = { 0 };
        ProtobufCMessage *message = NULL;

        for (int left = depths[i].depth; left > 0; left--) {
            bytes[len++] = 0x0a;
            bytes[len++] = (uint8_t)(2 * (left - 1));
        }
        (void)!wire_unpack(&nest_descriptor, bytes, len, &message, &err);
        if (err.code != depths[i].code || (message != NULL) != (err.code == CODE_OK))
            fail_msg("%s: %s %s", depths[i].says, code_name(err.code), err.msg);
        if (err.code)
            assert_non_null(strstr(err.msg, "test.Nest.inner"));
        wire_free(message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_checked_before_they_are_unpacked),
        cmocka_unit_test(more_fields_than_the_ceiling_are_refused),
        cmocka_unit_test(messages_nested_too_deep_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
