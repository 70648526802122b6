#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A provider that misbehaves as its class's parameter `behave` says. Real gRPC on a real socket.

    odd_provider.py SOCKET COUNTER     COUNTER: a file that gets one line per Mount
"""
import concurrent.futures
import json
import os
import pathlib
import sys
import threading

import grpc

from provider_server import M

STOP = threading.Event()


def answer(files, versions=True):
    out = M.MountResponse()
    for path, contents in files:
        out.files.add(path=path, mode=0o644, contents=contents)
    if versions:
        out.object_version.add(id="x", version="1")
    return out


def write_itself(request, context):
    target = pathlib.Path(request.target_path)
    (target / "written").write_text("by the provider")
    return answer([])


def fail(code, text):
    def act(request, context):
        context.abort(code, text(request) if callable(text) else text)

    return act


def hang(request, context):
    STOP.wait()
    return answer([])


def take_a_second(request, context):
    STOP.wait(1)
    return answer([("a", b"late")])


def tell_request(request, _context):
    """What was asked, as a file."""
    told = {"versions": {v.id: v.version for v in request.current_object_version},
            "secrets": request.secrets, "attributes": sorted(json.loads(request.attributes))}
    return answer([("request", json.dumps(told).encode())])


BEHAVIOURS = {
    "fine": lambda r, c: answer([("a", b"A"), ("b", b"B")]),
    "none": lambda r, c: answer([], versions=False),
    "write": write_itself,
    "hang": hang,
    "late": take_a_second,
    "echo": fail(grpc.StatusCode.INTERNAL, lambda r: "cannot do " + r.attributes + r.secrets),
    "tell": tell_request,
    "denied": fail(grpc.StatusCode.PERMISSION_DENIED, "no"),
    "error-code": lambda r, c: M.MountResponse(error=M.Error(code="TooBad")),
    "dotdot": lambda r, c: answer([("../evil", b"E")]),
    "absolute": lambda r, c: answer([("/etc/evil", b"E")]),
    "newline": lambda r, c: answer([("a\nb", b"E")]),
    "long": lambda r, c: answer([("n" * 300, b"E")]),
    "twice": lambda r, c: answer([("a", b"1"), ("a", b"2")]),
    "nested": lambda r, c: answer([("a", b"1"), ("a/b", b"2")]),
    "many": lambda r, c: answer([(f"f{i}", b"") for i in range(10000)]),
    "large": lambda r, c: answer([("a", b"x" * (5 << 20))]),
    "empty-path": lambda r, c: answer([("", b"E")]),
}


def main():
    socket, counter = sys.argv[1:]
    lock = threading.Lock()

    def mount(request, context):
        with lock, open(counter, "a", encoding="utf-8") as file:
            file.write("m\n")
        return BEHAVIOURS[json.loads(request.attributes)["behave"]](request, context)

    def raw(request, context):
        """Some answers are no protobuf at all."""
        message = M.MountRequest.FromString(request)
        behave = json.loads(message.attributes)["behave"]
        if behave == "garbage":
            return b"\xff\xfe\xfd not protobuf"
        if behave == "nul":
            return b"\x1a\x05\x0a\x03a\x00b"
        return mount(message, context).SerializeToString()

    handlers = grpc.method_handlers_generic_handler(
        "v1alpha1.CSIDriverProvider", {"Mount": grpc.unary_unary_rpc_method_handler(raw)}
    )
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(160))
    server.add_generic_rpc_handlers((handlers,))
    os.umask(0o077)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    server.wait_for_termination()


main()
