/* SPDX-License-Identifier: Apache-2.0
 *
 * wire.h - bytes to protobuf-c messages, after a check that protobuf-c does not make: NUL bytes and
 * bad UTF-8 in strings, depth, number of fields. Messages wipe what they free.
 */
#ifndef LOCKET_NET_WIRE_H
#define LOCKET_NET_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "lib/base/error.h"

enum {
    WIRE_FIELDS_MAX = 20000, /* of one message: 2-byte map entries would inflate 30-fold */
    WIRE_DEPTH_MAX = 32,
};

/* Checks and unpacks. Ownership: the caller, by wire_free. INVALID_ARGUMENT naming message and
 * field. */
must_check int wire_unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                           ProtobufCMessage **ret, struct error *err);

/* Wipes and frees a message of wire_unpack. NULL is fine. */
void wire_free(ProtobufCMessage *message);

#endif
