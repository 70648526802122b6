/* SPDX-License-Identifier: Apache-2.0
 *
 * state.h - the records of all volumes in --state-dir: one file each, replaced by rename.
 * Does not know what is in a record.
 */
#ifndef LOCKET_VOLUME_STATE_H
#define LOCKET_VOLUME_STATE_H

#include "driver/volume/record.h"

struct state {
    char *path;
    int fd; /* the folder */
};

/* Opens (and makes, 0700) the folder. Ownership: state_close. */
must_check int state_open(const char *path, struct state *ret, struct error *err);
void state_close(struct state *s);

/* Saves; a crash leaves the old record or the new one. */
must_check int state_save(const struct state *s, const struct record *r, struct error *err);

/* Removes; missing is fine. */
must_check int state_remove(const struct state *s, const char *volume_id, struct error *err);

/* Reads every record: each(arg, record) may take its content (and leave it zeroed). One that cannot
 * be read is renamed to <name>.bad and counted in *ret_bad, with a log line; never fatal. */
must_check int state_load(const struct state *s, void (*each)(void *arg, struct record *r),
                          void *arg, size_t *ret_bad, struct error *err);

/* Can a file be made in the folder? For Probe. */
must_check int state_check(const struct state *s, struct error *err);

#endif
