#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Faults of the driver that this one takes the place of, each shown not to be here. The table in
docs/TESTING.md names them all; others have their test where their subject is."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from world import World, harness  # noqa: E402
from node import Pod  # noqa: E402

test, expect, expect_equal = harness.test, harness.expect, harness.expect_equal
ODD = pathlib.Path(__file__).resolve().parents[1] / "fakes/odd_provider.py"
REPUBLISHES = 30


def make_world(programs):
    world = World(programs, ["--generation-grace=0", "--send-current-versions=all"])
    world.odd_calls = programs.folder / "odd-calls"
    odd = world.node.providers / "odd.sock"
    programs.start("odd", [ODD, odd, world.odd_calls], odd.exists)
    for behave in ("fine", "denied", "tell"):
        world.node.write_class(behave, "odd", {"behave": behave})
    expect(world.start_driver(), "the driver does not start")
    return world


def calls(world):
    return world.odd_calls.read_text().count("m")


@test
def republishes_ask_no_provider_before_the_interval_has_gone(world):
    """Fact 4: once an interval had passed since the last change, every republish called the provider."""
    pod = Pod(world.node, "calm").must_publish("fine")
    before = calls(world)
    for _ in range(REPUBLISHES):
        pod.must_publish("fine")
    expect_equal(calls(world) - before, 0, "calls")
    pod.unpublish()


@test
def a_failing_provider_is_not_asked_again_at_each_republish(world):
    """7.2, 2: nothing was noted of a failure, so that each republish met it again."""
    pod = Pod(world.node, "failing").must_publish("fine")
    world.node.write_class("fine", "odd", {"behave": "denied"})
    expect_equal(world.node.refresh(pod)["code"], "PERMISSION_DENIED", "the refresh")
    before = calls(world)
    for _ in range(REPUBLISHES):
        pod.must_publish("fine")
    expect_equal(calls(world) - before, 0, "calls")
    world.node.write_class("fine", "odd", {"behave": "fine"})
    pod.unpublish()


def told(pod):
    return json.loads(pod.read("request"))


@test
def a_provider_is_told_which_versions_a_volume_has(world):
    """Fact 5: current_object_version was never sent any more."""
    pod = Pod(world.node, "versions").must_publish("tell")
    expect_equal(told(pod)["versions"], {}, "versions at the first publish")
    world.node.must_refresh(pod, changed=True)
    expect_equal(told(pod)["versions"], {"x": "1"}, "versions at the refresh")
    pod.unpublish()


@test
def tokens_go_with_the_attributes_alone(world):
    """7.2, 12: they were put into the secrets too."""
    pod = Pod(world.node, "tokens").must_publish("tell", tokens={"a": "a-token"})
    expect("csi.storage.k8s.io/serviceAccount.tokens" in told(pod)["attributes"], "no tokens")
    expect_equal(told(pod)["secrets"], "null", "secrets")
    pod.unpublish()
    pod = Pod(world.node, "both").must_publish("tell", tokens={"a": "a-token"}, secrets={"k": "value"})
    expect_equal(json.loads(told(pod)["secrets"]), {"k": "value"}, "secrets")
    pod.unpublish()


@test
def the_driver_has_no_socket_of_a_network(world):
    """7.2, 16: metrics and profiles were served on all interfaces."""
    Pod(world.node, "network").must_publish("fine").unpublish()
    mine = set()
    for fd in pathlib.Path(f"/proc/{world.driver().pid}/fd").iterdir():
        try:
            mine.add(os.readlink(fd))
        except FileNotFoundError:
            pass
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        lines = pathlib.Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        theirs = {f"socket:[{line.split()[9]}]" for line in lines}
        expect_equal(mine & theirs, set(), table)
    expect(any(link.startswith("socket:") for link in mine), "no socket at all was seen")


harness.run_tests(make_world)
