#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a pair of files as an application should: pin ..data once, then open by that descriptor. Tells
of every new pair, and at the end how many it read and how many were torn (user and password end alike).

    reader.py TARGET SECONDS
"""
import os
import sys
import time

target, seconds = sys.argv[1], float(sys.argv[2])
end, seen, passes, torn, last = time.monotonic() + seconds, set(), 0, 0, None
while time.monotonic() < end:
    pinned = os.open(os.path.join(target, "..data"), os.O_PATH | os.O_DIRECTORY)
    pair = []
    for name in ("user", "password"):
        file = os.open(name, os.O_RDONLY, dir_fd=pinned)
        pair.append(os.read(file, 4096).decode().rsplit("-", 1)[-1])
        os.close(file)
    os.close(pinned)
    passes += 1
    torn += pair[0] != pair[1]
    seen.add(tuple(pair))
print(f"reader: {passes} passes, {len(seen)} generations, {torn} torn pairs")
sys.exit(1 if torn or len(seen) < 2 else 0)
