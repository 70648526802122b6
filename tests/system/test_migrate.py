#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""To Locket from the driver before, and back: what is told before, and volumes that live on."""
import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
# pylint: disable=wrong-import-position
import old_driver  # noqa: E402
from world import World, harness  # noqa: E402
from node import Pod  # noqa: E402

test, expect, expect_equal = harness.test, harness.expect, harness.expect_equal
CTL = harness.BUILD / "bin/locketctl"
GROUP = "secrets-store.csi.x-k8s.io"
DRIVER = "secrets-store.csi.k8s.io"
CLASSES = harness.ROOT.parent / "shared/data/classes"  # of others; only where they are at hand


def make_world(programs):
    first = programs.folder / "first"
    world = World(programs, ["--generation-grace=300ms", f"--additional-provider-volume-paths={first}"])
    first.mkdir(mode=0o700)
    (first / "odd.sock").symlink_to(world.node.providers / "odd.sock")
    world.start_provider()
    odd = world.node.providers / "odd.sock"
    programs.start("odd", [harness.ROOT / "tests/fakes/odd_provider.py", odd, programs.folder / "calls"], odd.exists)
    world.node.write_class("write", "odd", {"behave": "write"})
    expect(world.start_driver(), "the driver does not start")
    return world


# --- objects as kubectl prints them ------------------------------------------------------------------------


def spc(name, provider, namespace="shop", **parameters):
    return {"apiVersion": f"{GROUP}/v1", "kind": "SecretProviderClass",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"provider": provider, "parameters": {"objects": "[]", **parameters}}}


def csi_driver(audiences=(), **more):
    spec = {"podInfoOnMount": True, "attachRequired": False, "requiresRepublish": True,
            "tokenRequests": [{"audience": a} for a in audiences], **more}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER}, "spec": spec}


def daemonset(name="csi-secrets-store", app="csi-secrets-store", args=(), **more):
    container = {"name": "secrets-store", "image": "example.com/csi-secrets-store/driver:v1.6.0",
                 "args": list(args), **more.pop("container", {})}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": "kube-system", **more.pop("metadata", {})},
            "spec": {"selector": {"matchLabels": {"app": app}},
                     "template": {"spec": {"containers": [container], **more}}}}


def workload(kind, class_name, attributes=None, ref=None):
    csi = {"driver": DRIVER, "readOnly": True,
           "volumeAttributes": {"secretProviderClass": class_name, **(attributes or {})}}
    if ref:
        csi["nodePublishSecretRef"] = {"name": ref}
    template = {"spec": {"volumes": [{"name": "other", "emptyDir": {}}, {"name": "v", "csi": csi}]}}
    spec = {"Pod": template["spec"], "CronJob": {"jobTemplate": {"spec": {"template": template}}}}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "web", "namespace": "shop"},
            "spec": spec.get(kind, {"template": template})}


def check(objects, *words, admin="/nowhere", text=None):
    """locketctl migrate check over these objects: its exit code and its findings."""
    text = json.dumps({"kind": "List", "apiVersion": "v1", "items": objects}) if text is None else text
    command = [CTL, "migrate", "check", "--from=-", "-o", "json", f"--admin-socket={admin}", *words]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
    return done, json.loads(done.stdout) if done.stdout else []


def role(name, kind="ClusterRole", **metadata):
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name, **metadata}}


def our_daemonset():
    return daemonset(container={"name": "driver", "image": "example.com/locket:1"})


STATIC_ARGS = ["--endpoint=$(CSI_ENDPOINT)", "--nodeid=$(KUBE_NODE_NAME)", "--metrics-addr=:8095",
               "--enable-secret-rotation=true", "--rotation-poll-interval=2m", "-v", "0"]
AWS = {"name": "provider", "image": "example.com/secrets-store-csi-driver-provider-aws:2"}
HELM = {"annotations": {"meta.helm.sh/release-name": "csi"}}

# what is said, the objects, the verdict, the check, words of its line
CASES = [
    ("an audience that is sent", [csi_driver(["vault"]), spc("a", "vault")], "ok", "audiences", ["vault", "shop/a"]),
    ("an audience that is not", [csi_driver(["vault"]), spc("a", "vault", audience="bank")],
     "DUE", "audiences", ["bank", '- audience: bank', "tokenRequests", "minting"]),
    ("the API server's", [csi_driver(["vault"]), spc("a", "vault", audience="https://kubernetes.default.svc")],
     "DUE", "audiences", ["tokenRequests", "nothing is minted"]),
    ("the cloud's own", [csi_driver(), spc("a", "aws")], "DUE", "audiences", ["sts.amazonaws.com"]),
    ("the cloud's other", [csi_driver(), spc("a", "aws", usePodIdentity="true")],
     "DUE", "audiences", ["pods.eks.amazonaws.com"]),
    ("a federated identity", [csi_driver(), spc("a", "azure", clientID="x")],
     "DUE", "audiences", ["api://AzureADTokenExchange"]),
    ("an identity binding", [csi_driver(), spc("a", "azure", clientID="x", useAzureTokenProxy="true")],
     "DUE", "audiences", ["api://AKSIdentityBinding"]),
    ("no token at all", [csi_driver(), spc("a", "gcp", auth="provider-adc")], "ok", "audiences", ["no token"]),
    ("a stored identity", [csi_driver(), spc("a", "azure")], "ok", "audiences", ["no token"]),
    ("a provider of somebody's", [csi_driver(), spc("a", "own")], "note", "audiences", ["see its documentation"]),
    ("a pool that no class names", [csi_driver(), spc("a", "gcp")], "note", "audiences", [".svc.id.goog"]),
    ("a class that cannot be read", [{**spc("a", "vault"), "spec": {"provider": 7}}],
     "DUE", "audiences", ["shop/a", "provider"]),
    ("podInfoOnMount off", [csi_driver(podInfoOnMount=False)], "DUE", "CSIDriver", ["podInfoOnMount: true"]),
    ("requiresRepublish off", [csi_driver(requiresRepublish=False)], "DUE", "CSIDriver", ["requiresRepublish: true"]),
    ("requiresRepublish off, as releases before 1.6 have it", [csi_driver(requiresRepublish=False), daemonset()],
     "note", "CSIDriver", ["the manifests set it"]),
    ("attachRequired on", [csi_driver(attachRequired=True), daemonset()], "DUE", "CSIDriver", ["made anew"]),
    ("an object that is fine", [csi_driver()], "ok", "CSIDriver", []),
    ("no such object", [spc("a", "vault")], "note", "CSIDriver", ["kubectl get csidriver"]),
    ("an override", [spc("a", "other", folder="x"), workload("Deployment", "a", {"folder": "y"})],
     "DUE", "overrides", ["Deployment shop/web", "folder", "--attribute-override=warn"]),
    ("an override of who is asked", [spc("a", "vault", vaultAddress="x"), workload("Pod", "a", {"vaultAddress": "y"})],
     "DUE", "overrides", ["Pod shop/web", "--attribute-override=allow"]),
    ("a job's override", [spc("a", "other", folder="x"), workload("CronJob", "a", {"folder": "y"})],
     "DUE", "overrides", ["CronJob shop/web"]),
    ("a class that is not given", [workload("Pod", "gone")], "note", "overrides", ["class gone"]),
    ("a secretRef", [spc("a", "vault"), workload("Pod", "a", ref="creds")], "note", "nodePublishSecretRef", ["creds"]),
    ("a provider that writes", [spc("a", "aws")], "note", "writing providers", ["-driver-writes-secrets"]),
    ("one that was told not to", [daemonset(container={**AWS, "args": ["--driver-writes-secrets=true"]})],
     "ok", "writing providers", ["DaemonSet"]),
    ("one that was not", [daemonset(container={**AWS, "args": []})], "note", "writing providers", ["goes on as before"]),
    ("static manifests", [daemonset()], "ok", "release", ["overlays/migration"]),
    ("a release of Helm", [daemonset("csi-secrets-store-csi-driver", "secrets-store-csi-driver", metadata=HELM | {
        "namespace": "ops"})], "ok", "release", ["helm upgrade csi", "--namespace=ops"]),
    ("another selector", [daemonset(app="own")], "DUE", "release", ["app: own", "selector"]),
    ("Windows", [daemonset(nodeSelector={"kubernetes.io/os": "windows"})], "note", "release", ["stays as it is"]),
    ("the account of Windows", [daemonset(nodeSelector={"kubernetes.io/os": "windows"}, serviceAccountName="win")],
     "note", "release", ["keep ServiceAccount win"]),
    ("a role left over", [our_daemonset(), role("secretproviderrotation-role")],
     "note", "rights", ["all Secrets", "kubectl delete clusterrole secretproviderrotation-role"]),
    ("a binding left over", [our_daemonset(), role("secretprovidertokenrequest-rolebinding", "ClusterRoleBinding")],
     "note", "rights", ["tokens", "kubectl delete clusterrolebinding secretprovidertokenrequest-rolebinding"]),
    ("a role that Helm keeps", [our_daemonset(), role("locket-old-driver-role", annotations=HELM["annotations"])],
     "note", "rights", ["locket.oldDriver=false"]),
    ("none", [csi_driver()], "note", "release", ["is it installed?"]),
    ("a flag of no effect", [daemonset(args=["--enable-pprof=true"])], "note", "flags", ["enable-pprof", "leave it out"]),
    ("a flag in two words", [daemonset(args=["--rotation-poll-interval", "30s"])],
     "DUE", "flags", ["--rotation-poll-interval=30s", "carry it over"]),
    ("an agent's flag", [daemonset(args=["--metrics-addr=:9000"])], "DUE", "flags", ["agent's arguments"]),
    ("an unknown flag", [daemonset(args=["--grpc-supported-providers=x"])], "DUE", "flags", ["unknown"]),
    ("nothing of the node", [csi_driver()], "note", "scope", ["no driver of ours answers"]),
]


@test
def each_thing_that_a_migration_meets_is_told_with_what_to_do(_world):
    for says, objects, verdict, name, words in CASES:
        done, findings = check(objects)
        lines = [" ".join(f.values()) for f in findings if (f["verdict"], f["check"]) == (verdict, name)]
        expect(any(all(word in line for word in words) for line in lines), f"{says}: {findings}")
        expect_equal(done.returncode, int(any(f["verdict"] == "DUE" for f in findings)), says)


@test
def rights_that_a_driver_before_still_lives_on_are_not_left_over(_world):
    old = role("secretproviderrotation-role")
    for objects in ([daemonset(), old], [daemonset(nodeSelector={"kubernetes.io/os": "windows"}), our_daemonset(), old],
                    [csi_driver(), old], [our_daemonset(), role("secretproviderclasses-role")]):
        _, findings = check(objects)
        expect_equal([f for f in findings if f["check"] == "rights"], [], str(objects))


@test
def what_the_manifests_say_already_is_not_to_be_done(_world):
    objects = [csi_driver(["vault"]), spc("a", "vault"), daemonset(args=STATIC_ARGS), workload("Pod", "a", {"role": "x"})]
    done, findings = check(objects)
    expect_equal(done.returncode, 0, str(findings))
    expect_equal(len([f for f in findings if f["check"] == "flags"]), 6, "flags told")
    expect_equal(done.stderr, "", "what is said")


@test
def a_table_and_yaml_and_several_files_serve_too(world):
    files = []
    for number, doc in enumerate((csi_driver(), spc("a", "aws"), spc("b", "aws"))):
        path = world.programs.folder / f"dump{number}.yaml"
        path.write_text("---\n" + json.dumps(doc, indent=1))
        files.append(f"--from={path}")
    done = subprocess.run([CTL, "migrate", "check", *files, "--admin-socket=/nowhere"], capture_output=True,
                          text=True, timeout=30, check=False)
    expect_equal(done.returncode, 1, done.stderr)
    row = next(line for line in done.stdout.splitlines() if "sts.amazonaws.com" in line)
    expect("DUE\taudiences\t" in row and "2 classes: shop/a, shop/b" in row, row)
    expect("1 of" in done.stderr and "to be done first" in done.stderr, done.stderr)


@test
def what_is_no_dump_is_one_line_of_error(_world):
    for text, words in (("{", "line 1"), ("a: [", "line"), ("{\"a\":" + "[" * 100, "line 1")):
        done, findings = check([], text=text)
        expect_equal((done.returncode, findings), (1, []), text)
        expect(words in done.stderr and done.stderr.count("\n") == 1, done.stderr)
    for words in (["migrate"], ["migrate", "forward"], ["migrate", "prepare-rollback", "--from=x"]):
        done = subprocess.run([CTL, *words], capture_output=True, text=True, timeout=30, check=False)
        expect_equal(done.returncode, 2, done.stderr)


@test
def classes_that_others_published_are_all_accounted_for(_world):
    if not CLASSES.is_dir():
        raise harness.Skip("no such classes beside this repository")
    counted = 0
    for path in sorted(CLASSES.rglob("*.yaml")):
        done, findings = check([], text=path.read_text(encoding="utf-8"))
        if not findings:  # of a page that shows less than a document
            expect("INVALID_ARGUMENT" in done.stderr and done.stderr.count("\n") == 1, f"{path}: {done.stderr}")
            continue
        expect(any(f["check"] == "audiences" for f in findings), f"{path}: {findings}")
        counted += 1
    expect(counted >= 20, f"{counted} classes")


# --- this node ---------------------------------------------------------------------------------------------


def foreign(world, name, text, owner=DRIVER):
    """A live volume of the driver before, with what kubelet writes beside it."""
    pod = Pod(world.node, name)
    old_driver.mount(pod.target)
    old_driver.rotate(pod.target, {"user": text, "password": "old"})
    if owner:
        (pod.target.parent / "vol_data.json").write_text(
            json.dumps({"driverName": owner, "volumeHandle": pod.volume_id, "specVolID": "v"}))
    return pod


@test
def live_volumes_of_the_driver_before_and_providers_are_told(world):
    ours = Pod(world.node, "ours").must_publish("app")
    live, odd, others = (foreign(world, n, "joe", o) for n, o in (("a", DRIVER), ("b", None), ("c", "csi.example.com")))
    dead = world.node.providers / "dead.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(dead))
    done, findings = check([spc("a", "file"), spc("b", "nowhere")], admin=world.node.admin)
    lines = {(f["verdict"], f["about"]): f["detail"] for f in findings}
    expect("adopted at kubelet's next republish" in lines[("ok", str(live.target))], lines)
    expect("vol_data.json" in lines[("DUE", str(odd.target))], lines)
    for pod in (ours, others):
        expect(str(pod.target) not in str(lines), f"{pod.name}: {lines}")
    provider = lines[("ok", str(world.node.providers / "file.sock"))]
    expect("locket-provider" in provider and f"uid {os.getuid()}" in provider, provider)
    expect("hidden by" in lines[("note", str(world.node.providers / "odd.sock"))], lines)
    expect("says no name" in lines[("ok", str(world.programs.folder / "first/odd.sock"))], lines)
    expect("dead.sock" in lines[("DUE", str(dead))], lines)
    dead.unlink()
    expect("no socket on this node" in lines[("DUE", "nowhere")], lines)
    expect_equal(done.returncode, 1, "what is to be done")
    live.must_publish("app")
    _, findings = check([], admin=world.node.admin)
    expect(str(live.target) not in str(findings), "told, once adopted")
    for pod in (ours, live):
        pod.unpublish()
    for pod in (odd, others):
        old_driver.unpublish(pod.target)


def prepare(world):
    done = world.node.ctl("migrate", "prepare-rollback", "-o", "json", check=False)
    return done, {r["volume_id"]: r for r in json.loads(done.stdout)["results"]}


@test
def after_prepare_rollback_the_driver_before_rotates_on_and_back_again(world):
    world.write({"user": "joe", "password": "one"})
    pod = Pod(world.node, "back").must_publish("app")
    world.write({"user": "joe", "password": "two"})
    world.node.must_refresh(pod, changed=True)
    expect(len(list(pod.target.glob("..2*"))) == 2, "an old generation in its grace")
    size = os.statvfs(pod.target).f_blocks
    done, results = prepare(world)
    expect_equal((done.returncode, results[pod.volume_id]["changed"]), (0, True), done.stderr)
    expect_equal(sorted(p.name for p in pod.target.glob("..*")), sorted(["..data", pod.generation()]), "all there is")
    big = os.statvfs(pod.target)
    expect(big.f_blocks > size and big.f_blocks * big.f_bsize > 1 << 30, "the size is not ours any more")
    world.programs.stop("driver")

    reader = os.open(pod.target, os.O_RDONLY | os.O_DIRECTORY)  # a container's view of the mount
    payload = {"user": "jim", "deep/er/key": "x" * (3 << 20), "password": "three"}
    expect(old_driver.rotate(pod.target, payload), "rotated by the driver before")
    expect(not old_driver.rotate(pod.target, payload), "and again, unchanged")
    expect(old_driver.rotate(pod.target, {"user": "jim", "password": "four"}), "and once more")
    expect_equal(pod.files(), {"user": "jim", "password": "four"}, "what the pod sees")
    fd = os.open("password", os.O_RDONLY, dir_fd=reader)
    expect_equal(os.read(fd, 99), b"four", "what an open folder sees")
    os.close(fd)
    os.close(reader)

    expect(world.start_driver(), "forward again")
    pod.must_publish("app")
    expect_equal(pod.read("password"), "four", "nothing is touched by the start")
    expect(world.list()[0]["tmpfs_size_bytes"] < 16 << 20, "nor is the budget")
    world.node.must_refresh(pod, changed=True)
    expect_equal(pod.files(), {"user": "joe", "password": "two"}, "rotated by us")
    pod.unpublish()


@test
def prepare_rollback_is_idempotent_and_ours_rotates_on_without_an_old_generation(world):
    pods = [Pod(world.node, name).must_publish("app") for name in ("a", "b")]
    adopted = foreign(world, "c", "joe").must_publish("app")
    _, first = prepare(world)
    expect_equal({first[p.volume_id]["changed"] for p in pods}, {True}, "the first time")
    expect_equal(first[adopted.volume_id]["changed"], False, "limits that were never ours")
    before = [(p.generation(), os.stat(p.target).st_dev) for p in pods]
    _, second = prepare(world)
    expect_equal({r["changed"] for r in second.values()}, {False}, "the second time")
    expect_equal([(p.generation(), os.stat(p.target).st_dev) for p in pods], before, "generations and mounts")
    world.write({"user": "joe", "password": "later"})
    for pod in (*pods, adopted):
        world.node.must_refresh(pod, changed=True)
        expect_equal(len(list(pod.target.glob("..2*"))), 1, "generations")
        pod.unpublish()
    done, results = prepare(world)
    expect_equal((done.returncode, results), (0, {}), "no volume, nothing to do")


def working_volume(world, pool, behave):
    """A volume in the middle of a refresh: its pod, and the refresh."""
    world.node.write_class("turns", "odd", {"behave": "fine"})
    pod = Pod(world.node, behave).must_publish("turns")
    world.node.write_class("turns", "odd", {"behave": behave})
    refresh = pool.submit(world.node.refresh, pod)
    harness.wait_until(lambda: [v["state"] for v in world.list() if v["volume_id"] == pod.volume_id] == ["fetching"],
                       10, "a refresh under way")
    return pod, refresh


@test
def prepare_rollback_waits_for_who_works_on_a_volume(world):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pod, refresh = working_volume(world, pool, "late")
        done, results = prepare(world)
        expect_equal((done.returncode, results[pod.volume_id]["changed"]), (0, True), done.stderr)
        expect_equal(refresh.result()["changed"], True, "what was under way came to its end")
    expect_equal(len(list(pod.target.glob("..2*"))), 1, "generations")
    pod.unpublish()


@test
def prepare_rollback_does_not_wait_for_a_volume_that_leaves(world):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pod, refresh = working_volume(world, pool, "hang")
        began, preparing = time.monotonic(), pool.submit(prepare, world)
        time.sleep(0.5)
        expect(not preparing.done(), "it does not wait")
        pod.unpublish()
        done, results = preparing.result()
        expect_equal((done.returncode, results), (0, {}), done.stderr)
        expect(time.monotonic() - began < 5, "it waits for what has left")
        expect(refresh.result()["code"] != "OK", "a refresh of what has left")


@test
def a_writing_providers_folder_is_as_the_driver_before_makes_it(world):
    pod = Pod(world.node, "writes").must_publish("write")
    inode = os.stat(pod.target / "written").st_ino
    _, results = prepare(world)
    expect_equal(results[pod.volume_id]["changed"], True, "the first time")
    expect_equal(oct(os.stat(pod.target).st_mode & 0o7777), "0o1777", "its folder")
    expect_equal(os.stat(pod.target / "written").st_ino, inode, "its file")
    expect_equal(world.list()[0]["mode"], "writing", "the mode")
    _, results = prepare(world)
    expect_equal(results[pod.volume_id]["changed"], False, "the second time")
    pod.unpublish()


@test
def a_volume_made_ready_and_then_lost_is_ours_again_with_our_limits(world):
    pod = Pod(world.node, "lost").must_publish("app")
    prepare(world)
    subprocess.run(["umount", pod.target], check=True)
    pod.must_publish("app")
    disk = os.statvfs(pod.target)
    expect(disk.f_blocks * disk.f_bsize < 16 << 20, "a size of ours")
    expect_equal(prepare(world)[1][pod.volume_id]["changed"], True, "to be made ready anew")
    pod.unpublish()


@test
def a_volume_that_is_not_whole_is_told_and_the_others_are_made_ready(world):
    whole, torn = (Pod(world.node, name).must_publish("app") for name in ("whole", "torn"))
    subprocess.run(["umount", torn.target], check=True)
    done, results = prepare(world)
    expect_equal((done.returncode, results[torn.volume_id]["code"]), (1, "UNAVAILABLE"), done.stderr)
    expect("republish" in results[torn.volume_id]["text"], "what to do")
    expect_equal(results[whole.volume_id]["code"], "OK", "the other")
    for pod in (whole, torn):
        pod.unpublish()


harness.run_tests(make_world)
