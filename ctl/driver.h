/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.h - one call to the driver, on its admin socket or its CSI socket.
 * Does not know what the calls mean.
 */
#ifndef LOCKET_CTL_DRIVER_H
#define LOCKET_CTL_DRIVER_H

#include <protobuf-c/protobuf-c.h>

#include "ctl/ctl.h"

/* A call to make; everything is borrowed. */
struct driver_call {
    const char *socket;
    int64_t timeout_ms;
    const char *method;
    const ProtobufCMessage *in;
};

/* Calls a method of the admin service. *ret: released with rpc_reply_free.
 * Errors: the driver's own; UNAVAILABLE naming the socket. */
must_check int driver_admin(const struct driver_call *call, ProtobufCMessage **ret,
                            struct error *err);

/* Calls a method of the CSI node service as kubelet would; the answer is empty and not kept. The
 * packed request is wiped. */
must_check int driver_node(const struct driver_call *call, struct error *err);

/* Prints an answer as one line of JSON. */
void driver_print_json(const struct ctl *ctl, const ProtobufCMessage *message);

/* --- a command that asks the driver one thing and shows the answer -----------------------------
 */

struct show_config {
    char *output;
    char *admin_socket;
    int64_t timeout_ms;
};

enum { SHOW_OPTIONS = 3 };
extern const struct option_row show_options[SHOW_OPTIONS];

struct show {
    const char *method; /* of the admin service */
    const ProtobufCMessage *in;
    void (*print)(const struct ctl *ctl, const ProtobufCMessage *answer); /* for people */
};

/* Asks and shows, as JSON where that is wished for. Errors: as driver_admin; an unknown output. */
must_check int driver_show(const struct ctl *ctl, const struct show_config *config,
                           const struct show *show, struct error *err);

#endif
