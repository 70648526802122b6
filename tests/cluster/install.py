#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/CLUSTER.md on a real API server, each command as it stands: a cluster gets Locket, a first class and pod,
and is without it again."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from desk import Desk
from harness import expect, expect_equal, run_tests, test, wait_until
from objects import GROUP


class World(Desk):
    """The page, from its first section to its last."""

    def __init__(self, programs):
        super().__init__(programs, "docs/CLUSTER.md")
        wait_until(lambda: self.get("/api/v1/namespaces/default/serviceaccounts/default"), 30, "the pod's account")


def pod_of(world):
    return world.daemonset("csi-secrets-store")["spec"]["template"]["spec"]


@test
def a_cluster_gets_the_image_that_was_pushed_in_one_apply(world):
    world.follow("Install")
    expect_equal({c["image"] for c in pod_of(world)["containers"]}, {"registry.example/locket:0.1.0"}, "images")
    expect_equal([c["name"] for c in pod_of(world)["containers"]], ["driver", "agent", "provider"], "containers")


@test
def a_first_class_is_valid_and_a_pod_asks_for_it(world):
    world.follow("A first pod")
    made = world.get(f"/apis/{GROUP}/v1/namespaces/default/secretproviderclasses/shop")
    expect_equal(made["spec"]["provider"], "vault", "the class")
    [volume] = [v for v in world.get("/api/v1/namespaces/default/pods/web")["spec"]["volumes"] if "csi" in v]
    expect_equal(volume["csi"]["volumeAttributes"], {"secretProviderClass": "shop"}, "what the pod asks for")
    stores = [a for a in pod_of(world)["containers"][2]["args"] if a.startswith("--stores=")]
    expect_equal(stores, ["--stores=vault"], "the provider that serves it")


@test
def a_secret_that_is_asked_for_is_synced_once_the_overlay_is_there(world):
    world.follow("Synced Secrets")
    for number in (0, 1):
        expect("--sync-secrets" in pod_of(world)["containers"][number]["args"], "the flag")
    expect(world.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/secretprovidersyncing-role"), "the role")


@test
def a_refresh_is_asked_for_by_annotation(world):
    world.follow("Editing a class")
    expect("locket.dev/refresh-at" in world.get("/api/v1/namespaces/default/pods/web")["metadata"]["annotations"], "told")


@test
def taken_away_it_leaves_the_classes(world):
    world.follow("Take it away")
    wait_until(lambda: not world.daemonset("csi-secrets-store"), 30, "the end of the DaemonSet")
    expect(not world.get("/apis/storage.k8s.io/v1/csidrivers/secrets-store.csi.k8s.io"), "the CSIDriver")
    expect(world.get(f"/apis/{GROUP}/v1/namespaces/default/secretproviderclasses/shop"), "classes stay")
    for kind in ("clusterrole", "clusterrolebinding", "validatingadmissionpolicy", "networkpolicy", "serviceaccount"):
        left = world.cluster.kubectl("-n", "kube-system", "get", kind, "-o", "name")
        ours = [n for n in left.split() if "secretprovider" in n or "secrets-store" in n or "locket" in n]
        expect_equal(ours, [], f"{kind}s that are left")


@test
def every_command_of_the_page_was_run(world):
    expect_equal(world.page.left, set(), "blocks that nobody ran")


if __name__ == "__main__":
    run_tests(World)
