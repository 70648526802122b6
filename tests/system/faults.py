#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the driver, makes it fail, or delays it at every fault point, and looks at what is left.

After each: old files or new files, never a mix; the next publish, rotation and unpublish succeed; no
mount, record, folder or descriptor is left; neighbours are untouched. A point that is never hit, and a
driver that ends anywhere else, fail the run.

ROUNDS=1    how often each point is struck with each action. SEED=... repeats a run.
SHARD=0/2    every second point from the first, so that two processes share the work.
"""
import collections
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from world import FAULTS, World, harness  # noqa: E402
from node import Pod, mounts_left  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "1"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 30))))
ACTIONS = {"kill": "kill", "errno": "errno:EIO", "delay": "delay:20"}

OLD = {"user": "joe", "password": "old", "extra": "e"}
NEW = {"user": "jim", "password": "new", "big": "x" * 3_000_000}
NEXT = {"user": "jon", "password": "next", "extra": "f"}


class Struck(Exception):
    """The driver died where the plan said."""


class Run:
    """One pass through a volume's life with one planned fault."""

    def __init__(self, world, point, action):
        self.world = world
        self.point = point
        self.action = action
        self.log = world.programs.folder / "faults.log"
        self.log.unlink(missing_ok=True)
        self.pod = Pod(world.node, "web")
        self.struck = False

    def start(self, planned):
        environment = {"LOCKET_FAULTS_LOG": str(self.log)}
        if planned:
            environment["LOCKET_FAULTS"] = f"{self.point}={ACTIONS[self.action]}"
        if self.world.start_driver(**environment):
            return
        self.expect_killed()
        harness.expect(self.world.start_driver(), "no start after a fault in the start")

    def expect_killed(self):
        """The driver ended: by the plan, or this run fails."""
        program = self.world.driver()
        code = self.world.programs.stop("driver") if program else None
        hit = self.log.exists() and self.point in self.log.read_text().split()
        fine = (self.action == "kill" and code == -signal.SIGKILL) or (
            self.action == "errno" and code == 1 and self.point.startswith(("recovery", "state"))
        )
        harness.expect(hit and fine, f"the driver ended with {code}, hit {hit}")
        self.struck = True

    def step(self, what, *words, good=None):
        """Does a step until it succeeds; a planned death in between restarts the driver."""
        for _ in range(4):
            answer = what(*words)
            if not answer:
                time.sleep(0.1)  # a killed process takes a moment to be dead
            if self.world.driver().poll() is not None:
                self.expect_killed()
                self.start(planned=False)
                if good:
                    good()
                continue
            if answer:
                return
            if good:
                good()
        raise AssertionError(f"{what.__name__} does not succeed after the fault")

    def publish(self):
        return self.pod.publish("app").code == "OK"

    def refresh(self):
        done = self.world.node.ctl("refresh", "-o", "json", self.pod.volume_id, check=False)
        return done.returncode == 0

    def unpublish(self):
        try:
            self.pod.unpublish()
            return True
        except AssertionError:
            return False

    def files_are_one_of(self, *sets):
        def check():
            have = self.pod.files()
            harness.expect(have in sets, f"a mix of files: {sorted(have)}")

        return check

    def write(self, values):
        self.world.write(values)
        self.world.write_class("app", sorted(values))

    def live(self):
        self.write(OLD)
        self.step(self.publish)
        if self.point == "links.after_replace":
            self.step(self.refresh) # adopted as it was; refreshed after
        self.files_are_one_of(OLD)()
        for before, after in ((OLD, NEW), (NEW, NEXT)):
            self.write(after)
            self.step(self.refresh, good=self.files_are_one_of(before, after))
            self.files_are_one_of(after)()
        self.step(self.unpublish)

    def half_publish(self):
        """Leaves a record `publishing` with its mount, for recovery to undo."""
        self.write(OLD)
        self.world.start_driver(LOCKET_FAULTS="publish.after_mount=kill")
        self.pod.publish("app")
        self.world.programs.stop("driver")

    def whole_publish(self):
        """Leaves a published volume behind a killed driver, with a half-written generation in it."""
        self.write(OLD)
        self.world.start_driver(LOCKET_FAULTS="write.before_rename=kill@2")
        harness.expect(self.publish(), "publish before the kill")
        self.write(NEW)
        self.refresh()
        self.world.programs.stop("driver")

    def play(self):
        if self.point.startswith(("recovery", "state.before_load", "fold")):
            prepare = self.half_publish
            if self.point in ("recovery.before_adopt",) or self.point.startswith("fold"):
                prepare = self.whole_publish
            prepare()
        if self.point == "links.after_replace":
            self.adopt_foreign()
        self.start(planned=True)
        self.live()

    def adopt_foreign(self):
        """A live tmpfs of an old driver, whose writing provider left a folder where a link must go."""
        self.pod.target.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.pod.target], check=True)
        (self.pod.target / "user").mkdir()
        (self.pod.target / "user" / "old").write_text("theirs")

    def finish(self):
        hit = self.log.exists() and self.point in self.log.read_text().split()
        return hit

    def check_nothing_left(self, neighbours):
        harness.expect_equal(
            [m for m in mounts_left() if str(self.world.node.target_root) in m], [], "mounts left"
        )
        harness.expect_equal(self.world.records(), [], "records left")
        left = [p for p in self.pod.target.parent.glob("*")]
        harness.expect_equal(left, [], "entries left at the target")
        harness.expect_equal(volume_descriptors(self.world), [], "descriptors left")
        neighbours.check()


class Neighbours:
    """What must never be touched: an emptyDir-like tmpfs, a projected volume, an old driver's volume."""

    def __init__(self, world):
        self.folders = {}
        base = world.node.target_root / "pods" / "0-0-0" / "volumes"
        for name in ("kubernetes.io~empty-dir/e", "kubernetes.io~projected/p",
                     "kubernetes.io~csi/old/mount"):
            folder = base / name
            folder.mkdir(parents=True)
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
            (folder / "file").write_text("theirs")
            self.folders[folder] = os.stat(folder).st_dev

    def check(self):
        for folder, device in self.folders.items():
            harness.expect_equal(os.stat(folder).st_dev, device, f"{folder} is another mount")
            harness.expect_equal((folder / "file").read_text(), "theirs", str(folder))


def volume_descriptors(world):
    """Descriptors of the driver that lie in a pod's folder; the root's own is not one."""
    folder = pathlib.Path(f"/proc/{world.driver().pid}/fd")
    paths = [os.readlink(fd) for fd in folder.iterdir() if fd.is_symlink()]
    return [path for path in paths if path.startswith(f"{world.node.target_root}/")]


def clean_up(world):
    """After a failed run: what it left must not fail the next."""
    for line in mounts_left():
        subprocess.run(["umount", line.split()[4]], check=False)
    for record in world.node.state.glob("*"):
        if record.is_file():
            record.unlink()


def points():
    listed = subprocess.run(
        [FAULTS / "bin/locket-driver", "--list-faults"], check=True, capture_output=True, text=True
    )
    return listed.stdout.split()


def main():
    harness.enter_namespace()
    names = points()
    only = sys.argv[1:]
    todo = [(p, a) for _ in range(ROUNDS) for p in names for a in ACTIONS
            if not only or p in only or a in only]
    random.Random(SEED).shuffle(todo)
    part, parts = (int(n) for n in os.environ.get("SHARD", "0/1").split("/"))
    names = [p for i, p in enumerate(names) if i % parts == part]
    todo = [(p, a) for p, a in todo if p in names]
    table = collections.defaultdict(collections.Counter)
    failed = 0
    started = time.monotonic()
    with harness.Programs() as programs:
        world = World(programs, ["--generation-grace=30ms"], build=FAULTS)
        world.start_provider()
        neighbours = Neighbours(world)
        for point, action in todo:
            run = Run(world, point, action)
            try:
                run.play()
                run.check_nothing_left(neighbours)
                table[point][action] += run.finish()
            except Exception as why:  # pylint: disable=broad-except
                failed += 1
                print(f"FAIL {action} at {point} (seed {SEED}): {why}", flush=True)
                programs.print_ends()
                if failed >= 10:
                    break
            finally:
                if world.driver():
                    programs.stop("driver")
                clean_up(world)
    return report(table, names, todo, failed, started, only)


def report(table, names, todo, failed, started, only):
    never = [p for p in names if not only and not all(table[p][a] for a in ACTIONS)]
    for point in never:
        print(f"FAIL {point} was never hit by {[a for a in ACTIONS if not table[point][a]]}")
    every = points()
    if len(every) < 60 or len(set(every)) != len(every):
        print(f"FAIL {len(every)} points, or two of one name")
        failed += 1
    print(f"{len(names)} points, {len(todo)} runs, seed {SEED}, {time.monotonic() - started:.0f} s")
    for action in ACTIONS:
        total = sum(row[action] for row in table.values())
        print(f"  {action:6} struck {total} times in {sum(1 for r in table.values() if r[action])} points")
    if failed or never:
        return 1
    print(f"ok each of {len(names)} of {len(every)} fault points leaves old files or new files and nothing else")
    return 0


if __name__ == "__main__":
    sys.exit(main())
