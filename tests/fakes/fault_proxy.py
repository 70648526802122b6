# SPDX-License-Identifier: Apache-2.0
"""A plain HTTP proxy in front of a store, that misbehaves in one chosen way: what a real store
cannot be asked to do on demand."""
import http.server
import json
import ssl
import threading
import time
import urllib.error
import urllib.request


class FaultProxy:
    """Serves on loopback. `fault` is called with a Handler for each request whose path begins with
    `path`; it answers itself and returns True, or returns False to let the request pass."""

    def __init__(self, address, ca_file):
        self.upstream = address
        self.context = ssl.create_default_context(cafile=str(ca_file))
        self.fault = None
        self.path = "/v1/secret/"
        self.seen = []
        self.ended = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def misbehave(self, fault, path="/v1/secret/"):
        self.seen = []
        self.path = path
        self.fault = fault

    def handler(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy.fault and self.path.startswith(proxy.path):
                    proxy.seen.append(time.monotonic())
                    if proxy.fault(self):
                        return
                self.answer(*self.forward())

            def forward(self):
                """The store's own answer: status and body."""
                headers = {k: v for k, v in self.headers.items() if k.startswith("X-Vault")}
                request = urllib.request.Request(
                    proxy.upstream + self.path, data=self.body or None, headers=headers,
                    method=self.command,
                )
                try:
                    with urllib.request.urlopen(request, timeout=20, context=proxy.context) as got:
                        return got.status, got.read()
                except urllib.error.HTTPError as error:
                    return error.code, error.read()

            def answer(self, status, body, **headers):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def wait(self, seconds):
                """Waits, but not longer than the proxy lives."""
                proxy.ended.wait(seconds)

            do_GET = do_POST = do_PUT = serve  # pylint: disable=invalid-name

            def log_message(self, *_):
                """Says nothing: a line per call is no news."""

            def handle(self):
                try:
                    super().handle()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the caller had enough

        return Handler


# --- faults, each for FaultProxy.misbehave -------------------------------------------------------


def busy(times, retry_after="1"):
    """503 with Retry-After this many times, then nothing wrong."""
    left = [times]

    def fault(call):
        left[0] -= 1
        if left[0] < 0:
            return False
        call.answer(503, b'{"errors":["busy"]}', Retry_After=retry_after)
        return True

    return fault


def cut(call):
    """Half of the body, then the end of the connection."""
    status, body = call.forward()
    call.send_response(status)
    call.send_header("Content-Length", str(len(body)))
    call.end_headers()
    call.wfile.write(body[: len(body) // 2])
    call.close_connection = True
    return True


def half_json(call):
    """A whole body by HTTP that is half of a document."""
    status, body = call.forward()
    call.answer(status, body[: len(body) // 2])
    return True


def answers(status, body, **headers):
    """Always the same answer."""

    def fault(call):
        call.answer(status, body, **headers)
        return True

    return fault


def redirects_to(address):
    """307 to the same path elsewhere."""

    def fault(call):
        call.answer(307, b"", Location=address + call.path)
        return True

    return fault


def one_byte_a_second(call):
    status, body = call.forward()
    call.send_response(status)
    call.send_header("Content-Length", str(len(body)))
    call.end_headers()
    for i in range(min(len(body), 60)):
        call.wfile.write(body[i : i + 1])
        call.wait(1)
    call.close_connection = True
    return True


def never(call):
    call.wait(60)
    call.close_connection = True
    return True


def huge(total):
    """A value of this many bytes in a document that is otherwise right."""

    def fault(call):
        call.send_response(200)
        call.send_header("Content-Length", str(total))
        call.end_headers()
        sent = call.wfile.write(b'{"data":{"data":{"user":"')
        while sent < total:
            sent += call.wfile.write(b"x" * min(1 << 16, total - sent))
        return True

    return fault


def echo(call):
    """An error that quotes all that was sent: headers and body."""
    words = call.body.decode() + str(call.headers)
    call.answer(400, json.dumps({"errors": [words]}).encode())
    return True
