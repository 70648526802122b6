# SPDX-License-Identifier: Apache-2.0
"""A machine of a cluster: containerd, kubelet, the control plane, in the namespaces of rig.sh."""
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import signal
import sys

import grpc

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "e2e/lib"), str(TESTS / "cluster")]
# pylint: disable=wrong-import-position,import-error
from harness import IN_NAMESPACE, accepts, expect, run, run_tests, wait_until
from images import PAUSE, make_images
from rig import Cluster, accepts_tcp

NAME = "n1"
ADDRESS = "10.88.0.1"
KUBELET_TOKEN = "kubelet-of-n1"
CONTAINERD = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_apparmor = true
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{folder}/net.d"
"""
NETWORK = {
    "cniVersion": "0.4.0", "name": "pods", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False,
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/16", "routes": [{"dst": "0.0.0.0/0"}],
                 "dataDir": "/run/cni"}}],
}


def run_on_a_node(make_world):
    """As run_tests, in a rig of the script's own."""
    if not os.environ.get(IN_NAMESPACE):
        rig = pathlib.Path(__file__).with_name("rig.sh")
        os.execv(rig, [rig, *sys.argv])
    run_tests(make_world)


def volumes():
    """Mounts of the driver on the node."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if " locket:" in line]


class ControlPlane(Cluster):
    """With what a node needs: DaemonSets, a scheduler, health of nodes, a user for kubelet."""

    address = "0.0.0.0"  # of a network of its own; pods come by the service's address
    fixed_port = 443
    controllers = [*Cluster.controllers, "daemonset-controller", "node-lifecycle-controller",
                   "root-ca-certificate-publisher-controller"]
    server_flags = ["--kubelet-preferred-address-types=InternalIP"]
    users = (f'{KUBELET_TOKEN},system:node:{NAME},{NAME},"system:nodes"',)

    def start_scheduler(self):
        config = self.folder / "scheduler.json"
        config.write_text(json.dumps({
            "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self.kubeconfig)},
            "leaderElection": {"leaderElect": False}}))
        self.programs.start(
            "scheduler",
            [self.program("kube-scheduler"), f"--config={config}", "--bind-address=127.0.0.1",
             "--secure-port=10259", f"--cert-dir={self.folder}/scheduler"],
            lambda: accepts_tcp(10259))


class Machine:
    """The node n1."""

    def __init__(self, programs):
        self.programs = programs
        self.folder = programs.folder
        self.socket = self.folder / "containerd.sock"
        self.state = self.folder / "containerd/state/io.containerd.runtime.v2.task/k8s.io"
        self.logs = self.folder / "pods"
        self.cluster = ControlPlane(programs)
        self.cluster.start_scheduler()
        self.start_containerd()
        for image in make_images(self.folder):
            self.import_image(image)
        self.start_kubelet()
        wait_until(self.is_ready, 60, "the node's Ready")

    def start_containerd(self):
        folder = self.folder / "containerd"
        (folder / "net.d").mkdir(parents=True, exist_ok=True)
        (folder / "net.d/pods.conflist").write_text(json.dumps(NETWORK))
        config = folder / "config.toml"
        config.write_text(CONTAINERD.format(folder=folder, socket=self.socket, pause=PAUSE))
        self.programs.start(
            "containerd", ["containerd", f"--config={config}"],
            lambda: accepts(self.socket) and self.serves_kubelet())

    def serves_kubelet(self):
        """Kubelet ends at its start when it meets a containerd that is not quite ready."""
        with grpc.insecure_channel(f"unix:{self.socket}") as channel:
            try:
                return channel.unary_unary("/runtime.v1.RuntimeService/Version")(b"", timeout=5)
            except grpc.RpcError:
                return None

    def ctr(self, *words, check=True):
        return run(["ctr", f"--address={self.socket}", "--namespace=k8s.io", *words], check=check)

    def import_image(self, archive):
        self.ctr("images", "import", archive)

    def kubelet_config(self):
        path = self.folder / "kubelet.json"
        path.write_text(json.dumps({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs", "failCgroupV1": False, "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{self.socket}", "resolvConf": "",
            "makeIPTablesUtilChains": False, "maxPods": 250, "syncFrequency": "10s",
            "volumeStatsAggPeriod": "5s",
            "imageGCHighThresholdPercent": 100, "evictionHard": {"memory.available": "10Mi"},
            "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
            "podLogsDir": str(self.logs), "volumePluginDir": str(self.folder / "flex"),
        }))
        return path

    def start_kubelet(self):
        kubeconfig = self.cluster.write_kubeconfig("kubelet", KUBELET_TOKEN)
        self.programs.start(
            "kubelet",
            [self.cluster.program("kubelet"), f"--config={self.kubelet_config()}",
             f"--kubeconfig={kubeconfig}", f"--hostname-override={NAME}", f"--node-ip={ADDRESS}",
             f"--cert-dir={self.folder}/kubelet-certs", "--v=2"],
            lambda: accepts_tcp(10250))

    def halt(self):
        """Leaves what a reboot leaves: folders, with stale sockets; no process, no tmpfs."""
        self.programs.stop("kubelet")
        for path in self.state.glob("*/init.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.read_text()), signal.SIGKILL)
        wait_until(lambda: not self.ctr("tasks", "ls").stdout.count("RUNNING"), 20, "every end")
        self.programs.stop("containerd")
        for line in volumes():
            run(["umount", line.split()[4]])
        shutil.rmtree("/run/locket")

    def boot(self):
        self.start_containerd()
        self.start_kubelet()

    def is_ready(self):
        listed = self.cluster.call("GET", "/api/v1/nodes")["items"]
        return any(c["type"] == "Ready" and c["status"] == "True"
                   for node in listed for c in node["status"]["conditions"])

    def version(self):
        return self.cluster.call("GET", f"/api/v1/nodes/{NAME}")["status"]["nodeInfo"]

    # --- what runs here --------------------------------------------------------------------------

    def pid_of(self, pod, container=None):
        """The first process of a container of this pod object; None when it does not run."""
        for status in pod["status"].get("containerStatuses", []):
            if container in (None, status["name"]) and "running" in status["state"]:
                name = status["containerID"].rpartition("/")[2]
                try:
                    return int((self.state / name / "init.pid").read_text())
                except FileNotFoundError:
                    return None
        return None

    def inside(self, pod, path):
        """A path as the pod's container has it."""
        pid = self.pid_of(pod)
        expect(pid, f"{pod['metadata']['name']} runs")
        return pathlib.Path(f"/proc/{pid}/root") / path.lstrip("/")

    def log_of(self, container):
        """What every container of this name said, old ones first."""
        texts = []
        for path in self.logs.glob(f"*/{container}/*.log"):
            with contextlib.suppress(FileNotFoundError):  # kubelet removes the oldest
                texts.append((path.stat().st_mtime, path.read_text(errors="replace")))
        return "".join(text for _, text in sorted(texts))

    def container_logs(self):
        """The files that kubelet has now, as NAMESPACE_POD_UID/CONTAINER/NUMBER.log."""
        return [pathlib.Path(folder) / name for folder, _, names in os.walk(self.logs) for name in names]

    def keep_logs(self):
        """Kubelet removes a container's log, and those of its lives before the last: what it has now, stays."""
        for path in self.container_logs():
            kept = self.folder / "kept" / path.parent.name
            kept.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.link(path, kept / f"{path.stat().st_ino}.log")

    def all_logs(self):
        """What everybody said, by the file; one may go while it is looked for."""
        files, texts = [*self.folder.glob("*.log"), *self.folder.glob("kept/*/*.log"), *self.container_logs()], {}
        for path in files:
            with contextlib.suppress(FileNotFoundError):
                texts[str(path)] = path.read_text(errors="replace")
        return texts

    def moments_of(self, container, words, since=0.0):
        """When a container of this name said so, in seconds, old ones first."""
        stamps = (line[:26] for line in self.log_of(container).splitlines() if words in line)
        moments = (datetime.datetime.fromisoformat(s + "+00:00").timestamp() for s in stamps)
        return [moment for moment in moments if moment > since]

    def moments_of_kubelet(self, words, since):
        """When kubelet said so; its log has no year."""
        lines = self.programs.log("kubelet").read_text(errors="replace").splitlines()
        stamps = (line[1:21] for line in lines if words in line)
        year = datetime.datetime.now().year
        moments = (datetime.datetime.strptime(f"{year}{stamp}", "%Y%m%d %H:%M:%S.%f").timestamp()
                   for stamp in stamps)
        return [moment for moment in moments if moment > since]
