#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The DaemonSet of deploy/daemonset on a real kubelet: pods with volumes, and what happens to them.
POINTS=all   kills the driver at each point below, not at the first few alone
PODS=100     how many are started at once
LOOPS=1      how often kubelet, the driver, both, and the node are started again"""
import contextlib
import os
import pathlib
import signal
import statistics
import sys
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
import tokens
from daemonset import CSI_NODE, FAULTS, LABEL, World, is_ready, test
from harness import expect, expect_equal, wait_until
from images import BUSYBOX
from machine import run_on_a_node, volumes
import restarts

PODS = int(os.environ.get("PODS", "100"))
LOOPS = int(os.environ.get("LOOPS", "1"))
SOME = None if os.environ.get("POINTS") == "all" else 3
# Where the driver is killed, most telling first: in the publish and the unpublish of a pod per row.
ROWS = [
    ("publish.claimed", "unpublish.begin"), ("publish.after_record", "unpublish.before_wipe"),
    ("mount.after", "unpublish.before_unmount"), ("fetch.after_call", "unmount.after"),
    ("write.before_rename", "unpublish.after_rmdir"), ("publish.after_published", "unpublish.end"),
    ("class.before_get", "unpublish.left"), ("class.after_get", "unpublish.cleared"),
    ("publish.before_record", "unpublish.before_rmdir"),
    ("publish.before_mount", "unpublish.before_forget"),
    ("publish.after_mount", "unmount.before"), ("fetch.before_call", "state.before_remove"),
    ("write.after_files", "state.after_remove"), ("write.after_rename", "unpublish.begin"),
    ("publish.before_published", "unpublish.end"),
]
ROTATIONS = ["write.before_rename", "write.after_rename", "rotate.after_fetch", "rotate.end"]
# And in what kubelet, or other people's helpers, ask a driver besides; what makes them ask.
QUESTIONS = [
    ("register.asked", "its next start"), ("node.info", "its next start"),
    ("register.told", "its next start"), ("node.capabilities", "a pod"),
    ("node.stats", "a pod"), ("identity.plugin_info", "GetPluginInfo"),
    ("identity.capabilities", "GetPluginCapabilities"), ("identity.probe", "Probe"),
]
CANNOT_PROVE = [
    "what kubelets before the fixes of 2026 do to a mount after a final error of a republish",
    "NodeGetVolumeHealth, and a kubelet that insists on the runtime's RuntimeConfig (both 1.37)",
    "SELinux labels of mounts, and user namespaces of pods: this node has neither",
    "NetworkPolicies: the network of this node does not enforce them",
]


@test
def kubelet_registers_the_driver_and_the_node_says_so(world):
    info = world.machine.version()
    print("#", info["kubeletVersion"], info["containerRuntimeVersion"], info["kernelVersion"])
    expect(info["kubeletVersion"].startswith("v1.36."), "the kubelet's version")
    drivers = {d["name"]: d["nodeID"] for d in world.find(CSI_NODE)["spec"]["drivers"]}
    expect_equal(drivers, {"secrets-store.csi.k8s.io": "n1"}, "the drivers of the node")
    serving, registered = (world.machine.moments_of("driver", words)[-1]
                           for words in ('"serving"', "registered with kubelet"))
    took = registered - serving
    print(f"# from serving to registered: {took:.2f} s (kubelet looks once a second)")


@test
def a_pod_starts_with_its_secrets_and_sees_a_rotation_without_a_restart(world):
    world.create("web", image=BUSYBOX, command=["/bin/sleep", "1000"])
    pod = world.wait_ready("web")
    said = world.execute("web", "cat", "/secrets/user", "/secrets/password")
    expect_equal(said, "joeold", "the files, as the container reads them")
    world.rotate("password", "rotated-1", pod)
    said = world.execute("web", "cat", "/secrets/password")
    expect_equal(said, "rotated-1", "after the rotation")
    world.execute("web", "touch", "/secrets/x", check=False)
    said = world.execute("web", "ls", "/secrets")
    expect_equal(said, "password\nuser\n", "a write into the volume")
    expect_equal(world.restarts("web"), 0, "restarts")
    wait_until(lambda: world.status("web"), 20, "the pod's status object")


@test
def neither_agent_nor_provider_can_read_a_credential_or_a_path_of_the_other(world):
    world.rotate("password", "rotated-0", world.start("looked-at"))
    secret, token = world.values["password"], world.token_of_agent()
    agent, provider = (world.peek(name, [secret, token]) for name in ("agent", "provider"))
    expect_equal(agent["holding"][0], [], "files with a secret in the agent's container")
    expect_equal(provider["holding"][1], [], "files with the API token in the provider's container")
    expect(any(path.endswith("/token") for path in agent["holding"][1]), "the agent finds its own")
    expect_equal(provider["holding"][0], ["/run/rig/secrets.json"], "the provider finds its store")
    expect_equal(agent["sockets"], ["/run/locket/agent/agent.sock"], "sockets that the agent reaches")
    expect_equal(sorted(provider["sockets"]), [f"/run/locket/providers/{name}.sock" for name in ("file", "vault")],
                 "and the provider")
    for name, seen in (("agent", agent), ("provider", provider)):
        of_others = [path for path in seen["folders"] if path.startswith(("/var/lib/kubelet", "/csi", "/registration"))]
        expect_equal(of_others, [], f"folders of the driver in the container of the {name}")


@test
def a_volume_costs_little_of_a_pods_start(world):
    times = {}
    for class_name in (None, "app"):
        name = f"timed-{class_name or 'plain'}"
        took = [world.seconds_to_ready(f"{name}-{i}", class_name) for i in range(3)]
        times[class_name] = statistics.median(took)
    plain, mounted = times[None], times["app"]
    print(f"# from created to Ready (medians): {plain:.2f} s, with a volume {mounted:.2f} s")
    expect(mounted < plain + 3, f"{mounted:.2f} s with a volume, {plain:.2f} s without")


@test
def a_pod_whose_class_is_missing_says_so_and_starts_once_it_is_there(world):
    world.create("early", "later")
    world.wait_for_event("early", "later")
    world.make_class("later", ["user"])
    expect_equal(world.read(world.wait_ready("early"), "user"), "joe")


@test
def a_driver_that_is_replaced_keeps_its_volumes(world):
    pods = {name: world.start(name) for name in ("kept", "gone")}
    kept = [line for line in volumes() if pods["kept"]["metadata"]["uid"] in line]
    world.cluster.kubectl("delete", "pod", "-n", "kube-system", "-l", LABEL, "--wait=false")
    world.delete("gone")
    expect_equal(world.read(pods["kept"], "user"), "joe", "while the driver is away")
    world.wait_for_driver(60)
    world.wait_gone("gone")
    expect_equal(volumes(), kept, "the mount that stays, and no other")
    world.rotate("password", "rotated-2", pods["kept"])


@test
def a_driver_killed_while_a_provider_hangs_publishes_when_it_is_back(world):
    worker = world.provider_worker()
    os.kill(worker, signal.SIGSTOP)
    try:
        world.create("hung")
        wait_until(volumes, 20, "a publish that waits for its provider")
        os.kill(world.driver_pid(), signal.SIGKILL)
    finally:
        os.kill(worker, signal.SIGCONT)
    expect_equal(world.read(world.wait_ready("hung", 60), "user"), "joe")


@test
def a_kubelet_that_was_away_finds_its_volumes_and_ends_those_of_deleted_pods(world):
    pods = {name: world.start(name) for name in ("stays", "leaves", "forced")}
    kept = [line for line in volumes() if pods["stays"]["metadata"]["uid"] in line]
    world.programs.stop("kubelet")
    world.delete("leaves")
    world.cluster.kubectl("delete", "pod", "-n", "shop", "forced", "--force", "--grace-period=0")
    world.rotate("password", "rotated-3", pods["stays"])
    world.machine.start_kubelet()
    world.wait_gone("leaves")
    wait_until(lambda: volumes() == kept, 60, "the end of the deleted pods' volumes alone")
    wait_until(lambda: is_ready(world.pod("stays")), 30, "the pod that stays")
    expect_equal(world.restarts("stays"), 0, "restarts of the pod that stays")
    world.wait_for_driver(30)


@test
def a_node_that_was_rebooted_mounts_its_volumes_anew(world):
    world.start("rebooted")
    world.machine.halt()
    expect_equal(volumes(), [], "tmpfs of a node that is off")
    world.machine.boot()
    world.wait_for_driver(90)
    wait_until(lambda: world.restarts("rebooted") and is_ready(world.pod("rebooted")), 90,
               "the pod's second life")
    expect_equal(world.read(world.pod("rebooted"), "user"), "joe")
    expect_equal(len(volumes()), 1, f"mounts after the reboot: {volumes()}")


@test
def whatever_starts_again_is_soon_back_and_kubelet_is_not_long_without_the_driver(world):
    restarts.play(world, LOOPS)


@test
def running_pods_rotate_while_the_api_server_is_away(world):
    pod = world.start("alone")
    world.programs.stop("apiserver")
    world.rotate("password", "rotated-4", pod)
    world.cluster.start_apiserver()
    wait_until(lambda: is_ready(world.driver_pod()), 30, "the driver's pod")
    world.start("after")


@test
def force_deleted_pods_leave_nothing(world):
    names = [f"forced-{i}" for i in range(5)]
    for name in names:
        world.create(name)
    for name in names:
        world.wait_ready(name)
    world.cluster.kubectl("delete", "pod", "-n", "shop", *names, "--force", "--grace-period=0")
    world.expect_clean(60)


@test
def many_pods_at_once_get_their_volumes_and_leave_nothing(world):
    names = [f"many-{i}" for i in range(PODS)]
    began = time.monotonic()
    for name in names:
        world.create(name)
    wait_until(lambda: sum(map(is_ready, world.pods())) == PODS, 240, f"{PODS} pods Ready")
    took = time.monotonic() - began
    expect_equal(len(volumes()), PODS, "volumes")
    expect_equal({world.read(pod, "user") for pod in world.pods()}, {"joe"}, "what they read")
    print(f"# {PODS} pods at once: all Ready after {took:.1f} s; driver {world.memory_of_driver()}")


@test
def a_driver_killed_in_the_middle_of_each_call_is_back_and_goes_on(world):
    world.change_driver(image=FAULTS)
    for number, (publish, unpublish) in enumerate(ROWS[:SOME]):
        name = f"killed-{number}"
        with world.killed_at(publish):
            world.create(name)
        expect_equal(world.read(world.wait_ready(name, 60), "user"), "joe", publish)
        with world.killed_at(unpublish):
            world.delete(name)
        world.wait_gone(name, seconds=60)
        world.expect_clean()


@test
def a_driver_killed_while_it_is_asked_who_it_is_registers_again(world):
    world.change_driver(image=FAULTS)
    kept = world.start("known")
    for point, why in QUESTIONS[:SOME]:
        name = point.replace(".", "-").replace("_", "-")
        began = time.time()
        with world.killed_at(point):
            if why == "its next start":
                os.kill(world.driver_pid(), signal.SIGKILL)
            elif why == "a pod":
                world.create(name)
            else:
                with contextlib.suppress(grpc.RpcError):
                    world.identify(why)
        world.wait_registered(began)
        if why != "a pod":
            world.create(name)
        expect_equal(world.read(world.wait_ready(name, 60), "user"), "joe", point)
        expect_equal(world.read(kept, "user"), "joe", f"a pod from before, after {point}")


@test
def a_driver_killed_in_a_rotation_ends_it_when_it_is_back(world):
    world.change_driver(image=FAULTS)
    pod = world.start("turning")
    for number, point in enumerate(ROTATIONS[:SOME]):
        before, fresh = world.values["password"], f"turned-{number}"
        with world.killed_at(point):
            world.values["password"] = fresh
            world.write(world.values)
        expect(world.read(pod, "password") in (before, fresh), f"{point}: neither old nor new")
        wait_until(lambda fresh=fresh: world.read(pod, "password") == fresh, 30, point)


@test
def a_node_without_room_refuses_a_pod_in_clear_words_until_others_leave(world):
    world.start("first")
    world.change_driver(flags=[f"--tmpfs-budget={world.volume_bytes() * 5 // 2}"])
    world.start("second")
    world.create("third")
    world.wait_for_event("third", "raise --tmpfs-budget or the container's memory limit")
    expect(not is_ready(world.pod("third")), "started without its volume")
    expect_equal(len(volumes()), 2, "volumes of a node that is full")
    world.end("first")
    expect_equal(world.read(world.wait_ready("third", 60), "user"), "joe")


@test
def a_driver_beyond_its_memory_limit_comes_back_and_unpublishes(world):
    world.values.update({f"big-{i}": chr(97 + i) * 1_000_000 for i in range(3)})
    world.write(world.values)
    world.make_class("big", ["big-0", "big-1", "big-2"])
    world.change_driver(memory="24Mi", flags=["--tmpfs-budget=1073741824"])
    names = []
    while not world.was_oom_killed():
        expect(len(names) < 12, "the driver is far beyond its memory limit and lives")
        names.append(f"big-{len(names)}")
        world.create(names[-1], "big")
        wait_until(lambda: world.was_oom_killed() or is_ready(world.pod(names[-1])), 60,
                   f"{names[-1]} Ready, or the driver's end")
    print(f"# OOM-killed at volume {len(names)} of 3 MB, with a memory limit of 24 MiB")
    for name in names[:-1]:
        expect_equal(len(world.read(world.pod(name), "big-0")), 1_000_000, f"what {name} reads")


@test
def a_driver_that_is_removed_is_gone_from_the_node(world):
    world.cluster.kubectl("delete", "daemonset", "-n", "kube-system", "csi-secrets-store")
    wait_until(lambda: not world.driver_pod(), 60, "the end of the driver's pod")
    wait_until(lambda: not world.is_registered(), 60, "the end of the driver in CSINode")
    left = [str(path) for path in pathlib.Path("/var/lib/kubelet").glob("plugins*/**/*.sock")]
    expect_equal(left, [], "sockets that kubelet would call")


@test
def no_secret_and_no_refused_system_call_is_in_any_log_or_event(world):
    texts = world.machine.all_logs()
    texts["events"] = world.cluster.kubectl("get", "events", "-A", "-o", "json")
    said = [name for name, text in texts.items() if "registered with kubelet" in text]
    expect(len(said) > 10, f"the logs of the driver's lives are looked at: {len(said)}")
    for name, text in texts.items():
        expect("a system call was refused" not in text, f"the sandbox refused a call: {name}")
        for value in ("rotated-", "turned-", "aaaaaaaa", *tokens.SECRET):
            expect(value not in text, f"a secret is in {name}")
    for what in CANNOT_PROVE:
        print(f"# cannot be proven with this node: {what}")


if __name__ == "__main__":
    run_on_a_node(World)
