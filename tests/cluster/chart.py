#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/chart and deploy/daemonset by helm and kubectl themselves, without a cluster: they render what
the other tests read, and the value names of the chart before do what they did."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from harness import expect, expect_equal, run_tests, test, tool
from kustomize import CHART, DAEMONSET, PRESETS, documents, stack

FLAGS = ["--namespace=kube-system"]


class World:
    """The two tools."""

    def __init__(self, programs):
        self.helm_program = tool("helm")
        self.kubectl = programs.folder / "kubectl"
        self.kubectl.symlink_to(tool("kubernetes"))
        self.environment = {"HOME": str(programs.folder), "PATH": "/usr/bin:/bin"}

    def call(self, *argv):
        return subprocess.run([str(a) for a in argv], env=self.environment, capture_output=True, text=True,
                              timeout=60, check=False)

    def kustomization(self, folders):
        """A folder for `kubectl kustomize`: that of a preset, or one that lays components over it."""
        if len(folders) == 1:
            return DAEMONSET / folders[0]
        place = pathlib.Path(tempfile.mkdtemp(dir=self.environment["HOME"]))
        paths = [os.path.relpath((DAEMONSET / name).resolve(), place.resolve()) for name in folders]
        text = yaml.safe_dump({"resources": paths[:1], "components": paths[1:]})
        (place / "kustomization.yaml").write_text(text, encoding="utf-8")
        return place

    def refusal(self, *words):
        done = self.call(self.helm_program, "template", "csi", CHART, *FLAGS, *words)
        expect(done.returncode != 0, f"{words} are taken")
        return done.stderr

    def objects(self, *words, release="csi"):
        """What the chart makes of these words."""
        done = self.call(self.helm_program, "template", release, CHART, *FLAGS, *words)
        expect_equal(done.returncode, 0, done.stderr[-400:])
        return {key(doc): doc for doc in yaml.safe_load_all(done.stdout) if doc}


def key(doc):
    return doc["kind"], doc["metadata"]["name"]


def daemonset(objects, name="csi-secrets-store-csi-driver"):
    return objects[("DaemonSet", name)]


def pod_of(objects, **more):
    return daemonset(objects, **more)["spec"]["template"]["spec"]


def container(objects, name):
    return next(c for c in pod_of(objects)["containers"] if c["name"] == name)


def separate(objects):
    """The container of the provider that has pods of its own."""
    return pod_of(objects, name="locket-provider")["containers"][0]


def mounts(objects, name):
    return {m["mountPath"] for m in container(objects, name)["volumeMounts"]}


def folders(objects):
    return {v["hostPath"]["path"] for v in pod_of(objects)["volumes"] if "hostPath" in v}


SEPARATE = ["base", "components/provider-separate"]
SEPARATE_STACKS = [[*SEPARATE, f"components/{name}-separate"] for name in ("keys", "openshift")]


@test
def kubectl_renders_every_preset_as_the_tests_do(world):
    for folders in [[name] for name in PRESETS] + SEPARATE_STACKS:
        name = " ".join(folders)
        done = world.call(world.kubectl, "kustomize", world.kustomization(folders))
        expect_equal(done.returncode, 0, done.stderr)
        theirs = {key(doc): doc for doc in yaml.safe_load_all(done.stdout)}
        ours = {key(doc): doc for doc in stack(*folders)}
        expect_equal(theirs.keys(), ours.keys(), name)
        for which, doc in ours.items():
            expect_equal(doc, theirs[which], f"{name}: {which}")


@test
def kubectl_refuses_what_is_for_a_provider_of_its_own_where_there_is_none(world):
    for folders in SEPARATE_STACKS:
        done = world.call(world.kubectl, "kustomize", world.kustomization(["base", folders[-1]]))
        expect(done.returncode != 0 and "test" in done.stderr, f"{folders[-1]}: {done.stderr}")


@test
def helm_lint_has_nothing_to_say(world):
    for words in ((), ("--set=syncSecret.enabled=true,locket.driver.tmpfsBudgetMi=64",), (MIGRATION,)):
        done = world.call(world.helm_program, "lint", "--strict", CHART, *words)
        expect_equal(done.returncode, 0, done.stdout)
        expect("[WARNING]" not in done.stdout and "[ERROR]" not in done.stdout, done.stdout)


NAMES = "fullnameOverride=csi-secrets-store,nameOverride=csi-secrets-store,enableSecretRotation=true"
MIGRATION = f"--values={CHART}/migration.yaml"
SAME_CONTAINER = ("name", "image", "command", "securityContext", "resources", "livenessProbe", "readinessProbe", "ports", "env")
OWN_WORDS = ("containers", "volumes")  # of a pod: the chart's differ in their order and in what values add


def expect_same_daemonset(theirs, ours, says):
    """The chart's pod, with no privilege, folder, token or argument less or more than the manifest's."""
    for part in ("selector", "updateStrategy"):
        expect_equal(theirs["spec"][part], ours["spec"][part], f"{says} {part}")
    have, want = (d["spec"]["template"]["spec"] for d in (theirs, ours))
    expect_equal(*({k: v for k, v in pod.items() if k not in OWN_WORDS} for pod in (have, want)), says)
    places = [{json.dumps({k: v for k, v in volume.items() if k != "name"}, sort_keys=True) for volume in pod["volumes"]}
              for pod in (have, want)]
    expect_equal(*places, f"{says} volumes")
    expect_equal(*([c["name"] for c in pod["containers"]] for pod in (have, want)), f"{says} containers")
    for other, our in zip(have["containers"], want["containers"]):
        for part in SAME_CONTAINER:
            expect_equal(other.get(part), our.get(part), f"{says} {our['name']} {part}")
        expect(set(our["args"]) <= set(other["args"]), f"{says} {our['name']}: {other['args']}")
        expect_equal(*({m["mountPath"] for m in c["volumeMounts"]} for c in (other, our)), f"{says} {our['name']}")


# words for the chart, the folders that they are, and what of the CSIDriver the chart reads from the cluster
PRESETS_OF_THE_CHART = [
    (["--set=linux.enabled=true"], ["base"], ()),
    (["--set=syncSecret.enabled=true"], ["overlays/sync"], ()),
    (["--set=locket.provider.separate=true"], ["overlays/provider-separate"], ()),
    ([MIGRATION], ["overlays/migration"], ("seLinuxMount", "tokenRequests")),
    (["--set=locket.openshift=true"], ["overlays/openshift"], ()),
    (["--set=locket.openshift=true,locket.provider.separate=true"], SEPARATE_STACKS[1], ()),
    (["--set=locket.provider.keySecret=locket-keys,locket.provider.separate=true"], SEPARATE_STACKS[0], ()),
]


@test
def each_preset_of_the_chart_renders_what_that_of_the_manifests_is(world):
    for words, folders, of_the_cluster in PRESETS_OF_THE_CHART:
        preset = folders[-1]
        theirs = world.objects(*words, f"--set={NAMES}", "--kube-version=1.34.0")
        ours = {key(doc): doc for doc in stack(*folders)}
        expect_equal(theirs.keys(), ours.keys(), preset)
        for which, doc in ours.items():
            if which[0] == "DaemonSet":
                expect_same_daemonset(theirs[which], doc, f"{preset} {which[1]}")
                continue
            for part in ("rules", "subjects", "roleRef", "automountServiceAccountToken"):
                expect_equal(theirs[which].get(part), doc.get(part), f"{preset} {which} {part}")
            labels = doc["metadata"].get("labels", {}).items()
            expect(labels <= theirs[which]["metadata"]["labels"].items(), f"{preset} {which} labels")
            have, want = (
                {k: v for k, v in one.get("spec", {}).items() if k not in of_the_cluster} for one in (theirs[which], doc))
            expect_equal(have, want, f"{preset} {which} spec")


def has(name, *arguments):
    return lambda o: set(arguments) <= set(container(o, name)["args"])


def lacks(*which):
    return lambda o: which not in o


# a value as it is set, and what must then hold of the objects
VALUES = [
    ("linux.enabled=false", lambda o: not any(kind == "DaemonSet" for kind, _ in o)),
    ("linux.image.repository=reg.example/l,linux.image.tag=7", lambda o: {c["image"] for c in pod_of(o)["containers"]}
     == {"reg.example/l:7"}),
    ("linux.image.digest=sha256:00", lambda o: container(o, "driver")["image"].endswith("@sha256:00")),
    ("linux.image.pullPolicy=Always", lambda o: container(o, "agent")["imagePullPolicy"] == "Always"),
    ("linux.crds.enabled=false", lambda o: not any(kind == "CustomResourceDefinition" for kind, _ in o)),
    ("linux.affinity.x=y", lambda o: pod_of(o)["affinity"]["x"] == "y"),
    ("linux.driver.resources.limits.memory=1Gi", lambda o: container(o, "driver")["resources"]["limits"] == {"memory": "1Gi"}),
    ("linux.updateStrategy.type=OnDelete,linux.updateStrategy.rollingUpdate=null",
     lambda o: daemonset(o)["spec"]["updateStrategy"] == {"type": "OnDelete"}),
    ("linux.updateStrategy.rollingUpdate.maxUnavailable=3",
     lambda o: daemonset(o)["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 3),
    ("linux.kubeletRootDir=/data/kubelet", lambda o: "/data/kubelet/pods" in folders(o) & mounts(o, "driver")
     and not any("/var/lib/kubelet" in f for f in folders(o)) and has("driver", "--target-root=/data/kubelet")(o)),
    ("linux.providersDir=/run/p", lambda o: "/run/p" in folders(o) & mounts(o, "driver")
     and has("driver", "--provider-volume=/run/p")(o)),
    ("linux.additionalProvidersDirs={/a,/b}", lambda o: {"/a", "/b"} <= folders(o) & mounts(o, "driver")
     and has("driver", "--additional-provider-volume-paths=/a,/b")(o)),
    ("linux.nodeSelector.pool=x", lambda o: pod_of(o)["nodeSelector"]["pool"] == "x"),
    ("linux.tolerations[0].key=a", lambda o: pod_of(o)["tolerations"] == [{"key": "a"}]),
    ("linux.metricsAddr=:9999", lambda o: has("agent", "--metrics-addr=:9999")(o) and 9999 in {
        p["containerPort"] for p in container(o, "agent")["ports"]}),
    ("linux.env[0].name=A,linux.env[0].value=b", lambda o: {"name": "A", "value": "b"} in container(o, "provider")["env"]),
    ("linux.priorityClassName=mine", lambda o: pod_of(o)["priorityClassName"] == "mine"),
    ("linux.daemonsetAnnotations.a=b", lambda o: daemonset(o)["metadata"]["annotations"]["a"] == "b"),
    ("linux.podAnnotations.a=b", lambda o: daemonset(o)["spec"]["template"]["metadata"]["annotations"]["a"] == "b"),
    ("linux.podLabels.a=b", lambda o: daemonset(o)["spec"]["template"]["metadata"]["labels"]["a"] == "b"
     and "a" not in daemonset(o)["spec"]["selector"]["matchLabels"]),
    ("linux.volumes[0].name=x,linux.volumeMounts[0].name=x,linux.volumeMounts[0].mountPath=/x",
     lambda o: "/x" in mounts(o, "driver") and "x" in {v["name"] for v in pod_of(o)["volumes"]}),
    ("logVerbosity=3", lambda o: all(has(c["name"], "-v=3")(o) for c in pod_of(o)["containers"])),
    ("logFormatJSON=true", lambda o: all(has(c["name"], "--log-format-json")(o) for c in pod_of(o)["containers"])),
    ("livenessProbe.port=9000", has("agent", "--health-addr=:9000")),
    ("maxCallRecvMsgSize=8388608", has("driver", "--max-call-recv-msg-size=8388608")),
    ("rbac.install=false", lambda o: not any(kind in ("ClusterRole", "ServiceAccount") for kind, _ in o)),
    ("syncSecret.enabled=true", lambda o: ("ClusterRole", "secretprovidersyncing-role") in o
     and ("ValidatingAdmissionPolicy", "secrets-store.csi.k8s.io-synced-secrets") in o),
    ("syncSecret.enabled=false", lacks("ClusterRole", "secretprovidersyncing-role")),
    ("enableSecretRotation=true,rotationPollInterval=30s", has("driver", "--enable-secret-rotation",
                                                               "--rotation-poll-interval=30s")),
    ("enableSecretRotation=true", lambda o: o[("CSIDriver", "secrets-store.csi.k8s.io")]["spec"]["requiresRepublish"]),
    ("enableSecretRotation=false", lambda o: not has("driver", "--enable-secret-rotation")(o)),
    ("imagePullSecrets[0].name=s", lambda o: pod_of(o)["imagePullSecrets"] == [{"name": "s"}]),
    ("tokenRequests[0].audience=a", lambda o: o[("CSIDriver", "secrets-store.csi.k8s.io")]["spec"]["tokenRequests"]
     == [{"audience": "a"}]),
    ("commonLabels.team=x", lambda o: all(doc["metadata"]["labels"]["team"] == "x" for doc in o.values())),
    ("locket.driver.tmpfsBudgetMi=100", lambda o: container(o, "driver")["resources"]["limits"] == {"memory": "164Mi"}
     and has("driver", "--tmpfs-budget=104857600")(o)),
    ("locket.driver.tmpfsBudgetMi=0", lambda o: "limits" not in container(o, "driver")["resources"]),
    ("locket.provider.enabled=false", lambda o: [c["name"] for c in pod_of(o)["containers"]] == ["driver", "agent"]),
    ("locket.provider.separate=true,locket.provider.stores=aws,locket.provider.keySecret=k,linux.env[0].name=A",
     lambda o: {"--stores=aws", "--hmac-key-file=/etc/locket/keys/versions"} <= set(separate(o)["args"])
     and separate(o)["env"] == [{"name": "A"}] and "/etc/locket/keys" in str(separate(o)["volumeMounts"])),
    ("locket.provider.separate=true,locket.provider.resources.limits.memory=1Gi,linux.nodeSelector.pool=x,logVerbosity=3",
     lambda o: separate(o)["resources"]["limits"] == {"memory": "1Gi"} and "-v=3" in separate(o)["args"]
     and pod_of(o, name="locket-provider")["nodeSelector"]["pool"] == "x"),
    ("locket.provider.separate=true,locket.provider.mintTokens=true", lambda o: "--mint-tokens" in separate(o)["args"]
     and ("ClusterRole", "locket-provider-minting-role") in o),
    ("locket.provider.separate=true,locket.provider.enabled=false,locket.provider.mintTokens=true",
     lambda o: not any("locket-provider" in name for _, name in o)),
    ("locket.provider.separate=true,linux.enabled=false", lacks("DaemonSet", "locket-provider")),
    ("locket.provider.separate=true,rbac.install=false", lacks("ServiceAccount", "locket-provider")),
    ("locket.provider.mintTokens=false,locket.provider.separate=true", lacks("ClusterRole", "locket-provider-minting-role")),
    ("locket.provider.enabled=false", lambda o: not {8096, 8200} & {
        q["port"] for (kind, _), doc in o.items() if kind == "NetworkPolicy"
        for rule in [*doc["spec"].get("ingress", []), *doc["spec"].get("egress", [])] for q in rule["ports"]}
     and "/run/locket/providers" not in folders(o)),
    ("locket.provider.stores=aws", lambda o: [a for a in container(o, "provider")["args"] if a.startswith("--stores")]
     == ["--stores=aws"]),
    ("locket.provider.keySecret=k", has("provider", "--hmac-key-file=/etc/locket/keys/versions")),
    ("locket.driver.args={--attribute-override=warn}", has("driver", "--attribute-override=warn")),
    ("locket.startupTaint=true", lambda o: ("ClusterRole", "secretproviderclasses-startup-taint-role") in o
     and ("ValidatingAdmissionPolicy", "secrets-store.csi.k8s.io-startup-taint") in o
     and has("agent", "--remove-startup-taint")(o)),
    ("locket.startupTaint=false", lacks("ClusterRole", "secretproviderclasses-startup-taint-role")),
    ("locket.agent.audit.enabled=true,locket.agent.audit.keySecret=k,locket.agent.audit.failClosed=true",
     lambda o: has("agent", "--audit-log=-", "--audit-key=/etc/locket/audit/key")(o)
     and has("driver", "--audit-fail-closed")(o) and "/etc/locket/audit" in mounts(o, "agent") - mounts(o, "driver")),
    ("locket.agent.audit.enabled=false", lambda o: "audit" not in str(pod_of(o)["containers"])),
    ("locket.agent.args={-v=2},locket.agent.resources.limits.memory=1Gi", lambda o: has("agent", "-v=2")(o)
     and container(o, "agent")["resources"]["limits"] == {"memory": "1Gi"}),
    ("locket.provider.args={-v=2},locket.provider.resources.limits.memory=1Gi", lambda o: has("provider", "-v=2")(o)
     and container(o, "provider")["resources"]["limits"] == {"memory": "1Gi"}),
    ("locket.startupTaint=true", lambda o: has("agent", "--remove-startup-taint")(o)
     and ("ValidatingAdmissionPolicy", "secrets-store.csi.k8s.io-startup-taint") in o
     and ("ClusterRole", "secretproviderclasses-startup-taint-role") in o),
    ("locket.startupTaint=false", lambda o: "startup-taint" not in str(o)),
    ("locket.csiDriver.seLinuxMount=false", lambda o: o[("CSIDriver", "secrets-store.csi.k8s.io")]["spec"]
     ["seLinuxMount"] is False),
    ("locket.openshift=true", lambda o: ("RoleBinding", "secrets-store-csi-driver-privileged") in o),
    ("locket.openshift=false", lambda o: "openshift" not in str(o) and "spc_t" not in str(o)),
    ("nameOverride=own", lambda o: ("DaemonSet", "csi-own") in o),
    ("fullnameOverride=own", lambda o: ("DaemonSet", "own") in o),
    ("locket.oldDriver=true", lambda o: ("ClusterRole", "locket-old-driver-role") in o),
    ("locket.oldDriver=false", lacks("ClusterRole", "locket-old-driver-role")),
    ("locket.oldDriver=true,syncSecret.enabled=false", lacks("ClusterRole", "locket-old-driver-syncing-role")),
    ("locket.oldDriver=true,syncSecret.enabled=true",
     lambda o: ("ClusterRole", "locket-old-driver-syncing-role") in o),
    ("windows.enabled=true,windows.spec.b=c", lambda o: ("ClusterRole", "locket-old-driver-role") in o
     and o[("ServiceAccount", "secrets-store-csi-driver")]["automountServiceAccountToken"]),
    ("windows.enabled=true,windows.spec.a=b",
     lambda o: o[("DaemonSet", "csi-secrets-store-csi-driver-windows")]["spec"] == {"a": "b"}),
    ("global.any=a", lambda o: daemonset(o)),
    ("locket.networkPolicies=false", lambda o: not any(kind == "NetworkPolicy" for kind, _ in o)),
    ("locket.admissionPolicies=false", lambda o: not any(kind.startswith("Validating") for kind, _ in o)),
]


@test
def values_of_the_chart_before_and_ours_do_what_they_say(world):
    for words, holds in VALUES:
        expect(holds(world.objects(f"--set={words}")), words)


@test
def a_list_or_map_that_is_set_to_nothing_is_an_empty_one(world):
    empty = [f"linux.{name}" for name in (
        "affinity", "driver.resources", "updateStrategy", "additionalProvidersDirs", "nodeSelector", "tolerations", "env",
        "daemonsetAnnotations", "podAnnotations", "podLabels", "volumes", "volumeMounts")]
    for name in (*empty, "imagePullSecrets", "tokenRequests", "commonLabels"):
        pod = pod_of(world.objects(f"--set={name}=null"))
        expect_equal([c["name"] for c in pod["containers"]], ["driver", "agent", "provider"], name)
        expect_equal(pod["nodeSelector"], {"kubernetes.io/os": "linux"}, name)


@test
def no_value_with_an_effect_is_left_out_of_that_table(_world):
    said = [path.partition("=")[0] for words, _ in VALUES for path in words.split(",")]
    rows = [path for path, reason in documents(CHART / "files/values.yaml")[0].items() if not reason]
    expect_equal([row for row in rows if not any(path.startswith(row) for path in said)], [], "values that no test sets")


@test
def tokens_come_in_secrets_where_the_cluster_can_and_there_are_some(world):
    for version, words, wanted in (("1.34.0", "logVerbosity=0", None), ("1.35.0", "logVerbosity=0", True),
                                   ("1.35.0", "tokenRequests=null", None)):
        spec = world.objects(f"--kube-version={version}", f"--set={words}")[
            ("CSIDriver", "secrets-store.csi.k8s.io")]["spec"]
        expect_equal(spec.get("serviceAccountTokenInSecrets"), wanted, f"{version} {words}")


@test
def names_are_those_that_the_chart_before_makes(world):
    for release, words, name in (("csi", "", "csi-secrets-store-csi-driver"),
                                 ("my-secrets-store-csi-driver", "", "my-secrets-store-csi-driver"),
                                 ("csi", "fullnameOverride=x", "x"), ("csi", "nameOverride=y", "csi-y")):
        objects = world.objects(f"--set={words}", release=release)
        label = "y" if "nameOverride=y" == words else "secrets-store-csi-driver"
        expect_equal(daemonset(objects, name)["spec"]["selector"], {"matchLabels": {"app": label}}, name)


@test
def privilege_is_as_in_the_manifests_whatever_is_set(world):
    for words in ("automountServiceAccountToken=true", "linux.enabled=true", "locket.provider.keySecret=k"):
        objects = world.objects(f"--set={words}")
        expect_equal(pod_of(objects)["automountServiceAccountToken"], False, words)
        for one in pod_of(objects)["containers"]:
            expect_equal("privileged" in one["securityContext"], one["name"] == "driver", f"{words}: {one['name']}")
            expect_equal("api-token" in str(one["volumeMounts"]), one["name"] == "agent", f"{words}: {one['name']}")
    for mints in (False, True):
        words = ("true", "false")[not mints]
        objects = world.objects(f"--set=locket.provider.separate=true,locket.provider.mintTokens={words}")
        pod = pod_of(objects, name="locket-provider")
        expect_equal(pod["automountServiceAccountToken"], False, "the provider's token")
        expect_equal("serviceAccountToken" in str(pod["volumes"]), mints, "a token only where it mints")
        labels = daemonset(objects, "locket-provider")["spec"]["template"]["metadata"]["labels"]
        theirs = daemonset(objects)["spec"]["selector"]["matchLabels"]
        expect(not theirs.items() <= labels.items(), "a pod of the provider is none of the driver's DaemonSet")


@test
def the_image_of_the_driver_before_and_a_windows_that_is_not_there_are_refused(world):
    said = world.refusal("--set=linux.image.repository=mirror.example/csi-secrets-store/driver")
    expect("name Locket's" in said, said)
    expect("give windows.spec" in world.refusal("--set=windows.enabled=true"), "Windows without a cluster")
    said = world.refusal("--set=locket.agent.audit.failClosed=true")
    expect("enable the audit" in said, said)
    said = world.refusal("--set=locket.provider.mintTokens=true")
    expect("set locket.provider.separate" in said, said)
    spec = "windows.enabled=true,windows.spec.selector.matchLabels.app=x"
    kept = world.objects(f"--set={spec}")[("DaemonSet", "csi-secrets-store-csi-driver-windows")]["spec"]
    expect_equal(kept, {"selector": {"matchLabels": {"app": "x"}}}, "the spec as given")


if __name__ == "__main__":
    run_tests(World)
