#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/daemonset on a real API server: it is taken as it is, and its policies hold."""
import pathlib
import sys

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from harness import ROOT, Skip, expect, expect_equal, run_tests, test, wait_until
from objects import GROUP, provider_class
from rig import ISSUER, Cluster, Refused

PRESETS = ["base", "overlays/sync", "overlays/openshift", "overlays/provider-separate", "overlays/migration"]
CLASSES = ROOT.parent / "shared/data/classes"  # of others; only where they are at hand
AGENT, PROVIDER = "secrets-store-csi-driver", "locket-provider"
LABEL = "internal.secrets-store.csi.k8s.io/node-name"
LONG_NODE = "ip-10-0-0-1.a-very-long-name-of-a-node-in-a-cluster-of-somebody.example.internal"
LONG_LABEL = "ip-10-0-0-1.a-very-long-name-o-" + "0123456789abcdef" * 2
APPLY, JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"


class World:
    """A cluster with every preset applied, and an agent's token on each of three nodes."""

    def __init__(self, programs):
        self.cluster = Cluster(programs)
        for preset in PRESETS:
            self.apply_preset(preset)
        self.cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        wait_until(lambda: self.can("GET", "/api/v1/namespaces/default/serviceaccounts/default"), 20, "accounts")
        self.node_of = {"a": "node-a", "b": "node-b", "long": LONG_NODE}
        self.tokens = {name: self.token_on(node, AGENT, name) for name, node in self.node_of.items()}
        self.owners = {name: self.owner(node) for name, node in self.node_of.items()}
        # A policy holds some seconds after it is there; the last of base's to be seen is waited for.
        wait_until(lambda: self.denied(self.apply, "a", status("early", "node-b")), 30, "the policies")

    def apply_preset(self, preset):
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", ROOT / "deploy/daemonset" / preset)

    def token_on(self, node, account, name):
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{account}-{name}", "namespace": "kube-system"},
             "spec": {"nodeName": node, "serviceAccountName": account, "automountServiceAccountToken": False,
                      "containers": [{"name": "c", "image": "rig.local/none"}]}})
        return self.cluster.token_of("kube-system", account, of_pod=f"{account}-{name}")

    def owner(self, node):
        """An owner that lives as long as the test: of one that is not there, all is collected."""
        uid = self.cluster.call("GET", f"/api/v1/nodes/{node}")["metadata"]["uid"]
        return {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}

    def apply(self, who, body, owner="a"):
        """Server-side apply, as the agent does it."""
        meta = body["metadata"]
        if body["kind"] != "Secret":
            meta["ownerReferences"] = [self.owners[owner]]
        plural = {"Secret": "secrets"}.get(body["kind"], "secretproviderclasspodstatuses")
        base = "/api/v1" if body["kind"] == "Secret" else f"/apis/{GROUP}/v1"
        path = f"{base}/namespaces/{meta['namespace']}/{plural}/{meta['name']}?fieldManager=locket&force=true"
        return self.cluster.call("PATCH", path, body, APPLY, self.tokens.get(who, who))

    def status_call(self, who, method, name, body=None):
        path = f"/apis/{GROUP}/v1/namespaces/default/secretproviderclasspodstatuses/{name}"
        return self.cluster.call(method, path, body, JSON_PATCH, self.tokens[who])

    def can(self, *request):
        return not self.denied(self.cluster.call, *request)

    @staticmethod
    def denied(call, *arguments):
        """What the API server said when it refused; None: it did not."""
        try:
            call(*arguments)
        except Refused as why:
            return str(why)
        return None

    def expect_denied(self, words, call, *arguments):
        said = self.denied(call, *arguments)
        expect(said and words in said, f"refused with {words!r}: {said}")


def status(name, label):
    return {
        "apiVersion": f"{GROUP}/v1", "kind": "SecretProviderClassPodStatus",
        "metadata": {"name": name, "namespace": "default", "labels": {LABEL: label}},
        "status": {"podName": "p", "secretProviderClassName": "c", "mounted": True, "targetPath": "/t",
                   "otherTargetPaths": ["/u"], "objects": [{"id": "a", "version": "1"}]},
    }


def secret(name, labels=None, kind="Opaque"):
    labels = {"secrets-store.csi.k8s.io/managed": "true"} if labels is None else labels
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "data": {"a": "YQ=="},
            "metadata": {"name": name, "namespace": "default", "labels": labels,
                         "annotations": {"kubernetes.io/service-account.name": "default"}}}


@test
def every_preset_is_taken_again_without_a_conflict(world):
    for preset in PRESETS:
        world.apply_preset(preset)


@test
def classes_and_statuses_have_short_names_and_columns(world):
    world.cluster.apply(provider_class("app", "default", ["user"]))
    expect("PROVIDER" in world.cluster.kubectl("get", "spc", "app"), "columns of a class")
    world.apply("a", status("shown", "node-a"))
    expect("node-a" in world.cluster.kubectl("get", "spcps", "-o", "wide"), "columns of a status")


def a_class(name, version="v1", **spec):
    return {"apiVersion": f"{GROUP}/{version}", "kind": "SecretProviderClass",
            "metadata": {"name": name, "namespace": "default"}, "spec": {"provider": "p", **spec}}


USABLE = [
    a_class("plain", parameters={"a": "b"}),
    a_class("bare", provider=""),
    a_class("longest", provider="A-z_9" * 6),
    a_class("old", version="v1alpha1", parameters={"a": "b"}) | {"status": {"byPod": [{"id": "x", "namespace": "y"}]}},
    a_class("synced", parameters={}, secretObjects=[
        {"secretName": "s", "type": "example.com/own", "labels": {"a": "b"}, "annotations": {"c": "d"},
         "data": [{"objectName": "a/b", "key": "k"}]}]),
]
UNUSABLE = [
    ("spec.provider", a_class("bad", provider="a/b")),
    ("spec.provider", a_class("bad", provider="p" * 31)),
    ("spec.provider", a_class("bad", version="v1alpha1", provider="a b")),
    ("spec.parameters.a", a_class("bad", parameters={"a": 1})),
    ("secretName", a_class("bad", secretObjects=[{"secretName": "s" * 254}])),
    ("data[0].key", a_class("bad", secretObjects=[{"data": [{"key": "k" * 254}]}])),
]


def create(world, one):
    version = one["apiVersion"].rpartition("/")[2]
    path = f"/apis/{GROUP}/{version}/namespaces/default/secretproviderclasses"
    return world.cluster.call("POST", path, one)


@test
def every_class_that_a_driver_could_use_is_taken_whole_and_no_other(world):
    for one in USABLE:
        taken = create(world, one)
        expect_equal((taken["spec"], taken.get("status")), (one["spec"], one.get("status")), one["metadata"]["name"])
        path = f"/apis/{GROUP}/v1/namespaces/default/secretproviderclasses/{one['metadata']['name']}"
        expect_equal(world.cluster.call("GET", path)["spec"], one["spec"], "read as v1")
    for field, one in UNUSABLE:
        world.expect_denied(field, create, world, one)


@test
def classes_that_others_published_are_taken(world):
    if not CLASSES.is_dir():
        raise Skip("no such classes beside this repository")
    taken = 0
    for path in sorted(CLASSES.rglob("*.yaml")):
        try:
            documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        except yaml.YAMLError:
            continue  # of a page that shows less than a document
        for one in documents:
            if one and one.get("kind") == "SecretProviderClass" and str(one["apiVersion"]).startswith(f"{GROUP}/v1"):
                one["metadata"] = {"name": f"theirs-{taken}", "namespace": "default"}
                create(world, one)
                taken += 1
    expect(taken >= 20, f"{taken} classes")


@test
def an_agent_writes_the_statuses_of_its_own_node(world):
    written = world.apply("a", status("own", "node-a"))
    expect_equal(written["status"]["otherTargetPaths"], ["/u"], "every field is kept")
    expect_equal(world.apply("long", status("cut", LONG_LABEL))["metadata"]["labels"], {LABEL: LONG_LABEL})
    world.status_call("a", "DELETE", "own")


@test
def an_agent_writes_no_status_of_another_node(world):
    world.apply("a", status("kept", "node-a"))
    for who, label in (("b", "node-b"), ("b", "node-a"), ("long", LONG_LABEL)):
        world.expect_denied("own-node", world.apply, who, status("kept", label))
    world.expect_denied("own-node", world.apply, "a", status("foreign", "node-b"))
    world.expect_denied("own-node", world.status_call, "b", "DELETE", "kept")


@test
def a_pod_that_came_to_another_node_takes_its_forerunners_status_over(world):
    world.apply("a", status("zero-0", "node-a"), "a")
    world.status_call("b", "PATCH", "zero-0", [
        {"op": "replace", "path": "/metadata/ownerReferences", "value": [world.owners["b"]]},
        {"op": "add", "path": "/metadata/labels", "value": {LABEL: "node-b"}}])
    world.apply("b", status("zero-0", "node-b"), "b")


@test
def a_token_that_names_no_node_writes_nothing(world):
    token = world.cluster.token_of("kube-system", AGENT)
    world.expect_denied("own-node", world.apply, token, status("unbound", "node-a"))


@test
def synced_secrets_are_marked_and_are_no_credential_of_the_cluster(world):
    world.apply("a", secret("fine"))
    world.expect_denied("synced-secrets", world.apply, "a", secret("unmarked", {}))
    for kind in ("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"):
        world.expect_denied("synced-secrets", world.apply, "a", secret("token", kind=kind))


@test
def a_synced_secret_is_given_owners_and_never_deleted_or_listed(world):
    path, token = "/api/v1/namespaces/default/secrets/fine", world.tokens["a"]
    body = {"metadata": {"ownerReferences": [world.owners["a"]]}}
    world.cluster.call("PATCH", path, body, "application/strategic-merge-patch+json", token)
    world.expect_denied("synced-secrets", world.cluster.call, "DELETE", path, None, "application/json", token)
    listing = path.rpartition("/")[0]
    world.expect_denied("cannot list", world.cluster.call, "GET", listing, None, "application/json", token)


@test
def a_provider_mints_only_tokens_for_stores_that_end_with_a_pod_and_in_ten_minutes(world):
    token = world.token_on("node-a", PROVIDER, "p")
    pod = world.cluster.call("GET", f"/api/v1/namespaces/kube-system/pods/{PROVIDER}-p")
    bound = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}

    def mint(spec):
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": {"audiences": ["vault"], **spec}}
        path = f"/api/v1/namespaces/kube-system/serviceaccounts/{PROVIDER}/token"
        world.cluster.call("POST", path, body, "application/json", token)

    mint({"boundObjectRef": bound, "expirationSeconds": 600})
    world.expect_denied("minted-tokens", mint, {"expirationSeconds": 600})
    world.expect_denied("minted-tokens", mint, {"boundObjectRef": bound, "expirationSeconds": 700})
    world.expect_denied("minted-tokens", mint, {"boundObjectRef": bound})
    for audiences in ([], [ISSUER], ["vault", "https://kubernetes.default.svc"], ["kubernetes.default.svc"]):
        world.expect_denied("minted-tokens", mint, {"boundObjectRef": bound, "expirationSeconds": 600, "audiences": audiences})


if __name__ == "__main__":
    run_tests(World)
