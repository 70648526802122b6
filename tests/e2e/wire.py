#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Our bytes and our sockets against the code that the protocols' own projects publish."""
import base64
import json
import pathlib
import stat
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
# pylint: disable=wrong-import-position
from harness import (
    BUILD, ROOT, Skip, accepts, expect, expect_equal, run, run_tests, test, tool, write_json)
from node import Node, Pod, mounts_left
from provider import start_provider

FIXTURES = ROOT / "tests/fixtures/wire"


class World:
    def __init__(self, programs):
        self.programs = programs
        self.folder = programs.folder
        self.wire = tool("wire")
        self.node = Node(programs)
        self.node.start()

    def serve(self, name, mode, values):
        """A provider of upstream's own stubs, under a name of its own."""
        socket = self.node.providers / f"{name}.sock"
        write_json(self.folder / f"{name}.values", values)
        self.programs.start(
            name,
            [self.wire, "serve", "--socket", socket, "--mode", mode,
             "--values", self.folder / f"{name}.values",
             "--record", self.folder / f"{name}.record"],
            lambda: accepts(socket),
        )
        self.node.write_class(f"of-{name}", name, {"note": "a parameter <&>"})

    def rotate(self, name, values):
        write_json(self.folder / f"{name}.values", values)

    def records(self, name):
        lines = (self.folder / f"{name}.record").read_text().splitlines()
        return [json.loads(line) for line in lines]


@test
def the_fixtures_are_what_the_published_code_writes_today(world):
    fresh = world.folder / "fresh"
    run([world.wire, "emit", fresh])
    names = sorted(path.name for path in FIXTURES.glob("*.bin"))
    expect_equal(sorted(path.name for path in fresh.iterdir()), names, "fixtures")
    for name in names:
        same = (fresh / name).read_bytes() == (FIXTURES / name).read_bytes()
        expect(same, f"{name} is not what {world.wire} emits: run `wire emit` into {FIXTURES.name}")


@test
def the_published_code_reads_what_we_packed(world):
    program = BUILD / "tests/unit/proto/test_wire"
    if not program.exists():
        run(["make", f"BUILD={BUILD.relative_to(ROOT)}", program.relative_to(ROOT)], cwd=ROOT)
    ours = world.folder / "ours"
    ours.mkdir()
    run([program, ours], cwd=ROOT)
    said = run([world.wire, "check", ours, FIXTURES]).stdout
    expect("messages equal" in said, "no verdict")
    for name in ("MountRequest", "MountResponse", "File"):
        expect(f"v1alpha1.{name} is read without our fields" in said, f"{name} was not extended")


@test
def a_returning_provider_becomes_files_and_is_rotated_and_unpublished(world):
    world.serve("returning", "returning", {"user": "alice", "deep/er/key": "one"})
    pod = Pod(world.node, "returning-pod").must_publish("of-returning")
    expect_equal(pod.files(), {"user": "alice", "deep/er/key": "one"}, "files")
    expect_equal(stat.S_IMODE((pod.target / "user").stat().st_mode), 0o644, "mode")
    first = pod.generation()
    world.node.must_refresh(pod, changed=False)
    expect_equal(pod.generation(), first, "unchanged values were written")
    world.rotate("returning", {"user": "bob", "deep/er/key": "two"})
    world.node.must_refresh(pod, changed=True)
    expect_equal(pod.files(), {"user": "bob", "deep/er/key": "two"}, "rotated files")
    pod.unpublish()


@test
def a_writing_provider_writes_into_a_tmpfs_and_is_rotated_and_unpublished(world):
    world.serve("writing", "writing", {"user": "carol", "key": "three"})
    pod = Pod(world.node, "writing-pod").must_publish("of-writing")
    expect_equal(pod.files(), {"user": "carol", "key": "three"}, "files")
    target = world.records("writing")[-1]["target"]
    expect_equal(target, str(pod.target), "target_path")
    expect(pod.is_mounted(), "the target is not a mount")
    world.rotate("writing", {"user": "dave", "key": "four"})
    result = world.node.refresh(pod)
    expect_equal(result["code"], "OK", "refresh")
    expect_equal(pod.files(), {"user": "dave", "key": "four"}, "rotated files")
    pod.unpublish()


@test
def a_provider_gets_its_request_as_upstreams_driver_spells_it(world):
    pod = Pod(world.node, "spelling-pod", "shop", "web")
    world.node.write_class("of-returning", "returning", {"note": "a parameter <&>"}, "shop")
    pod.must_publish("of-returning", secrets={"login": "made up"}, attributes={"extra": "yes"})
    seen = world.records("returning")[-1]
    prefix = "csi.storage.k8s.io/"
    want = {
        "note": "a parameter <&>", "extra": "yes", "secretProviderClass": "of-returning",
        prefix + "pod.name": "spelling-pod", prefix + "pod.namespace": "shop",
        prefix + "pod.uid": pod.uid, prefix + "serviceAccount.name": "web",
        prefix + "ephemeral": "true",
    }
    expect_equal(seen["attributes"], want, "attributes")
    expect_equal(seen["secrets"], {"login": "made up"}, "secrets")
    expect_equal(seen["permission"], "420", "permission")
    expect_equal(seen["current"], {}, "versions told to a provider that is not ours")
    pod.unpublish()


@test
def a_publish_without_secrets_sends_null(world):
    pod = Pod(world.node, "null-pod").must_publish("of-returning")
    expect_equal(world.records("returning")[-1]["secrets"], None, "secrets")
    pod.unpublish()


@test
def a_failing_provider_leaves_no_mount_and_its_code_reaches_kubelet(world):
    (world.folder / "returning.values").unlink()
    pod = Pod(world.node, "failing-pod")
    answer = pod.publish("of-returning")
    expect_equal(answer.code, "UNAVAILABLE", answer.text)
    expect("the store is away" in answer.text, f"the provider's text is missing: {answer.text}")
    expect(not pod.is_mounted(), "the failed publish left its mount")
    world.rotate("returning", {"user": "erin"})
    expect_equal(pod.must_publish("of-returning").read("user"), "erin", "value of the retry")
    pod.unpublish()


@test
def the_first_call_after_a_providers_restart_succeeds(world):
    pod = Pod(world.node, "restart-pod").must_publish("of-returning")
    world.programs.stop("returning")
    world.serve("returning", "returning", {"user": "frank"})
    world.node.must_refresh(pod, changed=True)
    expect_equal(pod.read("user"), "frank", "value after the restart")
    pod.unpublish()


@test
def our_provider_serves_upstreams_client_the_file_stores_values(world):
    store = world.folder / "store"
    store.mkdir()
    (store / "user").write_text("grace")
    (store / "key").write_bytes(bytes([0, 255, 128, 10]))
    sockets = world.folder / "provider"
    sockets.mkdir(mode=0o700)
    start_provider(world.programs, sockets, ["file"], [f"--file-root={store}"])
    key = {"objectName": "key", "path": "k/ey", "filePermission": "0400"}
    objects = [{"objectName": "user"}, key]
    done = run([world.wire, "mount", "--socket", sockets / "file.sock",
                "--attr", "objects=" + json.dumps(objects)])
    answer = json.loads(done.stdout)
    expect_equal(answer["code"], "OK", answer.get("message"))
    files = {f["path"]: (f["mode"], base64.b64decode(f["contents"])) for f in answer["files"]}
    expect_equal(files["user"][1], b"grace", "user")
    expect_equal(files["k/ey"], (0o400, bytes([0, 255, 128, 10])), "k/ey")
    expect_equal(len(answer["versions"]), 2, "object versions")


@test
def our_provider_answers_upstreams_client_with_a_code_and_a_text(world):
    socket = world.folder / "provider" / "file.sock"
    if not socket.exists():
        raise Skip("locket-provider does not run")
    done = run([world.wire, "mount", "--socket", socket,
                "--attr", 'objects=[{"objectName": "nothing"}]'])
    answer = json.loads(done.stdout)
    expect_equal(answer["code"], "NotFound", answer)
    expect("nothing" in answer["message"], f"the object is not named: {answer['message']}")


@test
def our_programs_end_by_themselves_when_told(world):
    for name in ("driver", "provider"):
        expect_equal(world.programs.stop(name), 0, f"exit status of {name}")


@test
def nothing_is_mounted_in_the_end(_world):
    expect_equal(mounts_left(), [], "mounts")


if __name__ == "__main__":
    run_tests(World)
