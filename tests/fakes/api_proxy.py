# SPDX-License-Identifier: Apache-2.0
"""A proxy before an API server, under its own certificate, that misbehaves in one chosen way: slow,
silent, away, or with an answer of its own to some calls. Streams go through piece by piece."""
import http.client
import http.server
import json
import re
import socket
import ssl
import threading
import time


def status(code, reason, message):
    """A Status object, as the API server refuses with."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
            "reason": reason, "message": message}


class ApiProxy:
    """Serves on loopback. `fault` is called with each call (a Handler); it answers itself and returns
    True, or returns False to let it pass. `seen` are (monotonic time, method, path)."""

    def __init__(self, port, cert, key):
        self.upstream = port
        self.fault = None
        self.seen = []
        self.calls = set()  # connections of clients
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.trust = ssl.create_default_context(cafile=str(cert))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that goes away is no news
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def misbehave(self, fault):
        """From now on; what was waiting for the end of the fault before goes on."""
        self.ended.set()
        self.ended = threading.Event()
        self.seen = []
        self.fault = fault

    def heal(self):
        """Nothing is wrong any more. Returns when that was."""
        self.misbehave(None)
        return time.monotonic()

    def cut(self):
        """Ends every connection of a client, watches too."""
        with self.lock:
            for connection in self.calls:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def asked(self, method, pattern):
        """When a call of this method came whose path has the pattern."""
        return [at for at, m, path in self.seen if m == method and re.search(pattern, path)]

    def handler(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                with proxy.lock:
                    proxy.calls.add(self.connection)

            def finish(self):
                with proxy.lock:
                    proxy.calls.discard(self.connection)
                try:
                    super().finish()
                except OSError:
                    pass

            def serve(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.seen.append((time.monotonic(), self.command, self.path))
                if not (proxy.fault and proxy.fault(self)):
                    self.forward()

            def is_watch(self):
                return "watch=true" in self.path

            def forward(self):
                up = http.client.HTTPSConnection("127.0.0.1", proxy.upstream, context=proxy.trust,
                                                 timeout=700)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                try:
                    up.request(self.command, self.path, self.body or None, headers)
                    self.pass_on(up.getresponse())
                except OSError:
                    self.close_connection = True
                finally:
                    up.close()

            def pass_on(self, got):
                self.send_response(got.status)
                for name, value in got.getheaders():
                    if name.lower() in ("content-type", "retry-after"):
                        self.send_header(name, value)
                if not self.is_watch():
                    body = got.read()
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while piece := got.read1(1 << 16):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

            def answer(self, code, document, **headers):
                body = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def drop(self):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

            def log_message(self, *_):
                """Says nothing: a line per call is no news."""

        return Handler


# --- faults, each for ApiProxy.misbehave ---------------------------------------------------------


def slow(seconds):
    """Each call is late by so much."""

    def fault(call):
        time.sleep(seconds)
        return False

    return fault


def silent(proxy):
    """Takes each call and answers none until the fault is over."""

    def fault(call):
        proxy.ended.wait(60)
        call.drop()
        return True

    return fault


def away(call):
    """Every connection ends at once."""
    call.drop()
    return True


def answers(method, pattern, code, document, times=None, **headers):
    """This answer to the calls of the method whose path has the pattern, so many times."""
    left = [times if times is not None else 1 << 30]

    def fault(call):
        if call.command != method or not re.search(pattern, call.path) or left[0] <= 0:
            return False
        left[0] -= 1
        call.answer(code, document, **headers)
        return True

    return fault
