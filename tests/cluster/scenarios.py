#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The 26 scenarios of the end-to-end tests of the driver whose place Locket takes, each with an
assertion that can fail: against a real API server, by a strict provider that is not ours."""
import base64
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
import old_driver
from harness import expect, expect_equal, run, run_tests, test, wait_until
from node import mounts_left
from objects import GROUP, e2e_class, inline_pod, provider_class, secret_object
from reloader import Reloader
from rig import Refused
from stage import AUDIENCES, Stage

KEY = "-----BEGIN KEY-----\nZm9v\n-----END KEY-----\n"  # what e2e_provider.py has for "fookey"


@test
def the_provider_demands_every_audience_and_gets_it(world):
    """1: and a demand that the cluster does not meet is seen, so that the others mean something."""
    world.make_class("audiences", "default", ["foo"])
    world.control(audiences=[*AUDIENCES, "nobody"])
    pod = world.make_inline_pod("audiences", "default", "audiences")
    told = world.wait_failed_mount(pod)
    expect("no token of audience nobody" in told, told)
    world.control(audiences=AUDIENCES)
    world.kubelet.wait_ready("default", "audiences")
    world.delete_and_wait("default", "audiences")


@test
def tokens_in_secrets_reach_the_provider_too(world):
    world.make_class("hidden", "default", ["foo"])
    world.make_csi_driver(tokenRequests=world.token_requests, serviceAccountTokenInSecrets=True)
    world.make_inline_pod("hidden", "default", "hidden")
    world.kubelet.wait_ready("default", "hidden")
    world.delete_and_wait("default", "hidden")
    world.make_csi_driver(tokenRequests=world.token_requests)


@test
def both_crds_are_established(world):
    """2, 3"""
    for plural in ("secretproviderclasses", "secretproviderclasspodstatuses"):
        world.cluster.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{GROUP}",
                              "--timeout=60s")


@test
def the_roles_and_bindings_have_the_names_that_users_know(world):
    """4"""
    for kind, names in {
        "clusterrole": ["secretproviderclasses-role", "secretproviderclasses-admin-role",
                        "secretproviderclasses-viewer-role",
                        "secretproviderclasspodstatuses-viewer-role",
                        "secretprovidersyncing-role"],
        "clusterrolebinding": ["secretproviderclasses-rolebinding",
                               "secretprovidersyncing-rolebinding"],
    }.items():
        for name in names:
            expect(world.cluster.kubectl("get", kind, name, "-o", "name").strip(), name)


def a_class_works_end_to_end(world, namespace, version):
    world.make_namespace(namespace)
    world.make_class("e2e-provider", namespace, ["foo", "fookey"], version=version)
    world.make_inline_pod("inline", namespace, "e2e-provider")
    pod, = world.kubelet.wait_ready(namespace, "inline", seconds=180)
    expect_equal(world.kubelet.volume(pod).files(), {"foo": "secret", "fookey": KEY}, "files")
    status = world.wait_for_status("inline", namespace=namespace, class_name="e2e-provider")
    expect_equal(status["status"]["objects"],
                 [{"id": "secret/foo", "version": "v1"}, {"id": "secret/fookey", "version": "v1"}],
                 "objects of the status")
    return pod


@test
def a_class_of_v1alpha1_works_end_to_end(world):
    """5 to 8"""
    a_class_works_end_to_end(world, "test-v1alpha1", "v1alpha1")
    done = run([world.cluster.program("kubectl"), f"--kubeconfig={world.cluster.kubeconfig}", "get",
                f"secretproviderclasses.v1alpha1.{GROUP}", "-n", "test-v1alpha1"])
    expect("is deprecated. Use secrets-store.csi.x-k8s.io/v1 instead." in done.stderr, done.stderr)
    world.delete_and_wait("test-v1alpha1", "inline")


@test
def a_class_of_v1_works_end_to_end(world):
    """9 to 12: of the version that the server names first."""
    group = world.cluster.call("GET", f"/apis/{GROUP}")
    expect_equal(group["preferredVersion"]["version"], "v1", "the preferred version")
    a_class_works_end_to_end(world, "test-v1", "v1")


@test
def an_unmount_leaves_nothing_and_complains_of_nothing(world):
    """13"""
    pod, = world.kubelet.wait_ready("test-v1", "inline")
    volume = world.kubelet.volume(pod)
    expect(volume.is_mounted(), "the volume is not mounted before")
    said = len(world.programs.log("driver").read_text())
    world.delete_and_wait("test-v1", "inline")
    expect(not volume.is_mounted() and not volume.target.exists(), "the volume is there after")
    log = world.programs.log("driver").read_text()[said:]
    expect(not re.search(r"failed to clean and unmount|level=(warn|error)", log), log)


@test
def without_a_class_in_its_namespace_a_pod_fails_in_the_known_words(world):
    """20: the class of that name elsewhere does not count."""
    world.make_namespace("negative-test-ns")
    world.make_class("e2e-provider-sync", "default", ["foo"])
    pod = world.make_inline_pod("negative", "negative-test-ns", "e2e-provider-sync")
    world.wait_failed_mount(pod)
    text = world.cluster.kubectl("describe", "pod", "negative", "-n", "negative-test-ns")
    expect(re.search(r"FailedMount.*failed to get secretproviderclass "
                     r"negative-test-ns/e2e-provider-sync.*not found", text), text)
    world.delete_and_wait("negative-test-ns", "negative")


# Classes and pods that cannot be mounted, and the words that users and their tests look for.
REFUSED = {
    "no class is named": ({"class_name": ""}, {}, "secretProviderClass is not set"),
    "no provider": ({}, {"provider": ""}, "provider not set in default/refused"),
    "no parameters": ({}, {"parameters": {}}, "parameters not set in default/refused"),
    "a provider that is not there": (
        {}, {"provider": "absent"},
        'failed to mount secrets store objects for pod default/refused, err: error connecting to '
        'provider "absent": provider not found: provider "absent"'),
    "a volume that may be written": (
        {"read_only": False}, {}, "Readonly is not true in request"),
}


@test
def what_cannot_be_mounted_is_told_in_the_known_words(world):
    for what, (pod, spec, words) in REFUSED.items():
        body = e2e_class("refused", "default", ["foo"])
        body["spec"].update(spec)
        world.cluster.call("POST", world.classes_path("default"), body)
        made = world.make_inline_pod("refused", "default", pod.get("class_name", "refused"),
                                     read_only=pod.get("read_only", True))
        told = world.wait_failed_mount(made)
        expect(words in told, f"{what}: {told}")
        expect_equal(world.status("refused", "default", "refused"), None, "a status of no mount")
        world.delete_and_wait("default", "refused")
        world.cluster.call("DELETE", world.classes_path("default") + "/refused")


def data_of(secret):
    return {k: base64.b64decode(v).decode() for k, v in ((secret or {}).get("data") or {}).items()}


@test
def two_deployments_share_a_secret_until_both_are_gone(world):
    """14 to 16: four pods, and the variable that is of the Secret."""
    world.make_class("sync", "default", ["foo", "fookey"], secretObjects=[
        secret_object("foosecret", {"username": "foo"}, labels={"environment": "test"})])
    env = {"SECRET_USERNAME": ("foosecret", "username")}
    pods = [pod for name in ("sync-one", "sync-two")
            for pod in world.roll_out(name, "default", {"v": "sync"}, env)]
    for pod in pods:
        expect_equal(world.kubelet.volume(pod).files(), {"foo": "secret", "fookey": KEY}, "files")
        expect_equal(world.kubelet.environment(pod), {"SECRET_USERNAME": "secret"}, "variables")
    secret = world.wait_owners("foosecret", "default", ["ReplicaSet"] * 2)
    expect_equal(data_of(secret), {"username": "secret"}, "data")
    expect_equal(secret["metadata"]["labels"], {
        "environment": "test", "secrets-store.csi.k8s.io/managed": "true"}, "labels")
    world.delete_deployment("sync-one", "default")
    world.wait_owners("foosecret", "default", ["ReplicaSet"])
    world.delete_deployment("sync-two", "default")
    world.wait_no_secret("foosecret", "default")


@test
def a_class_of_the_pods_own_namespace_counts_and_no_other(world):
    """17 to 19: one of the same name elsewhere names a provider that is none."""
    world.make_namespace("test-ns")
    objects = [secret_object("foosecret", {"username": "foo"})]
    world.make_class("spaced", "default", ["foo"], provider="invalidprovider", secretObjects=objects)
    world.make_class("spaced", "test-ns", ["foo"], secretObjects=objects)
    env = {"SECRET_USERNAME": ("foosecret", "username")}
    for pod in world.roll_out("spaced", "test-ns", {"v": "spaced"}, env):
        expect_equal(world.kubelet.volume(pod).files(), {"foo": "secret"}, "files")
        expect_equal(world.kubelet.environment(pod), {"SECRET_USERNAME": "secret"}, "variables")
    secret = world.wait_owners("foosecret", "test-ns", ["ReplicaSet"])
    expect_equal(data_of(secret), {"username": "secret"}, "data")
    expect_equal(world.secret("foosecret", "default"), None, "a Secret in the other namespace")
    world.delete_deployment("spaced", "test-ns")
    world.wait_no_secret("foosecret", "test-ns")


@test
def one_pod_mounts_two_classes(world):
    """21 to 23"""
    for i in (0, 1):
        world.make_class(f"multiple-{i}", "default", ["foo", "fookey"][i:], secretObjects=[
            secret_object(f"foosecret-{i}", {"username": ["foo", "fookey"][i]})])
    env = {f"SECRET_{i}": (f"foosecret-{i}", "username") for i in (0, 1)}
    pod, = world.roll_out("multiple", "default", {"first": "multiple-0", "second": "multiple-1"}, env, 1)
    expect_equal(world.kubelet.volume(pod, "first").files(), {"foo": "secret", "fookey": KEY},
                 "files of the first")
    expect_equal(world.kubelet.volume(pod, "second").files(), {"fookey": KEY}, "of the second")
    expect_equal(world.kubelet.environment(pod), {"SECRET_0": "secret", "SECRET_1": KEY}, "variables")
    for i in (0, 1):
        world.wait_for_status(pod["metadata"]["name"], namespace="default", class_name=f"multiple-{i}")
        world.wait_owners(f"foosecret-{i}", "default", ["ReplicaSet"])
    world.delete_deployment("multiple", "default")
    for i in (0, 1):
        world.wait_no_secret(f"foosecret-{i}", "default")


@test
def a_rotation_comes_without_anybody_asking_for_it(world):
    """24, 25: to the file and to the Secret."""
    world.make_class("rotation", "default", ["foo"],
                     secretObjects=[secret_object("rotationsecret", {"username": "foo"})])
    world.make_inline_pod("rotation", "default", "rotation")
    pod, = world.kubelet.wait_ready("default", "rotation")
    volume = world.kubelet.volume(pod)
    expect_equal(volume.read("foo"), "secret", "the file before")
    wait_until(lambda: data_of(world.secret("rotationsecret")) == {"username": "secret"}, 60,
               "the Secret before")
    world.control(audiences=AUDIENCES, rotated=True)
    wait_until(lambda: volume.read("foo") == "rotated", 120, "the file rotated")
    wait_until(lambda: data_of(world.secret("rotationsecret")) == {"username": "rotated"}, 120,
               "the Secret rotated")
    status = world.wait_for_status(
        "rotation", lambda s: s["status"]["objects"] == [{"id": "secret/foo", "version": "v2"}],
        namespace="default", class_name="rotation")
    expect_equal(status["status"]["mounted"], True, "mounted")
    world.kubelet.republish()
    expect_equal(volume.read("foo"), "rotated", "the file after a republish")
    world.delete_and_wait("default", "rotation")
    world.control(audiences=AUDIENCES)


@test
def the_metrics_have_the_known_names_labels_and_true_values(world):
    """26"""
    labels = {"provider": "e2e-provider", "os_type": "linux"}
    for name, wanted in {
        "node_publish_total": labels,
        "node_publish_error_total": {"os_type": "linux", "error_type": "SecretProviderClassNotFound"},
        "node_unpublish_total": {"os_type": "linux"},
        "rotation_reconcile_total": {**labels, "rotated": "true"},
        "rotation_reconcile_duration_sec_count": {"os_type": "linux"},
        "sync_k8s_secret_total": labels,
        "k8s_secret_duration_sec_count": {"os_type": "linux"},
    }.items():
        wait_until(lambda n=name, w=wanted: world.series(n, w) > 0, 15, f"{name}{wanted}")


def objects_of(world, name, class_name):
    status = world.status(name, "default", class_name)
    return {o["id"]: o["version"] for o in status["status"]["objects"]}


def managers(world, name, class_name):
    meta = world.status(name, "default", class_name)["metadata"]
    return {row["manager"] for row in meta["managedFields"]}


def mounts_at(volumes):
    """Which mounts are there: their ids tell whether one was made anew."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    at = {fields[4]: fields[0] for fields in map(str.split, lines)}
    return [at[str(v.target)] for v in volumes]


WORKLOADS = 20


@test
def a_change_of_drivers_restarts_no_workload_and_a_rotation_each_once(world):
    world.make_class("swap", "default", ["foo"])
    world.cluster.apply(*[inline_pod(f"old-{i}", "default", {"v": "swap"}) for i in range(WORKLOADS)])
    volumes = []
    for pod in world.kubelet.pods():
        volume = world.kubelet.set_up_before(pod)
        old_driver.leave_mount(volume.target)
        old_driver.leave_files(volume.target, {"foo": "secret"}, mode=0)
        old_driver.leave_status(world.cluster, pod, volume.target, "swap", {"secret/foo": "old-7f3a"})
        volumes.append(volume)
    expect_equal(len(volumes), WORKLOADS, "volumes of the old driver")
    mounts = mounts_at(volumes)
    reloader = Reloader(world.cluster, "default")
    world.swap_programs()
    for i in range(WORKLOADS):
        wait_until(lambda n=f"old-{i}": "locket" in managers(world, n, "swap"), 20, "the adoption")
    for _ in range(2):
        world.refresh_all(volumes)
        world.swap_programs()
        world.wait_told(WORKLOADS)
    world.cluster.call("DELETE", world.status_path("old-0", "default", "swap"))
    world.wait_for_status("old-0", namespace="default", class_name="swap")
    expect_equal(reloader.count(), {}, "restarts by the change of drivers")
    expect_equal(objects_of(world, "old-3", "swap"), {"secret/foo": "old-7f3a"}, "versions shown")
    world.control(audiences=AUDIENCES, rotated=True)
    for i, volume in enumerate(volumes):
        wait_until(lambda v=volume: v.read("foo") == "rotated", 30, "the rotation")
        wait_until(lambda n=f"old-{i}": objects_of(world, n, "swap") == {"secret/foo": "v2"}, 20,
                   "the rotation told")
    world.swap_programs()
    world.refresh_all(volumes)
    expect_equal(reloader.count(), {f"old-{i}-default-swap": 1 for i in range(WORKLOADS)},
                 "restarts by one rotation")
    expect_equal(mounts_at(volumes), mounts, "mounts: none was made anew")
    for i in range(WORKLOADS):
        world.cluster.kubectl("delete", "pod", f"old-{i}", "-n", "default", "--wait=false")
    world.kubelet.wait_gone("default", "old-")
    world.control(audiences=AUDIENCES)


def restart_provider(world, *flags):
    world.programs.stop("provider")
    world.start_provider(*flags)


def make_keyed_pod(world, name):
    world.make_inline_pod(name, "default", "keyed")
    pod, = world.kubelet.wait_ready("default", name)
    world.wait_for_status(name, namespace="default", class_name="keyed")
    return world.kubelet.volume(pod)


@test
def a_provider_that_makes_its_versions_itself_moves_one_with_its_object_alone(world):
    """Its key is another one after each restart, unless it has one in a file: then equal bytes are
    equal versions, for whoever reads them first."""
    key_file = world.programs.folder / "versions.key"
    key_file.write_bytes(b"k" * 32)
    world.write(values := {"user": "joe", "password": "old", "more": "x"})
    world.cluster.apply(provider_class("keyed", "default", list(values)))
    volume = make_keyed_pod(world, "keyed-1")
    reloader, before = Reloader(world.cluster, "default"), objects_of(world, "keyed-1", "keyed")
    restart_provider(world)
    world.swap_programs()
    world.refresh_all([volume])
    world.write({**values, "password": "new"})
    wait_until(lambda: volume.read("password") == "new", 20, "the rotation")
    wait_until(lambda: objects_of(world, "keyed-1", "keyed") != before, 20, "the rotation told")
    after = objects_of(world, "keyed-1", "keyed")
    expect_equal([name for name in values if before[name] != after[name]], ["password"], "versions moved")
    expect_equal(reloader.count(), {"keyed-1-default-keyed": 1}, "restarts")
    seen = []
    for name in ("keyed-2", "keyed-3"):
        restart_provider(world, f"--hmac-key-file={key_file}")
        make_keyed_pod(world, name)
        seen.append(objects_of(world, name, "keyed"))
    expect_equal(seen[0], seen[1], "versions under one key")
    expect(seen[0] != after, "two keys made one version")
    restart_provider(world)
    for i in (1, 2, 3):
        world.delete_and_wait("default", f"keyed-{i}")


@test
def a_provider_that_writes_itself_is_mounted_rotated_and_told(world):
    world.make_class("writing", "default", ["unused"], provider="writing-provider",
                     secretObjects=[secret_object("written", {"name": "conf/user"})])
    world.make_inline_pod("writing", "default", "writing")
    pod, = world.kubelet.wait_ready("default", "writing")
    volume = world.kubelet.volume(pod)
    expect_equal(volume.files(), {"conf/user": "joe"}, "files")
    wait_until(lambda: data_of(world.secret("written")) == {"name": "joe"}, 30, "the Secret")
    world.wait_for_status("writing", namespace="default", class_name="writing")
    reloader = Reloader(world.cluster, "default")
    expect_equal(objects_of(world, "writing", "writing"), {"conf/user": "1"}, "versions")
    world.write_values({"conf/user": "ann", "more": "new"}, "2")
    wait_until(lambda: volume.files() == {"conf/user": "ann", "more": "new"}, 20, "the rotation")
    wait_until(lambda: objects_of(world, "writing", "writing") == {"conf/user": "2", "more": "2"}, 10,
               "the rotation told")
    wait_until(lambda: data_of(world.secret("written")) == {"name": "ann"}, 30, "the Secret rotated")
    world.swap_programs()
    world.refresh_all([volume])
    expect_equal(reloader.count(), {"writing-default-writing": 1}, "restarts")
    world.delete_and_wait("default", "writing")


@test
def a_live_volume_of_a_provider_that_writes_itself_goes_on(world):
    world.write_values({"conf/user": "joe"}, "1")
    world.make_class("writing-old", "default", ["unused"], provider="writing-provider")
    pod = world.make_inline_pod("writing-old", "default", "writing-old")
    volume = world.kubelet.set_up_before(pod)
    old_driver.leave_mount(volume.target)
    (volume.target / "conf").mkdir()
    (volume.target / "conf/user").write_text("joe")
    old_driver.leave_status(world.cluster, pod, volume.target, "writing-old", {"conf/user": "1"})
    reloader = Reloader(world.cluster, "default")
    world.kubelet.republish()
    wait_until(lambda: "locket" in managers(world, "writing-old", "writing-old"), 20, "the adoption")
    world.refresh_all([volume])
    expect_equal(reloader.count(), {}, "restarts by the adoption")
    world.write_values({"conf/user": "ann"}, "2")
    wait_until(lambda: volume.files() == {"conf/user": "ann"}, 20, "the rotation")
    wait_until(lambda: objects_of(world, "writing-old", "writing-old") == {"conf/user": "2"}, 10,
               "the rotation told")
    expect_equal(reloader.count(), {"writing-old-default-writing-old": 1}, "restarts by the rotation")
    world.delete_and_wait("default", "writing-old")


def is_served(world, path):
    """Or is the server still about to: 404 and 429?"""
    try:
        return world.cluster.call("GET", path)
    except Refused:
        return False


def serve_v1(world, served):
    """As where the definitions are those of the years before v1; and the agent that finds them."""
    for plural in ("secretproviderclasses", "secretproviderclasspodstatuses"):
        world.cluster.call(
            "PATCH", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{GROUP}",
            [{"op": "replace", "path": "/spec/versions/0/served", "value": served}],
            "application/json-patch+json")
    wait_until(lambda: served == ("v1" in {v["version"] for v in world.cluster.call(
        "GET", f"/apis/{GROUP}")["versions"]}), 30, "the versions served")
    for plural in ("secretproviderclasses", "secretproviderclasspodstatuses"):
        path = f"/apis/{GROUP}/{'v1' if served else 'v1alpha1'}/{plural}"
        wait_until(lambda p=path: is_served(world, p), 30, f"{plural} served")
    world.swap_programs()


@test
def where_only_v1alpha1_is_served_classes_are_read_and_statuses_written(world):
    """And a status that somebody deletes comes back: its watch is of that version too."""
    where = {"namespace": "default", "class_name": "aged", "version": "v1alpha1"}
    world.make_class("aged", "default", ["foo"])
    serve_v1(world, False)
    try:
        world.make_inline_pod("aged", "default", "aged")
        pod, = world.kubelet.wait_ready("default", "aged")
        expect_equal(world.kubelet.volume(pod).files(), {"foo": "secret"}, "files")
        status = world.wait_for_status("aged", **where)
        expect_equal((status["apiVersion"], status["status"]["objects"]),
                     (f"{GROUP}/v1alpha1", [{"id": "secret/foo", "version": "v1"}]), "the status")
        world.cluster.call("DELETE", world.status_path("aged", **where))
        world.wait_for_status(
            "aged", lambda now: now and now["metadata"]["uid"] != status["metadata"]["uid"], **where)
        world.delete_and_wait("default", "aged")
    finally:
        serve_v1(world, True)


@test
def nothing_is_left(world):
    """And the garbage collector took every status with its pod."""
    expect_equal(world.kubelet.pods(), [], "pods")
    expect_equal(mounts_left(), [], "mounts")
    path = f"/apis/{GROUP}/v1/secretproviderclasspodstatuses"
    wait_until(lambda: not world.cluster.call("GET", path)["items"], 60, "every status collected")


if __name__ == "__main__":
    run_tests(Stage)
