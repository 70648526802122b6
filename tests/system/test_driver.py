#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The shipped programs, as kubelet, a pod and an operator meet them."""
import concurrent.futures
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
from world import World, harness  # noqa: E402
from node import Pod, mounts_left  # noqa: E402
from monitoring import metric_wishes  # noqa: E402

test, expect, expect_equal = harness.test, harness.expect, harness.expect_equal
ODD = pathlib.Path(__file__).resolve().parents[1] / "fakes/odd_provider.py"
POLLS = int(os.environ.get("POLLS", "10000"))
BEHAVIOURS = ["fine", "none", "write", "hang", "echo", "denied", "error-code",
              "dotdot", "absolute", "newline", "long", "twice", "nested", "many", "large", "empty-path",
              "garbage", "nul"]


def make_world(programs):
    world = World(programs, ["--generation-grace=50ms", "--enable-pprof=true"])
    world.start_provider()
    world.odd_calls = programs.folder / "odd-calls"
    odd = world.node.providers / "odd.sock"
    programs.start("odd", [ODD, odd, world.odd_calls], odd.exists)
    for behave in BEHAVIOURS:
        world.node.write_class(behave, "odd", {"behave": behave})
    expect(world.start_driver(), "the driver does not start")
    return world


def nothing_left(world):
    expect_equal([m for m in mounts_left() if str(world.node.target_root) in m], [], "mounts left")
    expect_equal(len(world.records()), 0, "records left")


def wants(answer, code, *words):
    expect_equal(answer.code, code, answer.text)
    expect("\n" not in answer.text, "an error of more than one line")
    for word in words:
        expect(word in answer.text, f"{word!r} is not in {answer.text!r}")


@test
def a_volume_is_published_rotated_and_unpublished(world):
    pod = Pod(world.node, "life").must_publish("app")
    expect_equal(pod.files(), {"user": "joe", "password": "old"}, "files")
    world.write({"user": "joe", "password": "new"})
    world.node.must_refresh(pod, changed=True)
    expect_equal(pod.read("password"), "new", "the rotated file")
    world.node.must_refresh(pod, changed=False)
    pod.unpublish()
    pod.unpublish()
    nothing_left(world)


@test
def a_republish_answers_ok_and_never_touches_the_mount(world):
    pod = Pod(world.node, "again").must_publish("app")
    before = os.stat(pod.target).st_dev, pod.generation()
    os.rename(world.document, str(world.document) + ".away")
    for _ in range(5):
        pod.must_publish("app")
    os.rename(str(world.document) + ".away", world.document)
    expect_equal((os.stat(pod.target).st_dev, pod.generation()), before, "mount and generation")
    pod.unpublish()


@test
def a_first_publish_into_a_young_unmounted_folder_mounts(world):
    """Upstream's fact 3: the mtime window was tested before the mount."""
    pod = Pod(world.node, "young")
    pod.target.mkdir(parents=True)
    pod.must_publish("app")
    expect(pod.is_mounted() and pod.files(), "an empty folder was published")
    pod.unpublish()


@test
def the_tmpfs_has_limits_and_no_suid_dev_exec(world):
    """Upstream's fact 9: tmpfs without options."""
    pod = Pod(world.node, "options").must_publish("app")
    line = [m for m in mounts_left() if str(pod.target) in m][0]
    for option in ("nosuid", "nodev", "noexec", "size=", "nr_inodes=", "mode=755"):
        expect(option in line, f"{option} is not in {line}")
    expect(f"locket:{pod.volume_id}" in line, "no mark of ours in mountinfo")
    pod.unpublish()


@test
def the_same_id_at_another_target_already_exists(world):
    pod = Pod(world.node, "first").must_publish("app")
    other = Pod(world.node, "second")
    other.volume_id = pod.volume_id
    wants(other.publish("app"), "ALREADY_EXISTS", "target_path")
    other = Pod(world.node, "third")
    other.target = pod.target
    other.uid = pod.uid
    wants(other.publish("app"), "ALREADY_EXISTS", pod.volume_id)
    pod.unpublish()
    nothing_left(world)


@test
def a_missing_class_is_named_as_users_grep_for_it(world):
    pod = Pod(world.node, "negative", namespace="negative-ns")
    answer = pod.publish("nothere")
    wants(answer, "NOT_FOUND", "failed to get secretproviderclass negative-ns/nothere", "not found")
    nothing_left(world)


@test
def bad_target_paths_are_refused_before_any_side_effect(world):
    root = world.node.target_root
    (root / "link").symlink_to("/etc")
    (root / "pods").mkdir(exist_ok=True)
    rows = [
        ("relative", "pods/x", "INVALID_ARGUMENT", "absolute"),
        ("with dots", f"{root}/pods/../../evil", "INVALID_ARGUMENT", "clean"),
        ("elsewhere", "/etc/evil", "INVALID_ARGUMENT", "target-root"),
        ("the root itself", str(root), "INVALID_ARGUMENT", "target-root"),
        ("through a link", f"{root}/link/mount", "INVALID_ARGUMENT", "link"),
        ("newline", f"{root}/a\nb", "INVALID_ARGUMENT", "control"),
        ("another pod", f"{root}/pods/other/volumes/kubernetes.io~csi/v/mount",
         "INVALID_ARGUMENT", "another pod"),
    ]
    for says, target, code, word in rows:
        pod = Pod(world.node, "bad")
        m = world.node.messages
        request = m.NodePublishVolumeRequest(
            volume_id=pod.volume_id, target_path=target, readonly=True,
            volume_context=pod.context("app", None, None))
        request.volume_capability.mount.SetInParent()
        answer = world.node.call("NodePublishVolume", request, m.NodePublishVolumeResponse)
        expect(answer.code == code and word in answer.text, f"{says}: {answer}")
    (root / "link").unlink()
    expect(not pathlib.Path("/etc/evil").exists() and not pathlib.Path("/etc/mount").exists(),
           "a side effect")
    nothing_left(world)


@test
def what_a_provider_answers_wrong_is_refused_and_undone(world):
    rows = [
        ("dotdot", "INVALID_ARGUMENT", "'..'"), ("absolute", "INVALID_ARGUMENT", "relative"),
        ("newline", "INVALID_ARGUMENT", "control"), ("long", "INVALID_ARGUMENT", "255"),
        ("twice", "INVALID_ARGUMENT", "two objects"), ("nested", "INVALID_ARGUMENT", "folder"),
        ("many", "RESOURCE_EXHAUSTED", "20000 fields"), ("large", "RESOURCE_EXHAUSTED", ""),
        ("empty-path", "INVALID_ARGUMENT", "empty"), ("garbage", "INTERNAL", ""),
        ("nul", "INTERNAL", "NUL"), ("denied", "PERMISSION_DENIED", "no"),
        ("error-code", "UNKNOWN", "mount request failed with provider error code TooBad"),
    ]
    for behave, code, word in rows:
        wants(Pod(world.node, behave).publish(behave), code, word)
        nothing_left(world)
    expect('node_publish_error_total{provider="odd",error_type="TooBad",os_type="linux"} 1'
           in world.node.ctl("metrics"), "a provider's own code is no error_type")


@test
def a_bad_line_to_a_provider_is_an_error_in_time_and_undone(world):
    line = ODD.with_name("bad_line.py")
    for how, codes in (("half", ("UNAVAILABLE",)), ("text", ("INTERNAL", "UNAVAILABLE")),
                       ("slow", ("DEADLINE_EXCEEDED", "CANCELLED"))):
        name = f"line-{how}"
        path = world.node.providers / f"{name}.sock"
        world.programs.start(name, [line, path, world.node.providers / "odd.sock", how], path.exists)
        world.node.write_class(name, name, {"behave": "fine"})
        began = time.monotonic()
        answer = Pod(world.node, name).publish(name, timeout_s=4)
        expect(answer.code in codes, f"{how}: {answer}")
        expect("\n" not in answer.text, f"{how}: {answer.text}")
        expect(time.monotonic() - began < 8, f"{how} took too long")
        harness.wait_until(lambda: not world.list(), 5, "an empty table")
        nothing_left(world)
        world.programs.stop(name)


@test
def zero_files_and_zero_versions_are_a_fine_answer(world):
    """Upstream: missing object versions."""
    pod = Pod(world.node, "none").must_publish("none")
    expect_equal(pod.files(), {}, "files")
    pod.must_publish("none")
    pod.unpublish()
    nothing_left(world)


@test
def a_writing_providers_files_are_published(world):
    pod = Pod(world.node, "writing").must_publish("write")
    expect_equal(pod.read("written"), "by the provider", "its file")
    expect_equal(world.list()[0]["mode"], "writing", "mode")
    pod.must_publish("write")
    pod.unpublish()
    nothing_left(world)


@test
def an_echoed_request_is_redacted(world):
    token = "eyJhbGciOiJub25lIn0." + "c" * 40 + ".sig"
    secret = 'p"a\\ss\nword-of-the-pod'
    answer = Pod(world.node, "echo").publish(
        "echo", tokens={"vault": token}, secrets={"password": secret})
    wants(answer, "INTERNAL", "failed to mount secrets store objects for pod default/echo")
    for piece in (token, token[:20], "c" * 16, "word-of-the-pod", json.dumps(secret)[1:-1]):
        expect(piece not in answer.text, f"{piece!r} is in {answer.text!r}")
    expect(len(answer.text) <= 512, "a text of more than 512 bytes")


@test
def tokens_of_another_pod_are_refused(world):
    def token(**claims):
        import base64  # pylint: disable=import-outside-toplevel

        part = base64.urlsafe_b64encode(json.dumps({"kubernetes.io": claims}).encode()).rstrip(b"=")
        return f"eyJhbGciOiJub25lIn0.{part.decode()}.sig"

    pod = Pod(world.node, "mine")
    good = {"namespace": "default", "pod": {"uid": pod.uid}, "serviceaccount": {"name": "default"}}
    rows = [
        ({**good, "namespace": "theirs"}, "namespace"),
        ({**good, "pod": {"uid": "theirs"}}, "another pod"),
        ({**good, "serviceaccount": {"name": "theirs"}}, "service account"),
    ]
    for claims, word in rows:
        wants(pod.publish("app", tokens={"v": token(**claims)}), "PERMISSION_DENIED", word)
        nothing_left(world)
    pod.must_publish("app", tokens={"v": token(**good)})
    pod.must_publish("app", tokens={"v": token(**rows[0][0])})
    expect("locket_token_mismatch_total 4" in world.node.ctl("metrics"), "mismatches are counted")
    pod.unpublish()


@test
def a_pod_cannot_override_its_class(world):
    world.write_class("strict", ["user"], vaultAddress="https://good")
    answer = Pod(world.node, "o").publish("strict", attributes={"vaultAddress": "https://evil"})
    wants(answer, "INVALID_ARGUMENT", "vaultAddress", "strict", "--attribute-override")
    nothing_left(world)


@test
def an_unpublish_waits_for_nobody(world):
    """64 publishes hang in a provider that never answers."""
    other = Pod(world.node, "other").must_publish("app")
    pods = [Pod(world.node, f"hang{i}") for i in range(64)]
    before = world.odd_calls.read_text().count("m")
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        calls = [pool.submit(pod.publish, "hang") for pod in pods]
        harness.wait_until(lambda: world.odd_calls.read_text().count("m") >= before + 64, 20,
                           "64 fetches")
        wants(Pod(world.node, "more").publish("hang"), "UNAVAILABLE", "64 fetches", "odd")
        started = time.monotonic()
        Pod(world.node, "quick").must_publish("app").unpublish()
        publish_s = time.monotonic() - started
        started = time.monotonic()
        pods[0].unpublish()
        other.unpublish()
        unpublish_s = time.monotonic() - started
        wants(pods[1].publish("hang"), "ABORTED", "in progress")
        for pod in pods[1:]:
            pod.unpublish()
        for call in calls:
            expect(call.result().code in ("CANCELLED", "ABORTED"), str(call.result()))
    expect(publish_s < 1, f"another provider's publish took {publish_s:.3f} s")
    expect(unpublish_s < 0.5, f"two unpublishes took {unpublish_s:.3f} s")
    harness.wait_until(lambda: not world.list(), 5, "an empty table")
    nothing_left(world)


class Admin:
    """The admin service by its wire: field 1 is the volume's id, a result's fields 2 and 3 changed, code."""

    def __init__(self, world):
        channel = grpc.insecure_channel(f"unix:{world.node.admin}")
        self.stub = channel.unary_unary("/locket.admin.v1.Admin/Refresh", lambda b: b, lambda b: b)

    def refresh(self, volume_id):
        out = self.stub(b"\x0a" + bytes([len(volume_id)]) + volume_id.encode(), timeout=20)
        return ("OK" if out.endswith(b"\x1a\x02OK") else "FAILED", b"\x10\x01\x1a" in out)


class Watch:
    """inotify on folders: everything but opening, reading and closing what was only read."""

    CHANGES = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800

    def __init__(self, *folders):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK)
        for folder in folders:
            done = self.libc.inotify_add_watch(self.fd, os.fsencode(folder), self.CHANGES)
            expect(done > 0, f"no watch on {folder}")

    def events(self):
        """Bytes of events since the last call."""
        try:
            return len(os.read(self.fd, 65536))
        except BlockingIOError:
            return 0


@test
def unchanged_polls_write_nothing(world):
    pod = Pod(world.node, "still").must_publish("fine")
    world.node.must_refresh(pod, changed=False)
    watch = Watch(pod.target, pod.target / pod.generation(), world.node.state)
    before = pod.generation(), os.stat(pod.target).st_mtime_ns, world.odd_calls.read_text().count("m")
    versions = world.list()[0]["objects"]
    admin = Admin(world)
    for _ in range(POLLS):
        expect_equal(admin.refresh(pod.volume_id), ("OK", False), "a poll")
    expect_equal(watch.events(), 0, "inotify events in the volume and among the records")
    expect_equal((pod.generation(), os.stat(pod.target).st_mtime_ns), before[:2], "the volume")
    expect_equal(world.list()[0]["objects"], versions, "versions")
    expect_equal(world.odd_calls.read_text().count("m") - before[2], POLLS, "polls")
    (pod.target / "touched").write_text("")
    expect(watch.events() > 0, "the watch does not see")
    (pod.target / "touched").unlink()
    pod.unpublish()


def foreign_volume(pod, text):
    """What the driver that was here before has left at a pod's target: it says no size."""
    pod.target.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", pod.target], check=True)
    (pod.target / "..2026_01_01").mkdir()
    (pod.target / "..2026_01_01" / "user").write_text(text)
    (pod.target / "..data").symlink_to("..2026_01_01")
    (pod.target / "user").symlink_to("..data/user")


@test
def a_foreign_live_tmpfs_is_adopted_and_never_unmounted(world):
    pod = Pod(world.node, "old-driver")
    foreign_volume(pod, "from the old driver")
    device = os.stat(pod.target).st_dev
    wants(pod.publish("nothere"), "NOT_FOUND")
    expect_equal(pod.read("user"), "from the old driver", "files after a failed publish")
    pod.must_publish("app")
    expect_equal(world.list()[0]["mode"], "adopted", "mode")
    world.node.must_refresh(pod, changed=True)
    expect_equal(pod.read("user"), "joe", "files after a refresh")
    expect_equal(os.stat(pod.target).st_dev, device, "the mount")
    pod.unpublish()
    nothing_left(world)


@test
def a_foreign_tmpfs_takes_of_the_budget_what_is_in_it_and_not_its_size(world):
    pod = Pod(world.node, "unlimited")
    foreign_volume(pod, "half of all memory is its limit")
    pod.must_publish("app")
    other = Pod(world.node, "another")
    other.must_publish("app")
    size = world.list()[0]["tmpfs_size_bytes"]
    expect(size < 16 << 20, f"{size} bytes of the budget for some bytes of content")
    world.programs.stop("driver")
    expect(world.start_driver(), "start")
    expect_equal({v["tmpfs_size_bytes"] for v in world.list()}, {2 << 20}, "after a restart")
    world.node.must_refresh(pod, changed=True)
    third = Pod(world.node, "a-third")
    third.must_publish("app")
    for each in (pod, other, third):
        each.unpublish()
    status = json.loads(world.node.ctl("status", "-o", "json"))
    expect_equal(status["budget_used_bytes"], 0, "what is given back")
    nothing_left(world)


@test
def group_and_modes_are_the_pods_and_the_providers(world):
    world.node.write_class("modes", "file", {"objects": [
        {"objectName": "user", "filePermission": "0400"}, {"objectName": "password"}]})
    pod = Pod(world.node, "modes")
    m = world.node.messages
    request = m.NodePublishVolumeRequest(
        volume_id=pod.volume_id, target_path=str(pod.target), readonly=True,
        volume_context=pod.context("modes", None, None))
    request.volume_capability.mount.volume_mount_group = "4711"
    answer = world.node.call("NodePublishVolume", request, m.NodePublishVolumeResponse)
    if not harness.is_gid_mapped(4711):
        wants(answer, "INVALID_ARGUMENT", "4711", "not mapped", "fsGroup")
        nothing_left(world)
        raise harness.Skip("one id alone is mapped in a plain user's namespace")
    expect_equal(answer.code, "OK", answer.text)
    have = {name: (oct(os.stat(pod.target / name).st_mode & 0o7777), os.stat(pod.target / name).st_gid)
            for name in ("user", "password")}
    expect_equal(have, {"user": ("0o400", 4711), "password": ("0o644", 4711)}, "modes and groups")
    pod.unpublish()


@test
def a_publish_over_the_budget_names_need_used_and_budget(world):
    world.programs.stop("driver")
    world.node.flags.append("--tmpfs-budget=3Mi")
    expect(world.start_driver(), "start")
    first = Pod(world.node, "one").must_publish("app")
    wants(Pod(world.node, "two").publish("app"), "RESOURCE_EXHAUSTED", "needs", "used", "--tmpfs-budget")
    world.write({"user": "joe", "password": "y" * 2_500_000})
    world.node.must_refresh(first, changed=True)
    first.unpublish()
    world.node.flags.pop()
    world.programs.stop("driver")
    expect(world.start_driver(), "start")
    world.write({"user": "joe", "password": "old"})
    nothing_left(world)


@test
def volumes_outlive_the_driver(world):
    pod = Pod(world.node, "outlive").must_publish("app")
    world.programs.stop("driver", 9)
    expect_equal(pod.read("password"), "old", "files without a driver")
    expect(world.start_driver(), "start")
    expect_equal(world.list()[0]["volume_id"], pod.volume_id, "the recovered volume")
    world.write({"user": "joe", "password": "later"})
    world.node.must_refresh(pod, changed=True)
    pod.unpublish()
    nothing_left(world)


@test
def a_driver_that_is_told_to_end_leaves_no_socket_and_no_lock(world):
    pod = Pod(world.node, "stays").must_publish("app")
    world.programs.stop("driver")
    left = {path.name for path in world.node.csi.parent.iterdir() if "sock" in path.name}
    expect_equal(left, set(), "files of its sockets")
    expect(world.start_driver(), "start")
    pod.unpublish()
    nothing_left(world)


@test
def a_driver_ends_soon_though_its_provider_hangs(world):
    """Refreshes that run, and those behind them, end with the driver; so do those of a caller that left."""
    pods = [Pod(world.node, f"end{i}").must_publish("app") for i in range(6)]
    provider = world.programs.running["provider"].pid
    workers = pathlib.Path(f"/proc/{provider}/task/{provider}/children").read_text().split()
    for worker in workers:
        os.kill(int(worker), signal.SIGSTOP)
    try:
        done = world.node.ctl("refresh", "--all", "--timeout=1s", check=False)
        expect("DEADLINE_EXCEEDED" in done.stderr, f"a provider that stands still answered: {done}")
        harness.wait_until(lambda: all(row["state"] == "idle" for row in world.list()), 20, "the caller's end heeded")
        expect_equal({row.get("failures", 0) for row in world.list()} - {0, "0"}, set(), "failures of volumes")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(world.node.ctl, "refresh", "--all", "--timeout=60s", check=False)
            harness.wait_until(lambda: any(row["state"] == "fetching" for row in world.list()), 20, "a refresh")
            started = time.monotonic()
            world.programs.stop("driver")
            took = time.monotonic() - started
            call.result()
        expect(took < 15, f"the driver's end took {took:.1f} s")
    finally:
        for worker in workers:
            os.kill(int(worker), signal.SIGCONT)
    expect(world.start_driver(), "start")
    for pod in pods:
        pod.unpublish()
    nothing_left(world)


@test
def a_class_sets_its_own_interval(world):
    world.write_class("often", ["user", "password"], rotationPollInterval="1s")
    pod = Pod(world.node, "often").must_publish("often")
    world.write({"user": "joe", "password": "by itself"})
    harness.wait_until(lambda: pod.read("password") == "by itself", 8, "a rotation by the due-queue")
    pod.unpublish()
    world.write({"user": "joe", "password": "old"})


@test
def a_volume_that_lost_its_tokens_waits_for_the_next_republish(world):
    pod = Pod(world.node, "tokens").must_publish("fine", tokens={"aud": "a-token"})
    world.programs.stop("driver", 9)
    expect(world.start_driver(), "start")
    expect(world.list()[0].get("waiting_for_credentials"), "it does not wait")
    expect_equal(world.node.refresh(pod)["code"], "FAILED_PRECONDITION", "refresh without tokens")
    calls = world.odd_calls.read_text().count("m")
    pod.must_publish("fine", tokens={"aud": "a-newer-token"})
    harness.wait_until(lambda: world.odd_calls.read_text().count("m") == calls + 1, 5, "the refresh")
    harness.wait_until(lambda: not world.list()[0].get("waiting_for_credentials"), 5, "it waits on")
    pod.unpublish()


@test
def a_failing_refresh_keeps_the_files_and_says_so(world):
    pod = Pod(world.node, "failing").must_publish("app")
    os.rename(world.document, str(world.document) + ".away")
    expect(world.node.refresh(pod)["code"] != "OK", "the refresh")
    row = world.list()[0]
    expect(row["last_error"] and int(row["failures"]) == 1, str(row))
    expect_equal(pod.files(), {"user": "joe", "password": "old"}, "files")
    os.rename(str(world.document) + ".away", world.document)
    world.node.must_refresh(pod, changed=False)
    expect(not world.list()[0].get("last_error"), "the error stays")
    pod.unpublish()


@test
def an_unreadable_record_is_set_aside_and_never_fatal(world):
    pod = Pod(world.node, "torn").must_publish("app")
    world.programs.stop("driver", 9)
    record = next(world.node.state.glob("*.vol"))
    record.write_text(record.read_text()[:-20])
    expect(world.start_driver(), "start")
    expect_equal(world.list(), [], "volumes")
    expect(list(world.node.state.glob("*.bad")), "no file was set aside")
    expect(pod.is_mounted(), "a mount without a record was touched")
    pod.must_publish("app")  # the tmpfs is ours by its mark: taken over
    pod.unpublish()
    nothing_left(world)


@test
def status_tells_flags_warnings_pools_and_list_tells_room(world):
    pod = Pod(world.node, "facts").must_publish("app")
    status = json.loads(world.node.ctl("status", "-o", "json"))
    expect_equal(status["flags"]["generation-grace"], "50ms", "a flag in force")
    expect_equal(status["flags"]["state-dir"], str(world.node.state), "another")
    expect(any("--enable-pprof has no effect" in line for line in status["warnings"]),
           f"warnings: {status['warnings']}")
    pools = {row["name"]: row for row in status["pools"]}
    for name in ("publish", "unpublish", "rotation", "admin"):
        expect(pools[name]["threads_max"] > 0 and "queue_max" in pools[name], f"pool {name}")
    row = next(v for v in world.list() if v["pod_name"] == "facts")
    have = os.statvfs(pod.target)
    expect_equal(row["tmpfs_used_bytes"], (have.f_blocks - have.f_bfree) * have.f_bsize, "used")
    expect(row["tmpfs_used_bytes"] < row["tmpfs_size_bytes"], "used is below the size")
    text = world.node.ctl("status")
    expect("pool publish" in text and "has no effect" in text, text)
    pod.unpublish()


@test
def the_metrics_are_prometheus_text_with_true_values(world):
    before = counters(world)
    pod = Pod(world.node, "metrics").must_publish("app")
    world.node.must_refresh(pod, changed=False)
    Pod(world.node, "metrics-fail").publish("denied")
    pod.unpublish()
    after = counters(world)
    for name, more in (("node_publish_total", 1), ("node_unpublish_total", 1),
                       ("rotation_reconcile_total", 1), ("node_publish_error_total", 1)):
        expect_equal(after.get(name, 0) - before.get(name, 0), more, name)
    # Its only wish may be another unit in the name that is upstream's.
    expect_equal(list(metric_wishes(world.node.ctl("metrics"))), ["rotation_reconcile_duration_sec"],
                 "what promtool would have otherwise")


def counters(world):
    """The sums of all series by metric."""
    sums = {}
    for line in world.node.ctl("metrics").splitlines():
        if not line.startswith("#"):
            name = line.split("{")[0].split()[0]
            sums[name] = sums.get(name, 0) + float(line.rsplit(" ", 1)[1])
    return sums


def second_provider(world, *flags):
    """One with a health page; its process and the page's port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = world.programs.folder / "second"
    folder.mkdir(mode=0o700, exist_ok=True)
    program = world.programs.start(
        "second", [harness.BUILD / "bin/locket-provider", f"--provider-dir={folder}",
                   "--stores=file", f"--file-root={world.document}", f"--health-addr=127.0.0.1:{port}", *flags],
        lambda: harness.accepts(folder / "file.sock"))
    return program, port


def only_worker(program):
    pid = program.pid
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@test
def a_killed_worker_of_the_provider_is_started_again_and_told_of(world):
    program, port = second_provider(world)
    expect_equal(get(port, "/healthz"), (200, "ok\n"), "healthz")
    os.kill(only_worker(program), 9)
    harness.wait_until(lambda: 'restarts_total{store="file"} 1' in get(port, "/metrics")[1], 5, "a restart")
    harness.wait_until(lambda: get(port, "/healthz")[0] == 200, 5, "health again")
    expect_equal(get(port, "/other")[0], 404, "another path")
    world.programs.stop("second")


@test
def a_worker_of_the_provider_that_hangs_is_told_of_and_replaced(world):
    program, port = second_provider(world, "--worker-timeout=4s")
    worker = only_worker(program)
    time.sleep(3)
    expect_equal((get(port, "/healthz"), only_worker(program)), ((200, "ok\n"), worker), "while it is well")
    os.kill(worker, signal.SIGSTOP)
    told = "worker file does not answer (asked "
    harness.wait_until(lambda: get(port, "/healthz")[1].startswith(told), 10, "a word of it")
    harness.wait_until(lambda: 'restarts_total{store="file"} 1' in get(port, "/metrics")[1], 20, "a restart")
    harness.wait_until(lambda: get(port, "/healthz")[0] == 200, 10, "health again")
    expect(only_worker(program) != worker, "the same process")
    harness.wait_until(lambda: harness.accepts(world.programs.folder / "second/file.sock"), 10, "its socket")
    world.programs.stop("second")


@test
def an_unpublish_meets_a_publish_a_thousand_times(world):
    """Whatever the order, no mount is left behind an answered unpublish."""
    m = world.node.messages

    def unpublish(pod):
        request = m.NodeUnpublishVolumeRequest(
            volume_id=pod.volume_id, target_path=str(pod.target))
        return world.node.call("NodeUnpublishVolume", request, m.NodeUnpublishVolumeResponse).code

    codes = set()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for i in range(1000):
            pod = Pod(world.node, "race")
            call = pool.submit(pod.publish, "app")
            time.sleep((i % 10) * 0.0003)
            first = unpublish(pod)
            published = call.result().code
            codes.add((published, first))
            # A publish that was answered with an error, or cut short, must have left nothing; one that
            # came last is unpublished again, as kubelet would.
            if published == "OK":
                expect_equal(unpublish(pod), "OK", "the second unpublish")
            expect(not pod.target.exists(), f"left behind: publish {published}, unpublish {first}")
    expect(len(codes) > 1, f"publish and unpublish never met: {codes}")
    nothing_left(world)


@test
def no_secret_is_in_any_log_record_or_answer(world):
    canary = "canary-7f3a9c41e5"
    world.write({"user": canary, "password": canary * 100})
    pod = Pod(world.node, "canary").must_publish("app", secrets={"k": canary + "-ref"})
    pod.publish("echo", secrets={"k": canary + "-ref"})
    texts = [world.node.ctl("list", "-o", "json"), world.node.ctl("metrics"),
             world.node.ctl("status", "-o", "json")]
    texts += [path.read_text(errors="replace") for path in world.node.state.glob("*.vol")]
    texts += [log.read_text(errors="replace") for log in world.programs.folder.glob("*.log")]
    expect(not any(canary in text for text in texts), "a secret was told")
    for name in ("driver", "provider"):
        expect_equal(memory_hits(world.programs.running[name].pid, canary), 0, f"memory of {name}")
    pod.unpublish()
    world.write({"user": "joe", "password": "old"})


def memory_hits(pid, text):
    """How often a text stands in a process's memory: the process and its children."""
    if "ASAN_OPTIONS" in os.environ:
        raise harness.Skip("a sanitizer keeps freed memory, and its shadow is terabytes")
    pids = [pid] + [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    time.sleep(1)
    return sum(harness.memory(each).count(text.encode()) for each in pids)


harness.run_tests(make_world)
