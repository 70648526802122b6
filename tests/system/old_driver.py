# SPDX-License-Identifier: Apache-2.0
"""What the driver before Locket does to a volume, step by step, as its users know it: mounts a tmpfs
that says no size, writes kubelet's layout, and rotates it by content alone."""
import os
import pathlib
import secrets
import shutil
import subprocess
import time


def mount(target):
    """A tmpfs without an option; kubelet has written beside it whose it is."""
    target.mkdir(parents=True, mode=0o750)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)


def walk(folder):
    """Every file below a generation, by its path there."""
    found = set()
    for place, _, names in os.walk(folder):
        found |= {str((pathlib.Path(place) / name).relative_to(folder)) for name in names}
    return found


def is_same(folder, payload):
    """Content alone is compared, and nothing may be there that is not wanted."""
    return walk(folder) == set(payload) and all(
        (folder / path).read_bytes() == text.encode() for path, text in payload.items())


def new_generation(target, payload):
    name = time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime()) + str(secrets.randbelow(10**10))
    (target / name).mkdir()
    os.chmod(target / name, 0o755)
    for path, text in payload.items():
        file = target / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        os.chmod(file, 0o644)
    return name


def rotate(target, payload):
    """One pass of its writer; true when files were swapped. Any step that finds what it does not
    expect raises, as that driver then fails for good."""
    data, fresh = target / "..data", target / "..data_tmp"
    old = os.readlink(data) if os.path.islink(data) else None
    if old and is_same(target / old, payload):
        return False
    stale = walk(target / old) - set(payload) if old else set()
    name = new_generation(target, payload)
    for first in {path.split("/")[0] for path in payload}:
        if not os.path.islink(target / first):
            (target / first).symlink_to(f"..data/{first}")
    fresh.symlink_to(name)  # EEXIST here is what it never recovers from
    fresh.rename(data)
    kept = {path.split("/")[0] for path in payload}
    for first in {path.split("/")[0] for path in stale} - kept:
        (target / first).unlink()
    if old:
        shutil.rmtree(target / old)
    return True


def unpublish(target):
    subprocess.run(["umount", target], check=True)
    target.rmdir()
