# SPDX-License-Identifier: Apache-2.0
"""The machine with the DaemonSet of deploy/daemonset on it, and pods with volumes of its driver."""
import contextlib
import functools
import json
import os
import pathlib
import time

import grpc

from machine import Machine, volumes
from images import PAUSE
import harness
from node import load_csi
from harness import BUILD, ROOT, expect, run, wait_until, write_json
from objects import GROUP, provider_class
from rig import Refused

VERSION = (ROOT / "VERSION").read_text(encoding="ascii").strip()
RELEASE, FAULTS = "localhost/locket", "localhost/locket-faults"
SHARED = "/run/rig"  # on the node: the document of the file store, the plan of faults
DAEMONSET = "/apis/apps/v1/namespaces/kube-system/daemonsets/csi-secrets-store"
CSI_NODE = "/apis/storage.k8s.io/v1/csinodes/n1"
LABEL = "app=csi-secrets-store"
CSI = "unix:/var/lib/kubelet/plugins/csi-secrets-store/csi.sock"
TOKEN = "/run/secrets/kubernetes.io/serviceaccount/token"  # /var/run is a link there
DRIVER = "secrets-store.csi.k8s.io"
DRIVER_ARGS = [
    "--endpoint=unix:///csi/csi.sock",
    "--kubelet-endpoint=/var/lib/kubelet/plugins/csi-secrets-store/csi.sock",
    "--registration-folder=/registration", "--nodeid=$(NODE_NAME)",
    "--agent-socket=/run/locket/agent/agent.sock", "--enable-secret-rotation",
    "--rotation-poll-interval=2s", "--v=2"]


def test(function):
    """A test that ends with its pods, and with nothing of theirs left."""
    @functools.wraps(function)
    def whole(world):
        try:
            function(world)
        except Exception:
            world.sweep()
            raise
        finally:
            world.machine.keep_logs()
        world.sweep()
        world.expect_clean()

    return harness.test(whole)


class World:
    """What the tests share."""

    def __init__(self, programs):
        self.programs = programs
        self.machine = Machine(programs)
        self.cluster = self.machine.cluster
        self.values = {"user": "joe", "password": "old"}
        self.shared = pathlib.Path(SHARED)
        self.shared.mkdir(mode=0o755)
        self.write(self.values)
        for folder in ("image", "faults/image"):
            self.machine.import_image(BUILD / folder / f"locket-{VERSION}.oci.tar")
        self.how = {}  # what is special about the driver
        self.install()
        self.namespace("shop")
        self.make_class("app", ["user", "password"])

    def write(self, values):
        write_json(self.shared / "secrets.json", values)

    # --- the driver ------------------------------------------------------------------------------

    def install(self):
        """`kubectl apply -k` of the manifests, with the file store and short intervals."""
        folder = self.programs.folder / "kustomize"
        folder.mkdir()
        shared = {"name": "rig", "mountPath": SHARED, "readOnly": True}
        provider = {"name": "provider", "volumeMounts": [shared], "args": [
            "--provider-dir=/run/locket/providers", "--stores=file,vault", "--health-addr=:8096",
            f"--file-root={SHARED}/secrets.json", f"--readable={SHARED}"]}
        agent = {"name": "agent", "args": [
            "--agent-socket=/run/locket/agent/agent.sock", "--node-name=$(NODE_NAME)",
            "--metrics-addr=:8095", "--health-addr=:9808", "--v=2"]}
        patch = {"apiVersion": "apps/v1", "kind": "DaemonSet",
                 "metadata": {"name": "csi-secrets-store", "namespace": "kube-system"},
                 "spec": {"template": {"spec": {
                     "containers": [self.driver_container(), provider, agent],
                     "volumes": [{"name": "rig", "hostPath": {"path": SHARED}}]}}}}
        (folder / "kustomization.yaml").write_text(json.dumps({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "resources": [os.path.relpath(ROOT / "deploy/daemonset/base", folder)],
            "patches": [{"patch": json.dumps(patch)}]}))
        self.cluster.kubectl("apply", "--server-side", "-k", folder)
        self.wait_for_driver(60)

    @staticmethod
    def driver_container(image=RELEASE, flags=(), memory=None):
        return {"name": "driver", "image": f"{image}:{VERSION}", "args": [*DRIVER_ARGS, *flags],
                "volumeMounts": [{"name": "rig", "mountPath": SHARED}],
                "env": [{"name": "LOCKET_FAULTS_FILE", "value": f"{SHARED}/plan"},
                        {"name": "LOCKET_FAULTS_LOG", "value": f"{SHARED}/struck"}],
                "resources": {"limits": {"memory": memory}}}

    def change_driver(self, **how):
        """A rollout of another driver, and the wait for its end; nothing when it is there."""
        if how == self.how:
            return
        self.how = how
        body = {"spec": {"template": {"spec": {"containers": [self.driver_container(**how)]}}}}
        before = uid_of(self.driver_pod())
        self.cluster.call("PATCH", DAEMONSET, body, "application/strategic-merge-patch+json")
        wait_until(lambda: uid_of(self.driver_pod()) not in (None, before), 60, "the new pod")
        self.wait_for_driver(60)

    def driver_pod(self):
        path = f"/api/v1/namespaces/kube-system/pods?labelSelector={LABEL.replace('=', '%3D')}"
        listed = self.cluster.call("GET", path)["items"]
        living = [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]
        return living[0] if living else None

    def wait_for_driver(self, seconds):
        wait_until(lambda: is_ready(self.driver_pod()), seconds, "the driver's pod Ready")
        wait_until(self.is_registered, seconds, "the driver in CSINode")
        self.machine.keep_logs()

    def is_registered(self):
        drivers = self.cluster.call("GET", CSI_NODE)["spec"].get("drivers") or []
        return DRIVER in [driver["name"] for driver in drivers]

    def wait_registered(self, since):
        """Waits for a registration later than that, in seconds."""
        wait_until(lambda: self.machine.moments_of("driver", "registered with kubelet", since), 60,
                   "the driver's next registration")
        self.wait_for_driver(30)

    @staticmethod
    def identify(method):
        """What other people's helpers ask a driver, and kubelet does not."""
        messages = load_csi()
        with grpc.insecure_channel(CSI) as channel:
            channel.unary_unary(
                f"/csi.v1.Identity/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=getattr(messages, f"{method}Response").FromString,
            )(getattr(messages, f"{method}Request")(), timeout=20)

    @staticmethod
    def driver_pid():
        """From the one list that is never late."""
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if (folder / "comm").read_text().strip() == "locket-driver":
                    return int(folder.name)
        return None

    def locketctl(self, *words):
        """What it said in the driver's container, of whatever end."""
        name = self.driver_pod()["metadata"]["name"]
        done = run([self.cluster.program("kubectl"), f"--kubeconfig={self.cluster.kubeconfig}", "exec",
                    "-n", "kube-system", name, "-c", "driver", "--", "locketctl", *words], check=False)
        return done.stdout + done.stderr

    def provider_worker(self):
        """The process of the file store, whose parent is the container's first."""
        parent = self.machine.pid_of(self.driver_pod(), "provider")
        children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        is_its = lambda pid: "--worker=file" in pathlib.Path(f"/proc/{pid}/cmdline").read_text()  # noqa: E731
        return next(int(pid) for pid in children if is_its(pid))

    def peek(self, container, texts):
        """What the user of a container of the driver's pod can read there: see peek.py."""
        pid = self.machine.pid_of(self.driver_pod(), container)
        said = run([pathlib.Path(__file__).with_name("peek.py"), str(pid), "65532"], input=json.dumps(texts))
        return json.loads(said.stdout)

    def token_of_agent(self):
        root = pathlib.Path(f"/proc/{self.machine.pid_of(self.driver_pod(), 'agent')}/root")
        return (root / TOKEN.lstrip("/")).read_text().strip()

    def memory_of_driver(self):
        lines = pathlib.Path(f"/proc/{self.driver_pid()}/status").read_text().splitlines()
        return next(" ".join(line.split()) for line in lines if line.startswith("VmRSS"))

    @staticmethod
    def volume_bytes():
        """What a young volume takes of the budget: the size of its tmpfs."""
        spot = os.statvfs(volumes()[0].split()[4])
        return spot.f_blocks * spot.f_frsize

    def was_oom_killed(self):
        for status in self.driver_pod()["status"].get("containerStatuses", []):
            ends = [status[key].get("terminated", {}) for key in ("state", "lastState")]
            if status["name"] == "driver" and any(end.get("reason") == "OOMKilled" for end in ends):
                return True
        return False

    @contextlib.contextmanager
    def killed_at(self, point):
        """What is begun inside kills the driver (of the faults build) at this point, once."""
        struck, plan = self.shared / "struck", self.shared / "plan"
        struck.write_text("")
        plan.write_text(f"{point}=kill")
        yield
        try:
            wait_until(lambda: point in struck.read_text(), 40, f"the end of the driver at {point}")
        finally:
            plan.unlink()

    # --- pods ------------------------------------------------------------------------------------

    def namespace(self, name):
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(lambda: self.find(path), 20, "the namespace's account")

    def make_class(self, name, keys):
        self.cluster.apply(provider_class(name, "shop", keys))

    def find(self, path):
        try:
            return self.cluster.call("GET", path)
        except Refused as why:
            if why.status != 404:
                raise
            return None

    def create(self, name, class_name="app", image=PAUSE, command=None, account="default"):
        """A pod with one inline volume at /secrets; without a class, without a volume."""
        container = {"name": "c", "image": image, "volumeMounts": []}
        if command:
            container["command"] = command
        spec = {"containers": [container], "terminationGracePeriodSeconds": 1, "serviceAccountName": account,
                "automountServiceAccountToken": False}
        if class_name:
            container["volumeMounts"] = [{"name": "v", "mountPath": "/secrets", "readOnly": True}]
            spec["volumes"] = [{"name": "v", "csi": {
                "driver": DRIVER, "readOnly": True,
                "volumeAttributes": {"secretProviderClass": class_name}}}]
        self.cluster.call("POST", "/api/v1/namespaces/shop/pods", {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    def pod(self, name):
        return self.find(f"/api/v1/namespaces/shop/pods/{name}")

    def wait_ready(self, name, seconds=30):
        wait_until(lambda: is_ready(self.pod(name)), seconds, f"{name} Ready")
        return self.pod(name)

    def start(self, name, class_name="app", **more):
        self.create(name, class_name, **more)
        return self.wait_ready(name)

    def delete(self, *names):
        for name in names:
            self.cluster.call("DELETE", f"/api/v1/namespaces/shop/pods/{name}")

    def wait_gone(self, *names, seconds=40):
        for name in names:
            wait_until(lambda name=name: not self.pod(name), seconds, f"the end of {name}")

    def end(self, *names):
        self.delete(*names)
        self.wait_gone(*names)

    def sweep(self):
        """Ends every pod."""
        self.cluster.kubectl("delete", "pods", "-n", "shop", "--all", "--wait=false")
        wait_until(lambda: not self.pods(), 120, "the end of all pods")

    def pods(self):
        return self.cluster.call("GET", "/api/v1/namespaces/shop/pods")["items"]

    def restarts(self, name):
        return self.pod(name)["status"]["containerStatuses"][0]["restartCount"]

    def status(self, name, class_name="app"):
        folder = f"/apis/{GROUP}/v1/namespaces/shop/secretproviderclasspodstatuses"
        return self.find(f"{folder}/{name}-shop-{class_name}")

    def execute(self, name, *words, check=True):
        """What a command in the pod's container printed."""
        return self.cluster.kubectl("exec", "-n", "shop", name, "--", *words, check=check)

    def rotate(self, key, value, pod):
        """A new value, and the wait until the pod's running container sees it."""
        self.values[key] = value
        self.write(self.values)
        name = pod["metadata"]["name"]
        wait_until(lambda: self.read(pod, key) == value, 30, f"a rotation in {name}")

    def read(self, pod, key):
        """A file, as the running container sees it."""
        return self.machine.inside(pod, f"/secrets/{key}").read_text()

    def wait_for_event(self, name, words):
        """kubelet's FailedMount of this pod, with these words."""
        def is_there():
            events = self.cluster.call("GET", "/api/v1/namespaces/shop/events")["items"]
            mine = (event["message"] for event in events
                    if event["involvedObject"]["name"] == name and event["reason"] == "FailedMount")
            return any(words in text for text in mine)
        wait_until(is_there, 20, f"an event of {name} that says {words}")

    def seconds_to_ready(self, name, class_name):
        began = time.monotonic()
        self.start(name, class_name)
        return time.monotonic() - began

    # --- what the driver left --------------------------------------------------------------------

    def expect_clean(self, seconds=20):
        """No mount, no record, no folder of a volume is left."""
        wait_until(lambda: not volumes(), seconds, "the end of every volume's mount")
        for root, names in (("/run/locket", "csi-*"),
                            ("/var/lib/kubelet/pods", "*/volumes/kubernetes.io~csi/*")):
            wait_until(lambda root=root, names=names: not list(pathlib.Path(root).glob(names)),
                       seconds, f"the end of every {root}/{names}")


def uid_of(pod):
    return pod and pod["metadata"]["uid"]


def is_ready(pod):
    conditions = (pod or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
