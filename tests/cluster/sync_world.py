# SPDX-License-Identifier: Apache-2.0
"""Two nodes that sync Secrets, and what sync.py asks of the API server about them."""
import base64
import json
import time

from harness import BUILD, accepts, expect, free_ports, memory, run, wait_until
from node import Node
from objects import pod as pod_object
from objects import provider_class
from rig import Refused
from world import ACCOUNT, World

MANAGED = {"secrets-store.csi.k8s.io/managed": "true"}
CHECK = "500ms"  # how often the agents look at a Secret


def secret_objects(name, keys, **more):
    """One of a class's secretObjects: keys of the Secret to files."""
    return {"secretName": name, "type": "Opaque",
            "data": [{"key": key, "objectName": path} for key, path in keys.items()], **more}


def data_of(secret):
    data = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def owners_of(secret):
    """Names of its owners; of a ReplicaSet its Deployment's."""
    owners = (secret or {"metadata": {}})["metadata"].get("ownerReferences", [])
    return {o["name"].rpartition("-")[0] if o["kind"] == "ReplicaSet" else o["name"] for o in owners}


class TwoNodes(World):
    """The first node is World's own; the second has everything of its own but the provider."""

    preset = "overlays/sync"
    agent_flags = ("--sync-secrets", f"--secret-check-interval={CHECK}")
    flags = ("--sync-secrets",)

    def __init__(self, programs):
        self.written = set()
        self.key = programs.folder / "audit.key"
        self.key.write_text("k" * 32)
        self.agent_flags = (*self.agent_flags, f"--audit-key={self.key}")
        super().__init__(programs)
        self.second = Node(programs, self.flags, "second")
        self.second.providers = self.node.providers
        self.second_socket = programs.folder / "second-agent" / "agent.sock"
        self.second.source = f"--agent-socket={self.second_socket}"
        self.second_health, self.second_metrics = free_ports(2)
        self.second_tokens = programs.folder / "second-token"
        self.cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}},
                           pod_object(f"{ACCOUNT}-2", "kube-system", "n2", ACCOUNT))
        self.start_second_agent()
        self.second.start()
        self.wait_for_policies()

    def wait_for_policies(self):
        """A policy and a role hold some seconds after they are there."""
        self.make_class("first", keys=["user"], secretObjects=[secret_objects("first", {"k": "user"})])
        pods = self.roll_out("first", "first")
        self.wait_for_owners("first", {"first"}, seconds=40)
        self.retire(pods)

    def write(self, values):
        self.written.update(values.values())
        super().write(values)

    # --- the nodes -------------------------------------------------------------------------------

    def start_second_agent(self):
        self.second_tokens.mkdir(exist_ok=True)
        token = self.cluster.token_of("kube-system", ACCOUNT, of_pod=f"{ACCOUNT}-2")
        (self.second_tokens / "token").write_text(token)
        (self.second_tokens / "ca.crt").write_bytes(self.cluster.ca_file.read_bytes())
        self.programs.start(
            "agent-second",
            [BUILD / "bin/locket-agent", f"--agent-socket={self.second_socket}", "--node-name=n2",
             f"--token-folder={self.second_tokens}", f"--health-addr=127.0.0.1:{self.second_health}",
             f"--metrics-addr=127.0.0.1:{self.second_metrics}", "--v=2", *self.agent_flags],
            lambda: accepts(self.second_socket),
            {"KUBERNETES_SERVICE_HOST": "127.0.0.1",
             "KUBERNETES_SERVICE_PORT": str(self.cluster.port)})

    def start_agent_again(self):
        """The first node's, with the token that it had: there is nobody to ask for another."""
        self.start_agent((self.token_folder / "token").read_text())

    def start_agent_that_dies_at(self, point):
        """The first node's anew, of the build with faults: killed when it first comes there."""
        self.programs.stop("agent")
        self.write_token()
        words, environment = self.agent_command()
        words[0] = BUILD / "faults/bin/locket-agent"
        environment["LOCKET_FAULTS"] = f"{point}=kill"
        self.programs.start("agent", words, lambda: accepts(self.agent_socket), environment)

    def wait_for_agents_death(self):
        wait_until(lambda: self.programs.running["agent"].poll() is not None, 20, "the agent's death")
        self.programs.stop("agent")

    def restart(self, node):
        """A node's agent and driver."""
        if node is self.node:
            self.programs.stop("agent")
            self.start_agent()
        else:
            self.programs.stop("agent-second")
            self.start_second_agent()
        self.restart_driver(node)

    def restart_driver(self, node):
        self.programs.stop(node.driver)
        node.start()

    def restart_with(self, agent_flags, driver_flags):
        """The first node, with these flags."""
        self.agent_flags, self.node.flags = agent_flags, driver_flags
        self.restart(self.node)

    def memory(self, name):
        """All that a program could write to."""
        return memory(self.programs.running[name].pid)

    def syncs(self, result, node=None):
        port = self.second_metrics if node is self.second else self.metrics
        name = f'locket_agent_secret_syncs_total{{result="{result}"}} '
        lines = self.page("/metrics", port)[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def settle(self):
        """Both agents have looked at everything once more."""
        for node in (self.node, self.second):
            def looks(n=node):
                return sum(self.syncs(r, n) for r in ("kept", "yielded", "applied"))
            before = looks()
            wait_until(lambda n=looks, b=before: n() >= b + 2, 20, "a look of each agent")

    # --- classes, pods and what owns them ----------------------------------------------------------

    def make_class(self, name, namespace="shop", keys=(), provider="file", annotations=None, **spec):
        made = provider_class(name, namespace, keys, provider)
        made["spec"].update(spec)
        made["metadata"]["annotations"] = annotations or {}
        self.cluster.apply(made)

    def roll_out(self, name, class_name):
        """A Deployment with a pod on each node, which we are scheduler and kubelet of."""
        labels = {"app": name}
        containers = pod_object(name, "shop")["spec"]["containers"]
        self.cluster.apply({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": containers}}}})
        names = wait_until(lambda: self.pods_of(name), 20, f"the pods of {name}")
        return [self.run_pod(pod, *node).must_publish(class_name) for pod, node in
                zip(names, ((self.node, "n1"), (self.second, "n2")))]

    def pods_of(self, name):
        path = f"/api/v1/namespaces/shop/pods?labelSelector=app%3D{name}"
        names = [p["metadata"]["name"] for p in self.cluster.call("GET", path)["items"]]
        return names if len(names) == 2 else None

    def run_pod(self, name, node, node_name):
        target = {"apiVersion": "v1", "kind": "Node", "name": node_name}
        self.cluster.call("POST", f"/api/v1/namespaces/shop/pods/{name}/binding", {
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target})
        pod = self.make_pod_of(name)
        pod.node = node
        pod.target = node.target_root / f"pods/{pod.uid}/volumes/kubernetes.io~csi/v/mount"
        return pod

    def delete_deployment(self, name):
        self.cluster.call("DELETE", f"/apis/apps/v1/namespaces/shop/deployments/{name}",
                          {"propagationPolicy": "Background"})

    def retire(self, pods):
        for pod in pods:
            pod.unpublish()
        for name in {pod.name.rsplit("-", 2)[0] for pod in pods}:
            self.delete_deployment(name)

    def rotate(self, pods, password=None, **values):
        """The store has other values; these pods' drivers fetch them. Returns the password."""
        if password:
            values["password"] = f"canary-of-{password}"
        self.values = {**self.values, **values}
        self.write(self.values)
        for pod in pods:
            wait_until(lambda p=pod: p.node.refresh(p)["code"] == "OK", 10, "a refresh")
        return self.values["password"]

    # --- Secrets ---------------------------------------------------------------------------------

    @staticmethod
    def secret_path(name, namespace="shop"):
        return f"/api/v1/namespaces/{namespace}/secrets/{name}"

    @staticmethod
    def secret_of(name, data, labels=None):
        return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {"name": name, "namespace": "shop", "labels": labels or {}},
                "data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}}

    def secret(self, name, namespace="shop"):
        return self.find(self.secret_path(name, namespace))

    def secrets(self):
        return self.cluster.call("GET", "/api/v1/secrets")["items"]

    def digest_of(self, secret):
        """What locketctl, given the key, makes of a Secret's data."""
        data = json.dumps(secret["data"], sort_keys=True, separators=(",", ":"))
        words = [BUILD / "bin/locketctl", "audit", "contents", "--key", self.key, "-"]
        return run(words, input=data).stdout.strip()

    def wait_for_secret(self, name, namespace="shop"):
        return wait_until(lambda: self.secret(name, namespace), 15, f"Secret {name}")

    def wait_for_owners(self, name, owners, seconds=20):
        def as_wished():
            secret = self.secret(name)
            return secret if owners_of(secret) == owners else None
        return wait_until(as_wished, seconds, f"owners {owners} of Secret {name}")

    def wait_for_end(self, name):
        wait_until(lambda: not self.secret(name), 60, f"the collection of Secret {name}")

    def patch(self, name, operations):
        self.cluster.call("PATCH", self.secret_path(name), operations, "application/json-patch+json")

    def merge(self, name, metadata, manager):
        self.cluster.call("PATCH", f"{self.secret_path(name)}?fieldManager={manager}",
                          {"metadata": metadata}, "application/strategic-merge-patch+json")

    def namespace_uid(self):
        return self.find("/api/v1/namespaces/shop")["metadata"]["uid"]

    def writes(self, name, before, after):
        """How often the Secret moved from the one version to the other."""
        version = before["metadata"]["resourceVersion"]
        path = (f"/api/v1/namespaces/shop/secrets?watch=true&timeoutSeconds=1&resourceVersion={version}"
                f"&fieldSelector=metadata.name%3D{name}")
        events = [json.loads(line) for line in self.cluster.call("GET", path, raw=True).splitlines()]
        versions = [e["object"]["metadata"]["resourceVersion"] for e in events]
        expect(not versions or after["metadata"]["resourceVersion"] in versions, "the last is seen")
        return len(versions)

    def secret_calls(self, name):
        """What agents asked about a Secret but looks at it, which are made all the time."""
        return [c["requestURI"] for c in self.cluster.audit()
                if f"/secrets/{name}" in c["requestURI"] and c["verb"] != "get"]

    # --- what people are told --------------------------------------------------------------------

    def told(self, name):
        """The lines about a Secret in the first agent's log."""
        lines = self.programs.log("agent").read_text(errors="replace").splitlines()
        return [line for line in lines if f'shop/{name}"' in line or f"shop/{name} " in line]

    def expect_told(self, name, words):
        def line():
            return next((told for told in self.told(name) if words in told), None)
        return wait_until(line, 15, f"{words!r} told of Secret {name}")

    # --- policies --------------------------------------------------------------------------------

    def deny(self, name, expression, message):
        """A policy, which holds when this returns."""
        rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"],
                  "operations": ["CREATE", "UPDATE"]}]
        kind = "ValidatingAdmissionPolicy"
        base = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
        self.cluster.apply(
            {**base, "kind": kind, "spec": {
                "matchConstraints": {"resourceRules": rules},
                "validations": [{"expression": expression, "messageExpression": message}]}},
            {**base, "kind": f"{kind}Binding",
             "spec": {"policyName": name, "validationActions": ["Deny"]}})
        wait_until(self.is_denied, 30, "the policy")

    def is_denied(self):
        probe = self.secret_of("evil-probe", {"k": "probe"})
        try:
            self.cluster.call("POST", self.secret_path("").rstrip("/") + "?dryRun=All", probe)
        except Refused:
            return True
        time.sleep(0.2)
        return False

    def allow(self, name):
        for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            self.cluster.call("DELETE", f"/apis/admissionregistration.k8s.io/v1/{kind}/{name}")
        wait_until(lambda: not self.is_denied(), 30, "the end of the policy")
