#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A folder with what a compiler needs to build for another architecture, none of it installed.

sysroot.py OUT ARCH    prints how to call the compiler with it

It holds the libraries of packages.txt's build group and what these depend on. What has not changed
is not written again, so that make does not compile again.
"""
import pathlib
import posixpath
import re
import sys

from debian import TRIPLETS, Packages, merged, run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def names_of(group):
    """The libraries' development packages; compilers and tools are this machine's."""
    text = (ROOT / "packages.txt").read_text(encoding="ascii")
    rows = re.findall(rf"^{group}: (.*)$", text, re.MULTILINE)
    return [name for row in rows for name in row.split() if name.endswith("-dev")]


def write(place, mode, body):
    if isinstance(body, str):
        if not place.is_symlink() or str(place.readlink()) != body:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(body)
    elif not place.is_file() or place.read_bytes() != body:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.write_bytes(body)
        place.chmod(mode)


def main():
    out, arch = pathlib.Path(sys.argv[1]), sys.argv[2]
    packages = Packages(arch, out)
    uris = run("apt-get", *packages.options, "install", "--print-uris", "--no-install-recommends",
               *names_of("build"), text=True)
    packages.add(sorted(set(re.findall(r"^'.*' ([^_ ]+)_", uris, re.MULTILINE))))
    root = out / f"sysroot-{arch}"
    write(root / "lib", 0, "usr/lib")
    for path, (mode, body) in packages.files.items():
        if re.match(r"usr/(include|lib|lib64)/", path):
            if isinstance(body, str) and body.startswith("/"):
                body = posixpath.relpath("/" + merged(body), posixpath.dirname("/" + path))
            write(root / path, mode, body)
    print(f"{TRIPLETS[arch]}-gcc --sysroot={root.resolve()}")


if __name__ == "__main__":
    main()
