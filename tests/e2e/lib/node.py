# SPDX-License-Identifier: Apache-2.0
"""locket-driver on a node of its own, and kubelet's side of CSI: written here from the CSI
specification over Python's gRPC, so that the driver is not only ever called by our own client."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import uuid

import grpc

from harness import BUILD, ROOT, accepts, expect, expect_equal, run


def load_csi():
    """The messages of proto/csi, compiled into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["protoc", f"-I{ROOT}/proto/csi", "-I/usr/include", f"--python_out={folder}",
             "csi.proto"],
            check=True,
        )
        sys.path.insert(0, folder)
        import csi_pb2  # pylint: disable=import-outside-toplevel,import-error

        sys.path.pop(0)
    return csi_pb2


class Answer:
    """What a call ended with."""

    def __init__(self, code, text):
        self.code = code
        self.text = text

    def __repr__(self):
        return f"{self.code}: {self.text}"


class Pod:
    """A pod with one inline volume."""

    def __init__(self, node, name, namespace="default", account="default"):
        self.node = node
        self.name = name
        self.namespace = namespace
        self.account = account
        self.uid = str(uuid.uuid4())
        self.volume_id = "csi-" + uuid.uuid4().hex + uuid.uuid4().hex
        self.target = (
            node.target_root / "pods" / self.uid / "volumes" / "kubernetes.io~csi" / "v" / "mount"
        )

    def context(self, class_name, tokens, attributes):
        prefix = "csi.storage.k8s.io/"
        context = {
            "secretProviderClass": class_name,
            prefix + "pod.name": self.name,
            prefix + "pod.namespace": self.namespace,
            prefix + "pod.uid": self.uid,
            prefix + "serviceAccount.name": self.account,
            prefix + "ephemeral": "true",
        }
        context.update(attributes or {})
        if tokens:
            context[prefix + "serviceAccount.tokens"] = json.dumps(
                {
                    audience: {"token": token, "expirationTimestamp": "2099-01-01T00:00:00Z"}
                    for audience, token in tokens.items()
                }
            )
        return context

    def publish_request(self, class_name, tokens=None, secrets=None, attributes=None):
        self.target.parent.mkdir(parents=True, exist_ok=True)
        m = self.node.messages
        request = m.NodePublishVolumeRequest(
            volume_id=self.volume_id,
            target_path=str(self.target),
            readonly=True,
            volume_context=self.context(class_name, tokens, attributes),
            secrets=secrets or {},
        )
        request.volume_capability.mount.SetInParent()
        request.volume_capability.access_mode.mode = 1
        return request

    def publish(self, class_name, timeout_s=60, **more):
        """NodePublishVolume as kubelet calls it: tokens, secrets, attributes. Returns an Answer."""
        request = self.publish_request(class_name, **more)
        answer = self.node.messages.NodePublishVolumeResponse
        return self.node.call("NodePublishVolume", request, answer, timeout_s)

    def begin_publish(self, class_name, **more):
        """A publish that is not waited for: gRPC's call, to be cancelled."""
        request = self.publish_request(class_name, **more)
        answer = self.node.messages.NodePublishVolumeResponse
        return self.node.stub("NodePublishVolume", answer).future(request, timeout=60)

    def must_publish(self, class_name, **more):
        answer = self.publish(class_name, **more)
        expect_equal(answer.code, "OK", f"publish of {class_name} ({answer.text})")
        return self

    def unpublish(self):
        m = self.node.messages
        request = m.NodeUnpublishVolumeRequest(
            volume_id=self.volume_id, target_path=str(self.target)
        )
        answer = self.node.call("NodeUnpublishVolume", request, m.NodeUnpublishVolumeResponse)
        expect_equal(answer.code, "OK", f"unpublish ({answer.text})")
        expect(not self.target.exists(), "the target is still there after unpublish")

    def read(self, name):
        return (self.target / name).read_text()

    def files(self):
        """Every file that a container would see, by its visible path."""
        found = {}
        for folder, subfolders, names in os.walk(self.target, followlinks=True):
            subfolders[:] = [name for name in subfolders if not name.startswith("..")]
            for name in names:
                path = pathlib.Path(folder) / name
                if not path.exists():  # a link whose file has gone: the next write removes it
                    continue
                found[str(path.relative_to(self.target))] = path.read_text(encoding="utf-8")
        return found

    def is_mounted(self):
        return any(str(self.target) in line for line in mounts_left())

    def generation(self):
        """The name of the folder that ..data names: another one after each write."""
        return os.readlink(self.target / "..data")


class Node:
    """A locket-driver with folders of its own, and clients for its sockets."""

    def __init__(self, programs, flags=(), name="node"):
        self.programs = programs
        self.driver = "driver" if name == "node" else f"driver-{name}"
        base = programs.folder / name
        self.classes = base / "classes"
        self.target_root = base / "kubelet"
        self.state = base / "state"
        self.providers = base / "providers"
        self.csi = base / "csi.sock"
        self.admin = base / "admin.sock"
        for folder in (self.classes, self.target_root, self.state):
            folder.mkdir(parents=True)
        self.providers.mkdir(mode=0o700)
        self.flags = list(flags)
        self.source = f"--classes={self.classes}"
        self.messages = load_csi()
        self.channel = None

    def start(self):
        self.programs.start(
            self.driver,
            [
                BUILD / "bin/locket-driver",
                f"--endpoint=unix://{self.csi}",
                "--nodeid=n1",
                self.source,
                f"--target-root={self.target_root}",
                f"--state-dir={self.state}",
                f"--admin-socket={self.admin}",
                f"--provider-volume={self.providers}",
                "--additional-provider-volume-paths=" + str(self.providers),
                "--enable-secret-rotation",
                *self.flags,
            ],
            lambda: accepts(self.csi) and accepts(self.admin),
        )
        self.channel = grpc.insecure_channel(
            f"unix:{self.csi}", options=[("grpc.use_local_subchannel_pool", 1)]
        )

    def stub(self, method, answer):
        return self.channel.unary_unary(
            "/csi.v1.Node/" + method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )

    def call(self, method, request, answer, timeout_s=60):
        try:
            self.stub(method, answer)(request, timeout=timeout_s)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details())
        return Answer("OK", "")

    def write_class(self, name, provider, parameters, namespace="default"):
        """A SecretProviderClass as a JSON file; lists become text of JSON, which is YAML."""
        texts = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in parameters.items()
        }
        document = {
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"provider": provider, "parameters": texts},
        }
        (self.classes / f"{namespace}.{name}.json").write_text(json.dumps(document))

    def ctl(self, command, *words, check=True):
        """locketctl against this node's driver. Returns what it printed, or the ended program."""
        done = run(
            [BUILD / "bin/locketctl", command, "--admin-socket", self.admin, *words], check=check
        )
        return done.stdout if check else done

    def refresh(self, pod):
        """locketctl refresh of one volume: its RefreshResult."""
        done = self.ctl("refresh", "-o", "json", pod.volume_id, check=False)
        results = json.loads(done.stdout)["results"]
        expect_equal(len(results), 1, f"results of a refresh ({done.stderr})")
        return results[0]

    def must_refresh(self, pod, changed):
        result = self.refresh(pod)
        expect_equal(result["code"], "OK", f"refresh ({result.get('text')})")
        expect_equal(result.get("changed", False), changed, "a changed file")


def mounts_left():
    """Mounts of the driver in this namespace."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if " locket:" in line]
