#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The driver makes itself known to kubelet, beside others who would be known by its name."""
import concurrent.futures
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from world import FAULTS, harness  # noqa: E402
import node  # noqa: E402
from node import Node  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))
from plugin_watcher import OldRegistrar, PluginWatcher, load_registration  # noqa: E402

test, expect, expect_equal = harness.test, harness.expect, harness.expect_equal
wait_until = harness.wait_until
NAME = "secrets-store.csi.k8s.io"


class World:
    """A node whose kubelet watches a folder of registration sockets."""

    def __init__(self, programs):
        self.programs = programs
        self.node = Node(programs)
        self.folder = programs.folder / "plugins_registry"
        self.folder.mkdir()
        self.socket = self.folder / f"{NAME}-reg.sock"
        self.messages = load_registration()
        self.workers = concurrent.futures.ThreadPoolExecutor(4)
        self.kubelet = None

    def start_kubelet(self):
        self.kubelet = PluginWatcher(self.folder, self.node.messages, self.messages)

    def stop_kubelet(self):
        self.kubelet.stop()

    def start_driver(self, registers=True):
        self.node.flags = [f"--registration-folder={self.folder}"] if registers else []
        if self.programs.running.get("driver"):
            self.programs.stop("driver")
        self.node.start()

    def old_registrar(self):
        """Of a driver of our name, whose endpoint answers: ours does."""
        return OldRegistrar(self.socket, NAME, self.node.csi, self.messages, self.workers)

    def which(self):
        """Tells one making of the socket from another: an inode's number may come again."""
        try:
            found = self.socket.lstat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_ctime_ns

    def wait_for_another(self, than):
        wait_until(lambda: self.which() not in (None, than), 1, "another socket")

    def wait_registered(self, times, seconds=5):
        """Waits until kubelet has registered us so often, in this life of kubelet."""
        wait_until(
            lambda: self.kubelet.count("registered") >= times, seconds, f"registration {times}"
        )
        expect_equal(self.kubelet.registered, {NAME: str(self.node.csi)}, "what kubelet knows")


def make_world(programs):
    world = World(programs)
    world.start_kubelet()
    return world


@test
def without_the_flag_nobody_is_registered(world):
    world.start_driver(registers=False)
    expect_equal(os.listdir(world.folder), [], "the folder")
    expect_equal(json.loads(world.node.ctl("status", "-o", "json"))["registration"], "off", "status")


@test
def kubelet_registers_the_driver_at_its_start(world):
    began = time.monotonic()
    world.start_driver()
    world.wait_registered(1)
    expect(time.monotonic() - began < 2, "it took 2 s or more")
    history = world.kubelet.history
    expect_equal(
        history, [("asked", NAME), ("node", "n1"), ("registered", "")], "what kubelet met"
    )
    expect_equal([n for n in world.kubelet.names if not n.startswith(".")],
                 [world.socket.name], "the names that kubelet dials")
    expect_equal(os.listdir(world.folder), [world.socket.name], "what lies in the folder")
    expect_equal(world.socket.stat().st_mode & 0o777, 0o600, "the mode of the socket")
    status = json.loads(world.node.ctl("status", "-o", "json"))
    expect_equal((status["registered"], status["registration"]), (True, "registered"), "status")


@test
def a_socket_unlinked_by_path_is_back_within_a_second(world):
    for _ in range(3):
        times = world.kubelet.count("registered")
        before = world.which()
        world.socket.unlink()
        world.wait_for_another(before)
        world.wait_registered(times + 1)


@test
def the_registrar_of_the_driver_before_us_may_come_and_go(world):
    """In place of each other on one node: it binds by path, and unlinks by path at its end."""
    world.programs.stop("driver")
    wait_until(lambda: not world.kubelet.registered, 5, "the driver leaving")
    world.start_driver(registers=False)  # an endpoint for kubelet to call
    before = world.old_registrar()
    world.wait_registered(world.kubelet.count("registered") + 1)
    times = world.kubelet.count("registered")
    world.start_driver()
    world.wait_registered(times + 1)
    ours = world.which()
    before.stop()
    world.wait_for_another(ours)
    world.wait_registered(times + 2)
    again = world.old_registrar()
    theirs = world.kubelet.count("registered")
    wait_until(lambda: log_count(world, "taken away") >= 2, 2, "a look at what they did")
    world.wait_registered(theirs + 1)
    again.stop()
    world.wait_registered(theirs + 2)


def log_count(world, words):
    return world.programs.log("driver").read_text().count(words)


@test
def a_refusal_is_answered_by_a_new_socket(world):
    """Kubelet never asks again by itself once NodeGetInfo has failed."""
    times = world.kubelet.count("registered")
    world.kubelet.refuse = 2
    world.socket.unlink()
    began = time.monotonic()
    world.wait_registered(times + 1, 8)
    took = time.monotonic() - began
    expect_equal(world.kubelet.count("refused"), 2, "refusals")
    expect(3 <= took < 6, f"two refusals took {took:.1f} s, and not 1 s and 2 s")
    expect(log_count(world, "kubelet refused the registration"), "the refusal is not logged")


@test
def a_kubelet_that_starts_again_finds_the_driver(world):
    world.stop_kubelet()
    before = world.which()
    world.start_kubelet()
    world.wait_registered(1)
    expect_equal(world.which(), before, "the socket")
    world.stop_kubelet()
    world.socket.unlink()  # while nobody looks but us
    world.wait_for_another(before)
    world.start_kubelet()
    world.wait_registered(1)


@test
def a_killed_driver_is_registered_again_at_its_next_start(world):
    times = world.kubelet.count("registered")
    world.programs.stop("driver", signal.SIGKILL)
    expect(world.socket.exists(), "a killed driver has cleaned up")
    expect(NAME in world.kubelet.registered, "kubelet forgets a driver whose socket is there")
    world.node.csi.unlink()
    world.node.admin.unlink()
    began = time.monotonic()
    world.start_driver()
    world.wait_registered(times + 1)
    expect(time.monotonic() - began < 2, "it took 2 s or more")
    expect_equal(os.listdir(world.folder), [world.socket.name], "what lies in the folder")


def kill_in(world, point):
    """Starts a driver that is to die in this step of its registration, and waits for its death."""
    node.BUILD = FAULTS
    os.environ["LOCKET_FAULTS"] = f"{point}=kill"
    try:
        world.start_driver()
    except AssertionError:
        pass  # it was gone before its start was seen
    finally:
        node.BUILD = harness.BUILD
        os.environ.pop("LOCKET_FAULTS")
    ended = world.programs.running["driver"].wait(5)
    expect_equal(ended, -signal.SIGKILL, f"the end of a driver to be killed at {point}")


@test
def a_driver_killed_while_kubelet_registers_it_is_registered_at_its_next_start(world):
    for point, met in (("register.asked", "unanswered"), ("node.info", "asked"),
                       ("register.told", "unheard")):
        before = world.kubelet.count(met)
        kill_in(world, point)
        wait_until(lambda met=met, before=before: world.kubelet.count(met) > before, 5,
                   f"what kubelet met at {point}")
        times = world.kubelet.count("registered")
        world.start_driver()
        world.wait_registered(times + 1)
        expect_equal(os.listdir(world.folder), [world.socket.name], f"the folder after {point}")
    world.stop_kubelet()  # which has met sockets that nobody answered
    world.start_kubelet()
    world.wait_registered(1)


@test
def registering_again_and_again_costs_no_descriptors(world):
    pid = world.programs.running["driver"].pid
    fds = f"/proc/{pid}/fd"
    before = len(os.listdir(fds))
    for _ in range(4):
        times = world.kubelet.count("registered")
        world.socket.unlink()
        world.wait_registered(times + 1)
    wait_until(lambda: len(os.listdir(fds)) <= before + 2, 5, "descriptors given back")
    refused = [row for row in world.node.ctl("metrics").splitlines()
               if row.startswith("locket_refused_calls_total")]
    expect_equal(refused, ["locket_refused_calls_total 0"], "calls that the sandbox refused")


@test
def the_end_of_the_driver_deregisters_it(world):
    world.programs.stop("driver")
    expect_equal(os.listdir(world.folder), [], "what is left in the folder")
    wait_until(lambda: not world.kubelet.registered, 5, "the driver leaving")
    world.stop_kubelet()
    expect_equal(world.kubelet.count("unanswered"), 0, "sockets on which nobody answered")


harness.run_tests(make_world)
