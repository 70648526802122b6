#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Canaries: secrets and tokens that are searched for, in five forms, wherever they must not be; and found
where they must be, so that the search is known to see."""
import base64
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from world import FAULTS, World, harness  # noqa: E402
from node import Pod  # noqa: E402

test, expect, expect_equal = harness.test, harness.expect, harness.expect_equal
memory = harness.memory
WORD = "cAnArY7f3a9c41"
VALUES = {
    "small": WORD + "-s",
    "medium": (WORD + "-m") * 64,
    "large": (WORD + "-l") * 12800,
    "odd": WORD + '-"quoted"\nand\\more',
}
TOKEN = "eyJhbGciOiJub25lIn0." + WORD + "TOKEN" + ".c2ln"
SECRET = WORD + "-ref"
PUBLISHES = 8


def forms():
    """What to search for: beginnings long enough to be no accident."""
    found = set()
    for value in [*VALUES.values(), TOKEN, SECRET]:
        raw = value.encode()[:48]
        found |= {raw, raw.hex().encode(), urllib.parse.quote(raw, safe="").encode(),
                  json.dumps(value)[1:40].encode()}
        for before in range(3):  # as a part of something larger: any place in a group of three
            whole = base64.b64encode(b"?" * before + raw)
            found.add(whole[4:40] if before else whole[:40])
    return found


def hits(data):
    return sum(data.count(form) for form in forms())


def family(world, name):
    pid = world.programs.running[name].pid
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def make_world(programs):
    world = World(programs, ["-v=5", "--generation-grace=50ms"], build=FAULTS)
    world.write(VALUES)
    world.write_class("app", sorted(VALUES))
    world.start_provider("-v=5")
    expect(world.start_driver(), "the driver does not start")
    return world


def publish(world, name):
    return Pod(world.node, name).must_publish("app", tokens={"a": TOKEN}, secrets={"s": SECRET})


@test
def nothing_that_is_told_or_kept_holds_a_secret(world):
    pod = publish(world, "told")
    world.write({key: value + "2" for key, value in VALUES.items()})
    world.node.must_refresh(pod, changed=True)
    texts = [world.node.ctl(*words).encode() for words in
             (("list", "-o", "json"), ("status", "-o", "json"), ("metrics",))]
    texts += [path.read_bytes() for path in world.node.state.rglob("*") if path.is_file()]
    texts += [log.read_bytes() for log in world.programs.folder.glob("*.log")]
    for pid in family(world, "driver") + family(world, "provider"):
        texts += [pathlib.Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ")]
    expect_equal(sum(map(hits, texts)), 0, "hits in logs, records, answers, argv and environment")
    expect(hits((pod.target / "large").read_bytes()) > 0, "the search does not see")
    pod.unpublish()
    world.write(VALUES)


@test
def memory_holds_no_secret_a_second_after_a_publish(world):
    """Several publishes, refreshes between them: what a library does for the first time, it does here."""
    pods = []
    for i in range(PUBLISHES):
        pods.append(publish(world, f"memory-{i}"))
        world.node.must_refresh(pods[-1], changed=False)
    time.sleep(1)
    found = {pid: hits(memory(pid)) for pid in family(world, "driver") + family(world, "provider")}
    expect_equal(sum(found.values()), 0, f"hits in memory: {found}")
    for pod in pods:
        pod.unpublish()
    time.sleep(1)
    found = {pid: hits(memory(pid)) for pid in family(world, "driver") + family(world, "provider")}
    expect_equal(sum(found.values()), 0, f"hits after the last unpublish: {found}")


@test
def the_same_search_finds_them_while_a_fetch_is_in_flight(world):
    world.programs.stop("driver")
    expect(world.start_driver(LOCKET_FAULTS="fetch.after_call=delay:2000"), "start")
    pod = Pod(world.node, "flight")
    with open(os.devnull, "w", encoding="utf-8") as null:
        token = world.programs.folder / "token"
        token.write_text(TOKEN)
        caller = subprocess.Popen(  # pylint: disable=consider-using-with
            [harness.BUILD / "bin/locketctl", "publish", "app", "--pod", "default/flight", "--uid",
             pod.uid, "--volume-id", pod.volume_id, "--target", pod.target, "--csi-socket",
             world.node.csi, "--token", f"a={token}", "--volume", "v"], stdout=null)
        time.sleep(1)
        found = hits(memory(world.driver().pid))
        expect_equal(caller.wait(20), 0, "the publish")
    expect(found > 0, "the search does not see what is in memory")
    time.sleep(1)
    expect_equal(hits(memory(world.driver().pid)), 0, "hits afterwards")
    pod.unpublish()


@test
def the_same_search_finds_them_in_a_build_that_does_not_wipe(world):
    world.programs.stop("driver")
    world.build = harness.BUILD / "nowipe"
    expect(world.start_driver(), "start of the build without wiping")
    pods = [publish(world, f"left-{i}") for i in range(4)]
    time.sleep(1)
    expect(hits(memory(world.driver().pid)) > 0, "what is not wiped is not found")
    for pod in pods:
        pod.unpublish()
    world.programs.stop("driver")
    world.build = FAULTS
    expect(world.start_driver(), "start")


@test
def a_crash_leaves_no_core_with_a_secret(world):
    publish(world, "core")
    program = world.driver()
    # Where the hard limit of 0 may be raised (CAP_SYS_RESOURCE), a core is asked for all the same.
    subprocess.run(["prlimit", f"--pid={program.pid}", "--core=unlimited"], check=False,
                   stderr=subprocess.DEVNULL)
    folder = pathlib.Path(os.readlink(f"/proc/{program.pid}/cwd"))
    before = set(folder.glob("core*"))
    program.send_signal(signal.SIGSEGV)
    program.wait(10)
    cores = set(folder.glob("core*")) - before
    found = sum(hits(core.read_bytes()) for core in cores if core.is_file())
    for core in cores:
        core.unlink()
    expect_equal(found, 0, "hits in a core file")
    expect(world.start_driver(), "start after the crash")


harness.run_tests(make_world)
