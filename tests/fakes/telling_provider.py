#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A provider of somebody else's that says beside its answers how it came by them, as locket-provider
does: trailing metadata of a Mount.

    telling_provider.py SOCKET

What it says is the class's parameter `told`, a map in JSON; `expires-in-ms` of it is told as the time.
"""
import json
import sys
import time

from provider_server import M, serve


def mount(request, context):
    told = json.loads(json.loads(request.attributes)["told"])
    if "expires-in-ms" in told:
        ends = int(time.time() * 1000) + int(told.pop("expires-in-ms"))
        told["locket-expires-at-unix-ms"] = str(ends)
    context.set_trailing_metadata(tuple(told.items()))
    out = M.MountResponse()
    out.files.add(path="password", mode=0o644, contents=b"word")
    out.object_version.add(id="password", version="7")
    return out


if __name__ == "__main__":
    serve(sys.argv[1], mount)
