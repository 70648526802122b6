/* SPDX-License-Identifier: Apache-2.0
 *
 * registration.h - makes this driver known to kubelet: a socket in the folder that kubelet's plugin
 * watcher looks at, kept there against others and made anew until kubelet confirms.
 * Does not know what the driver does. Source: kubelet's pluginregistration v1.
 */
#ifndef LOCKET_SERVE_REGISTRATION_H
#define LOCKET_SERVE_REGISTRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"

struct registration;

struct registration_config {
    const char *folder;      /* kubelet's plugins_registry, as this process sees it */
    const char *driver_name; /* the socket's name is <driver name>-reg.sock */
    const char *endpoint;    /* the CSI socket's path, as kubelet sees it */
    /* Per call, as rpc_server_config.ended. */
    void (*ended)(void *arg, const char *method, int64_t took_us, const struct error *err);
};

/* A registration that is not begun. What a driver that was killed has left in the socket's place is
 * unlinked: kubelet looks once a second, takes leave of the old one at one look and knows the new
 * one at a later, and the first may come before there is a new one. The texts of config are
 * borrowed for as long as it lives. Never fails. Ownership: registration_free. */
struct registration *registration_new(const struct registration_config *config);

/* Begins to register, on a thread of its own. Call it when the CSI socket is served: kubelet calls
 * that at once. Never fails: what cannot be made is logged and tried again after 1 s, 2 s and so on
 * up to 60 s.
 *
 * The socket is bound at a hidden name, which kubelet leaves alone, and renamed to its own: kubelet
 * sees one event, of a socket that answers. It is made anew, which alone makes kubelet ask again,
 *   - 0.1 s after its path was found to lead elsewhere: another registrar unlinks by path, and
 * binds then, which it may do. From the sixth time on, each within 10 s of the last, it is 0.5 s,
 * so that two that fight do not spin;
 *   - after NotifyRegistrationStatus(false), with that back-off;
 *   - when nobody called GetInfo for 60 s, until kubelet has confirmed it;
 *   - when kubelet called GetInfo and was silent for 150 s: its last word was lost, and it may not
 *     say it twice. */
void registration_start(struct registration *r);

enum { REGISTRATION_TEXT_MAX = 400 };

/* How far it is, in words ("registered", "refused: ..."), from any thread; true when kubelet has
 * confirmed it and it was not lost since. NULL is off. */
bool registration_tell(struct registration *r, char text[REGISTRATION_TEXT_MAX]);

/* Ends the thread and the server, and unlinks the socket if it is still ours. Blocks for about
 * 0.1 s, 3 s at most. NULL is fine. */
void registration_free(struct registration *r);

#endif
