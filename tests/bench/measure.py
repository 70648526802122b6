# SPDX-License-Identifier: Apache-2.0
"""What both benches measure with: the client in C, and the kernel's account of a program's memory."""
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENT = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve() / "bench/client"


def measure(*words):
    done = subprocess.run([CLIENT, *map(str, words)], check=True, capture_output=True, text=True)
    return json.loads("{" + done.stdout + "}")


def memory(pid):
    """KiB: resident, proportional, anonymous; and threads."""
    rows = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        rows[name] = int(value.split()[0])
    threads = len(os.listdir(f"/proc/{pid}/task"))
    return {"rss_kib": rows["Rss"], "pss_kib": rows["Pss"], "anon_kib": rows["Anonymous"],
            "threads": threads}
