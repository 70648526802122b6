#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tokens that kubelet did not send: locket-provider asks a real API server for them, by the role and under
the policy of deploy/daemonset/components/minting, and a store looks at them as stores do."""
import base64
import http.server
import json
import pathlib
import ssl
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from harness import BUILD, ROOT, accepts, expect, expect_equal, memory, run, run_tests, test, wait_until
from objects import pod, provider_class
from store import children_of
from world import World

LOGIN_ID, READ_ID = (f"00000000-0000-4000-8000-00000000000{i}" for i in (1, 2))
PROVIDER = "locket-provider"
AUDIENCE = 'https://store.example/"a"'
OBJECTS = json.dumps([{"objectName": "password", "secretPath": "kv/db", "secretKey": "password"}])


class Store:
    """As much of Vault as a login and a read need. Whose a token is, it asks the API server."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.jwts, self.tokens = [], set()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def login(self, body):
        self.jwts.append(body["jwt"])
        review = self.cluster.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": body["jwt"], "audiences": [AUDIENCE]}})["status"]
        if not review.get("authenticated") or review["user"]["username"] != "system:serviceaccount:shop:default":
            return 403, {"errors": ["permission denied"]}
        token = f"t-{len(self.jwts)}"
        self.tokens.add(token)
        return 200, {"request_id": LOGIN_ID, "auth": {"client_token": token, "lease_duration": 3600}}

    def read(self, token):
        if token not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        return 200, {"request_id": READ_ID, "data": {"password": f"p-{len(self.jwts)}"}}

    def claims(self):
        """What the last token says."""
        part = self.jwts[-1].split(".")[1]
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))

    def handler(store):  # pylint: disable=no-self-argument
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                self.answer(*store.login(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

            def do_GET(self):  # pylint: disable=invalid-name
                self.answer(*store.read(self.headers.get("X-Vault-Token")))

            def answer(self, status, body):
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                """Says nothing: a line per call is no news."""

        return Handler


class Migrated(World):
    """The migration preset, and a class whose audience no CSIDriver asks for."""

    preset = "overlays/migration"

    def __init__(self, programs):
        self.agent_log = programs.folder / "audit.log"
        self.agent_flags = (f"--audit-log={self.agent_log}",)
        super().__init__(programs)

    def prepare_cluster(self):
        super().prepare_cluster()
        self.store = Store(self.cluster)
        self.cluster.apply(pod(PROVIDER, "kube-system", account=PROVIDER))
        self.cluster.apply(provider_class("db", "shop", [], provider="vault", objects=OBJECTS, roleName="app",
                                          audience=AUDIENCE, vaultAddress=self.store.url))
        self.own = self.cluster.token_of("kube-system", PROVIDER, of_pod=PROVIDER)
        self.start_vault("--mint-tokens")

    def start_vault(self, *flags, ca=None):
        folder = self.programs.folder / "provider-token"
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(self.own)
        (folder / "ca.crt").write_bytes((ca or self.cluster.ca_file).read_bytes())
        self.programs.start(
            "vault",
            [BUILD / "bin/locket-provider", f"--provider-dir={self.node.providers}", "--stores=vault",
             f"--mint-token-folder={folder}", *flags],
            lambda: accepts(self.node.providers / "vault.sock"),
            {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.cluster.port)})

    def audited(self, pod_uid):
        """The audit's first line of a pod."""
        def found():
            lines = [json.loads(line) for line in self.agent_log.read_text().splitlines()]
            return next((line for line in lines if line.get("pod_uid") == pod_uid
                         and line["code"] == "OK"), None)

        return wait_until(found, 10, "a line of the audit")

    def minted(self):
        """Tokens that were asked for, as (user, status)."""
        return [(call["user"]["username"].rpartition(":")[2], call["responseStatus"]["code"])
                for call in self.cluster.audit() if call.get("objectRef", {}).get("subresource") == "token"]


@test
def the_preset_starts_the_provider_so(world):
    args = json.loads(world.cluster.kubectl("get", "daemonset", "-n", "kube-system", PROVIDER, "-o", "json"))[
        "spec"]["template"]["spec"]["containers"][0]["args"]
    expect("--mint-tokens" in args, f"{args}")


@test
def the_audit_says_how_a_store_was_asked(world):
    asked = world.make_pod("asked")
    wait_until(lambda: asked.publish("db").code == "OK", 30, "the publish, once the role holds")
    line = world.audited(asked.uid)
    told = {key: line.get(key) for key in ("store", "auth_method", "role", "request")}
    expect_equal(told, {"store": world.store.url, "auth_method": "auth/kubernetes", "role": "app",
                        "request": f"{LOGIN_ID},{READ_ID}"}, "how")
    expect(line["peer"].startswith(f"socket={world.node.providers}/vault.sock uid=0"), line["peer"])
    asked.unpublish()


@test
def a_token_that_kubelet_did_not_send_is_minted_for_the_pod_and_ten_minutes(world):
    web = world.make_pod("web")
    wait_until(lambda: web.publish("db").code == "OK", 30, "the publish, once the role holds")
    expect("password" in web.files(), f"{web.files()}")
    claims = world.store.claims()
    expect_equal(claims["aud"], [AUDIENCE], "audience")
    expect_equal(claims["sub"], "system:serviceaccount:shop:default", "account")
    expect_equal(claims["kubernetes.io"]["pod"], {"name": "web", "uid": web.uid}, "the pod it ends with")
    expect(claims["exp"] - claims["iat"] <= 600, f"life {claims['exp'] - claims['iat']}")
    expect(set(world.minted()) <= {(PROVIDER, 201), (PROVIDER, 403)}, f"{world.minted()}")


@test
def a_token_is_kept_while_it_is_young_and_is_no_other_pods(world):
    one = world.make_pod("one").must_publish("db")
    before, logins = len(world.minted()), len(world.store.jwts)
    world.store.tokens.clear()  # the store forgets its own tokens: the next read logs in again
    world.node.must_refresh(one, changed=True)
    expect_equal(len(world.store.jwts), logins + 1, "logins")
    expect_equal(len(world.minted()), before, "tokens asked for")
    expect_equal(world.store.jwts[-1], world.store.jwts[-2], "the token of the login")
    two = world.make_pod("two").must_publish("db")
    expect_equal(len(world.minted()), before + 1, "tokens asked for with another pod")
    expect_equal(world.store.claims()["kubernetes.io"]["pod"]["uid"], two.uid, "its pod")
    for volume in (one, two):
        volume.unpublish()


@test
def a_token_lies_nowhere_in_memory_while_it_is_not_sent(world):
    """Neither a minted one, though it is kept, nor the provider's own."""
    brief = world.make_pod("brief").must_publish("db")
    tokens = [token.encode() for token in (world.own, world.store.jwts[-1])]
    program = world.programs.running["vault"].pid

    def left():
        held = b"".join(memory(pid) for pid in (program, *children_of(program)))
        expect(b"provider-token" in held, "positive control: the search sees")
        return [token[:20] for token in tokens if token[-60:] in held]

    wait_until(lambda: not left(), 10, "the provider's memory without tokens")
    brief.unpublish()


@test
def for_a_pod_that_is_not_there_or_another_nothing_is_minted(world):
    forged = world.make_pod("forged")
    forged.uid = "0a6f6f1e-0000-4000-8000-000000000000"
    forged.target = world.node.target_root / f"pods/{forged.uid}/volumes/kubernetes.io~csi/v/mount"
    answer = forged.publish("db")
    expect_equal(answer.code, "NOT_FOUND", f"code ({answer.text})")
    expect("no token could be minted for service account shop/default" in answer.text, answer.text)
    other = world.make_pod("other")
    other.account = "somebody"
    answer = other.publish("db")
    expect(answer.code in ("NOT_FOUND", "PERMISSION_DENIED", "UNAVAILABLE"), f"{answer}")
    expect_equal([code for _, code in world.minted()[-2:]].count(201), 0, "tokens minted")


@test
def a_token_of_kubelets_goes_first(world):
    world.make_csi_driver(tokenRequests=[{"audience": AUDIENCE}])
    mine = world.make_pod("mine")
    token = world.cluster.token_of("shop", "default", AUDIENCE, of_pod="mine")
    before = len(world.minted())

    def is_used():
        mine.unpublish()
        mine.must_publish("db", tokens={AUDIENCE: token})
        return token in world.store.jwts

    wait_until(is_used, 20, "kubelet's token used")
    expect(len(world.minted()) - before <= 1, "a token was minted beside kubelet's")
    mine.unpublish()


@test
def without_the_role_the_error_says_what_is_missing(world):
    world.cluster.kubectl("delete", "clusterrolebinding", "locket-provider-minting-rolebinding")
    try:
        late = world.make_pod("late")
        answer = wait_until(lambda: late.publish("db").code != "OK" and late.publish("db"), 20, "a refusal")
        expect_equal(answer.code, "PERMISSION_DENIED", f"code ({answer.text})")
        expect("is components/minting applied?" in answer.text, answer.text)
    finally:
        world.cluster.kubectl("apply", "--server-side", "-k", ROOT / "deploy/daemonset" / world.preset)


@test
def where_nothing_is_minted_the_error_has_class_audience_and_the_line_to_add(world):
    world.programs.stop("vault")
    world.start_vault()
    asked = len(world.minted())
    answer = world.make_pod("plain").publish("db")
    expect_equal(answer.code, "FAILED_PRECONDITION", f"code ({answer.text})")
    for words in ("class shop/db: no service account token for audience ", r'`- audience: "https://store.example/\"a\""`',
                  "spec.tokenRequests of the CSIDriver"):
        expect(words in answer.text, f"{words}: {answer.text}")
    expect_equal(len(world.minted()), asked, "tokens asked for")


class Impostor:
    """Answers each TokenRequest as it is told to, behind a certificate of its own."""

    def __init__(self, folder):
        self.cert, key = folder / "impostor.pem", folder / "impostor.key"
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.cert])
        self.reply = (500, b"")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handler(impostor):  # pylint: disable=no-self-argument
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                status, text = impostor.reply
                if callable(text):
                    text = text(self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                try:
                    self.wfile.write(text)
                except OSError:
                    pass  # it was too much

            def log_message(self, *_):
                """Says nothing: a line per call is no news."""

        return Handler


def token_answer(token, ends):
    return json.dumps({"status": {"token": token, "expirationTimestamp": ends}}).encode()


LATER = "2999-01-01T00:00:00Z"
# what is wrong with an answer, the answer, and what a publish ends with
BAD_ANSWERS = [
    ("a page", 200, b"<html>sign in</html>", "UNAVAILABLE", "the answer to a TokenRequest"),
    ("a list", 201, b"[]", "UNAVAILABLE", "holds no token"),
    ("no token", 201, b'{"status":{}}', "UNAVAILABLE", "holds no token"),
    ("a token without an end", 201, b'{"status":{"token":"a.b.c"}}', "UNAVAILABLE", "holds no token"),
    ("an end that is none", 201, token_answer("a.b.c", "soon"), "UNAVAILABLE", "holds no token"),
    ("a token that splits a header", 201, token_answer("a.b\r\nX: y", LATER), "UNAVAILABLE", "holds no token"),
    ("too much", 200, b" " * (300 << 10), "RESOURCE_EXHAUSTED", ""),
    ("our own token quoted", 403, lambda who: json.dumps({"message": f"bad {who}"}).encode(), "PERMISSION_DENIED",
     "redacted"),
    ("our own token where the words are cut", 403,
     lambda who: json.dumps({"message": "y" * (200 - 5) + who.rpartition(" ")[2]}).encode(), "PERMISSION_DENIED", "yyy"),
    ("a refused token", 401, b"{}", "UNAUTHENTICATED", "401"),
    ("a policy", 422, b'{"message":"denied by policy"}', "PERMISSION_DENIED", "denied by policy"),
    ("a limit", 429, b"{}", "UNAVAILABLE", "429"),
    ("an error", 500, b"", "UNAVAILABLE", "500"),
    ("a redirect", 307, b"", "UNAVAILABLE", "307"),
]


@test
def an_answer_that_is_none_is_an_error_without_a_token(world):
    impostor = Impostor(world.programs.folder)
    world.programs.stop("vault")
    world.start_vault("--mint-tokens", f"--mint-api-server={impostor.url}", ca=impostor.cert)
    victim = world.make_pod("victim")
    for says, status, text, code, words in BAD_ANSWERS:
        impostor.reply = (status, text)
        answer = victim.publish("db")
        expect_equal(answer.code, code, f"{says} ({answer.text})")
        expect(words in answer.text, f"{says}: {answer.text}")
        expect(world.own not in answer.text and world.own[:5] not in answer.text, f"{says}: a token is told")
    impostor.reply = (201, token_answer("not.a.pods", LATER))
    expect_equal(victim.publish("db").code, "PERMISSION_DENIED", "a token that the store does not take")


@test
def a_server_that_is_not_the_clusters_gets_no_token(world):
    impostor = Impostor(world.programs.folder)
    world.programs.stop("vault")
    world.start_vault("--mint-tokens", f"--mint-api-server={impostor.url}")
    answer = world.make_pod("guarded").publish("db")
    expect_equal(answer.code, "FAILED_PRECONDITION", f"code ({answer.text})")
    expect("certificate" in answer.text, answer.text)


@test
def nobody_but_the_provider_asked_for_a_token_and_no_log_has_one(world):
    expect_equal({user for user, _ in world.minted()}, {PROVIDER}, "who asked for tokens")
    world.programs.expect_in_no_log([world.own, *set(world.store.jwts)], ["driver", "agent", "vault", "provider"])


if __name__ == "__main__":
    run_tests(Migrated)
