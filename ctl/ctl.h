/* SPDX-License-Identifier: Apache-2.0
 *
 * ctl.h - locketctl's commands as one table, and what each is given to work with.
 * Does not know what a command does.
 */
#ifndef LOCKET_CTL_CTL_H
#define LOCKET_CTL_CTL_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/base/error.h"
#include "lib/base/options.h"

#define CTL_ADMIN_SOCKET "/run/locket/admin.sock"
#define CTL_CSI_SOCKET "/var/lib/kubelet/plugins/csi-secrets-store/csi.sock"
#define CTL_TARGET_ROOT "/var/lib/kubelet"

/* What the process ends with. */
enum ctl_exit { CTL_DONE = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

/* Where a command reads and writes. Everything is borrowed. */
struct ctl {
    FILE *in;
    FILE *out;
    FILE *err;
    bool terminal; /* is out one? Then columns are aligned */
    bool colour;
};

struct command {
    const char *name;
    const char *words;   /* "CLASS", for the usage line; "" when it takes none */
    const char *summary; /* one line for the list of commands */
    const struct option_row *options;
    size_t option_count;
    size_t config_bytes; /* of the struct that the options fill */
    size_t words_min;
    size_t words_max;
    /* Does it. On failure the error is printed as the last line; what is said before goes to
     * ctl->out. A wrong command line is told by ctl_usage. */
    int (*run)(const struct ctl *ctl, const void *config, char **words, size_t count,
               struct error *err);
};

extern const struct command command_publish;
extern const struct command command_unpublish;
extern const struct command command_list;
extern const struct command command_status;
extern const struct command command_refresh;
extern const struct command command_metrics;
extern const struct command command_validate;
extern const struct command command_audit;
extern const struct command command_doctor;
extern const struct command command_migrate;
extern const struct command command_version;

/* Runs the command that argv[1] names. argv[0] is the program's name. */
enum ctl_exit ctl_run(const struct ctl *ctl, int argc, char **argv);

/* Fails as a mistake of the command line: the process ends with CTL_USAGE. Returns -1. */
int ctl_usage(struct error *err, const char *fmt, ...) printf_like(2, 3);

/* Rows that several commands share. Their config has `char *output`, `char *admin_socket` and
 * `int64_t timeout_ms`. */
#define OPTION_ROW_OUTPUT(config_)                                                                 \
    {                                                                                              \
        .name = "o", .kind = OPTION_TEXT, .offset = offsetof(struct config_, output),              \
        .fallback = "text", .placeholder = "FORMAT", .help = "text or json; also -o FORMAT"        \
    }
#define OPTION_ROW_ADMIN(config_)                                                                  \
    {                                                                                              \
        .name = "admin-socket", .kind = OPTION_TEXT,                                               \
        .offset = offsetof(struct config_, admin_socket), .fallback = CTL_ADMIN_SOCKET,            \
        .placeholder = "PATH", .help = "the driver's admin socket"                                 \
    }
#define OPTION_ROW_TIMEOUT(config_)                                                                \
    {                                                                                              \
        .name = "timeout", .kind = OPTION_DURATION,                                                \
        .offset = offsetof(struct config_, timeout_ms), .fallback = "2m",                          \
        .placeholder = "DURATION", .help = "how long to wait for the driver"                       \
    }

/* Is json asked for? Other words than text and json are a mistake of the command line. */
must_check int ctl_wants_json(const char *output, bool *ret, struct error *err);

#endif
