#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The wall clock of a node jumps under a driver that runs: volumes rotate on as if nothing was."""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from world import World, harness  # noqa: E402
from node import Pod  # noqa: E402

test, expect, wait_until = harness.test, harness.expect, harness.wait_until
ODD = pathlib.Path(__file__).resolve().parents[1] / "fakes/odd_provider.py"
LIBRARY = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
INTERVAL_S, WATCHED_S, VOLUMES = 1, 4, 5
JUMPS = [("+1h", "an hour ahead"), ("-1h", "two hours back"), ("+0", "to the true time"),
         ("-10y", "years back")]


def make_world(programs):
    expect(LIBRARY, "no libfaketime: tests/check/deps.sh test")
    world = World(programs, ["--enable-secret-rotation", f"--rotation-poll-interval={INTERVAL_S}s",
                             "--generation-grace=0"])
    world.odd_calls = programs.folder / "odd-calls"
    odd = world.node.providers / "odd.sock"
    programs.start("odd", [ODD, odd, world.odd_calls], odd.exists)
    world.start_provider()
    world.node.write_class("counted", "odd", {"behave": "fine"})
    world.shift = programs.folder / "shift"
    jump(world, "+0")
    expect(world.start_driver(LD_PRELOAD=str(LIBRARY), FAKETIME_TIMESTAMP_FILE=str(world.shift),
                              FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1"), "the driver does not start")
    world.pod = Pod(world.node, "web").must_publish("app")
    world.counted = [Pod(world.node, f"counted-{i}").must_publish("counted") for i in range(VOLUMES)]
    return world


def jump(world, shift):
    fresh = world.shift.with_suffix(".new")
    fresh.write_text(shift)
    os.replace(fresh, world.shift)


def calls(world):
    return world.odd_calls.read_text().count("m")


@test
def a_clock_that_jumps_makes_no_storm_and_stops_no_rotation(world):
    for number, (shift, words) in enumerate(JUMPS):
        jump(world, shift)
        before = calls(world)
        world.write({"user": "joe", "password": f"after-{number}"})
        began = time.monotonic()
        wait_until(lambda number=number: world.pod.read("password") == f"after-{number}", 10,
                   f"a rotation after a jump {words}")
        time.sleep(max(0, WATCHED_S - (time.monotonic() - began)))
        asked = (calls(world) - before) / VOLUMES
        rounds = (time.monotonic() - began) / INTERVAL_S
        expect(rounds / 3 <= asked <= rounds * 2 + 1,
               f"{asked:.1f} fetches of a volume in {rounds:.1f} intervals, {words}")


@test
def the_jumps_were_seen_by_the_driver(world):
    jump(world, "+1h")
    time.sleep(3 * INTERVAL_S)
    ahead = max(int(v["fetched_at_unix_ms"]) for v in world.list()) / 1000 - time.time()
    expect(3000 < ahead < 3700, f"positive control: the driver is {ahead:.0f} s ahead")


if __name__ == "__main__":
    harness.run_tests(make_world)
