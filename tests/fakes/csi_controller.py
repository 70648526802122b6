#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A CSI controller whose volumes are named by what kubelet would say of a pod's inline volume.

csi-sanity publishes only what a controller created, with the volume_context that the controller
answered: this one answers a class and a pod, so that its publishes are real ones. csi-sanity also
asks the controller's socket who it is: those calls are handed on to the driver, byte by byte.
"""
import argparse
import concurrent.futures
import hashlib
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

import grpc

CREATE_DELETE_VOLUME = 1  # ControllerServiceCapability.RPC.Type


def load_messages():
    """The messages of csi_controller.proto, compiled into a folder that is gone afterwards."""
    here = pathlib.Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["protoc", f"-I{here}", f"--python_out={folder}", "csi_controller.proto"], check=True
        )
        sys.path.insert(0, folder)
        import csi_controller_pb2  # pylint: disable=import-outside-toplevel,import-error

        sys.path.pop(0)
    return csi_controller_pb2


class Controller:
    """The handlers: one volume id per name, the same context for all."""

    def __init__(self, messages, context):
        self.messages = messages
        self.context = context

    def create(self, request, call):
        if not request.name:
            call.abort(grpc.StatusCode.INVALID_ARGUMENT, "name missing in request")
        answer = self.messages.CreateVolumeResponse()
        digest = hashlib.sha256(request.name.encode()).hexdigest()
        answer.volume.volume_id = "csi-" + digest
        answer.volume.volume_context.update(self.context)
        return answer

    def delete(self, _request, _call):
        return self.messages.DeleteVolumeResponse()

    def capabilities(self, _request, _call):
        answer = self.messages.ControllerGetCapabilitiesResponse()
        answer.capabilities.add().rpc.type = CREATE_DELETE_VOLUME
        return answer

    def handler(self):
        m = self.messages
        rows = [
            ("CreateVolume", self.create, m.CreateVolumeRequest),
            ("DeleteVolume", self.delete, m.DeleteVolumeRequest),
            ("ControllerGetCapabilities", self.capabilities, m.ControllerGetCapabilitiesRequest),
        ]
        methods = {
            name: grpc.unary_unary_rpc_method_handler(
                function,
                request_deserializer=request.FromString,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
            for name, function, request in rows
        }
        return grpc.method_handlers_generic_handler("csi.v1.Controller", methods)


class Identity(grpc.GenericRpcHandler):
    """Hands every call of the Identity service on to the driver."""

    def __init__(self, endpoint):
        self.channel = grpc.insecure_channel(endpoint)

    def service(self, handler_call_details):
        method = handler_call_details.method
        if not method.startswith("/csi.v1.Identity/"):
            return None

        def forward(request, call):
            try:
                return self.channel.unary_unary(method)(request, timeout=10)
            except grpc.RpcError as error:
                return call.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(forward)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--driver", required=True, help="endpoint of the driver")
    parser.add_argument("--context", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    context = dict(pair.split("=", 1) for pair in options.context)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
    handlers = (Controller(load_messages(), context).handler(), Identity(options.driver))
    server.add_generic_rpc_handlers(handlers)
    if not server.add_insecure_port("unix:" + options.socket):
        sys.exit(f"cannot listen on {options.socket}")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    ended.wait()
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
