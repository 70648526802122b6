/* SPDX-License-Identifier: Apache-2.0
 *
 * message_json.h - any protobuf message as JSON, by its descriptor: names as in the .proto,
 * numbers as numbers, maps as objects, every field there even when it is empty.
 */
#ifndef LOCKET_CTL_MESSAGE_JSON_H
#define LOCKET_CTL_MESSAGE_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "lib/base/strbuf.h"

/* Appends it. Bytes, enums and floating point are not in the admin service and become null. */
void message_json(const ProtobufCMessage *message, struct strbuf *out);

#endif
