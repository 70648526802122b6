# SPDX-License-Identifier: Apache-2.0
"""What every fake provider stands on: the messages of proto/provider, compiled at the time of the
test, and a real gRPC server on a unix socket."""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load_messages():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["protoc", f"-I{ROOT}/proto/provider", f"--python_out={folder}", "provider.proto"],
            check=True,
        )
        sys.path.insert(0, folder)
        import provider_pb2  # pylint: disable=import-outside-toplevel,import-error

        sys.path.pop(0)
    return provider_pb2


M = load_messages()


def authority(context):
    """The call's `:authority`: Python's gRPC has no public way to it."""
    return context._rpc_event.call_details.host.decode()  # pylint: disable=protected-access


def refuse(context, text):
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)


def read_control(path):
    """What the test wants of the provider now."""
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def version(_request, _context):
    return M.VersionResponse(version="v1alpha1", runtime_name="fake", runtime_version="0.1.0")


def serve(socket, mount):
    """Serves Version and Mount(request, context) until it is ended."""
    methods = {
        "Mount": grpc.unary_unary_rpc_method_handler(
            mount, M.MountRequest.FromString, M.MountResponse.SerializeToString),
        "Version": grpc.unary_unary_rpc_method_handler(
            version, M.VersionRequest.FromString, M.VersionResponse.SerializeToString),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("v1alpha1.CSIDriverProvider", methods),))
    os.umask(0o077)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    server.wait_for_termination()
