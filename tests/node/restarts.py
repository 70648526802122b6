# SPDX-License-Identifier: Apache-2.0
"""Kubelet, the driver, both, or the node start again and again, while a pod with a volume comes and
another leaves; and how long each of them takes to be back."""
import os
import pathlib
import signal
import statistics
import time

from daemonset import DRIVER, is_ready
from harness import expect, expect_equal, wait_until
from machine import volumes

# Seconds that no start may exceed; held to when there are many: one start tells more of its machine. Kubelet's own
# part of "registered": it looks twice, a second apart, to know another driver; and a socket that it met while nobody
# served it, it calls again after pauses of 1, 1.6 and 2.6 s.
LIMITS = {
    "ready": 1,  # from the driver's process to its serving
    "registered": 2,  # from then, or from kubelet's own start, to kubelet's confirmation
    "unknown": 5,  # from kubelet's first complaint about a driver that it does not know to then
}
UNKNOWN = f"driver name {DRIVER} not found in the list of registered CSI drivers"


def started_at(pid):
    """When a process was made, which is before its program was run."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    ticks = int(stat.rpartition(")")[2].split()[19])
    up = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


def stop_kubelet(world):
    world.programs.stop("kubelet")


def start_kubelet(world):
    world.machine.start_kubelet()


def end_driver(world, how=signal.SIGTERM):
    os.kill(world.driver_pid(), how)


def kill_driver(world):
    end_driver(world, signal.SIGKILL)


def stop_both(world):
    stop_kubelet(world)
    kill_driver(world)


# What is started again: how it goes, how it comes back, and whether there is another driver then.
KINDS = {
    "kubelet": (stop_kubelet, start_kubelet, False),
    "driver, ended": (end_driver, None, True),
    "driver, killed": (kill_driver, None, True),
    "both": (stop_both, start_kubelet, True),
    "node": (lambda world: world.machine.halt(), lambda world: world.machine.boot(), True),
}


class Start:
    """One start of one kind, and what it took, in seconds."""

    def __init__(self, world, kind):
        self.world = world
        self.kind = kind
        self.began = time.time()
        self.took = {}

    def play(self, comes, leaves):
        """The pod `comes` is made while all is down, and `leaves` is deleted then."""
        down, come_back, _ = KINDS[self.kind]
        down(self.world)
        self.world.delete(*leaves)
        self.world.create(comes)
        if come_back:
            come_back(self.world)
        created = time.time()
        wait_until(self.registered, 60, f"a registration after a start of {self.kind}")
        self.world.wait_ready(comes, 60)
        self.took["pod"] = time.time() - created
        self.world.wait_for_driver(60)
        self.world.wait_gone(*leaves)
        expect_equal(self.world.read(self.world.pod(comes), "user"), "joe", "what a new pod reads")

    def said(self, words):
        return self.world.machine.moments_of("driver", words, self.began)

    def both_serve(self):
        """When kubelet and driver had both begun, as far as they are new; 0 when they have not."""
        served = self.said('"serving"')[:1]
        watched = self.world.machine.moments_of_kubelet("Starting Kubelet Plugin Manager", self.began)
        if KINDS[self.kind][2] and not served:
            return 0
        return max(served + watched, default=0)

    def registered(self):
        """When kubelet first confirmed it then; None when it has not."""
        since = self.both_serve()
        return since and next((m for m in self.said("registered with kubelet") if m > since), None)

    def measure(self):
        """Call it when all is calm."""
        registered = self.registered()
        if KINDS[self.kind][2]:
            self.took["ready"] = self.said('"serving"')[0] - started_at(self.world.driver_pid())
        self.took["registered"] = registered - self.both_serve()
        complaints = self.world.machine.moments_of_kubelet(UNKNOWN, self.began)
        self.took["unknown"] = max(registered, *complaints) - complaints[0] if complaints else 0


def columns(starts):
    """Median and worst of each figure of some starts, as text."""
    for name in (*LIMITS, "pod"):
        took = [start.took[name] for start in starts if name in start.took]
        yield f"{statistics.median(took):.2f} {max(took):.2f}" if took else "-"


def tell(starts):
    """Prints the table."""
    print("# seconds: median and worst")
    names = [f"{name} (< {limit})" for name, limit in LIMITS.items()] + ["pod Ready"]
    print(f"# {'start of':<16}{'starts':>7}" + "".join(f"{name:>18}" for name in names))
    for kind in KINDS:
        mine = [start for start in starts if start.kind == kind]
        print(f"# {kind:<16}{len(mine):>7}" + "".join(f"{text:>18}" for text in columns(mine)))


def play(world, loops):
    """Every kind so often, one after the other; prints the table of their times, of all that were, and fails
    for one that is too slow when it was not alone of its kind."""
    starts = []
    try:
        play_all(world, loops, starts)
    finally:
        tell(starts)
    over = [f"{start.kind}: {name} {start.took[name]:.2f}" for start in starts
            for name, limit in LIMITS.items() if start.took.get(name, 0) >= limit]
    expect(loops == 1 or not over, f"{len(over)} times too slow: {over[:20]}")


def play_all(world, loops, starts):
    world.start("stays")
    pods = []
    for number in range(loops * len(KINDS)):
        kind = list(KINDS)[number % len(KINDS)]
        kept = [line for line in volumes() if world.pod("stays")["metadata"]["uid"] in line]
        lives = world.restarts("stays")
        start = Start(world, kind)
        start.play(f"comes-{number}", pods)
        start.measure()
        starts.append(start)
        pods = [f"comes-{number}"]
        if kind == "node":
            wait_until(lambda lives=lives: world.restarts("stays") > lives and
                       is_ready(world.pod("stays")), 60, "the second life of the pod that stays")
        else:
            expect(set(kept) <= set(volumes()), f"the mount of the pod that stays, after {kind}")
            expect_equal(world.restarts("stays"), lives, f"its restarts, after {kind}")
        expect_equal(world.read(world.pod("stays"), "user"), "joe", f"what it reads after {kind}")
