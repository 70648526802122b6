/* SPDX-License-Identifier: Apache-2.0
 *
 * recovery.h - after a start: which volumes live on, which half-made ones are undone.
 * Never fetches and never writes a secret; rotation refreshes what is adopted.
 */
#ifndef LOCKET_VOLUME_RECOVERY_H
#define LOCKET_VOLUME_RECOVERY_H

#include "driver/volume/lifecycle.h"

/* Reads the records and looks at the mounts. A record `published` with its tmpfs joins the table;
 * one `publishing` with a tmpfs of ours is undone; one without a mount is forgotten (a reboot).
 * Every other mount is left alone, and said. Only an unreadable state folder is an error. */
must_check int recovery_run(struct lifecycle *app, struct error *err);

#endif
