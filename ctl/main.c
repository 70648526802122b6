/* SPDX-License-Identifier: Apache-2.0
 *
 * locketctl: the operator's program.
 */
#include <stdlib.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "lib/net/rpc_server.h"

int main(int argc, char **argv)
{
    bool terminal = isatty(STDOUT_FILENO);
    const char *no_colour = getenv("NO_COLOR"); /* Source: no-color.org */
    const char *kind = getenv("TERM");
    struct ctl ctl = {
        .in = stdin,
        .out = stdout,
        .err = stderr,
        .terminal = terminal,
        .colour = terminal && !(no_colour && *no_colour) && !str_same(kind, "dumb"),
    };
    enum ctl_exit result;

    rpc_process_setup();
    result = ctl_run(&ctl, argc, argv);
    if (fflush(stdout) != 0 && result == CTL_DONE)
        result = CTL_FAILED;
    rpc_process_done();
    return (int)result;
}
