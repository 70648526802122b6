# SPDX-License-Identifier: Apache-2.0
"""locket-provider, started in a folder."""
import os
import shutil

from harness import BUILD, Skip, accepts, is_gid_mapped

PROGRAM = BUILD / "bin/locket-provider"


def as_user(programs, folder, uid):
    """The words before those of a provider that is to run as this user, who gets the folder. It is a copy that is
    started: the build may be where that user may not go."""
    if not is_gid_mapped(uid):
        raise Skip(f"this user namespace has no user {uid}")
    os.chmod(programs.folder, 0o755)
    os.chown(folder, uid, uid)
    shutil.copy(PROGRAM, programs.folder)
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", programs.folder / PROGRAM.name]


def start_provider(programs, folder, stores, flags=(), program=(PROGRAM,)):
    """Serves these stores in this folder. Skips the test when the program is not there."""
    if not PROGRAM.exists():
        raise Skip(f"{PROGRAM.name} is not built")
    programs.start(
        "provider",
        [*program, f"--provider-dir={folder}", "--stores=" + ",".join(stores),
         f"--readable={programs.folder}", *flags],
        lambda: all(accepts(folder / f"{store}.sock") for store in stores),
    )
