# SPDX-License-Identifier: Apache-2.0
"""A control plane, and one node of it without kubelet: driver, provider and agent, with the tests in
kubelet's place."""
import pathlib
import re
import sys
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from harness import BUILD, ROOT, accepts, expect, expect_equal, free_ports, wait_until, write_json
from node import Node, Pod
from objects import GROUP, pod, provider_class
from provider import start_provider
from rig import Cluster, Refused

ACCOUNT = "secrets-store-csi-driver"
METRICS = (ROOT / "docs/METRICS.md").read_text(encoding="utf-8")  # held to the programs by test_metrics
STATUSES = "secretproviderclasspodstatuses"


def expect_metric(name):
    """A series that is not there is 0 to most tests: one that cannot be there is none."""
    base = re.sub(r"(_count|_sum|_bucket)?(\{.*)?$", "", name)
    expect(f"| `{base}` |" in METRICS, f"no metric is called {base}")


class World:
    """What the scripts of this folder share."""

    preset = "base"  # of deploy/daemonset
    flags = ()  # of the driver
    agent_flags = ()

    def __init__(self, programs):
        self.programs = programs
        self.cluster = Cluster(programs)
        self.node = Node(programs, self.flags)
        self.document = programs.folder / "secrets.json"
        self.agent_socket = programs.folder / "agent" / "agent.sock"
        self.node.source = f"--agent-socket={self.agent_socket}"
        self.health, self.metrics = free_ports(2)
        self.api_port = self.cluster.port  # where the agent is told that the API server is
        self.token_folder = programs.folder / "token"
        self.values = {"user": "joe", "password": "old"}
        self.write(self.values)
        self.prepare_cluster()
        self.start_provider()
        self.start_agent()
        self.node.start()

    # --- the cluster -----------------------------------------------------------------------------

    def prepare_cluster(self):
        """What an administrator does: one apply. And what kubelet's node brings: itself, our pod."""
        c = self.cluster
        c.kubectl("apply", "--server-side", "-k", ROOT / "deploy/daemonset" / self.preset)
        c.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        c.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        self.make_agent_pod()
        self.make_namespace("shop")
        c.apply(provider_class("app", "shop", ["user", "password"]))

    def make_agent_pod(self):
        """The pod that the agent's token is bound to."""
        self.cluster.apply(pod(ACCOUNT, "kube-system", account=ACCOUNT))

    def make_namespace(self, name):
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(lambda: self.find(path), 10, "the namespace's account")

    def make_class(self, name, namespace, keys, **more):
        self.cluster.apply(provider_class(name, namespace, keys, **more))

    def make_csi_driver(self, **spec):
        self.cluster.apply({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
            "metadata": {"name": "secrets-store.csi.k8s.io"},
            "spec": {"podInfoOnMount": True, "attachRequired": False, "requiresRepublish": True,
                     "volumeLifecycleModes": ["Ephemeral"], **spec},
        })

    def find(self, path):
        """An object, or None."""
        try:
            return self.cluster.call("GET", path)
        except Refused as why:
            if why.status != 404:
                raise
            return None

    def status_path(self, pod_name, namespace="shop", class_name="app", version="v1"):
        name = f"{pod_name}-{namespace}-{class_name}"
        return f"/apis/{GROUP}/{version}/namespaces/{namespace}/{STATUSES}/{name}"

    def status(self, pod_name, namespace="shop", class_name="app", version="v1"):
        return self.find(self.status_path(pod_name, namespace, class_name, version))

    def wait_for_status(self, pod_name, condition=bool, **where):
        return wait_until(
            lambda: condition(self.status(pod_name, **where) or {}) and
            self.status(pod_name, **where), 10, f"the status of {pod_name}")

    def make_pod(self, name, namespace="shop"):
        """A pod of the API server's, and kubelet's part of it on this node."""
        self.cluster.apply(pod(name, namespace))
        return self.make_pod_of(name, namespace)

    def make_pod_of(self, name, namespace="shop"):
        """kubelet's part of a pod that the API server knows."""
        mine = Pod(self.node, name, namespace)
        mine.uid = self.find(f"/api/v1/namespaces/{namespace}/pods/{name}")["metadata"]["uid"]
        mine.target = self.node.target_root / f"pods/{mine.uid}/volumes/kubernetes.io~csi/v/mount"
        return mine

    def delete_pod(self, name, namespace="shop"):
        self.cluster.kubectl("delete", "pod", name, "-n", namespace, "--grace-period=0", "--force")

    def expect_rights(self, role, unseen):
        """By the API server's own audit every call of an agent was allowed, and every right of this role used
        but these."""
        used, refused = set(), []
        for call in self.cluster.audit():
            if not call["userAgent"].startswith("locket-agent/"):
                continue
            what = call.get("objectRef", {})
            if call["responseStatus"]["code"] == 403 and not self.cluster.was_young(call):
                refused.append((call["verb"], call["requestURI"]))
            elif "resource" in what:
                used.add((what["resource"], call["verb"]))
        expect_equal(refused, [], "calls that no role allowed")
        rules = self.find(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}")["rules"]
        given = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
        expect_equal(given - used, unseen, f"rights of {role} that nothing used")

    # --- the node --------------------------------------------------------------------------------

    def write(self, values):
        write_json(self.document, values)

    def write_token(self, token=None):
        """The agent's token (or what is given) and the cluster's CA, as a projected volume has them."""
        self.token_folder.mkdir(exist_ok=True)
        token = token or self.cluster.token_of("kube-system", ACCOUNT, of_pod=ACCOUNT)
        (self.token_folder / "token.new").write_text(token)
        (self.token_folder / "token.new").rename(self.token_folder / "token")
        (self.token_folder / "ca.crt").write_bytes(self.cluster.ca_file.read_bytes())

    def start_provider(self, *flags, **more):
        start_provider(self.programs, self.node.providers, ["file"],
                       [f"--file-root={self.document}", *flags], **more)

    def agent_command(self):
        """Its words, and its environment."""
        return (
            [BUILD / "bin/locket-agent", f"--agent-socket={self.agent_socket}", "--node-name=n1",
             f"--token-folder={self.token_folder}", f"--health-addr=127.0.0.1:{self.health}",
             f"--metrics-addr=127.0.0.1:{self.metrics}", "--v=2", *self.agent_flags],
            {"KUBERNETES_SERVICE_HOST": "127.0.0.1",
             "KUBERNETES_SERVICE_PORT": str(self.api_port)},
        )

    def start_agent(self, token=None):
        self.write_token(token)
        words, environment = self.agent_command()
        self.programs.start("agent", words, lambda: accepts(self.agent_socket), environment)

    def page(self, path, port=None):
        """A page of the agent's: HTTP status and text."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port or self.health}{path}", timeout=5
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        """The value of a series of the agent's; 0 when there is none."""
        expect_metric(name)
        lines = self.page("/metrics", self.metrics)[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name + " "))

    def requests(self, method, code):
        return self.metric(
            f'locket_agent_api_requests_total{{method="{method}",code="{code}"}}')

    def publish(self, name, class_name="app", namespace="shop"):
        return self.make_pod(name, namespace).must_publish(class_name)
