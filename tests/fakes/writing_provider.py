#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A provider of the old kind: it writes the files into the target itself and returns none.

    writing_provider.py SOCKET CONTROL

CONTROL is a file of JSON that is read at each Mount: `values` by path, and `version` of them all.
"""
import pathlib
import sys

from provider_server import M, authority, read_control, refuse, serve


def make_mount(control):
    def mount(request, context):
        wanted = read_control(control)
        if authority(context) != "localhost":
            refuse(context, f":authority is {authority(context)!r}, not localhost")
        out = M.MountResponse()
        for path, text in sorted(wanted["values"].items()):
            write(pathlib.Path(request.target_path) / path, text)
            out.object_version.add(id=path, version=wanted["version"])
        return out

    return mount


def write(path, text):
    """In place, as such providers do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    serve(sys.argv[1], make_mount(sys.argv[2]))
