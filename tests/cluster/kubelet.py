# SPDX-License-Identifier: Apache-2.0
"""kubelet's part of inline volumes, played step by step: pods of the API server on this node are set
up over CSI with what kubelet would send, told to be ready, and torn down once they are deleted."""
import base64
import hashlib
import json

from harness import expect, wait_until
from node import Pod
from rig import Refused

DRIVER = "secrets-store.csi.k8s.io"
TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"


class Volume:
    """One inline volume of a pod."""

    def __init__(self, kubelet, pod, spec):
        meta = pod["metadata"]
        self.kubelet = kubelet
        self.spec = spec["csi"]
        self.name = spec["name"]
        self.inner = Pod(kubelet.world.node, meta["name"], meta["namespace"],
                         pod["spec"]["serviceAccountName"])
        self.inner.uid = meta["uid"]
        self.inner.volume_id = "csi-" + hashlib.sha256((meta["uid"] + self.name).encode()).hexdigest()
        self.inner.target = self.inner.node.target_root.joinpath(
            "pods", meta["uid"], "volumes/kubernetes.io~csi", self.name, "mount")
        self.is_set_up = False

    def publish(self):
        """NodePublishVolume with what the CSIDriver object asks for. kubelet's Event when it fails."""
        driver = self.kubelet.csi_driver()
        attributes = dict(self.spec["volumeAttributes"])
        secrets = self.kubelet.secret_of(self.inner.namespace, self.spec.get("nodePublishSecretRef"))
        tokens = self.kubelet.tokens(self.inner, driver.get("tokenRequests") or [])
        if tokens:
            place = secrets if driver.get("serviceAccountTokenInSecrets") else attributes
            place[TOKENS] = json.dumps(tokens)
        request = self.inner.publish_request(attributes.pop("secretProviderClass"),
                                             attributes=attributes, secrets=secrets)
        request.readonly = self.spec.get("readOnly", False)
        node = self.inner.node
        answer = node.call("NodePublishVolume", request, node.messages.NodePublishVolumeResponse)
        self.is_set_up = self.is_set_up or answer.code == "OK"
        if answer.code != "OK":
            self.kubelet.tell_failed_mount(self, answer)
        return answer


class Kubelet:
    """Of the node n1. Nothing happens but in step() and republish()."""

    def __init__(self, world):
        self.world = world
        self.volumes = {}  # by pod's uid

    def call(self, *arguments):
        return self.world.cluster.call(*arguments)

    def csi_driver(self):
        return self.call("GET", f"/apis/storage.k8s.io/v1/csidrivers/{DRIVER}")["spec"]

    def tokens(self, pod, requests):
        """From the API server's own TokenRequest, bound to the pod."""
        tokens = {}
        for request in requests:
            spec = {"audiences": [request["audience"]],
                    "expirationSeconds": request.get("expirationSeconds", 3600),
                    "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name,
                                       "uid": pod.uid}}
            path = f"/api/v1/namespaces/{pod.namespace}/serviceaccounts/{pod.account}/token"
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
            status = self.call("POST", path, body)["status"]
            tokens[request["audience"]] = {"token": status["token"],
                                           "expirationTimestamp": status["expirationTimestamp"]}
        return tokens

    def secret_of(self, namespace, ref):
        """The data of a Secret, as nodePublishSecretRef hands it over."""
        if not ref:
            return {}
        data = self.call("GET", f"/api/v1/namespaces/{namespace}/secrets/{ref['name']}")["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def tell_failed_mount(self, volume, answer):
        """In the words that kubelet has for it: gRPC's code by its Go name."""
        code = "".join(word.capitalize() for word in answer.code.split("_"))
        text = (f'MountVolume.SetUp failed for volume "{volume.name}" : '
                f"rpc error: code = {code} desc = {answer.text}")
        pod = volume.inner
        involved = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "namespace": pod.namespace,
                    "uid": pod.uid}
        self.call("POST", f"/api/v1/namespaces/{pod.namespace}/events", {
            "metadata": {"generateName": pod.name[:40] + "."}, "involvedObject": involved,
            "reason": "FailedMount", "message": text[:1024], "type": "Warning",
            "source": {"component": "kubelet", "host": "n1"}})

    # --- pods ------------------------------------------------------------------------------------

    def pods(self):
        """Those of this node that have a volume of ours."""
        items = self.call("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1")["items"]
        return [pod for pod in items if inline_volumes(pod)]

    def step(self):
        """Brings every pod on by one step."""
        for pod in self.pods():
            volumes = self.volumes.setdefault(pod["metadata"]["uid"], [
                Volume(self, pod, spec) for spec in inline_volumes(pod)])
            if pod["metadata"].get("deletionTimestamp"):
                self.tear_down(pod, volumes)
            else:
                self.set_up(pod, volumes)

    def set_up_before(self, pod):
        """A pod that another driver has set up already; its volume."""
        volumes = [Volume(self, pod, spec) for spec in inline_volumes(pod)]
        self.volumes[pod["metadata"]["uid"]] = volumes
        for volume in volumes:
            volume.is_set_up = True
        return volumes[0].inner

    def set_up(self, pod, volumes):
        answers = [v.publish().code == "OK" for v in volumes if not v.is_set_up]
        if all(answers) and self.environment(pod) is not None and not is_ready(pod):
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
            conditions = [{"type": "Ready", "status": "True"}]
            self.call("PATCH", path + "/status", {"status": {"conditions": conditions}},
                      "application/merge-patch+json")

    def tear_down(self, pod, volumes):
        for volume in volumes:
            volume.inner.unpublish()
        del self.volumes[pod["metadata"]["uid"]]
        meta = pod["metadata"]
        self.call("DELETE", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}",
                  {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})

    def environment(self, pod):
        """The first container's variables; None: a Secret that one is of is not there (yet)."""
        namespace, found = pod["metadata"]["namespace"], {}
        for row in pod["spec"]["containers"][0].get("env", []):
            ref = row["valueFrom"]["secretKeyRef"]
            try:
                found[row["name"]] = self.secret_of(namespace, ref)[ref["key"]]
            except (Refused, KeyError):
                return None
        return found

    # --- waiting ---------------------------------------------------------------------------------

    def until(self, condition, seconds, what):
        """Steps until the condition holds; its value."""
        return wait_until(lambda: self.step() or condition(), seconds, what)

    def wait_ready(self, namespace, prefix, count=1, seconds=30):
        """Steps until so many pods whose names begin so are ready; these."""
        def ready():
            found = [pod for pod in self.pods() if pod["metadata"]["namespace"] == namespace
                     and pod["metadata"]["name"].startswith(prefix)
                     and not pod["metadata"].get("deletionTimestamp")]
            return len(found) == count and all(is_ready(pod) for pod in found) and found

        return self.until(ready, seconds, f"{count} ready pods {prefix}* in {namespace}")

    def wait_gone(self, namespace, prefix, seconds=60):
        self.until(lambda: not [pod for pod in self.pods()
                                if pod["metadata"]["namespace"] == namespace
                                and pod["metadata"]["name"].startswith(prefix)],
                   seconds, f"the end of the pods {prefix}* in {namespace}")

    def republish(self):
        """What kubelet does about once a minute for requiresRepublish."""
        for volume in [v for volumes in self.volumes.values() for v in volumes if v.is_set_up]:
            answer = volume.publish()
            expect(answer.code == "OK", f"a republish of {volume.inner.name}: {answer}")

    def volume(self, pod, name=None):
        """A pod's volume, as the file reader that tests want: node.Pod."""
        volumes = self.volumes[pod["metadata"]["uid"]]
        return next(v.inner for v in volumes if name in (None, v.name))


def inline_volumes(pod):
    return [v for v in pod["spec"].get("volumes", []) if v.get("csi", {}).get("driver") == DRIVER]


def is_ready(pod):
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
