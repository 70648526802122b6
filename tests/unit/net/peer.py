#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An independent peer of the RPC layer: grpcio with raw bytes.

    peer.py call SOCKET PATH HEX [gzip|none] [TIMEOUT_S]   prints CODE and details
    peer.py idle SOCKET                                     connects, makes a call, prints its pid, then stays
    peer.py serve SOCKET HEX                                answers every call; prints its authority
"""
import concurrent.futures
import os
import sys
import time

import grpc


def call(socket, path, hex_bytes, compression="none", timeout="5"):
    channel = grpc.insecure_channel(f"unix:{socket}")
    stub = channel.unary_unary(path, lambda b: b, lambda b: b)
    body = bytes.fromhex(hex_bytes)
    if compression == "gzip":
        body = b"\x0a\x80\x80\x40" + b"a" * (1 << 20)  # 1 MiB of one letter: a few bytes on the wire
    try:
        out, info = stub.with_call(
            body, timeout=float(timeout),
            compression=grpc.Compression.Gzip if compression == "gzip" else None)
        print("OK", out.hex(), dict(info.trailing_metadata()))
    except grpc.RpcError as error:
        print(error.code().name, error.details(), dict(error.trailing_metadata() or ()))


def idle(socket):
    channel = grpc.insecure_channel(f"unix:{socket}")
    channel.unary_unary("/none", lambda b: b, lambda b: b).future(b"", timeout=1).exception()
    print(os.getpid(), flush=True)
    time.sleep(30)


class Any(grpc.GenericRpcHandler):
    def __init__(self, body):
        self.body = body

    def service(self, details):
        def handle(request, context):
            code = dict(context.invocation_metadata()).get("code")
            if code:
                context.abort(grpc.StatusCode.INTERNAL, code)
            return self.body

        return grpc.unary_unary_rpc_method_handler(handle)


def serve(socket, hex_bytes):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Any(bytes.fromhex(hex_bytes)),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    print("serving", flush=True)
    time.sleep(30)


{"call": call, "idle": idle, "serve": serve}[sys.argv[1]](*sys.argv[2:])
