#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A server that speaks as much of the Kubernetes API as locket-agent's client uses, and misbehaves on
request.

    kube_fake.py [--tls FOLDER]

Prints one line, "ready PORT", and serves until its standard input ends, so that it cannot outlive the
test. --tls makes a certificate in FOLDER (ca.pem). Every collection, /apis/<group>/<version>/<plural>
with or without namespaces/<ns>, is a world of its own by its plural: lists in pages, watches, objects.
Below /apis/fake.dev/v1/fault/<kind> each call is answered wrongly in a way of its own.

    POST /fake/put/<plural>             an object: made or replaced
    POST /fake/delete/<plural>/<ns>/<name>
    POST /fake/bookmark/<plural>        to whoever watches
    POST /fake/set/<plural>             {"streams": bool, "page": n, "room": n, "token": text}
    POST /fake/fault/<plural>           {"on": "list", "more", "watch", "get" or "create", "kind": ...,
                                         "ns": only there, "after": events, "times": n, "seconds": to wait}
    POST /fake/heal/<plural>            no faults any more
    POST /fake/compact/<plural>         forgets history and continue tokens: 410
    POST /fake/drop/<plural>            ends the watches that run
    GET  /fake/truth/<plural>           lines "ns/name=version", sorted
    GET  /fake/log                      lines "MILLISECONDS METHOD path?query"
"""
import argparse
import collections
import http.server
import json
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

NEVER_S = 20
EVENT_TOO_LARGE = (4 << 20) + 1
END_MARK = {"k8s.io/initial-events-end": "true"}
HTML = b"<html><body>Please sign in</body></html>"
REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict",
           410: "Expired", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError"}


def status_of(code, message, reason=None):
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason or REASONS.get(code, "Unknown"), "code": code}


class Collection:
    """One world: its objects, what happened to them, and what is to go wrong."""

    def __init__(self):
        self.changed = threading.Condition()
        self.version = 100
        self.oldest = 0  # events up to this one are forgotten
        self.objects = {}  # (ns, name): object
        self.events = []  # (version, type, object)
        self.faults = []
        self.era = 0  # watches of an earlier one end
        self.marks = 0
        self.settings = {"streams": True, "page": 500, "room": 500, "token": None}

    def record(self, kind, thing):
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, kind, json.loads(json.dumps(thing))))
        self.changed.notify_all()

    def last_event(self):
        return self.events[-1][0] if self.events else 0

    def put(self, thing):
        with self.changed:
            meta = thing["metadata"]
            key = (meta.get("namespace", "default"), meta["name"])
            kind = "MODIFIED" if key in self.objects else "ADDED"
            self.objects[key] = thing
            self.record(kind, thing)

    def delete(self, key):
        with self.changed:
            thing = self.objects.pop(key, None)
            if thing:
                self.record("DELETED", thing)

    def take_fault(self, where, ns=None):
        with self.changed:
            for fault in self.faults:
                if (fault["on"] == where and fault.get("times", 1) > 0 and
                        fault.get("ns") in (None, ns)):
                    fault["times"] = fault.get("times", 1) - 1
                    return fault
        return {"kind": "none"}

    def truth(self):
        with self.changed:
            return "".join(f"{ns}/{name}={o['metadata']['resourceVersion']}\n"
                           for (ns, name), o in sorted(self.objects.items()))


class State:
    """What all connections share."""

    def __init__(self):
        self.lock = threading.Lock()
        self.collections = collections.defaultdict(Collection)
        self.log = []
        self.began = time.monotonic()

    def collection(self, plural):
        with self.lock:
            return self.collections[plural]

    def note(self, line):
        with self.lock:
            self.log.append(f"{int((time.monotonic() - self.began) * 1000)} {line}\n")


class Stop(Exception):
    """This answer has come to its end, good or bad."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state = None

    # --- answers ---------------------------------------------------------------------------------

    def send(self, code, body=b"", headers=()):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, code, document, headers=()):
        self.send(code, json.dumps(document).encode(), [("Content-Type", "application/json"), *headers])

    def refuse(self, code, message="so it is", headers=(), reason=None):
        self.answer(code, status_of(code, message, reason), headers)

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def vanish(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True  # pylint: disable=attribute-defined-outside-init
        raise Stop

    # --- requests --------------------------------------------------------------------------------

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)  # pylint: disable=attribute-defined-outside-init
        parts = [urllib.parse.unquote(p) for p in url.path.strip("/").split("/")]
        query = dict(urllib.parse.parse_qsl(url.query))
        if parts[0] == "fake":
            return self.control(*parts[1:])
        self.state.note(f"{self.command} {self.path}")
        try:
            return self.route(parts, query)
        except Stop:
            return None

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def control(self, what, plural="", *rest):
        if what == "log":
            with self.state.lock:
                return self.send(200, "".join(self.state.log).encode())
        world = self.state.collection(plural)
        if what == "truth":
            return self.send(200, world.truth().encode())
        if what == "put":
            world.put(json.loads(self.body))
        elif what == "delete":
            world.delete(tuple(rest))
        else:
            with world.changed:
                self.change(world, what)
                world.changed.notify_all()
        return self.send(200)

    def change(self, world, what):
        if what == "set":
            world.settings.update(json.loads(self.body))
        elif what == "fault":
            world.faults.append(json.loads(self.body))
        elif what == "heal":
            world.faults.clear()
        elif what == "compact":
            world.oldest = world.version
        elif what == "drop":
            world.era += 1
        elif what == "bookmark":
            world.version += 1
            world.marks += 1

    def route(self, parts, query):
        if parts[:3] == ["apis", "fake.dev", "v1"] and parts[3:4] == ["fault"]:
            return self.fault_call(parts[4])
        if len(parts) < 4 and parts[0] in ("api", "apis") and "watch" not in query:
            return self.discover(parts)
        rest = parts[3 if parts[0] == "apis" else 2:]
        ns = rest[1] if rest[0] == "namespaces" and len(rest) > 2 else None
        rest = rest[2:] if ns else rest
        world = self.state.collection(rest[0])
        token = world.settings["token"]
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            return self.refuse(401, "Unauthorized")
        if len(rest) == 2:
            return self.one(world, (ns or "default", rest[1]), query)
        if "watch" in query:
            return self.watch(world, ns, query)
        if self.command == "POST":
            return self.create(world, ns)
        return self.list(world, ns, query)

    def discover(self, parts):
        """What is served, for clients that ask: every collection, as things of one group."""
        version = {"groupVersion": "fake.dev/v1", "version": "v1"}
        group = {"name": "fake.dev", "versions": [version], "preferredVersion": version}
        if parts == ["api"]:
            return self.answer(200, {"kind": "APIVersions", "versions": []})
        if parts == ["apis"]:
            return self.answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})
        if len(parts) == 2:
            return self.group(self.state.collection("groups"), group)
        with self.state.lock:
            names = list(self.state.collections)
        return self.answer(200, {
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "fake.dev/v1",
            "resources": [{"name": name, "kind": "Thing", "namespaced": True, "singularName": "",
                           "verbs": ["get", "list", "watch"]} for name in names]})

    def group(self, world, group):
        """Of any name; in the versions that a test has set."""
        self.misbehave(world.take_fault("get"), 3)
        versions = [{"version": v} for v in world.settings.get("served", ())]
        return self.answer(200, {"kind": "APIGroup", "apiVersion": "v1", **group,
                                 **({"versions": versions} if versions else {})})

    def one(self, world, key, query):
        fault = world.take_fault("get")
        if fault["kind"] == "stale" and query.get("resourceVersion") == "0":  # a cache that is behind
            return self.answer(200, {"kind": "SecretProviderClass",
                                     "apiVersion": "secrets-store.csi.x-k8s.io/v1",
                                     "metadata": {"name": key[1], "namespace": key[0], "uid": "past"},
                                     "spec": {"provider": "past"}})
        self.misbehave(fault, 3)
        with world.changed:
            thing = world.objects.get(key)
        if not thing:
            return self.refuse(404, f'things "{key[1]}" not found')
        return self.answer(200, thing)

    def create(self, world, ns):
        self.misbehave(world.take_fault("create", ns))
        thing = json.loads(self.body)
        with world.changed:
            there = (ns, thing["metadata"]["name"]) in world.objects
        if there:
            return self.refuse(409, "it is there", reason="AlreadyExists")
        world.put(thing)
        return self.answer(201, thing)

    # --- lists -----------------------------------------------------------------------------------

    def list(self, world, ns, query):
        self.misbehave(world.take_fault("more" if "continue" in query else "list"))
        with world.changed:
            # A token is VERSION.OFFSET; what it goes on with is not a snapshot: the tests do not change
            # a collection between its pages.
            at = query.get("continue", f"{world.version}.0").split(".")
            if int(at[0]) < world.oldest:
                expired = True
            else:
                expired = False
                found = [o for key, o in sorted(world.objects.items()) if ns in (None, key[0])]
                offset, limit = int(at[1]), min(world.settings["page"], int(query.get("limit", 500)))
                items, more = found[offset:offset + limit], len(found) > offset + limit
        if expired:
            return self.refuse(410, "the provided continue parameter is too old")
        if len(items) > world.settings["room"]:  # objects so large that no more have room in a page
            return self.send(200, b'"' + b"x" * EVENT_TOO_LARGE + b'"')
        meta = {"resourceVersion": at[0]}
        if more:
            meta["continue"] = f"{at[0]}.{offset + limit}"
        return self.answer(200, {"kind": "ThingList", "apiVersion": "v1", "metadata": meta,
                                 "items": items})

    def misbehave(self, fault, hang_s=NEVER_S):
        """A call that goes wrong before its answer's first byte; then Stop is raised."""
        kind = fault["kind"]
        answers = {
            "html": lambda: self.send(200, HTML, [("Content-Type", "text/html")]),
            "html502": lambda: self.send(502, HTML, [("Content-Type", "text/html")]),
            "html404": lambda: self.send(404, HTML, [("Content-Type", "text/html")]),
            "garbage": lambda: self.send(200, b'{"kind":"ThingList","items":[{]}'),
            "object": lambda: self.send(200, b"{}"),
            "versionless": lambda: self.send(200, b'{"metadata":{},"items":[]}'),
            "later": lambda: self.refuse(429, "slow down", [("Retry-After", str(fault.get("seconds", 1)))]),
            "busy": lambda: self.send(429, b"Too many", [("Retry-After", str(fault.get("seconds", 1)))]),
            "nocode": lambda: self.answer(500, {"kind": "Status", "message": "odd"}),
            "end": lambda: self.send(200),
            "vanish": self.vanish,
        }
        if kind in answers:
            answers[kind]()
            raise Stop
        if kind == "hang":
            time.sleep(hang_s)
            self.vanish()
        if kind[0] == "s" and kind[1:].isdigit():
            self.refuse(int(kind[1:]))
            raise Stop

    # --- watches ---------------------------------------------------------------------------------

    def watch(self, world, ns, query):
        fault = world.take_fault("watch")
        streamed = query.get("sendInitialEvents") == "true"
        if fault["kind"] != "none":
            self.misbehave(fault)
        if streamed and not world.settings["streams"]:
            return self.refuse(400, "sendInitialEvents is forbidden for watch", reason="Invalid")
        with world.changed:
            since = world.version if streamed else int(query.get("resourceVersion", "0"))
            first = [("ADDED", o) for k, o in sorted(world.objects.items()) if ns in (None, k[0])]
            expired, era, marks = since < world.oldest, world.era, world.marks
        if expired:
            return self.refuse(410, "too old resource version")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sender = Sender(self, fault)
        if streamed:
            for kind, thing in first:
                sender.event(kind, thing)
            sender.mark(since, END_MARK)
        sender.is_due()
        self.follow(world, ns, sender, (since, era, marks))
        return self.chunk(b"")

    def follow(self, world, ns, sender, start):
        since, era, marks = start
        until = time.monotonic() + NEVER_S
        while time.monotonic() < until and world.era == era:
            with world.changed:
                if world.last_event() <= since and world.marks == marks and world.era == era:
                    world.changed.wait(0.5)
                new = [e for e in world.events if e[0] > since]
                since = max([since] + [e[0] for e in new])
                mark, marks, version = world.marks != marks, world.marks, world.version
            for _, kind, thing in new:
                if ns in (None, thing["metadata"].get("namespace", "default")):
                    sender.event(kind, thing)
            if mark and not new:
                sender.mark(version, {})

    # --- calls that are answered wrongly -----------------------------------------------------------

    def fault_call(self, kind):
        auth = self.headers.get("Authorization", "nobody")
        table = {
            "fine": lambda: self.answer(200, {"kind": "Thing", "who": auth}),
            "echo": lambda: self.answer(200, {"method": self.command, "body": self.body.decode(),
                                                 "type": self.headers.get("Content-Type"),
                                                 "accept": self.headers.get("Accept")}),
            "exists": lambda: self.refuse(409, "it is there", reason="AlreadyExists"),
            "later": lambda: self.refuse(429, "slow down", [("Retry-After", "7")]),
            "html": lambda: self.send(200, HTML, [("Content-Type", "text/html")]),
            "html502": lambda: self.send(502, HTML, [("Content-Type", "text/html")]),
            "html404": lambda: self.send(404, HTML, [("Content-Type", "text/html")]),
            "garbage": lambda: self.send(200, b'{"kind":'),
            "codeless": lambda: self.answer(410, {"kind": "Status", "message": "odd"}),
            "oddcode": lambda: self.answer(404, {**status_of(404, "odd"), "code": "4e2"}),
            "hugecode": lambda: self.answer(404, {**status_of(404, "odd"), "code": 99999999999999999999}),
            "wordy": lambda: self.refuse(403, "a\nb\u001b[31m" + "\u00e9" * 900),
            "empty": lambda: self.send(200),
            "large": lambda: self.send(200, b'"' + b"x" * EVENT_TOO_LARGE + b'"'),
            "moved": lambda: self.send(302, b"", [("Location", "/apis/fake.dev/v1/fault/fine")]),
            "secret": lambda: self.refuse(422, "cannot take " + self.body.decode()),
        }
        if kind in table:
            return table[kind]()
        self.misbehave({"kind": kind})
        return self.refuse(404)


class Sender:
    """Writes a watch's events, of which one may go wrong: that after `after` good ones."""

    def __init__(self, handler, fault):
        self.handler = handler
        self.fault = fault
        self.left = fault.get("after", 0)

    def line(self, kind, thing):
        return json.dumps({"type": kind, "object": thing}).encode() + b"\n"

    def mark(self, version, notes):
        self.send("BOOKMARK", {"kind": "Thing", "metadata": {"resourceVersion": str(version),
                                                             "annotations": notes}})

    def event(self, kind, thing):
        self.send(kind, thing)

    def send(self, kind, thing):
        self.is_due(kind, thing)
        self.handler.chunk(self.line(kind, thing))
        self.left -= 1

    def is_due(self, kind="MODIFIED", thing=None):
        wrong = getattr(self, "wrong_" + self.fault["kind"], None)
        if wrong and self.left <= 0:
            self.fault = {"kind": "none"}
            line = self.line(kind, thing or {"metadata": {"name": "nobody", "namespace": "nowhere",
                                                          "resourceVersion": "1"}})
            wrong(line, thing)

    def finish(self, data=b""):
        if data:
            self.handler.chunk(data)
        self.handler.chunk(b"")
        raise Stop

    def error(self, status):
        self.finish(self.line("ERROR", status))

    def wrong_error410(self, *_):
        self.error(status_of(410, "too old resource version"))

    def wrong_error500(self, *_):
        self.error(status_of(500, "no"))

    def wrong_error400(self, *_):
        self.error(status_of(400, "no"))

    def wrong_codeless(self, *_):
        self.error({"kind": "Status", "reason": "Expired", "message": "too old"})

    def wrong_empty(self, *_):
        self.error({})

    def wrong_stop(self, *_):
        self.finish()

    def wrong_reset(self, *_):
        self.handler.vanish()

    def wrong_cut(self, line, _):
        self.finish(line[:len(line) // 2])

    def wrong_torn(self, line, _):
        self.handler.chunk(line[:len(line) // 2])
        self.handler.vanish()

    def wrong_unended(self, line, _):
        self.finish(line[:-1])

    def wrong_split(self, line, thing):
        if not thing:
            return
        for part in (line[:1], line[1:20], line[20:-1]):
            self.handler.chunk(part)
            time.sleep(0.02)
        self.handler.chunk(b"\n\n" + line)

    def wrong_broken(self, *_):
        self.finish(b'{"type":"ADDED","object":{\n')

    def wrong_odd(self, *_):
        self.finish(b'["no", "event"]\n')

    def wrong_nothing(self, *_):
        self.finish(b'{"type":"ADDED","object":null}\n')

    def wrong_utf8(self, *_):
        self.finish(b'{"type":"ADDED","object":{"metadata":{"name":"\xff"}}}\n')

    def wrong_foreign(self, *_):
        self.handler.chunk(b'{"type":"LATER","object":{}}\n')

    def wrong_page(self, *_):
        self.finish(HTML + b"\n")

    def wrong_twice(self, line, thing):
        if thing:
            self.handler.chunk(line)

    def wrong_midmark(self, *_):
        """A bookmark inside of a streamed list, whose end then never comes."""
        self.finish(self.line("BOOKMARK", {"kind": "Thing", "metadata": {"resourceVersion": "104"}}))

    def wrong_huge(self, *_):
        long = {"metadata": {"name": "huge", "namespace": "nowhere"}, "x": "y" * EVENT_TOO_LARGE}
        self.finish(self.line("ADDED", long))

    def wrong_endless(self, *_):
        for _ in range(EVENT_TOO_LARGE >> 15):
            self.handler.chunk(b"y" * (1 << 16))
        self.finish()

    def wrong_silence(self, *_):
        time.sleep(NEVER_S)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem", "-subj",
                    "/CN=fake", "-addext", "subjectAltName=DNS:kube.test,IP:127.0.0.1", "-days", "2"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tls", help="a folder for the certificate")
    given = parser.parse_args()
    Handler.state = State()
    Handler.log_message = lambda *_: None
    server = Server(("127.0.0.1", 0), Handler)
    if given.tls:
        folder = pathlib.Path(given.tls)
        make_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "ca.pem", folder / "ca.key")
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
