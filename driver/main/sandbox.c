/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/main/sandbox.h"

#include <linux/capability.h>

/* Beyond what all programs need. Of sockets, AF_UNIX alone; no program is ever started. */
static const struct sandbox_call calls[] = {
    /* Mounting, as libmount 2.38 does it and as later ones do. */
    SANDBOX_CALL(mount),
    SANDBOX_CALL(umount2),
    SANDBOX_CALL(fsopen),
    SANDBOX_CALL(fsconfig),
    SANDBOX_CALL(fsmount),
    SANDBOX_CALL(fspick),
    SANDBOX_CALL(move_mount),
    SANDBOX_CALL(open_tree),
    SANDBOX_CALL(mount_setattr),
    /* A volume's files. */
    SANDBOX_CALL(symlinkat),
    SANDBOX_CALL(linkat),
    SANDBOX_CALL(fchown),
    SANDBOX_CALL(fchownat),
    SANDBOX_CALL(ftruncate),
    SANDBOX_CALL(utimensat),
    /* kubelet's folder of registrations is watched. */
    SANDBOX_CALL(inotify_init1),
    SANDBOX_CALL(inotify_add_watch),
    SANDBOX_CALL(inotify_rm_watch),
#ifdef SYS_open /* x86-64 alone has the calls of before *at */
    SANDBOX_CALL(rmdir),
    SANDBOX_CALL(symlink),
    SANDBOX_CALL(chown),
    SANDBOX_CALL(lchown),
#endif
};

/* Landlock is not for who mounts: it forbids that altogether. */
int driver_sandbox_enter(struct error *err)
{
    struct sandbox sandbox = {
        .capabilities = SANDBOX_CAPABILITY(CAP_SYS_ADMIN) /* mount, umount */
                        |
                        SANDBOX_CAPABILITY(CAP_DAC_OVERRIDE) /* kubelet's and providers' folders */
                        | SANDBOX_CAPABILITY(CAP_CHOWN)      /* a file's owner, fsGroup */
                        | SANDBOX_CAPABILITY(CAP_FOWNER),    /* modes of files given away */
        .lists = { sandbox_list_common, { calls, COUNT_OF(calls) } },
    };
    bool landlock = false;

    return sandbox_enter(&sandbox, &landlock, err);
}
