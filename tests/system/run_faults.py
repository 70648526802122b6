#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""All fault points by several processes side by side, and the closing table of their sums.

run_faults.py [POINT|ACTION...]    ROUNDS, RACES, SEED, PLANT: as faults.py has them
SHARDS=2                           how many processes; one for each core where not given
"""
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
COUNTS = ("runs", "kill", "errno", "delay", "missed", "elsewhere", "failed")


def start(folder, part, parts, seed):
    env = {**os.environ, "SHARD": f"{part}/{parts}", "SEED": seed,
           "RESULT": str(folder / f"{part}.json")}
    log = open(folder / f"{part}.log", "w", encoding="utf-8")  # pylint: disable=consider-using-with
    return subprocess.Popen([HERE / "faults.py", *sys.argv[1:]], env=env, stdout=log, stderr=log)


def results(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def table(parts):
    """Sums by pipeline, which is the first word of a point's name; and each pipeline's points."""
    rows, points = collections.defaultdict(collections.Counter), collections.defaultdict(set)
    for part in parts:
        for point, counts in part["points"].items():
            pipeline = point.split(".")[0]
            rows[pipeline].update(counts)
            points[pipeline].add(point)
    return rows, points


def tell(parts, seed, seconds):
    """Prints the table; returns how many runs were not as they must be."""
    rows, points = table(parts)
    total = collections.Counter()
    print(f"{'pipeline':<12}{'points':>8}" + "".join(f"{name:>11}" for name in COUNTS))
    for name in sorted(rows):
        total.update(rows[name])
        print(f"{name:<12}{len(points[name]):>8}" + "".join(f"{rows[name][c]:>11}" for c in COUNTS))
    print(f"{'all':<12}{sum(map(len, points.values())):>8}" +
          "".join(f"{total[c]:>11}" for c in COUNTS))
    races = collections.Counter()
    for part in parts:
        races.update({"count": part["races"]["count"], "failed": part["races"]["failed"]})
        races.update(part["races"]["codes"])
    print("unpublish meets publish: " + ", ".join(f"{k} {v}" for k, v in sorted(races.items())))
    for part in parts:
        print("memory in KiB: " + ", ".join(
            f"{name} {kib['warm']} warm, {kib['highest']} at most"
            for name, kib in part["memory"].items()))
    print(f"seed {seed}, {len(parts)} processes, {seconds:.0f} s")
    return total["missed"] + total["elsewhere"] + total["failed"] + races["failed"]


def main():
    parts = int(os.environ.get("SHARDS", os.cpu_count() or 1))
    seed = os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 30)))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        running = [start(folder, part, parts, seed) for part in range(parts)]
        codes = [process.wait() for process in running]
        for log in sorted(folder.glob("*.log")):
            print(log.read_text(), end="")
        bad = tell(results(folder), seed, time.monotonic() - began)
    if any(codes) or bad:
        print(f"FAIL {bad} runs, processes ended with {codes}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
