/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/harden.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/wipe_malloc.h"

enum { ARENAS = 2 }; /* of malloc: an arena per thread would cost more than the threads gain */

static const char bind_now[] = "LD_BIND_NOW";

int harden_bind_now(char **argv, struct error *err)
{
    const char *now = getenv(bind_now);

    if (now && *now) {
        (void)prctl(PR_SET_NAME, program_invocation_short_name); /* it would be "exe" */
        return 0;
    }
    if (setenv(bind_now, "1", 1) == 0)
        (void)execv("/proc/self/exe", argv);
    return error_sys(err, errno,
                     "starting over to bind all libraries, /proc/self/exe (or start with %s=1)",
                     bind_now);
}

int harden_process(char **argv, struct error *err)
{
    struct rlimit none = { 0, 0 };

    if (harden_bind_now(argv, err) < 0)
        return -1;
#ifdef LOCKET_WIPE
    (void)wipe_malloc_is_linked();
#endif
    (void)mallopt(M_ARENA_MAX, ARENAS);
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)umask(0077);
    return 0;
}
