#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A server that speaks as much of Vault's API as the vault store uses, and misbehaves on request.

    vault_fake.py [--unix PATH] [--tls FOLDER] [--client-ca] [--elsewhere URL]

Prints one line, "ready PORT" (0 on a unix socket), and serves until its standard input ends, so that
it cannot outlive the test. --tls makes a CA, a server's and a client's certificate in FOLDER.
What it knows: auth/<mount>/login (kubernetes, jwt, approle), auth/token/*-self, KV v2 at secret/, KV v1
at kv/, leases at database/, certificates of a kind at pki/, and below fault/<kind>[:N]/ whatever can
go wrong (N: only the first N times). /fake/log tells what was asked, /fake/revoke ends every token."""
import argparse
import base64
import collections
import http.server
import itertools
import json
import os
import pathlib
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import warnings

TOO_LARGE = 9 << 20
LOGIN_ID = "00000000-0000-4000-9000-000000000000"
NEVER_S = 20
SECRET = {"user": "anna", "password": "s3cret-w0rd", "number": 12345678901234567890, "float": 1.50,
          "list": [1, "<b>&"], "map": {"z": 1, "a": None}, "b64": "AP8=", "hex": "00ff", "empty": ""}


class State:
    """What all connections share."""

    def __init__(self, elsewhere):
        self.lock = threading.Lock()
        self.tokens = {}  # token: end of its life, or None
        self.asked = collections.Counter()
        self.seen = []  # [method, path, body] of calls to the API
        self.counter = itertools.count(1)
        self.elsewhere = elsewhere
        self.written = {}  # (namespace, path): versions of KV v2, or [data] of v1

    def next(self):
        with self.lock:
            return next(self.counter)

    def login(self, lease_s):
        token = f"hvs.fake-{base64.b32encode(os.urandom(15)).decode()}"
        with self.lock:
            self.tokens[token] = time.monotonic() + lease_s if lease_s else None
        return token

    def is_valid(self, token):
        with self.lock:
            end = self.tokens.get(token, 0)
        return end is None or end > time.monotonic()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    state = None

    # --- answers ---------------------------------------------------------------------------------

    def send(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer(self, status, document, headers=()):
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send(status, text, [("Content-Type", "application/json"), *headers])

    def refuse(self, status, *errors, headers=()):
        self.answer(status, {"errors": list(errors)}, headers)

    def secret(self, data, **more):
        self.answer(200, {"request_id": f"00000000-0000-4000-8000-{self.state.next():012x}", "lease_id": "", "renewable": False,
                          "lease_duration": 0, "data": data, "wrap_info": None, "warnings": None,
                          "auth": None, **more})

    # --- requests --------------------------------------------------------------------------------

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)  # pylint: disable=attribute-defined-outside-init
        path = urllib.parse.unquote(url.path)
        if path.startswith("/fake/"):
            return self.control(path)
        with self.state.lock:
            self.state.asked[f"{self.command} {path}"] += 1
            self.state.seen.append([self.command, self.path, self.body.decode("latin-1")])
        if self.headers.get("X-Vault-Request") != "true":
            return self.refuse(412, "missing X-Vault-Request header")
        if not path.startswith("/v1/"):
            return self.send(404, b"404 page not found\n")
        parts = path[len("/v1/"):].split("/")
        if parts[0] == "auth" and parts[-1] == "login":
            return self.login("/".join(parts[1:-1]))
        if parts[0] == "sys":
            return self.health()
        if not self.state.is_valid(self.headers.get("X-Vault-Token")):
            return self.refuse(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
        served = {"secret": self.kv2, "kv": self.kv1, "database": self.lease, "pki": self.issue,
                  "auth": self.own_token, "fault": self.fault}
        return served.get(parts[0], self.not_found)(parts[1:], urllib.parse.parse_qs(url.query))

    do_GET = do_POST = do_PUT = do_LIST = do_HEAD = do_DELETE = serve

    def not_found(self, *_):
        self.refuse(404)

    def health(self):
        self.answer(200, {"initialized": True, "sealed": False, "standby": False})

    def control(self, path):
        with self.state.lock:
            if path == "/fake/revoke":
                self.state.tokens.clear()
            elif path == "/fake/forget":
                self.state.asked.clear()
                self.state.seen.clear()
            known = {"asked": dict(self.state.asked), "seen": self.state.seen,
                     "tokens": sorted(self.state.tokens)}
        self.answer(200, known)

    def login(self, mount):
        given = json.loads(self.body)
        role = given.get("role", "")
        if "role_id" in given:
            if (given["role_id"], given.get("secret_id")) != ("fake-role-id", "fake-secret-id"):
                return self.refuse(400, "invalid role or secret ID")
        elif not given.get("jwt", "").startswith("good"):
            return self.refuse(403, "permission denied: " + given.get("jwt", "")[:64])
        odd = {
            "no-auth": lambda: self.answer(200, {"auth": None, "data": {}}),
            "html": lambda: self.send(200, b"<html>Please sign in</html>"),
            "odd-token": lambda: self.answer(200, {"auth": {"client_token": "a\r\nX-Evil: b"}}),
            "unknown": lambda: self.refuse(400, f'invalid role name "{role}"'),
            "echo": lambda: self.refuse(400, "cannot parse " + given["jwt"]),
            "lists": lambda: self.answer(200, []),
        }
        if role in odd:
            return odd[role]()
        if role == "slow":
            time.sleep(0.7)
        if role == "hangs":
            time.sleep(NEVER_S)
        lease_s = {"short": 3, "for-ever": 0}.get(role, 3600)
        token = self.state.login(lease_s)
        auth = {"client_token": token, "accessor": "fake", "policies": ["default"], "metadata": {},
                "token_policies": ["default"], "lease_duration": lease_s, "renewable": True,
                "entity_id": "e", "token_type": "service", "orphan": True, "mount": mount}
        return self.answer(200, {"request_id": LOGIN_ID, "auth": auth, "data": None})

    def own_token(self, parts, _):
        token = self.headers["X-Vault-Token"]
        if parts[:2] == ["token", "lookup-self"]:
            return self.secret({"id": token, "ttl": 3600, "policies": ["default"]})
        if parts[:2] == ["token", "revoke-self"]:
            with self.state.lock:
                self.state.tokens.pop(token, None)
            return self.send(204)
        return self.refuse(404)

    def namespace(self):
        return self.headers.get("X-Vault-Namespace", "").strip("/")

    def kv2(self, parts, query):
        if parts[0] == "metadata":
            return self.secret({"keys": ["db"]})
        key = (self.namespace(), "/".join(parts[1:]))
        with self.state.lock:
            versions = self.state.written.setdefault(key, [])
            if self.command in ("POST", "PUT"):
                versions.append(json.loads(self.body)["data"])
            elif key[1] == "db" and not versions:
                versions.append({**SECRET, "namespace": key[0]})
            wanted = int(query.get("version", ["0"])[0]) or len(versions)
            found = versions[wanted - 1] if 0 < wanted <= len(versions) else None
        metadata = {"created_time": "2026-01-01T00:00:00Z", "custom_metadata": None, "version": wanted,
                    "deletion_time": "", "destroyed": False}
        if self.command in ("POST", "PUT"):
            return self.secret(metadata)
        if found is None:
            return self.refuse(404)
        return self.secret({"data": found, "metadata": metadata}, mount_type="kv")

    def kv1(self, parts, _):
        key = (self.namespace(), "v1/" + "/".join(parts))
        with self.state.lock:
            if self.command in ("POST", "PUT"):
                self.state.written[key] = [json.loads(self.body)]
                found = {}
            else:
                nested = {"data": {"user": "inner"}, "user": "outer"}
                found = self.state.written.get(key, [nested if parts[0] == "nested" else SECRET])[0]
        if self.command in ("POST", "PUT"):
            return self.send(204)
        return self.secret(found, lease_duration=2764800)

    def lease(self, parts, _):
        number = self.state.next()
        made = {"username": f"v-user-{number}", "password": f"pass-{number}"}
        if parts[0] == "static-creds":
            return self.secret({**made, "ttl": 600, "rotation_period": 3600,
                                "last_vault_rotation": "2026-01-01T00:00:00Z"})
        return self.secret(made, lease_id=f"database/creds/x/{number}", lease_duration=900,
                           renewable=True)

    def issue(self, *_):
        number = self.state.next()
        args = json.loads(self.body or b"{}")
        name = args.get("common_name", "")
        self.secret({"certificate": f"crt {name} {number}", "private_key": f"key {name} {number}",
                     "serial": number, "asked": args})

    # --- what can go wrong -----------------------------------------------------------------------

    def fault(self, parts, _):
        kind, _, times = parts[0].partition(":")
        with self.state.lock:
            count = self.state.asked[f"{self.command} {urllib.parse.unquote(self.path)}"]
        if times and count > int(times):
            return self.secret(SECRET)
        return getattr(self, "fault_" + kind, self.not_found)()

    def raw(self, text, status=200):
        self.answer(status, text)

    def fault_slow(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(NEVER_S):
            self.wfile.write(b" ")
            time.sleep(1)

    def fault_slowheaders(self):
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * NEVER_S:
            self.wfile.write(bytes([byte]))
            time.sleep(0.5)

    def fault_never(self):
        time.sleep(NEVER_S)

    def fault_reset(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"data\":{")
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True  # pylint: disable=attribute-defined-outside-init

    def fault_cut(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"data\":{\"user\":\"x\"}}")
        self.close_connection = True  # pylint: disable=attribute-defined-outside-init

    def fault_chunk(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{\"data\":{")
        self.close_connection = True  # pylint: disable=attribute-defined-outside-init

    def fault_truncated(self):
        self.raw(b'{"data":{"user":"s3cret-w0rd')

    def fault_html(self):
        self.send(200, b"<html><body>Please sign in: s3cret-w0rd</body></html>")

    def fault_many(self):
        self.raw(b'{"data":["' + b"s3cret-w0rd " * 5000 + b'"]}')

    def fault_huge(self):
        self.raw(b'{"data":{"user":"' + b"x" * TOO_LARGE + b'"}}')

    def fault_endless(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.close_connection = True  # pylint: disable=attribute-defined-outside-init
        for _ in range(TOO_LARGE >> 16):
            self.wfile.write(b" " * (1 << 16))

    def fault_headers(self):
        self.send(200, b"{}", [(f"X-{i}", "y" * 8000) for i in range(64)])

    def fault_gzip(self):
        self.send(200, b"\x1f\x8b\x08\x00garbage", [("Content-Encoding", "gzip")])

    def fault_duplicate(self):
        self.raw(b'{"data":{"user":"s3cret-w0rd","user":"b"}}')

    def fault_deep(self):
        self.raw(b'{"data":' + b"[" * 10000 + b"]" * 10000 + b"}")

    def fault_utf8(self):
        self.raw(b'{"data":{"user":"\xff\xfe"}}')

    def fault_nul(self):
        self.raw(b'{"data":{"user":"a\\u0000b"}}')

    def fault_empty(self):
        self.send(204)

    def fault_noerrors(self):
        self.raw(b'{"errors":[]}')

    def fault_list(self):
        self.raw(b"[1,2]")

    def fault_nodata(self):
        self.raw(b'{"request_id":"r","data":null,"warnings":["nothing here"]}')

    def fault_document(self):
        self.raw(b'{"user":"raw","nested":{"b":1,"a":2}}')

    def fault_echoid(self):
        self.answer(200, {"request_id": self.headers["X-Vault-Token"], "data": {"user": "anna"}})

    def fault_valueid(self):
        self.raw(b'{"request_id":"s3cret-w0rd","user":"anna"}')

    def fault_echo(self):
        self.refuse(400, "bad header X-Vault-Token: " + self.headers["X-Vault-Token"])

    def fault_echoargs(self):
        self.refuse(400, "bad body " + self.body.decode())

    def fault_words(self):
        self.refuse(400, "a\nb\tc \x1b[31m" + "\u00e9" * 150, "second")

    def fault_s301(self):
        self.send(301, b"", [("Location", "/v1/secret/data/db")])

    def fault_s307(self):
        self.send(307, b"", [("Location", "/v1/secret/data/db")])

    def fault_loop(self):
        self.send(307, b"", [("Location", self.path)])

    def fault_elsewhere(self):
        self.send(307, b"", [("Location", self.state.elsewhere)])

    def fault_s412(self):
        self.refuse(412, "required index state not present")

    def fault_s429(self):
        self.refuse(429, "request path is limited", headers=[("Retry-After", "1")])

    def fault_later(self):
        self.refuse(429, "request path is limited", headers=[("Retry-After", "3600")])

    def fault_dated(self):
        when = self.date_time_string(time.time() + 120)
        self.refuse(429, "request path is limited", headers=[("Retry-After", when)])

    def fault_s403(self):
        self.refuse(403, "permission denied")

    def fault_s500(self):
        self.refuse(500, "internal error: s3cret-w0rd")

    def fault_s501(self):
        self.refuse(501, "not here")

    def fault_s503(self):
        self.refuse(503, "Vault is sealed")

    def log_message(self, *_):
        """Says nothing: the tests ask /fake/log."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


class UnixServer(Server):
    address_family = socket.AF_UNIX

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0

    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("localhost", 0)


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def make_certificates(folder):
    """ca.pem, other-ca.pem (of nobody), server.pem, client.pem, each with its key."""
    new_key = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "other-ca"):
        openssl(*new_key, "-x509", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem",
                "-subj", f"/CN=fake {name}", "-days", "2")
    for name, alt in (("server", "DNS:vault.test,IP:127.0.0.1"), ("client", "DNS:client.test"),
                      ("wrong", "DNS:somebody.else")):
        extension = folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={alt}\n")
        openssl(*new_key, "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr", "-subj",
                f"/CN={name}")
        openssl("x509", "-req", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/ca.pem", "-CAkey",
                f"{folder}/ca.key", "-CAcreateserial", "-days", "2", "-extfile", str(extension), "-out",
                f"{folder}/{name}.pem")


def make_server(given):
    handler = type("Bound", (Handler,), {"state": State(given.elsewhere)})
    if given.unix:
        return UnixServer(given.unix, handler)
    server = Server(("127.0.0.1", 0), handler)
    if not given.tls:
        return server
    folder = pathlib.Path(given.tls)
    if not (folder / "ca.pem").exists():
        make_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{given.certificate}.pem", folder / f"{given.certificate}.key")
    if given.client_ca:
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    if given.old_tls:
        context.set_ciphers("ALL:@SECLEVEL=0")
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    return server


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unix")
    parser.add_argument("--tls", help="a folder for the certificates")
    parser.add_argument("--certificate", default="server", help="server or wrong")
    parser.add_argument("--client-ca", action="store_true", help="a client needs a certificate")
    parser.add_argument("--old-tls", action="store_true", help="TLS 1.1 and nothing else")
    parser.add_argument("--elsewhere", default="", help="where fault/elsewhere sends the client")
    server = make_server(parser.parse_args())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
