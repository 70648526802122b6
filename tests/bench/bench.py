#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the shipped programs against a floor of the same run; prints a table, writes bench.json."""
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
# pylint: disable=wrong-import-position
from measure import CLIENT, measure, memory  # noqa: E402
from world import World, harness  # noqa: E402

VALUES = {f"f{i}": chr(ord("a") + i) * 1024 for i in range(5)}


def wakeups(pid, seconds=10):
    def switches():
        total = 0
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
        return total

    before = switches()
    time.sleep(seconds)
    return round((switches() - before) / seconds, 1)


def closure(program):
    """Bytes of the program, and of it with the libraries it loads."""
    size = os.stat(program).st_size
    lines = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    paths = {word for line in lines.splitlines() for word in line.split() if word.startswith("/")}
    return size, size + sum(os.stat(os.path.realpath(p)).st_size for p in paths)


def floor_memory(programs, name):
    socket = programs.folder / f"{name}.sock"
    program = programs.start(name, [harness.BUILD / f"bench/{name}", socket], socket.exists)
    measure("empty", socket)
    return memory(program.pid)


def worker_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def speed(world, out):
    root, csi = world.node.target_root, world.node.csi
    out.update(measure("floor", root))
    out.update(measure("empty", csi))
    out.update(measure("pair", csi, root, 1, 2000))
    out.update(measure("pair", csi, root, 8, 500))
    out.update(measure("republish", csi, root, 5000))
    out["pair_c1_over_floor"] = round(out["pair_c1_us"]["p50"] / out["floor_us"]["p50"], 2)
    out["pair_c1_over_goal_base"] = round(
        out["pair_c1_us"]["p50"] / (out["floor_us"]["p50"] + 3 * out["rpc_empty_us"]["p50"]), 2)
    out["republish_over_empty_p50"] = round(
        out["republish_noop_us"]["p50"] / out["rpc_empty_us"]["p50"], 2)
    out["republish_over_empty_p99"] = round(
        out["republish_noop_us"]["p99"] / out["rpc_empty_us"]["p99"], 2)


def rotation(world, out):
    subprocess.run([CLIENT, "publish", world.node.csi, world.node.target_root, "0", "1"], check=True)
    for i in range(100):
        world.write({key: f"{i}" + value for key, value in VALUES.items()})
        world.node.ctl("refresh", "--all")
    text = world.node.ctl("metrics")
    total, count = (
        float(next(l for l in text.splitlines()
                   if l.startswith(f"rotation_reconcile_duration_sec_{what}")).split()[-1])
        for what in ("sum", "count"))
    out["rotation_us"] = round(total / count * 1e6, 1)


def idle(world, out):
    """As the floor programs: after calls that do nothing."""
    driver, provider = world.driver().pid, worker_of(world.programs.running["provider"].pid)
    measure("empty", world.node.csi)
    out["driver_idle"] = memory(driver)
    out["provider_worker_idle"] = memory(provider)
    out["idle_wakeups_per_s"] = wakeups(driver)


def sizes(world, out):
    driver, provider = world.driver().pid, worker_of(world.programs.running["provider"].pid)
    time.sleep(11)  # pools' idle threads leave
    out["driver_after_load"] = memory(driver)
    out["provider_worker_after_load"] = memory(provider)
    before = 1
    for count in (250, 1000):
        subprocess.run([CLIENT, "publish", world.node.csi, world.node.target_root, str(before),
                        str(count)], check=True)
        before = count
        time.sleep(11)
        out[f"driver_{count}"] = memory(driver)
    out["anon_kib_per_volume"] = round(
        (out["driver_1000"]["anon_kib"] - out["driver_after_load"]["anon_kib"]) / 1000, 1)
    for name in ("locket-driver", "locket-provider", "locketctl"):
        size, everything = closure(harness.BUILD / "bin" / name)
        out[f"{name}_bytes"], out[f"{name}_closure_bytes"] = size, everything


GOALS = [
    ("pair p50 <= 1.5 x (floor + 3 x rpc_empty)", lambda o: o["pair_c1_over_goal_base"] <= 1.5),
    ("republish p50 <= 1.5 x rpc_empty", lambda o: o["republish_over_empty_p50"] <= 1.5),
    ("republish p99 <= 1.5 x rpc_empty", lambda o: o["republish_over_empty_p99"] <= 1.5),
    ("driver idle <= its floor + 2 MiB",
     lambda o: o["driver_idle"]["rss_kib"] <= o["floor_driver"]["rss_kib"] + 2048),
    ("<= 20 KiB anonymous per volume", lambda o: o["anon_kib_per_volume"] <= 20),
    ("provider worker <= its floor + 3 MiB",
     lambda o: o["provider_worker_idle"]["rss_kib"] <= o["floor_provider"]["rss_kib"] + 3072),
]


def main():
    out = {}
    with harness.Programs() as programs:
        out["floor_driver"] = floor_memory(programs, "floor_driver")
        out["floor_provider"] = floor_memory(programs, "floor_provider")
        world = World(programs, ["--generation-grace=0", "--rotation-poll-interval=1h",
                                 "--tmpfs-budget=16Gi"])
        # As shipped: records lie below /run, which is a tmpfs; pods' folders on a disk.
        subprocess.run(["mount", "-t", "tmpfs", "bench-run", world.node.state], check=True)
        world.write(VALUES)
        world.write_class("bench", sorted(VALUES))
        world.start_provider()
        harness.expect(world.start_driver(), "the driver does not start")
        idle(world, out)
        speed(world, out)
        rotation(world, out)
        sizes(world, out)
        programs.stop("driver")
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            if " locket:" in line:
                subprocess.run(["umount", line.split()[4]], check=True)
    (harness.BUILD / "bench.json").write_text(json.dumps(out, indent=1) + "\n")
    for name, value in out.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{name:32} {text}")
    for name, holds in GOALS:
        print(f"{'met   ' if holds(out) else 'MISSED'}  {name}")


main()
