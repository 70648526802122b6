#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/MIGRATE.md on a real API server, each command as it stands: over a release of the driver before,
in place and node by node, by static manifests and by Helm, and back."""
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
import old_release
from desk import Desk
from harness import expect, expect_equal, run_tests, test, wait_until
from kustomize import CHART, DAEMONSET, documents, render
from objects import GROUP, pod, provider_class
from rig import Refused

OURS, THEIRS = ["driver", "agent", "provider"], ["node-driver-registrar", "secrets-store", "liveness-probe"]
STATIC, CHARTS, PROVIDER = "csi-secrets-store", "csi-secrets-store-csi-driver", "locket-provider"
POLICIES = "validatingadmissionpolicies"


class World(Desk):
    """The page, and releases that change over."""

    def __init__(self, programs):
        super().__init__(programs, "docs/MIGRATE.md")

    def add_pods(self, *names):
        """What the DaemonSet's controller would make of it, one on each node."""
        for number, name in enumerate(names, 1):
            self.cluster.apply(
                {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}"}},
                {"apiVersion": "v1", "kind": "Pod",
                 "metadata": {"name": name, "namespace": "kube-system", "labels": {"app": STATIC}},
                 "spec": {"nodeName": f"node-{number}", "containers": [{"name": "c", "image": "rig.local/none"}]}})

    def picture(self, name):
        """What of a release its driver and kubelet live by."""
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        account = self.get("/api/v1/namespaces/kube-system/serviceaccounts/secrets-store-csi-driver")
        return {
            "daemonset": self.daemonset(name)["spec"],
            "csidriver": self.get("/apis/storage.k8s.io/v1/csidrivers/secrets-store.csi.k8s.io")["spec"],
            "automount": account.get("automountServiceAccountToken"),
            **{role: self.get(f"{rbac}/clusterroles/{role}")["rules"]
               for role in ("secretproviderclasses-role", "secretproviderclasses-viewer-role",
                            "secretproviderclasses-admin-role")}}


# What drivers of the release before do by our account: (verb, resource).
OLD_WRITES = {("update", f"secretproviderclasspodstatuses.{GROUP}"), ("get", "pods")}
OLD_REFRESHES = {("list", "secrets"), ("watch", "secrets"), ("create", "serviceaccounts/token")}
OLD_SYNCS = {("list", "secrets"), ("watch", "secrets"), ("update", "secrets")}


def expect_rights(world, may, may_not, says):
    """What the roles give the account that our agents have, as the old drivers had."""
    account = "--as=system:serviceaccount:kube-system:secrets-store-csi-driver"

    def answer(right):
        verb, (resource, _, sub) = right[0], right[1].partition("/")
        words = [verb, resource, "-A", account, *([f"--subresource={sub}"] if sub else [])]
        return world.cluster.kubectl("auth", "can-i", *words, check=False).split("\n")[0].strip() == "yes"

    wait_until(lambda: all(map(answer, may)) and not any(map(answer, may_not)), 20, f"rights {says}")


def containers(daemonset):
    return [c["name"] for c in daemonset["spec"]["template"]["spec"]["containers"]]


def expect_ours(world, name, before, names):
    """Changed over in place: the same object, our containers alone, nothing left of the old ones."""
    after = world.daemonset(name)
    expect_equal(after["metadata"]["uid"], before["metadata"]["uid"], "the DaemonSet")
    expect_equal(after["spec"]["selector"], before["spec"]["selector"], "its selector")
    expect_equal(containers(after), names, "containers")
    pod = after["spec"]["template"]["spec"]
    expect(not {v["name"] for v in pod["volumes"]} & {"plugin-dir", "mountpoint-dir"}, "old volumes")
    expect_equal(pod["automountServiceAccountToken"], False, "tokens")
    for container in pod["containers"]:
        expect("CSI_ENDPOINT" not in str(container.get("env")), f"{container['name']} has an old variable")


def only_ours(objects):
    """What of these objects no release of the driver before has."""
    theirs = {(o["kind"], o["metadata"]["name"]) for o in old_release.static_objects()}
    return sorted({(o["kind"], o["metadata"]["name"]) for o in objects} - theirs)


@test
def the_page_names_all_that_only_we_have(world):
    back = "\n".join(command for block in world.page.blocks["Back"] for command in block)
    parts = [p for p in DAEMONSET.glob("*/**/*.yaml") if p.name != "kustomization.yaml"]
    for kind, name in only_ours(o for path in parts for o in documents(path)):
        expect(re.search(rf"\b{kind.lower()}\b[^\n]* {re.escape(name)}( |$)", back, re.MULTILINE), f"{kind} {name}")


@test
def a_check_of_a_fresh_release_finds_nothing_to_do(world):
    old_release.write_static(world.folder / "old")
    world.shell("kubectl apply -f old")
    world.shell("kubectl wait --for=condition=Established crd --all --timeout=30s")
    world.cluster.apply(provider_class("app", "default", ["user"]))
    world.cluster.kubectl("patch", "secretproviderclass", "app", "--type=merge", "-p", '{"spec":{"provider":"vault"}}')
    world.follow("Look first")
    expect("apply deploy/daemonset/overlays/migration" in world.said, world.said)
    expect("DUE" not in world.said, world.said)


@test
def static_manifests_change_over_node_by_node_without_a_conflict(world):
    before = world.daemonset(STATIC)
    world.picture_of_old = world.picture(STATIC)
    world.add_pods("old-1", "new-2")
    world.follow("Static manifests, node by node", 0, 2, 3)
    expect_ours(world, STATIC, before, OURS[:2])
    expect_equal(world.daemonset(STATIC)["spec"]["updateStrategy"], {"type": "OnDelete"}, "when pods change")
    expect_equal(containers(world.daemonset("locket-provider")), OURS[2:], "the provider")
    csi = world.picture(STATIC)["csidriver"]
    expect_equal([t["audience"] for t in csi["tokenRequests"]], ["vault"], "audiences")
    expect("seLinuxMount" not in csi or csi["seLinuxMount"] is False, "labels of live volumes")
    expect_rights(world, OLD_WRITES | OLD_REFRESHES, (), "of nodes that have not changed over")
    pod = world.get("/api/v1/namespaces/kube-system/pods/old-1")
    expect(pod is None or pod["metadata"].get("deletionTimestamp"), "the old pod of node-1 goes")


@test
def static_manifests_change_over_in_place(world):
    world.follow("Static manifests, in place")
    expect_equal(world.daemonset(STATIC)["spec"]["updateStrategy"]["type"], "RollingUpdate", "how pods change")
    world.follow("Once no old driver is left")
    expect_rights(world, {("patch", f"secretproviderclasspodstatuses.{GROUP}")}, OLD_WRITES | OLD_REFRESHES, "once over")


@test
def static_manifests_go_back_and_are_what_they_were(world):
    world.follow("Back", 0)
    world.follow("Back", 2)
    expect_equal(containers(world.daemonset(STATIC)), THEIRS, "containers")
    expect_equal(world.picture(STATIC), world.picture_of_old, "the release")
    for kind, name in only_ours(render(DAEMONSET / "overlays/migration")):
        done = world.cluster.kubectl("-n", "kube-system", "get", kind, name, "--ignore-not-found")
        expect_equal(done, "", f"{kind} {name}")
    expect(world.get(f"/apis/{GROUP}/v1/namespaces/default/secretproviderclasses/app"), "classes stay")


@test
def and_forward_again(world):
    before = world.daemonset(STATIC)
    world.shell("kubectl apply --server-side --force-conflicts -k migration")
    expect_ours(world, STATIC, before, OURS[:2])


@test
def manifests_that_were_not_applied_are_replaced_as_a_whole(world):
    for name in (STATIC, "locket-provider"):
        world.shell(f"kubectl -n kube-system delete daemonset {name}")
    (world.folder / "created.json").write_text(json.dumps(old_release.daemonset(STATIC, {"app": STATIC})))
    world.shell("kubectl create -f created.json")
    before = world.daemonset(STATIC)
    world.shell("kubectl apply --server-side --force-conflicts -k migration")
    look = world.page.blocks["Static manifests, node by node"][1][0]
    expect_equal(set(world.shell(look).split()), {*THEIRS, *OURS[:2]}, "what is told")
    world.follow("Static manifests, node by node", 1)
    expect_ours(world, STATIC, before, OURS[:2])
    world.shell("kubectl delete -k migration --wait=false >/dev/null; kubectl apply -f old >/dev/null;"
                "kubectl delete -f old --wait=false --ignore-not-found")


VALUES = ("--set enableSecretRotation=true --set rotationPollInterval=1m --set tokenRequests[0].audience=vault "
          "--set tokenRequests[1].audience=bank --set windows.enabled=true --set providerHealthCheck=true "
          "--set syncSecret.enabled=true --set logVerbosity=2 --set linux.nodeSelector.pool=a --set linux.odd=1 "
          "--set commonLabels.team=shop --set linux.metricsAddr=:9095")


@test
def what_cannot_be_upgraded_to_is_refused_with_what_to_do(world):
    gone = lambda: not world.daemonset(STATIC) and not world.get(  # noqa: E731
        f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/secretproviderclasses.{GROUP}")
    wait_until(gone, 30, "the end of the static release")
    for number, one in enumerate(old_release.crds()):  # as its job applies them
        (world.folder / f"crd{number}.json").write_text(json.dumps(one))
        world.shell(f"kubectl apply -f crd{number}.json")
    world.shell("kubectl wait --for=condition=Established crd --all --timeout=30s")
    world.cluster.apply(provider_class("app", "default", ["user"]))
    old_release.write_chart(world.folder / "old-chart", "csi")
    world.shell(f"helm install csi old-chart -n kube-system {VALUES}")
    before = world.daemonset(CHARTS)
    for words, why in (("--reuse-values", "--reset-then-reuse-values"),
                       ("--reset-then-reuse-values --set linux.image.repository=a/csi-secrets-store/driver",
                        "name Locket's, or leave it out")):
        world.shell(f"! helm upgrade csi deploy/chart -n kube-system {words} 2>&1")
        expect(why in world.said, world.said)
    expect_equal(world.daemonset(CHARTS), before, "the release before")


@test
def a_release_of_helm_changes_over_in_place_and_its_values_go_on(world):
    before = world.daemonset(CHARTS)
    world.windows = world.daemonset(f"{CHARTS}-windows")
    world.picture_of_old = world.picture(CHARTS)
    world.follow("A release of Helm, in place")
    expect_ours(world, CHARTS, before, OURS)
    spec = world.daemonset(CHARTS)["spec"]["template"]["spec"]
    driver, agent = spec["containers"][:2]
    expect({"--enable-secret-rotation", "--rotation-poll-interval=1m", "-v=2"} <= set(driver["args"]), driver["args"])
    expect("--metrics-addr=:9095" in agent["args"], agent["args"])
    expect_equal(spec["nodeSelector"], {"kubernetes.io/os": "linux", "pool": "a"}, "nodes")
    csi = world.picture(CHARTS)["csidriver"]
    expect_equal([t["audience"] for t in csi["tokenRequests"]], ["vault", "bank"], "audiences")
    expect(world.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/secretprovidersyncing-role"), "syncing")


@test
def windows_stays_as_it_was_and_values_without_effect_are_told(world):
    after = world.daemonset(f"{CHARTS}-windows")
    expect_equal(after["metadata"]["uid"], world.windows["metadata"]["uid"], "the Windows DaemonSet")
    expect_equal(after["spec"], world.windows["spec"], "its spec")
    expect_rights(world, OLD_WRITES | OLD_REFRESHES | OLD_SYNCS, (), "of Windows nodes, whose driver is the old one")
    account = world.get("/api/v1/namespaces/kube-system/serviceaccounts/secrets-store-csi-driver")
    expect(account["automountServiceAccountToken"], "their pods get their token by the account")
    notes = world.shell("helm get notes csi -n kube-system")
    [command] = re.findall(r"^  (kubectl apply .*)$", notes, re.MULTILINE)
    world.shell(command)
    wait_until(lambda: "PROVIDER" in world.cluster.kubectl("get", "spc", "app", check=False), 20, "short names")
    preview = (world.folder / "preview.txt").read_text()
    expect("providerHealthCheck has no effect" in preview, preview[-600:])
    for line in ("providerHealthCheck has no effect", "linux.odd is unknown", "CRDs are not of this release"):
        expect(line in notes, notes)
    expect("rotationPollInterval" not in notes, notes)


@test
def a_release_of_helm_goes_back_and_forward_again(world):
    world.follow("Back", 1)
    expect_equal(containers(world.daemonset(CHARTS)), THEIRS, "containers")
    expect_equal(world.picture(CHARTS), world.picture_of_old, "the release")
    expect_equal(world.daemonset(f"{CHARTS}-windows")["spec"], world.windows["spec"], "the Windows DaemonSet")
    expect_equal(world.get(f"/apis/admissionregistration.k8s.io/v1/{POLICIES}")["items"], [], "policies")
    world.shell("helm upgrade csi old-chart -n kube-system --reuse-values --set windows.enabled=false")
    before = world.daemonset(CHARTS)
    world.follow("A release of Helm, in place", 0)
    expect_ours(world, CHARTS, before, OURS)
    expect_rights(world, OLD_WRITES | OLD_REFRESHES | OLD_SYNCS, (), "of nodes whose pod has not been replaced yet")
    world.follow("A release of Helm, in place", 1)
    expect_rights(world, (), OLD_WRITES | OLD_REFRESHES | OLD_SYNCS, "once over, without Windows")
    world.follow("Back", 1)


def mint(world, spec):
    """A token asked for with the account of the chart's own provider; what the API server says to that."""
    bound = {"apiVersion": "v1", "kind": "Pod", "name": PROVIDER,
             "uid": world.get(f"/api/v1/namespaces/kube-system/pods/{PROVIDER}")["metadata"]["uid"]}
    token = world.cluster.token_of("kube-system", PROVIDER, of_pod=PROVIDER)
    path = f"/api/v1/namespaces/kube-system/serviceaccounts/{PROVIDER}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": ["vault"], "boundObjectRef": bound, **spec}}
    try:
        world.cluster.call("POST", path, body, token=token)
    except Refused as why:
        return str(why)
    return "minted"


@test
def a_release_of_helm_changes_over_node_by_node_and_its_provider_mints(world):
    before = world.daemonset(CHARTS)
    world.follow("A release of Helm, node by node", 0)
    expect_ours(world, CHARTS, before, OURS[:2])
    expect_equal(world.daemonset(CHARTS)["spec"]["updateStrategy"], {"type": "OnDelete"}, "when pods change")
    expect_rights(world, OLD_WRITES | OLD_REFRESHES, (), "of nodes that have not changed over")
    expect("--mint-tokens" in world.daemonset(PROVIDER)["spec"]["template"]["spec"]["containers"][0]["args"], "minting")
    world.cluster.apply(pod(PROVIDER, "kube-system", account=PROVIDER))
    wait_until(lambda: mint(world, {"expirationSeconds": 600}) == "minted", 30, "the role")
    wait_until(lambda: "minted-tokens" in mint(world, {"expirationSeconds": 700}), 30, "the policy")
    expect("minted-tokens" in mint(world, {"boundObjectRef": None, "expirationSeconds": 600}), "a token of no pod")


@test
def and_once_over_updates_roll_again_and_nobody_may_mint(world):
    world.follow("A release of Helm, node by node", 1)
    strategy = world.daemonset(CHARTS)["spec"]["updateStrategy"]
    expect_equal((strategy["type"], strategy["rollingUpdate"]["maxUnavailable"]), ("RollingUpdate", "10%"), "how pods change")
    expect("serviceAccountToken" not in json.dumps(world.daemonset(PROVIDER)), "a token of the provider's")
    wait_until(lambda: "forbidden" in mint(world, {"expirationSeconds": 600}), 30, "the end of the role")
    world.shell("helm upgrade csi deploy/chart -n kube-system --reuse-values --set windows.enabled=false,syncSecret.enabled=false")
    expect_rights(world, (), OLD_WRITES | OLD_REFRESHES, "once over, without Windows")
    world.shell("helm uninstall csi -n kube-system")
    wait_until(lambda: not world.daemonset(PROVIDER), 30, "the end of the provider")
    expect(world.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/secretproviderclasses.{GROUP}"), "CRDs")


@test
def a_fresh_install_has_its_crds_and_leaves_them_when_it_goes(world):
    world.shell(f"kubectl delete crd secretproviderclasses.{GROUP} secretproviderclasspodstatuses.{GROUP}")
    world.shell("helm upgrade --install new deploy/chart -n kube-system")
    world.shell("kubectl wait --for=condition=Established crd --all --timeout=30s")
    world.shell("helm upgrade --install new deploy/chart -n kube-system --set linux.enabled=true")
    world.cluster.apply(provider_class("app", "default", ["user"]))
    world.shell("helm uninstall new -n kube-system")
    expect(world.get(f"/apis/{GROUP}/v1/namespaces/default/secretproviderclasses/app"), "classes stay")


@test
def a_release_that_comes_back_in_another_namespace_leaves_the_crds_as_they_are(world):
    wait_until(lambda: not world.daemonset("new-secrets-store-csi-driver"), 30, "the end of the release before")
    said = world.shell("helm install new deploy/chart -n other --create-namespace --dry-run=server")
    expect("CRDs are not of this release" in said, said[-600:])
    expect("kind: CustomResourceDefinition" not in said, "CRDs of a release elsewhere")


@test
def tokens_are_asked_for_in_secrets_where_every_kubelet_can_put_them_there(world):
    """One that is older than the API server sends them where they would not count then."""
    path, said = "/api/v1/nodes/node-1/status", []
    before = world.get(path)["status"].get("nodeInfo")
    for version in ("v1.34.9+k3s1", "v1.36.0-gke.1"):
        world.cluster.call("PATCH", path, {"status": {"nodeInfo": {**before, "kubeletVersion": version}}},
                           "application/merge-patch+json")
        preview = world.shell("helm install new deploy/chart -n other --create-namespace --dry-run=server")
        said.append("serviceAccountTokenInSecrets: true" in preview)
    expect_equal(said, [False, True], "with an older kubelet, and without")


def notes_of(world, values):
    """What is printed after an install with these values; nothing is installed."""
    (world.folder / "values.json").write_text(json.dumps(values))
    said = world.shell("helm install other deploy/chart -n kube-system --dry-run=client -f values.json "
                       "--set linux.crds.enabled=false")
    return said.partition("\nNOTES:\n")[2]


def nest(path, value):
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


def merge(into, more):
    for name, value in more.items():
        if isinstance(value, dict):
            merge(into.setdefault(name, {}), value)
        else:
            into[name] = value


@test
def every_value_without_an_effect_is_told_and_no_other(world):
    table, values = documents(CHART / "files/values.yaml")[0], {}
    for path, reason in table.items():
        if reason:
            merge(values, nest(path, "set"))
    merge(values, {"odd": 1, "linux": {"crd": {"enabled": True}}})
    told = [line for line in notes_of(world, values).splitlines() if line.startswith("WARNING: ")]
    expect_equal({line.split()[1] for line in told if "has no effect" in line},
                 {path for path, reason in table.items() if reason})
    expect_equal(sorted(line.split()[1] for line in told if "unknown" in line), ["linux.crd.enabled", "odd"])
    expect("WARNING" not in notes_of(world, {"linux": {"metricsAddr": ":1"}, "global": {"a": "b"}}), "nothing to tell")


@test
def every_command_of_the_page_was_run(world):
    expect_equal(world.page.left, set(), "blocks that nobody ran")
    expect(sum(len(block) for blocks in world.page.blocks.values() for block in blocks) >= 15, "the page's commands")


if __name__ == "__main__":
    run_tests(World)
