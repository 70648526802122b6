#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An independent peer of the RPC layer: grpcio with raw bytes.

    peer.py call SOCKET PATH [HEX [TIMEOUT_S]]   a unary call; prints CODE and details
    peer.py messages SOCKET PATH [HEX...]        the same with none, or more than one message
    peer.py bomb SOCKET PATH                     the same with 64 MiB of text in a gzip frame
    peer.py idle SOCKET                          makes a call, prints its pid, stays connected
    peer.py hang SOCKET PATH HEX                 prints its pid and begins a call
    peer.py serve SOCKET MODE                    answers calls as said; prints its pid when it serves
        authority   node_id is the :authority of the call
        bomb        node_id is 64 MiB of text in a gzip frame
"""
import concurrent.futures
import os
import sys
import time

import grpc

BOMB = 64 << 20


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def text_field(number, text):
    return varint(number << 3 | 2) + varint(len(text)) + text


def raw(value):
    return value


def tell(stub, body, **how):
    try:
        out, info = stub.with_call(body, **how)
        print("OK", out.hex(), dict(info.trailing_metadata()))
    except grpc.RpcError as error:
        print(error.code().name, error.details(), dict(error.trailing_metadata() or ()))


def call(socket, path, hex_bytes="", timeout="10"):
    channel = grpc.insecure_channel(f"unix:{socket}")
    tell(channel.unary_unary(path, raw, raw), bytes.fromhex(hex_bytes), timeout=float(timeout))


def messages(socket, path, *hex_bytes):
    channel = grpc.insecure_channel(f"unix:{socket}")
    tell(channel.stream_unary(path, raw, raw), iter([bytes.fromhex(h) for h in hex_bytes]), timeout=10)


def bomb(socket, path):
    channel = grpc.insecure_channel(f"unix:{socket}")
    tell(channel.unary_unary(path, raw, raw), text_field(1, b"a" * BOMB), timeout=20,
         compression=grpc.Compression.Gzip)


def idle(socket):
    channel = grpc.insecure_channel(f"unix:{socket}")
    channel.unary_unary("/none", raw, raw).future(b"", timeout=5).exception()
    print(os.getpid(), flush=True)
    time.sleep(30)


def hang(socket, path, hex_bytes):
    channel = grpc.insecure_channel(f"unix:{socket}")
    print(os.getpid(), flush=True)
    tell(channel.unary_unary(path, raw, raw), bytes.fromhex(hex_bytes), timeout=30)


class Answers(grpc.GenericRpcHandler):
    def __init__(self, mode):
        self.mode = mode

    def answer(self, _request, context):
        if self.mode == "bomb":
            context.set_compression(grpc.Compression.Gzip)
            return text_field(1, b"a" * BOMB)
        return text_field(1, context._rpc_event.call_details.host)  # grpcio has no public way

    def service(self, _details):
        return grpc.unary_unary_rpc_method_handler(self.answer)


def serve(socket, mode):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Answers(mode),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    print(os.getpid(), flush=True)
    time.sleep(30)


COMMANDS = {"call": call, "messages": messages, "bomb": bomb, "idle": idle, "hang": hang, "serve": serve}
COMMANDS[sys.argv[1]](*sys.argv[2:])
