# SPDX-License-Identifier: Apache-2.0
"""Kubelet's plugin watcher, as far as a driver meets it: it registers the sockets of a folder.

Written from what kubelet was seen to do: a socket whose name appears is asked once, within a round of
its loop; names with a dot in front and what is no socket are left alone; a name that goes is
deregistered; a plugin that could not be registered is told so and never asked again, unless its
socket appears anew; one that does not take kubelet's last word is registered all the same (newer
kubelets ask it again). Beside it, a registrar as other drivers have one.
"""
import ctypes
import os
import pathlib
import select
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x80, 0x100, 0x200
GET_INFO_S, NOTIFY_S, NODE_GET_INFO_S = 1, 5, 120
BOUND = (("grpc.use_local_subchannel_pool", 1),)


def load_registration():
    """The messages of proto/registration, compiled into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["protoc", f"-I{ROOT}/proto/registration", f"--python_out={folder}",
             "registration.proto"],
            check=True,
        )
        sys.path.insert(0, folder)
        import registration_pb2  # pylint: disable=import-outside-toplevel,import-error

        sys.path.pop(0)
    return registration_pb2


class Folder:
    """What inotify tells of the names of a folder."""

    def __init__(self, path):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = IN_MOVED_TO | IN_CREATE | IN_DELETE
        if self.libc.inotify_add_watch(self.descriptor, str(path).encode(), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")

    def events(self, seconds):
        """Pairs of mask and name; none when nothing happened for so long."""
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return
        data = os.read(self.descriptor, 65536)
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            yield mask, data[16 : 16 + length].rstrip(b"\0").decode()
            data = data[16 + length :]

    def close(self):
        os.close(self.descriptor)


class PluginWatcher:
    """One life of kubelet. `registered`: name to endpoint; `history`: what it did, in order."""

    def __init__(self, folder, csi, messages, loop_s=0.1):
        self.folder = pathlib.Path(folder)
        self.csi = csi
        self.messages = messages
        self.loop_s = loop_s
        self.wanted = {}  # path to the time its name appeared
        self.actual = {}  # path to (that time, the driver's name)
        self.registered = {}
        self.history = []
        self.names = set()  # every name that appeared, the ones left alone too
        self.refuse = 0  # so many NodeGetInfo fail
        self.stopping = threading.Event()
        self.watch = Folder(self.folder)
        for path in self.folder.iterdir():
            self.appeared(path.name)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.watch.close()

    def count(self, what):
        return sum(1 for entry in self.history if entry[0] == what)

    def appeared(self, name):
        path = self.folder / name
        self.names.add(name)
        try:
            is_socket = stat.S_ISSOCK(path.lstat().st_mode)
        except FileNotFoundError:
            return
        if is_socket and not name.startswith("."):
            self.wanted[path] = time.monotonic()

    def run(self):
        due = time.monotonic()
        while not self.stopping.is_set():
            for mask, name in self.watch.events(max(0, due - time.monotonic())):
                if mask & IN_DELETE:
                    self.wanted.pop(self.folder / name, None)
                else:
                    self.appeared(name)
            if time.monotonic() >= due:
                self.reconcile()
                due = time.monotonic() + self.loop_s

    def reconcile(self):
        for path, (since, name) in list(self.actual.items()):
            if self.wanted.get(path) != since:
                self.actual.pop(path)
                self.registered.pop(name, None)
                self.history.append(("deregistered", name))
        for path, since in list(self.wanted.items()):
            if path not in self.actual:
                self.register(path, since)

    def register(self, path, since):
        with grpc.insecure_channel(f"unix:{path}", options=BOUND) as channel:
            try:
                info = self.ask(channel, "GetInfo", GET_INFO_S)
            except grpc.RpcError as error:
                self.history.append(("unanswered", error.code().name))
                return  # asked again in the next round
            self.history.append(("asked", info.name))
            if info.type != "CSIPlugin" or not info.supported_versions[0].startswith("1."):
                self.notify(channel, "RegisterPlugin error -- invalid plugin")
                return
            self.actual[path] = (since, info.name)
            problem = self.node_get_info(info.endpoint)
            if not problem:
                self.registered[info.name] = info.endpoint
            self.notify(channel, problem)

    def node_get_info(self, endpoint):
        """What is wrong with the driver; nothing: an empty text."""
        if self.refuse > 0:
            self.refuse -= 1
            return "RegisterPlugin error -- plugin registration failed with err: UNAVAILABLE"
        m = self.csi
        with grpc.insecure_channel(f"unix:{endpoint}", options=BOUND) as channel:
            stub = channel.unary_unary(
                "/csi.v1.Node/NodeGetInfo",
                m.NodeGetInfoRequest.SerializeToString,
                m.NodeGetInfoResponse.FromString,
            )
            try:
                self.history.append(("node", stub(m.NodeGetInfoRequest(), timeout=NODE_GET_INFO_S).node_id))
            except grpc.RpcError as error:
                return f"RegisterPlugin error -- {error.code().name}"
        return ""

    def notify(self, channel, problem):
        status = self.messages.RegistrationStatus(plugin_registered=not problem, error=problem)
        try:
            self.ask(channel, "NotifyRegistrationStatus", NOTIFY_S, status)
        except grpc.RpcError as error:
            self.history.append(("unheard", error.code().name))
            return
        self.history.append(("refused", problem) if problem else ("registered", ""))

    def ask(self, channel, method, seconds, request=None):
        m = self.messages
        answers = {"GetInfo": m.PluginInfo, "NotifyRegistrationStatus": m.RegistrationStatusResponse}
        stub = channel.unary_unary(
            f"/pluginregistration.Registration/{method}",
            lambda message: message.SerializeToString(),
            answers[method].FromString,
        )
        return stub(request or m.InfoRequest(), timeout=seconds)


class OldRegistrar(grpc.GenericRpcHandler):
    """Another driver's registrar: unlinks and binds by path, and unlinks by path when it ends."""

    def __init__(self, path, name, endpoint, messages, workers):
        self.path = pathlib.Path(path)
        self.messages = messages
        self.info = messages.PluginInfo(
            type="CSIPlugin", name=name, endpoint=str(endpoint), supported_versions=["1.0.0"]
        )
        self.path.unlink(missing_ok=True)
        self.server = grpc.server(workers)
        self.server.add_generic_rpc_handlers((self,))
        self.server.add_insecure_port(f"unix:{self.path}")
        self.server.start()

    def service(self, handler_call_details):
        answer = self.info
        if handler_call_details.method.endswith("/NotifyRegistrationStatus"):
            answer = self.messages.RegistrationStatusResponse()
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: answer.SerializeToString()
        )

    def stop(self):
        self.server.stop(0).wait()
        self.path.unlink(missing_ok=True)
