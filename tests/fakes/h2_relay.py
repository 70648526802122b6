# SPDX-License-Identifier: Apache-2.0
"""A relay before an API server, under its own certificate, that offers nothing but HTTP/2 and passes its bytes on as
they are: what goes through it is HTTP/2 to both."""
import select
import socket
import ssl
import threading


class H2Relay:
    """Serves on loopback. `spoken` is what each connection of a client agreed on; None: not on HTTP/2, so it was
    closed."""

    def __init__(self, port, cert, key):
        self.upstream = port
        self.spoken = []
        self.inward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.inward.load_cert_chain(cert, key)
        self.outward = ssl.create_default_context(cafile=str(cert))
        for context in (self.inward, self.outward):
            context.set_alpn_protocols(["h2"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            with self.inward.wrap_socket(client, server_side=True) as near:
                self.spoken.append(near.selected_alpn_protocol())
                if self.spoken[-1] == "h2":
                    self.relay(near)
        except OSError:
            pass  # a client that goes away is no news

    def relay(self, near):
        with socket.create_connection(("127.0.0.1", self.upstream)) as plain, \
                self.outward.wrap_socket(plain, server_hostname="127.0.0.1") as far:
            other = {near: far, far: near}
            while True:
                ready = [end for end in other if end.pending()] or select.select(list(other), [], [])[0]
                for end in ready:
                    try:
                        end.settimeout(0.05)  # what came may be no data, such as a session's ticket
                        piece = end.recv(1 << 16)
                    except TimeoutError:
                        continue
                    if not piece:
                        return
                    other[end].settimeout(10)
                    other[end].sendall(piece)
