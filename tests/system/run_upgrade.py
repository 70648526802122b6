#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Another version of the driver takes the volumes over and gives them back, again and again: no mount
and no file changes, and each reads the other's records.

OTHER=DIR    the build folder of the other version: DIR/bin/locket-driver
LOOPS=50 VOLUMES=250
"""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from world import World, harness  # noqa: E402
from node import Pod  # noqa: E402

OTHER = os.environ.get("OTHER")
LOOPS, VOLUMES = (int(os.environ.get(name, value)) for name, value in (("LOOPS", "50"), ("VOLUMES", "250")))
expect, expect_equal, wait_until = harness.expect, harness.expect_equal, harness.wait_until


def make_world(programs):
    expect(OTHER, "OTHER=DIR: the build folder of another version")
    world = World(programs)
    world.start_provider()
    world.programs_of = {"this": harness.BUILD, "other": pathlib.Path(OTHER).resolve()}
    world.build = world.programs_of["other"]
    expect(world.start_driver(), "the other version does not start")
    world.pods = [Pod(world.node, f"pod-{i}").must_publish("app") for i in range(VOLUMES)]
    return world


def picture(world):
    """Each mount with its id, each file with its content and the time of its last change."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    mounts = [line for line in lines if f" {world.programs.folder}/" in line]
    files = {}
    for pod in world.pods:
        for path in pod.target.rglob("*"):
            found = path.lstat()
            files[str(path)] = (found.st_ino, found.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return mounts, files


def take_over(world, version):
    world.programs.stop("driver")
    world.build = world.programs_of[version]
    expect(world.start_driver(), f"{version} does not start over the volumes of another version")
    wait_until(lambda: len(world.list()) == VOLUMES, 10, f"{VOLUMES} volumes known to {version}")


@harness.test
def versions_that_follow_each_other_leave_every_volume_as_it_is(world):
    before = picture(world)
    expect_equal(len(before[0]), VOLUMES, "mounts")
    for loop in range(LOOPS):
        for version in ("this", "other"):
            take_over(world, version)
            if loop % 10 == 0:
                world.pods[loop % VOLUMES].must_publish("app")
    expect(picture(world) == before, "a mount or a file is not as it was")
    print(f"# {LOOPS} loops over {VOLUMES} volumes")


@harness.test
def after_them_a_volume_is_rotated_and_all_are_unpublished(world):
    take_over(world, "this")
    world.write({"user": "joe", "password": "new"})
    world.node.must_refresh(world.pods[0], changed=True)
    expect_equal(world.pods[0].read("password"), "new")
    for pod in world.pods:
        pod.unpublish()
    expect_equal((world.records(), picture(world)[0]), ([], []), "records and mounts")


if __name__ == "__main__":
    harness.run_tests(make_world)
