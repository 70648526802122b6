#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kills the driver, makes it fail, or delays it at every fault point, and looks at what is left.

A volume is published, the driver is asked all that kubelet asks it, the volume is rotated twice and
unpublished, with one planned fault on the way. After each:
old files or new files, never a mix; the next publish, rotation and unpublish succeed; mountinfo,
descriptors, folders, records and memory are as before; the neighbours in the pod's folder were not
touched. A run whose point was not hit, and a driver that ended anywhere else, fail.

faults.py [POINT|ACTION...]    these alone, and no races
ROUNDS=1     how often each point is struck with each action: in the first round at its first hit, then
             at any. RACES=0: unpublishes that meet a delayed publish. SEED=... repeats a run.
SHARD=0/2    every second run from the first: what one of two processes does. RESULT=FILE: its sums.
PLANT=touch  a fault of the run itself, which must be found: touch, mount, die, grow.
"""
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from fault_races import races  # noqa: E402
from fault_world import WARM_UP_RUNS, FaultWorld, Standing  # noqa: E402
from world import FAULTS, harness  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "1"))
RACES = int(os.environ.get("RACES", "0"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 30))))
PLANT = os.environ.get("PLANT", "")
ACTIONS = ("kill", "errno", "delay")
ERRNOS = ("EIO", "ENOSPC", "ENOMEM", "EACCES", "EMFILE")
FAILED_MAX = 10  # then a shard gives up
PATIENCE_S = 10  # with one who is told to come again

OLD = {"user": "joe", "password": "old", "extra": "e"}
NEW = {"user": "jim", "password": "new", "big": "x" * 1_200_000}
NEXT = {"user": "jon", "password": "next", "extra": "f"}
THEIRS = {"user/old": "theirs", "password": "theirs"}

# Points that only a start meets, and what the start must find for it; else it is done on a live driver.
STARTS = {
    "recovery.before_adopt": "whole_publish",
    "recovery.after_adopt": "whole_publish",
    "recovery.before_forget": "rebooted",
    "recovery.": "half_publish",
    "fold.": "whole_publish",
    "state.before_load": "half_publish",
    "state.after_load": "half_publish",
    "state.before_aside": "torn_record",
    "state.before_open": "half_publish",
    "mount.before_probe": "half_publish",
    "mount.probed": "half_publish",
    "mount.before_each": "half_publish",
    "mount.after_each": "half_publish",
}


# Points that are met where a writing provider's own files give way to links.
REPLACES = ("links.before_place", "links.after_place", "links.after_replace")


def preparation(point):
    """The name of what must happen before the start, or None."""
    return next((how for prefix, how in STARTS.items() if point.startswith(prefix)), None)


class Elsewhere(Exception):
    """The driver ended where no plan said so."""


class Missed(Exception):
    """The point was not hit."""


class Run:
    """One pass through a volume's life with one planned fault."""

    def __init__(self, world, point, action, strike):
        self.world = world
        self.point = point
        self.action = action
        self.strike = strike  # as in a plan: "kill@2"
        self.pod = world.pod()
        self.serving = True
        self.was_killed = False

    def is_struck(self):
        return self.point in self.world.strikes()

    def plan_it(self):
        self.world.plan(f"{self.point}={self.strike}")

    # --- the driver's ends ---------------------------------------------------------------------

    def expect_planned(self, code):
        """The driver ended: by the plan, or this run fails."""
        by_kill = self.action == "kill" and code == -signal.SIGKILL
        by_start = self.action == "errno" and code == 1 and not self.serving
        if not self.is_struck() or not (by_kill or by_start):
            raise Elsewhere(f"the driver ended with {code}, point hit: {self.is_struck()}")

    def start_again(self):
        self.expect_planned(self.world.kill())
        self.was_killed = True
        self.world.calm()
        self.serving = True
        harness.expect(self.world.start(), "no start after the fault")

    def start_planned(self):
        """A start that may meet the fault; then the next one must succeed."""
        self.serving = False
        self.plan_it()
        if not self.world.start():
            self.start_again()
        self.serving = True

    def look_after(self):
        """After a step: starts a driver again that the plan has killed. True when it did."""
        if self.action == "kill" and self.is_struck() and not self.was_killed:
            self.world.wait_dead()
        if self.world.is_running():
            return False
        self.start_again()
        return True

    # --- steps ---------------------------------------------------------------------------------

    def step(self, what, good):
        """Does a step until it succeeds. It fails once at most, but for being told to come again."""
        failed = 0
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            code = what()
            self.look_after()
            if code == "OK":
                return
            good()
            failed += code != "ABORTED"
            harness.expect(failed <= 1, f"{what.__name__} fails after the fault: {code}")
            time.sleep(0.002)
        raise AssertionError(f"{what.__name__} is never done: {code}")

    def publish(self):
        return self.pod.publish("app").code

    def refresh(self):
        return self.world.refresh(self.pod)

    def get_to_know(self):
        return self.world.get_to_know(self.pod)

    def hand_back(self):
        return self.world.hand_back()

    def unpublish(self):
        messages = self.world.node.messages
        request = messages.NodeUnpublishVolumeRequest(
            volume_id=self.pod.volume_id, target_path=str(self.pod.target))
        return self.world.node.call(
            "NodeUnpublishVolume", request, messages.NodeUnpublishVolumeResponse).code

    def files_are_one_of(self, *sets):
        def check():
            have = self.pod.files()
            harness.expect(have in sets, f"a mix of files: {sorted(have)}")

        return check

    def write(self, values):
        self.world.write(values)
        self.world.write_class("app", sorted(values))

    def live(self):
        """Publish, be asked who it is, rotate twice, each time made ready for the driver before,
        unpublish."""
        self.write(OLD)
        self.step(self.publish, self.files_are_one_of({}, OLD, THEIRS))
        if self.pod.files() == THEIRS:
            self.step(self.refresh, lambda: None)  # adopted as it was; refreshed after
        self.files_are_one_of(OLD)()
        self.step(self.get_to_know, self.files_are_one_of(OLD))
        if PLANT == "die":
            self.world.driver().kill()
        for before, after in ((OLD, NEW), (NEW, NEXT)):
            self.write(after)
            self.step(self.refresh, self.files_are_one_of(before, after))
            self.files_are_one_of(after)()
            self.step(self.hand_back, self.files_are_one_of(after))
            self.files_are_one_of(after)()
        self.step(self.unpublish, lambda: None)
        self.look_after()

    # --- what a start finds --------------------------------------------------------------------

    def half_publish(self):
        """A record `publishing` with its mount, for recovery to undo."""
        self.write(OLD)
        self.world.plan("publish.after_mount=kill")
        self.publish()
        self.world.kill()

    def whole_publish(self):
        """A published volume with a half-written generation in it."""
        self.write(OLD)
        self.world.plan("write.before_rename=kill@2")
        harness.expect_equal(self.publish(), "OK", "publish before the kill")
        self.write(NEW)
        self.refresh()
        self.world.kill()

    def rebooted(self):
        """A record of a published volume whose tmpfs has gone."""
        self.whole_publish()
        subprocess.run(["umount", self.pod.target], check=True)

    def torn_record(self):
        """A record that nobody can read."""
        self.world.kill()
        (self.world.node.state / "torn.vol").write_text("locket-record 1\nvolume_id t")

    def adopt_foreign(self):
        """A live tmpfs of an old driver, whose writing provider left a folder where a link must go."""
        self.pod.target.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.pod.target], check=True)
        (self.pod.target / "user").mkdir()
        for name, text in THEIRS.items():
            (self.pod.target / name).write_text(text)

    def play(self):
        """The whole run; the world is as before it, and the driver serves."""
        prepare = preparation(self.point)
        if prepare:
            getattr(self, prepare)()
            self.start_planned()
        else:
            if self.point in REPLACES:
                self.adopt_foreign()
            self.plan_it()
        self.live()
        self.world.calm()
        (self.world.node.state / "torn.vol.bad").unlink(missing_ok=True)
        (self.world.node.state / "torn.vol").unlink(missing_ok=True)
        if not self.is_struck():
            raise Missed(f"{self.point} was not hit")


def points():
    listed = subprocess.run(
        [FAULTS / "bin/locket-driver", "--list-faults"], check=True, capture_output=True, text=True
    )
    return listed.stdout.split()


class Shard:
    """What one process does of it."""

    def __init__(self, world, standing):
        self.world = world
        self.standing = standing
        self.random = random.Random(SEED)
        self.table = collections.defaultdict(collections.Counter)
        self.failed = 0
        self.hits = {}

    def warm_up(self):
        """Lives without a fault: how often each point is met, and how much memory it takes."""
        for i in range(WARM_UP_RUNS):
            run = Run(self.world, "none", "delay", "")
            self.world.plan(*[f"{point}=delay:0x0" for point in points()])
            run.live()
            hits = collections.Counter(self.world.strikes())
            for point in points():
                self.hits[point] = min(hits[point], self.hits.get(point, hits[point]))
            self.world.calm()
            self.standing.check()
            if i >= 2 and ROUNDS == 1 and sys.argv[1:]:
                break

    def strike_of(self, point, action, first):
        """What the plan says: at the first hit, or at any that is sure to come."""
        hits = 1 if first or preparation(point) else max(1, self.hits.get(point, 1))
        nth = self.random.randint(1, hits)
        what = {"kill": "kill", "errno": f"errno:{self.random.choice(ERRNOS)}",
                "delay": f"delay:{self.random.choice((1, 5, 20))}"}[action]
        return f"{what}@{nth}"

    def try_once(self, point, action, first):
        run = Run(self.world, point, action, self.strike_of(point, action, first))
        run.play()
        self.plant()
        self.standing.check()

    def plant(self):
        if PLANT == "touch":
            (self.world.pod_folder() / "kubernetes.io~empty-dir/cache/file").write_text("ours")
        elif PLANT == "mount":
            place = self.world.pod_folder() / "kubernetes.io~csi/v"
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        elif PLANT == "grow":
            self.standing.driver_memory.runs = WARM_UP_RUNS
            self.standing.driver_memory.ceiling = 1

    def run(self, point, action, first):
        """One run, counted. One that missed a later hit is done again at the first."""
        row = self.table[point]
        row["runs"] += 1
        try:
            try:
                self.try_once(point, action, first)
            except Missed:
                if first:
                    raise
                self.try_once(point, action, True)
            row[action] += 1
            return
        except Missed as why:
            row["missed"] += 1
            self.tell(point, action, why)
        except Elsewhere as why:
            row["elsewhere"] += 1
            self.tell(point, action, why)
        except Exception as why:  # pylint: disable=broad-except
            row["failed"] += 1
            self.tell(point, action, why)
        self.recover()

    def tell(self, point, action, why):
        self.failed += 1
        print(f"FAIL {action} at {point} (seed {SEED}): {type(why).__name__}: {why}", flush=True)
        if PLANT == "":
            self.world.programs.print_ends()

    def recover(self):
        """After a failed run: a clean world and a new driver."""
        if self.world.driver():
            self.world.kill()
        self.world.calm()
        self.standing.clear()
        harness.expect(self.world.start(), "no start after a failed run")


def todo(names, only):
    """All runs, shuffled; those that leave the driver alive first, for its memory to be watched."""
    runs = [(point, action, turn == 0) for turn in range(ROUNDS) for point in names
            for action in ACTIONS if not only or point in only or action in only]
    random.Random(SEED).shuffle(runs)
    return sorted(runs, key=lambda run: run[1] == "kill" or preparation(run[0]) is not None)


def main():
    harness.enter_namespace()
    only = sys.argv[1:]
    names = points() + [word for word in only if "." in word and word not in points()]
    part, parts = (int(n) for n in os.environ.get("SHARD", "0/1").split("/"))
    with harness.Programs() as programs:
        world = FaultWorld(programs)
        standing = Standing(world)
        harness.expect(world.start(), "the driver does not start")
        shard = Shard(world, standing)
        shard.warm_up()
        for run in todo(names, only)[part::parts]:
            shard.run(*run)
            if shard.failed >= FAILED_MAX:
                print(f"FAIL {shard.failed} runs failed: no more of this shard", flush=True)
                break
        met = races(world, standing, RACES // parts, random.Random(SEED + part))
    result = {
        "points": shard.table, "races": met, "failed": shard.failed,
        "memory": {m.name: m.told() for m in (standing.driver_memory, standing.provider_memory)},
    }
    if os.environ.get("RESULT"):
        pathlib.Path(os.environ["RESULT"]).write_text(json.dumps(result))
    return 1 if shard.failed or met["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
