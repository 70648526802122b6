#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tokens that are not what they should be: of a real API server, for a real store that asks that server
whose they are. Each is refused with the whole reason, and leaves nothing behind."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from bao import Bao, Issuer
from harness import expect, expect_equal, memory, run_tests, test, wait_until
from kubelet import TOKENS
from objects import GROUP, pod, provider_class, secret_object
from provider import start_provider
from store import children_of
from world import STATUSES, World

AUDIENCES = ("vault", "other")
OBJECTS = json.dumps([{"objectName": "password", "secretPath": "secret/data/db", "secretKey": "password"}])
LATER = "2099-01-01T00:00:00Z"


class Trusting(World):
    """A node whose store knows the pods of shop/web, by kubernetes auth and by jwt auth."""

    preset = "overlays/sync"
    flags = ("--sync-secrets",)
    agent_flags = ("--sync-secrets",)
    secret_path = "/api/v1/namespaces/shop/secrets/copy"

    def prepare_cluster(self):
        super().prepare_cluster()
        self.told = []  # tokens that were sent: none may be found anywhere
        self.value = "the-value-that-nobody-gets"
        self.made = 0
        self.make_namespace("elsewhere")
        for namespace, name in (("shop", "web"), ("shop", "other"), ("elsewhere", "web"), ("kube-system", "store")):
            self.cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount",
                                "metadata": {"name": name, "namespace": namespace}})
        self.cluster.apply({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "store-reviews"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                        "name": "system:auth-delegator"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "kube-system", "name": "store"}]})
        self.forger = Issuer(self.programs.folder / "issuer")  # of tokens that the cluster has not signed
        self.signer = Issuer(self.programs.folder / "signer", self.cluster.folder / "sa.key")
        self.prepare_store()
        self.make_classes()

    def prepare_store(self):
        self.bao = bao = Bao(self.programs)
        bao.write("sys/policies/acl/app", {"policy": 'path "secret/*" { capabilities = ["read"] }'})
        bao.write("secret/data/db", {"data": {"password": self.value}})
        bao.write("sys/auth/kubernetes", {"type": "kubernetes"})
        bao.write("auth/kubernetes/config", {
            "kubernetes_host": self.cluster.url, "kubernetes_ca_cert": self.cluster.ca_file.read_text(),
            "token_reviewer_jwt": self.cluster.token_of("kube-system", "store"), "disable_local_ca_jwt": True})
        bao.write("auth/kubernetes/role/app", {
            "bound_service_account_names": ["web"], "bound_service_account_namespaces": ["shop"],
            "audience": "vault", "token_policies": ["app"]})
        bao.write("sys/auth/jwt", {"type": "jwt"})
        bao.write("auth/jwt/config", {"jwt_validation_pubkeys": [self.signer.public]})
        bao.write("auth/jwt/role/app", {
            "role_type": "jwt", "bound_audiences": ["vault"], "user_claim": "sub", "token_policies": ["app"],
            "bound_subject": "system:serviceaccount:shop:web"})

    def make_classes(self):
        for name, mount, role in (("kubernetes", "kubernetes", "app"), ("jwt", "jwt", "app"), ("probe", "jwt", "none")):
            made = provider_class(
                name, "shop", [], provider="vault", objects=OBJECTS, roleName=role, audience="vault",
                vaultAddress=self.bao.address, vaultCACertPath=str(self.bao.ca_file), vaultAuthMountPath=mount)
            made["spec"]["secretObjects"] = [secret_object("copy", {"password": "password"})]
            self.cluster.apply(made)

    def start_provider(self):
        start_provider(self.programs, self.node.providers, ["vault"])

    # --- pods and tokens -------------------------------------------------------------------------

    def pod_of(self, account="web", namespace="shop"):
        """A pod that nobody has seen before."""
        self.made += 1
        name = f"pod-{self.made}"
        self.cluster.call("POST", f"/api/v1/namespaces/{namespace}/pods", pod(name, namespace, account=account))
        mine = self.make_pod_of(name, namespace)
        mine.account = account
        return mine

    def token(self, of_pod, audience="vault", bound=True):
        """As the API server gives it to kubelet."""
        return self.remember(self.cluster.token_of(of_pod.namespace, of_pod.account, audience,
                                                   of_pod=of_pod.name if bound else None))

    def remember(self, token):
        self.told.append(token)
        return token

    def tell_driver(self, csi_driver):
        """An administrator's edit, and until the driver has heard of it: it takes a token as kubelet sends
        it to the store, or does not."""
        probe = self.pod_of()
        for spec in (ALL, csi_driver):
            self.make_csi_driver(**spec)
            wait_until(lambda s=spec: ("failed to login" in probe.publish("probe", **sent(self.token(probe))).text)
                       == (s is ALL), 15, "the driver's knowledge of its CSIDriver object")

    # --- what is left ----------------------------------------------------------------------------

    def expect_nothing_of(self, says, mine, class_name, logins):
        expect(not mine.is_mounted(), f"{says}: a mount is left")
        expect(not mine.target.exists(), f"{says}: the target is left")
        expect_equal(json.loads(self.node.ctl("list", "-o", "json"))["volumes"], [], f"{says}: volumes")
        expect(not self.status(mine.name, class_name=class_name), f"{says}: a status was written")
        expect(not self.find(self.secret_path), f"{says}: a Secret was written")
        expect_equal(self.bao.accessors(), logins, f"{says}: logins of the store")


ALL = {"tokenRequests": [{"audience": audience} for audience in AUDIENCES]}
ONLY_OTHER = {"tokenRequests": [{"audience": "other"}]}
NO_REQUESTS = {"tokenRequests": []}
IN_SECRETS = {**ALL, "serviceAccountTokenInSecrets": True}
NO_POD_INFO = {**ALL, "podInfoOnMount": False}


def said(text, place="attributes"):
    """A request with this text where kubelet writes tokens."""
    return {place: {TOKENS: text}}


def sent(token, audience="vault", expires=LATER, **place):
    return said(json.dumps({audience: {"token": token, "expirationTimestamp": expires}}), **place)


def signed(world, mine, issuer, **changed):
    return sent(world.remember(issuer.token(mine, **changed)))


def of_deleted(world, mine):
    """kubelet's token outlived its pod."""
    token = world.token(mine)
    world.delete_pod(mine.name)
    return sent(token)


NOT_SENT = (
    "FAILED_PRECONDITION", "{prefix}class shop/{class_name}: no service account token for audience \"vault\" was sent: "
    'add `- audience: "vault"` below spec.tokenRequests of the CSIDriver object, or use nodePublishSecretRef')


def not_counted(why):
    """As if none had been sent, and why one that was is none."""
    code, text = NOT_SENT
    return code, text.replace("{prefix}", "{prefix}tokens came with the volume that do not count, since " + why + ": ")


PREFIX = "failed to mount secrets store objects for pod shop/{pod}, err: "
LOGIN = ('{prefix}couldn\'t read secret "password": failed to login: role "app", namespace "", '
         'service account shop/{account}, audience "vault": POST /v1/auth/{class_name}/login: ')


def garbage(why):
    return "INVALID_ARGUMENT", TOKENS + why


def mismatch(what):
    return ("PERMISSION_DENIED", 'the service account token for audience "vault" belongs to another '
            f"{what} than the pod that asks: check CSIDriver podInfoOnMount")


def denied(why):
    """By the store, in its own words: by kubernetes auth, which asks the API server, or (400) by jwt auth."""
    return "PERMISSION_DENIED", LOGIN + why


DENIED = denied("403: permission denied")
EXPIRED = "invalid expiration time (exp) claim: token is expired"
AUDIENCE = "invalid audience (aud) claim: audience claim does not match any expected audience"
NO_MAP = garbage(" must be a JSON map of at most 64 audiences")
NO_TOKEN = garbage(' has no token for audience "vault"')


def jwt(why):
    return denied("400: error validating token: " + why)


# What is wrong; the request, of the world and a pod; code and whole text of the answer.
ROWS = [
    ("no tokens", lambda w, p: {}, NOT_SENT),
    ("an empty map", lambda w, p: said("{}"), NOT_SENT),
    ("another audience alone", lambda w, p: sent(w.token(p, "other"), "other"), NOT_SENT),
    ("in secrets, where nobody asked for it", lambda w, p: sent(w.token(p), place="secrets"),
     not_counted("they are among its secrets, and the CSIDriver object has no serviceAccountTokenInSecrets: true")),
    ("no JSON", lambda w, p: said("no JSON"), garbage(": not JSON: line 1 column 1: a value is expected")),
    ("JSON that is cut", lambda w, p: said('{"vault":{"token":"' + w.remember("cut-in-its-middle")),
     garbage(": not JSON: line 1 column 37: a string that does not end")),
    ("a list", lambda w, p: said("[]"), NO_MAP),
    ("too many audiences", lambda w, p: said(json.dumps({str(i): {"token": "x"} for i in range(65)})), NO_MAP),
    ("too many bytes", lambda w, p: said('{"vault":{"token":"' + "x" * (256 << 10) + '"}}'),
     garbage(" has more than 262144 bytes")),
    ("a number", lambda w, p: said('{"vault":5}'), NO_TOKEN),
    ("no token in it", lambda w, p: said('{"vault":{}}'), NO_TOKEN),
    ("a token that is a number", lambda w, p: said('{"vault":{"token":5}}'), NO_TOKEN),
    ("an end that is none", lambda w, p: sent(w.token(p), expires="soon"), garbage(': "soon" is not an RFC 3339 time')),
    ("another pod's of the account", lambda w, p: sent(w.token(w.pod_of())), mismatch("pod")),
    ("another account's", lambda w, p: sent(w.token(w.pod_of("other"))), mismatch("pod")),
    ("another account's, bound to no pod", lambda w, p: sent(w.token(w.pod_of("other"), bound=False)),
     mismatch("service account")),
    ("another namespace's", lambda w, p: sent(w.token(w.pod_of(namespace="elsewhere"))), mismatch("namespace")),
    ("a pod's that is gone", of_deleted, DENIED),
    ("a token for the API server", lambda w, p: sent(w.token(p, None)), denied(f"403: {AUDIENCE}")),
]
# The same where the store verifies tokens itself.
STORE_ROWS = [
    ("a text that is no token", lambda w, p: sent(w.remember("a-text-that-is-no-token")), DENIED,
     jwt("error verifying token signature: go-jose/go-jose: compact JWS format must have three parts")),
    ("an expired token", lambda w, p: signed(w, p, w.signer, lifetime_s=-600), denied(f"403: {EXPIRED}"), jwt(EXPIRED)),
    ("a forged token", lambda w, p: signed(w, p, w.forger), DENIED,
     jwt("error verifying token signature: no known key successfully validated the token signature")),
    ("another audience by the wanted name", lambda w, p: sent(w.token(p, "other")), denied(f"403: {AUDIENCE}"),
     jwt(AUDIENCE)),
]
# Tokens as kubelet sends them, and a CSIDriver object by which they are not kubelet's.
DRIVER_ROWS = [
    ("an audience that was not asked for", ONLY_OTHER, NOT_SENT),
    ("tokens though none were asked for", NO_REQUESTS, not_counted("the CSIDriver object has no spec.tokenRequests")),
    ("in attributes where secrets were asked for", IN_SECRETS,
     not_counted("they are in its volume_context, and the CSIDriver object has serviceAccountTokenInSecrets: true, which "
                 "a kubelet before 1.35 does not know")),
    ("pod info that is the author's", NO_POD_INFO,
     ("FAILED_PRECONDITION", "the CSIDriver object of this driver has podInfoOnMount: false, so that a pod could "
      "name itself as it likes: set spec.podInfoOnMount: true")),
]


def expect_refused(world, says, how, wanted, account="web", class_name="kubernetes"):
    """A publish by a pod that nobody knows is answered so, word for word; nothing is there afterwards."""
    code, text = wanted
    mine = world.pod_of(account)
    logins = world.bao.accessors()
    answer = mine.publish(class_name, **how(world, mine))
    want = text.format(prefix=PREFIX.format(pod=mine.name), account=account, class_name=class_name)
    expect_equal((answer.code, answer.text), (code, want), says)
    world.expect_nothing_of(says, mine, class_name, logins)


@test
def a_token_that_is_not_what_it_should_be_is_refused_and_nothing_is_written(world):
    world.tell_driver(ALL)
    for says, how, wanted in ROWS:
        expect_refused(world, says, how, wanted)
    for says, how, by_kubernetes, by_jwt in STORE_ROWS:
        expect_refused(world, says, how, by_kubernetes)
        expect_refused(world, says, how, by_jwt, class_name="jwt")
    for wanted, class_name in ((denied("403: service account name not authorized"), "kubernetes"),
                               (jwt("invalid subject (sub) claim"), "jwt")):
        expect_refused(world, "an account that the role does not name", lambda w, p: sent(w.token(p)), wanted,
                       "other", class_name)


@test
def a_token_that_the_csi_driver_object_did_not_ask_for_is_none(world):
    for says, csi_driver, wanted in DRIVER_ROWS:
        world.tell_driver(csi_driver)
        expect_refused(world, says, lambda w, p: sent(w.token(p)), wanted)
    statuses = world.cluster.call("GET", f"/apis/{GROUP}/v1/{STATUSES}")["items"]
    expect_equal(statuses, [], "statuses, also such as came late")


@test
def kubelets_own_token_is_taken_where_it_was_asked_for(world):
    for csi_driver, place in ((ALL, "attributes"), (IN_SECRETS, "secrets")):
        world.tell_driver(csi_driver)
        for class_name in ("kubernetes", "jwt"):
            mine = world.pod_of()
            mine.must_publish(class_name, **sent(world.token(mine), place=place))
            expect_equal(mine.files(), {"password": world.value}, "files")
            world.wait_for_status(mine.name, class_name=class_name)
            wait_until(lambda: world.find(world.secret_path), 10, "the Secret")
            mine.unpublish()
    expect(world.bao.accessors(), "positive control: logins are seen")


@test
def no_value_and_no_token_lies_in_memory_afterwards(world):
    """The store speaks HTTP/2, whose connections keep what went through last; it is not asked to."""
    mine = world.pod_of()
    token = world.token(mine)
    mine.must_publish("kubernetes", **sent(token, place="secrets"))
    wait_until(lambda: world.status(mine.name, class_name="kubernetes"), 10, "the status")
    mine.unpublish()
    running = world.programs.running
    provider = running["provider"].pid
    pids = [provider, *children_of(provider), running["driver"].pid, running["agent"].pid]

    def left():
        held = {pid: memory(pid) for pid in pids}
        expect(all(world.programs.folder.name.encode() in text for text in held.values()), "the search sees")
        return [pid for pid, text in held.items() if world.value.encode() in text or token[-60:].encode() in text]

    wait_until(lambda: not left(), 10, "memory without them")


@test
def no_token_is_told_anywhere(world):
    names = ["driver", "agent", "provider", "bao"]
    world.programs.expect_in_no_log([*world.told, *(token.rpartition(".")[2] for token in world.told)], names)
    expect("belongs to another pod" in world.programs.log("driver").read_text(), "positive control: refusals are told")
    events = json.dumps(world.cluster.call("GET", "/api/v1/events"))
    for token in world.told:
        expect(token not in events, "a token is in an Event")


if __name__ == "__main__":
    run_tests(Trusting)
