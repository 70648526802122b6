#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a node costs an API server, and what the cluster costs a node: on a real control plane. Adds its
rows to bench.json, as "cluster"."""
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ("tests/cluster", "tests/e2e/lib", "tests/fakes", "tests/bench"):
    sys.path.insert(0, str(ROOT / folder))
# pylint: disable=wrong-import-position,import-error
from harness import BUILD, Programs, expect, wait_until
from measure import CLIENT, measure, memory
from node import Pod
from objects import GROUP, pod, provider_class
from plugin_watcher import PluginWatcher, load_registration
from world import World

VALUES = {f"f{i}": chr(ord("a") + i) * 1024 for i in range(5)}
CLASSES = "secretproviderclasses"
PAIRS = 400
FOREIGN_NAMESPACES, FOREIGN = 20, 1000
VOLUMES = 250


class BenchWorld(World):
    """The world of the cluster's tests, with a class for the bench's own kubelet."""

    preset = "overlays/sync"  # its role; the flags only where that is measured
    flags = ("--tmpfs-budget=16Gi", "--generation-grace=0")

    def prepare_cluster(self):
        super().prepare_cluster()
        self.write({**self.values, **VALUES})
        self.make_bench_class()

    def make_bench_class(self, **spec):
        made = provider_class("bench", "default", sorted(VALUES))
        made["spec"].update(spec)
        self.cluster.apply(made)

    def restart_driver(self, *flags):
        self.programs.stop("driver")
        self.node.flags = (*self.flags, *flags)
        self.node.start()

    def make_places(self, names, keys):
        """Namespaces, each with a class "app": without kubectl, which takes its time."""
        for name in names:
            self.cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        for name in names:
            path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
            wait_until(lambda p=path: self.find(p), 30, "the namespace's account")
            self.cluster.call("POST", f"/apis/{GROUP}/v1/namespaces/{name}/{CLASSES}",
                              provider_class("app", name, keys))

    def publish(self, name, class_name="app", namespace="shop"):
        path = f"/api/v1/namespaces/{namespace}/pods"
        self.cluster.call("POST", path, pod(name, namespace))
        mine = Pod(self.node, name, namespace)
        mine.uid = self.find(f"{path}/{name}")["metadata"]["uid"]
        mine.target = self.node.target_root / f"pods/{mine.uid}/volumes/kubernetes.io~csi/v/mount"
        return mine.must_publish(class_name)

    def calls(self, since=0):
        """What the agent asked since then; a watch at its beginning."""
        return [c for c in self.cluster.audit()[since:] if c["userAgent"].startswith("locket-agent/")
                and c["stage"] == ("ResponseStarted" if c["verb"] == "watch" else "ResponseComplete")]

    def settle(self):
        """Waits until all is written that is to be. Returns the calls so far."""
        wait_until(lambda: self.metric("locket_agent_pod_status_behind") == 0, 60, "the statuses written")
        count = -1
        while count != len(self.cluster.audit()):
            count = len(self.cluster.audit())
            time.sleep(0.5)
        return count

    def kubelet(self, *words):
        subprocess.run([CLIENT, *map(str, words)], check=True)

    def requests_for(self, since, what):
        """Calls for each of these. Watches have rows of their own; that of the statuses, which begins with the
        first volume, may show only after a pause."""
        return sum(c["verb"] != "watch" for c in self.calls(since)) / len(what)

    def class_calls(self, verb):
        """Of the agent that runs now."""
        return sum(c["verb"] == verb and c.get("objectRef", {}).get("resource") == CLASSES
                   for c in self.calls(self.born))

    def is_ready(self):
        try:
            return self.page("/readyz")[0] == 200
        except OSError:
            return False  # its page comes after its socket

    def restart(self):
        self.settle()
        self.born = len(self.cluster.audit())
        self.programs.stop("agent")
        began = time.monotonic()
        self.start_agent()
        wait_until(self.is_ready, 20, "/readyz")
        return time.monotonic() - began


def requests(world, out):
    pods = [world.make_pod(f"p{i}") for i in range(20)]
    world.make_class("app", "shop", sorted(VALUES))
    world.publish("first").unpublish()
    at = world.settle()
    for each in pods:
        each.must_publish("app")
    now = world.settle()
    out["requests_per_publish"] = world.requests_for(at, pods)
    for each in pods:
        each.must_publish("app")
    at, now = now, world.settle()
    out["requests_per_unchanged_republish"] = world.requests_for(at, pods)
    world.write({**world.values, **{key: "new" + value for key, value in VALUES.items()}})
    for each in pods:
        world.node.must_refresh(each, changed=True)
    at = now
    world.settle()
    out["requests_per_rotation"] = world.requests_for(at, pods)
    out["agent_start_to_ready_s"] = round(world.restart(), 2)
    world.settle()
    calls = world.calls(world.born)
    out["requests_per_start"] = len(calls) - len(pods)
    out["requests_per_start_and_volume"] = sum("podstatus" in c["requestURI"] and c["verb"] != "watch"
                                               for c in calls) / len(pods)
    for each in pods:
        each.unpublish()


def watches(world, out):
    """With a volume in each of 1, 8 and 100 namespaces, as an agent sees it that starts then."""
    pods = []
    for count in (1, 8, 100):
        names = [f"n{i}" for i in range(len(pods), count)]
        world.make_places(names, ["f0"])
        pods += [world.publish("p", "app", name) for name in names]
        world.restart()
        world.settle()
        out[f"class_watches_{count}_namespaces"] = int(world.metric("locket_agent_class_watches"))
        out[f"class_watch_calls_{count}_namespaces"] = world.class_calls("watch")
        out[f"class_lists_{count}_namespaces"] = world.class_calls("list")
    for each in pods:
        each.unpublish()


def with_sync(world, pairs):
    """The same publishes of a pod that the cluster knows, while each asks for its Secret."""
    keys = [{"key": key, "objectName": key} for key in sorted(VALUES)]
    world.make_bench_class(secretObjects=[{"secretName": "bench", "type": "Opaque", "data": keys}])
    world.agent_flags = ("--sync-secrets",)
    world.restart()
    world.restart_driver("--sync-secrets")
    mine = world.publish("bench", "bench", "default")
    wait_until(lambda: (world.find("/api/v1/namespaces/default/secrets/bench") or {"metadata": {}})
               ["metadata"].get("ownerReferences"), 20, "the Secret")
    mine.unpublish()
    pairs(mine.uid)
    times = pairs(mine.uid)
    looks = sum(world.metric(f'locket_agent_secret_syncs_total{{result="{result}"}}')
                for result in ("applied", "kept", "yielded"))
    expect(looks > 1, "no Secret was looked after meanwhile")
    world.agent_flags = ()
    world.make_bench_class()
    world.restart()
    world.restart_driver()
    return times


def speed(world, out):
    """The same publishes with classes of a folder, which nothing is reported to."""
    def pair():
        return measure("pair", world.node.csi, world.node.target_root, 1, PAIRS)["pair_c1_us"]

    def pairs_of(uid):
        words = ("pair_of", world.node.csi, world.node.target_root, PAIRS, uid)
        return measure(*words)["pair_of_us"]

    pair()
    with_status = pair()
    synced = with_sync(world, pairs_of)
    world.programs.stop("driver")
    source, world.node.source = world.node.source, f"--classes={world.node.classes}"
    world.node.write_class("bench", "file", {"objects": [{"objectName": k} for k in sorted(VALUES)]})
    world.node.start()
    pair()
    without = pair()
    world.programs.stop("driver")
    world.node.source = source
    world.node.start()
    for which in ("p50", "p99"):
        out[f"publish_{which}_us"] = with_status[which]
        out[f"publish_{which}_over_folder"] = round(with_status[which] / without[which], 2)
        out[f"publish_{which}_with_sync_us"] = synced[which]
        out[f"publish_{which}_with_sync_over_folder"] = round(synced[which] / without[which], 2)


def make_foreign(world, names):
    def make(i):
        namespace = names[i % len(names)]
        body = provider_class(f"c{i}", namespace, sorted(VALUES), note="x" * 1024)
        world.cluster.call("POST", f"/apis/{GROUP}/v1/namespaces/{namespace}/{CLASSES}", body)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(FOREIGN)))


def agent_memory(world):
    """Of an agent that has just read all that there is."""
    world.restart()
    world.settle()
    time.sleep(11)  # pools' idle threads leave
    return memory(world.programs.running["agent"].pid)


def sizes(world, out):
    """With volumes in nine namespaces, so that every class of the cluster goes by."""
    names = [f"s{i}" for i in range(9)]
    foreign = [f"foreign-{i}" for i in range(FOREIGN_NAMESPACES)]
    world.make_places([*names, *foreign], ["f0"])
    # The other volumes are of pods that the API server never heard of: no collector of their statuses.
    world.programs.running["controllers"].send_signal(signal.SIGSTOP)
    pods = [world.publish("p", "app", name) for name in names]
    world.kubelet("publish", world.node.csi, world.node.target_root, 9, VOLUMES)
    out["agent_250_volumes"] = agent_memory(world)
    make_foreign(world, foreign)
    out["agent_250_volumes_1000_classes_elsewhere"] = agent_memory(world)
    out["driver_250_volumes"] = memory(world.programs.running["driver"].pid)
    out["provider_250_volumes"] = memory(world.programs.running["provider"].pid)
    for each in pods:
        each.unpublish()
    world.programs.running["controllers"].send_signal(signal.SIGCONT)


def registration(world, out):
    folder = world.programs.folder / "plugins_registry"
    folder.mkdir()
    world.programs.stop("driver")
    kubelet = PluginWatcher(folder, world.node.messages, load_registration())
    world.node.flags = [*world.flags, f"--registration-folder={folder}"]
    began = time.monotonic()
    world.node.start()
    wait_until(lambda: kubelet.count("registered"), 10, "the registration")
    out["start_to_registered_s"] = round(time.monotonic() - began, 2)
    kubelet.stop()


def image(out):
    found, = (BUILD / "image").glob("*.oci.tar")
    out["image_bytes"] = os.stat(found).st_size


GOALS = [
    ("<= 2 requests per publish", lambda o: o["requests_per_publish"] <= 2),
    ("0 requests per unchanged republish", lambda o: o["requests_per_unchanged_republish"] == 0),
    ("2 requests per rotation: status and Event", lambda o: o["requests_per_rotation"] <= 2),
    ("one watch for 100 namespaces", lambda o: o["class_watches_100_namespaces"] == 1),
    ("publish p50 <= 1.2 x that with a folder", lambda o: o["publish_p50_over_folder"] <= 1.2),
    ("publish p50 with status and sync <= 1.2 x that with a folder",
     lambda o: o["publish_p50_with_sync_over_folder"] <= 1.2),
    ("classes elsewhere cost <= 1 MiB",
     lambda o: o["agent_250_volumes_1000_classes_elsewhere"]["anon_kib"]
     <= o["agent_250_volumes"]["anon_kib"] + 1024),
    ("<= 25 MB of image", lambda o: o["image_bytes"] <= 25_000_000),
    ("registered within 1 s of the start", lambda o: o["start_to_registered_s"] <= 1),
]


def main():
    out = {}
    with Programs() as programs:
        world = BenchWorld(programs)
        expect(world.page("/livez")[0] == 200, "the agent does not serve")
        for part in (requests, watches, speed, sizes, registration):
            part(world, out)
            print(f"# {part.__name__}", flush=True)
        programs.stop("driver")
        for place in programs.mounts():
            subprocess.run(["umount", "--lazy", place], check=True)
    image(out)
    path = BUILD / "bench.json"
    whole = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**whole, "cluster": out}, indent=1) + "\n")
    for name, value in out.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{name:44} {text}")
    for name, holds in GOALS:
        print(f"{'met   ' if holds(out) else 'MISSED'}  {name}")


main()
