#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/MIGRATE.md on a real kubelet: the driver before Locket, built from its own sources and deployed by its
own manifests, gives a node with live pods to Locket and gets it back. The tests are one story, in order."""
import base64
import json
import os
import pathlib
import re
import sys

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
import daemonset
from daemonset import SHARED, uid_of
from harness import BUILD, ROOT, accepts, expect, expect_equal, run, test, tool, wait_until
from images import REGISTRAR, UPSTREAM, make_old_images
from machine import NAME, run_on_a_node
from objects import provider_class, secret_object
from page import Page, Reader

MODULE = "sigs.k8s.io/secrets-store-csi-driver"
PROVIDERS = pathlib.Path("/var/run/secrets-store-csi-providers")
PODS = ["stays", "leaves", "last"]  # of the old driver's time
INTERVAL = "2s"
VOLUMES = "/volumes/kubernetes.io~csi/"
SECRET = "/api/v1/namespaces/shop/secrets/app"
VALUE = "value-"
IMAGES = {"node-driver-registrar": REGISTRAR, "secrets-store": UPSTREAM}
ARGS = {"--enable-secret-rotation=false": "--enable-secret-rotation=true",
        "--rotation-poll-interval=2m": f"--rotation-poll-interval={INTERVAL}"}
# What a reader adds to the page's kustomization: the old driver wrote Secrets, and a test is impatient.
MORE = """components: [../deploy/daemonset/components/sync]
"""
PATCH = """  - target: {kind: DaemonSet, name: csi-secrets-store}
    patch: |-
      - {op: add, path: /spec/template/spec/containers/0/args/-, value: --rotation-poll-interval=%s}
""" % INTERVAL


def released():
    """The objects of the old release, each by its file."""
    folder = run(["go", "list", "-m", "-f", "{{.Dir}}", MODULE], cwd=ROOT / "tests/tools/upstream",
                 env={**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}).stdout.strip()
    for path in sorted((pathlib.Path(folder) / "deploy").glob("*.yaml")):
        if "windows" not in path.name:
            yield path.name, [one for one in yaml.safe_load_all(path.read_text()) if one]


def fit(one):
    """To this node: images that are here, a short interval, nobody who asks for its health."""
    if one["kind"] != "DaemonSet":
        return one
    pod = one["spec"]["template"]["spec"]
    pod["containers"] = [c for c in pod["containers"] if c["name"] in IMAGES]
    for container in pod["containers"]:
        container["image"] = IMAGES[container["name"]]
        container.pop("livenessProbe", None)
        container["args"] = [ARGS.get(arg, arg) for arg in container["args"]]
    return one


class World(daemonset.World):
    """A node with the driver before, a provider of nobody's we know, and the page's reader."""

    def install(self):
        for image in make_old_images(self.programs.folder):
            self.machine.import_image(image)
        PROVIDERS.mkdir()
        self.programs.start(
            "provider", [tool("wire"), "serve", "--socket", PROVIDERS / "wire.sock",
                         "--values", f"{SHARED}/secrets.json"], lambda: accepts(PROVIDERS / "wire.sock"))
        self.desk = Reader(self.programs, reading())
        self.desk.command("kubectl", self.cluster.program("kubectl"))
        self.desk.command("locketctl", BUILD / "bin/locketctl")
        self.desk.environment["KUBECONFIG"] = str(self.cluster.kubeconfig)
        old = self.desk.folder / "old"
        old.mkdir()
        for name, objects in released():
            (old / name).write_text("---\n".join(json.dumps(fit(one)) + "\n" for one in objects))
        self.desk.shell("kubectl apply -f old")
        self.desk.shell("kubectl wait --for=condition=Established crd --all --timeout=30s")
        self.wait_for_driver(60)

    def make_class(self, name, keys):
        self.cluster.apply({**provider_class(name, "shop", [], provider="wire"), "spec": {
            "provider": "wire", "parameters": {"objects": "all"},
            "secretObjects": [secret_object("app", {key: key for key in keys})]}})

    def follow_until_changed(self, heading, *numbers):
        """Blocks of the page, and the wait until another driver's pod is in the place of the one before."""
        before = uid_of(self.driver_pod())
        self.desk.follow(heading, *numbers)
        wait_until(lambda: uid_of(self.driver_pod()) not in (None, before), 60, "the new driver's pod")
        self.wait_for_driver(60)

    def driver_containers(self):
        return [c["name"] for c in self.driver_pod()["spec"]["containers"]]

    def take_over(self):
        self.follow_until_changed("Static manifests, node by node", 0, 2)

    def wait_adopted(self, count):
        """Until our driver keeps so many volumes: kubelet brings those of before at its next republish."""
        is_kept = lambda: f"volumes\t{count} idle" in self.locketctl("status")  # noqa: E731
        wait_until(is_kept, 60, f"{count} volumes adopted")

    def mounts(self, *names):
        return {name: mount_of(self.pod(name)) for name in names}

    def picture(self, *names):
        """All that a pod could notice, and what the cluster says of it. (A limit of size may be lifted.)"""
        return {name: {"mount": mount_of(self.pod(name)).rpartition(" ")[0], "restarts": self.restarts(name),
                       "files": files_of(self.pod(name)), "status": self.status(name)["status"]} for name in names}

    def start(self, name, class_name="app", **more):
        """The driver before asks the API server for much before its first answer."""
        self.create(name, class_name, **more)
        return self.wait_ready(name, 90)

    def expect_reads(self, pod):
        expect_equal({key: self.read(pod, key) for key in self.values}, self.values,
                     f"what {pod['metadata']['name']} reads")

    def secret_is(self, key, value):
        found = self.find(SECRET)
        return found and found["data"].get(key) == encoded(value)

    def rotate_all(self, key, *names):
        """A new value, and the wait until each of these pods, its status and the Secret have it."""
        versions = {name: version_of(self.status(name), key) for name in names}
        restarts = {name: self.restarts(name) for name in names}
        self.values[key] = fresh = f"{VALUE}{os.urandom(6).hex()}"
        self.write(self.values)
        for name in names:
            wait_until(lambda name=name: self.read(self.pod(name), key) == fresh, 30, f"a rotation in {name}")
            wait_until(lambda name=name: version_of(self.status(name), key) != versions[name], 30,
                       f"the new version in the status of {name}")
        wait_until(lambda: self.secret_is(key, fresh), 30, "the new value in the Secret")
        expect_equal({name: self.restarts(name) for name in names}, restarts, "restarts")


def reading():
    """The page, for this node's name, with what a reader adds."""
    page = Page(ROOT / "docs/MIGRATE.md")
    for blocks in page.blocks.values():
        blocks[:] = [[re.sub(r"\bnode-\d\b", NAME, command) for command in block] for block in blocks]
    name = "migration/kustomization.yaml"
    page.files[name] = page.files[name].replace("patches:\n", f"{MORE}patches:\n{PATCH}")
    return page


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def mount_of(pod):
    """The line of mountinfo of the pod's volume on the node."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    found = [line for line in lines if f"/{uid_of(pod)}{VOLUMES}" in line]
    expect_equal(len(found), 1, f"mounts of {pod['metadata']['name']}")
    return found[0]


def files_of(pod):
    """Each file with what no writer leaves as it is, as it is on the node."""
    folder, picture = pathlib.Path(mount_of(pod).split()[4]), {}
    for path in sorted((folder / "..data/").rglob("*")):
        status = path.lstat()
        picture[path.name] = (path.read_text(), status.st_ino, status.st_mtime_ns, status.st_mode, status.st_uid)
    return picture


def version_of(status, key):
    objects = ((status or {}).get("status") or {}).get("objects") or []
    return next((one["version"] for one in objects if one["id"] == key), None)


@test
def the_driver_before_starts_pods_rotates_them_and_writes_their_secret(world):
    expect_equal(world.driver_containers(), list(IMAGES), "containers of the driver's pod")
    for name in PODS:
        world.start(name)
    wait_until(lambda: world.secret_is("user", "joe"), 30, "the Secret")
    world.rotate_all("password", *PODS)


@test
def the_page_looks_at_the_real_release_before_anything_is_changed(world):
    [commands] = world.desk.page.blocks["Look first"]
    world.desk.shell(f"{commands[0]}\n! {commands[1]}")
    due = [line.split("\t")[2] for line in world.desk.said.splitlines() if line.startswith("DUE")]
    expect_equal(due, [f"--rotation-poll-interval={INTERVAL}"], "what is due with a release as it comes")
    expect("overlays/migration" in world.desk.said, world.desk.said)


@test
def locket_takes_its_place_and_no_pod_sees_anything_of_it(world):
    before, mounts, secret = world.picture(*PODS), world.mounts(*PODS), world.find(SECRET)
    world.take_over()
    expect_equal(world.driver_containers(), ["driver", "agent"], "containers of the driver's pod")
    world.desk.follow("Static manifests, node by node", 3)
    expect("DUE" not in world.desk.said and "wire.sock" in world.desk.said, world.desk.said)
    world.wait_adopted(3)
    expect_equal(world.picture(*PODS), before, "what pods and the cluster see")
    expect_equal(world.mounts(*PODS), mounts, "mounts, with their options")
    expect_equal(world.find(SECRET)["data"], secret["data"], "the Secret")


@test
def what_it_took_over_rotates_with_status_and_secret(world):
    mounts = world.mounts(*PODS)
    world.rotate_all("password", *PODS)
    world.rotate_all("user", *PODS)
    expect_equal(world.mounts(*PODS), mounts, "mounts")


@test
def a_pod_of_the_old_time_leaves_and_one_of_the_new_comes(world):
    world.end("leaves")
    world.expect_reads(world.start("new"))
    world.rotate_all("password", "stays", "last", "new")


@test
def the_driver_before_comes_back_and_no_pod_sees_anything_of_it(world):
    names = ["stays", "last", "new"]
    before = world.picture(*names)
    world.desk.follow("Back", 0)
    expect_equal(world.picture(*names), before, "after prepare-rollback")
    world.follow_until_changed("Back", 2)
    expect_equal(world.driver_containers(), list(IMAGES), "containers of the driver's pod")
    expect_equal(world.picture(*names), before, "what pods and the cluster see")


@test
def what_it_got_back_rotates_and_is_unpublished(world):
    world.rotate_all("password", "stays", "last", "new")
    world.end("last")
    world.expect_reads(world.start("newest"))
    world.rotate_all("user", "stays", "new", "newest")


@test
def locket_takes_over_again_what_was_its_own_and_what_was_not(world):
    names = ["stays", "new", "newest"]
    before = world.picture(*names)
    world.take_over()
    world.wait_adopted(3)
    expect_equal(world.picture(*names), before, "what pods and the cluster see")
    world.rotate_all("password", *names)


@test
def nothing_is_left_when_the_pods_are_gone(world):
    world.end("stays", "new", "newest")
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    expect_equal([line for line in lines if VOLUMES in line], [], "mounts")
    world.expect_clean()
    wait_until(lambda: not world.find(SECRET), 60, "the Secret's end with its pods")


@test
def no_value_is_in_a_log_of_ours_or_an_event(world):
    texts = {path: text for path, text in world.machine.all_logs().items()
             if pathlib.Path(path).parent.name in ("driver", "agent", "provider")}
    expect(len(texts) >= 3, f"logs of ours: {list(texts)}")
    texts["events"] = world.cluster.kubectl("get", "events", "-A", "-o", "json")
    for name, text in texts.items():
        expect("a system call was refused" not in text, f"the sandbox refused a call: {name}")
        expect(VALUE not in text, f"a value is in {name}")


if __name__ == "__main__":
    run_on_a_node(World)
