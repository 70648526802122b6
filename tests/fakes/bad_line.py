#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A bad line to a provider: passes a connection on to the real one and spoils what comes back.

    bad_line.py SOCKET BEHIND HOW      HOW: half (a part, then the end), slow (a byte a second),
                                       text (no HTTP/2 at all)
"""
import os
import socket
import sys
import threading
import time

HALF_BYTES = 120  # settings and the first of an answer's headers
TEXT = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass


def spoil(how, source, sink):
    """From the provider to its caller."""
    passed = 0
    try:
        while data := source.recv(1 if how == "slow" else 16):
            if how == "half" and passed + len(data) > HALF_BYTES:
                break
            sink.sendall(data)
            passed += len(data)
            if how == "slow" and passed > 60:
                time.sleep(1)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(how, behind, caller):
    if how == "text":
        caller.sendall(TEXT)
        caller.close()
        return
    provider = socket.socket(socket.AF_UNIX)
    provider.connect(behind)
    threading.Thread(target=pump, args=(caller, provider), daemon=True).start()
    spoil(how, provider, caller)


def main():
    path, behind, how = sys.argv[1:]
    os.umask(0o077)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    while True:
        caller, _ = listener.accept()
        threading.Thread(target=serve, args=(how, behind, caller), daemon=True).start()


main()
