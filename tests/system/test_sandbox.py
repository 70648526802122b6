#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the shipped programs have given up while they serve, as the kernel tells it."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from world import World, harness  # noqa: E402
from node import Pod  # noqa: E402

test, expect, expect_equal = harness.test, harness.expect, harness.expect_equal
CHOWN, DAC_OVERRIDE, FOWNER, SYS_ADMIN = 0, 1, 3, 21
DRIVER = 1 << CHOWN | 1 << DAC_OVERRIDE | 1 << FOWNER | 1 << SYS_ADMIN
PROVIDER = 1 << DAC_OVERRIDE
CALLS = ["--stores=file,vault"]


def make_world(programs):
    world = World(programs)
    world.start_provider(*CALLS)
    expect(world.start_driver(), "the driver does not start")
    return world


def status(task):
    lines = (task / "status").read_text(encoding="ascii").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def threads(pid):
    """The status of each thread: capabilities and filters are a thread's."""
    return [status(task) for task in sorted(pathlib.Path(f"/proc/{pid}/task").iterdir())]


def workers(world):
    """The processes of the stores, by store."""
    parent = world.programs.running["provider"].pid
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if int(status(folder)["PPid"]) == parent:
                words = (folder / "cmdline").read_text(encoding="utf-8").split("\0")
                if words[-2:-1]:  # one that has ended and is not waited for yet has none
                    found[words[-2].removeprefix("--worker=")] = int(folder.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def expect_sandboxed(pid, capabilities, filters):
    """Of what the suite itself may do, these are left; as a plain user in a namespace too."""
    own = int(status(pathlib.Path("/proc/self"))["CapEff"], 16)
    found = threads(pid)
    expect(found, "no thread")
    for have in found:
        for name in ("CapEff", "CapPrm", "CapBnd"):
            expect_equal(int(have[name], 16), capabilities & own, f"{have['Name']} {name}")
        expect_equal([int(have[name], 16) for name in ("CapInh", "CapAmb")], [0, 0], "inherited")
        expect_equal(have["NoNewPrivs"], "1", "NoNewPrivs")
        expect_equal(have["Seccomp"], "2", "Seccomp")
        expect_equal(have.get("Seccomp_filters", str(filters)), str(filters), "Seccomp_filters")


@test
def each_thread_of_the_driver_has_four_capabilities_and_a_filter(world):
    pod = Pod(world.node, "life").must_publish("app")
    world.write({"user": "joe", "password": "new"})
    world.node.must_refresh(pod, changed=True)
    expect(len(threads(world.driver().pid)) > 4, "few threads: where are the pools?")
    expect_sandboxed(world.driver().pid, DRIVER, 1)
    pod.unpublish()


@test
def the_provider_and_each_store_have_a_filter_on_a_filter(world):
    expect_sandboxed(world.programs.running["provider"].pid, PROVIDER, 1)
    found = workers(world)
    expect_equal(sorted(found), ["file", "vault"], "workers")
    for pid in found.values():
        expect_sandboxed(pid, PROVIDER, 2)


@test
def the_agent_has_a_filter_before_it_has_an_api_server(world):
    folder = world.programs.folder / "agent"
    folder.mkdir()
    config = folder / "config"
    harness.write_json(config, {
        "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}]})
    socket = folder / "run/agent.sock"
    agent = world.programs.start("agent", [
        harness.BUILD / "bin/locket-agent", "--node-name=n1", f"--kubeconfig={config}",
        f"--agent-socket={socket}", "--health-addr=127.0.0.1:0", "--metrics-addr=127.0.0.1:0"],
        lambda: harness.accepts(socket))
    expect_sandboxed(agent.pid, PROVIDER, 1)
    world.programs.stop("agent")


@test
def a_worker_that_is_started_again_is_sandboxed_again(world):
    """The supervisor, itself sandboxed, may still start it."""
    old = workers(world)["vault"]
    os.kill(old, 9)
    harness.wait_until(lambda: workers(world).get("vault", old) != old, 10, "another worker")
    socket = world.node.providers / "vault.sock"
    harness.wait_until(lambda: harness.accepts(socket), 10, "the socket")
    expect_sandboxed(workers(world)["vault"], PROVIDER, 2)


@test
def a_class_names_no_folder_outside_of_what_is_readable(world):
    """Landlock: the folder is there, and anybody may read it."""
    if "no Landlock" in world.programs.log("provider").read_text(encoding="utf-8"):
        raise harness.Skip("this kernel has no Landlock")
    folder = world.programs.folder / "authorities"
    folder.mkdir()
    world.node.write_class("ca", "vault", {
        "vaultAddress": "https://127.0.0.1:1", "roleName": "r", "vaultCADirectory": str(folder),
        "objects": [{"objectName": "a", "secretPath": "kv/data/a", "secretKey": "b"}]})
    for flags, word in (([], "Permission denied"), ([f"--readable={folder}"], "authorities")):
        world.programs.stop("provider")
        world.start_provider(*CALLS, *flags)
        socket = world.node.providers / "vault.sock"
        harness.wait_until(lambda: harness.accepts(socket), 10, "vault")
        pod = Pod(world.node, "ca")
        said = pod.publish("ca", tokens={"vault": "t"}, timeout_s=20).text
        expect(word in said, said)
        expect(not flags or "Permission denied" not in said, said)
        pod.unpublish()


@test
def no_call_was_refused_and_the_metric_says_so(world):
    text = world.node.ctl("metrics")
    expect("\nlocket_refused_calls_total 0\n" in text, "no locket_refused_calls_total 0")


@test
def the_sandbox_is_switched_off_and_nothing_else_is_said_by_the_switch(world):
    binary = harness.BUILD / "bin/locket-driver"
    wrong = harness.run([binary, "--classes=/", "--sandbox=maybe"], check=False)
    expect_equal(wrong.returncode, 2, "the end of a driver with a wrong switch")
    expect("--sandbox" in wrong.stderr, wrong.stderr)
    world.programs.stop("driver")
    world.node.flags.append("--sandbox=off")
    expect(world.start_driver(), "the driver does not start")
    have = status(pathlib.Path(f"/proc/{world.driver().pid}"))
    expect_equal(have["Seccomp"], "0", "Seccomp")
    expect_equal(have["CapEff"], status(pathlib.Path("/proc/self"))["CapEff"], "CapEff")


if __name__ == "__main__":
    harness.run_tests(make_world)
