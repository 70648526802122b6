#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A node that joins with a taint: the agent takes it away once kubelet has confirmed the driver, and may do
nothing else to a node."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))
# pylint: disable=wrong-import-position,import-error
from harness import ROOT, expect, expect_equal, run_tests, test, wait_until
from plugin_watcher import PluginWatcher, load_registration
from rig import Refused
from world import World

KEY = "secrets-store.csi.k8s.io/agent-not-ready"
OTHER = {"key": "cpu", "value": "arm", "effect": "NoSchedule"}
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
MERGE = "application/merge-patch+json"


class Joining(World):
    """A tainted node whose kubelet has not looked yet."""

    agent_flags = ("--remove-startup-taint",)

    def __init__(self, programs):
        self.registry = programs.folder / "plugins_registry"
        self.registry.mkdir()
        self.flags = (f"--registration-folder={self.registry}",)
        self.kubelet = None
        super().__init__(programs)

    def prepare_cluster(self):
        super().prepare_cluster()
        folder = self.programs.folder / "taint"
        folder.mkdir()
        daemonset = os.path.relpath(ROOT / "deploy/daemonset", folder)
        (folder / "kustomization.yaml").write_text(
            f"resources: [{daemonset}/base]\ncomponents: [{daemonset}/components/startup-taint]\n", encoding="ascii")
        self.cluster.kubectl("apply", "--server-side", "-k", folder)
        taints = [{"key": KEY, "effect": "NoSchedule"}, OTHER, {"key": KEY, "effect": "NoExecute"}]
        for name in ("n1", "n2"):
            self.cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                                "spec": {"taints": taints}})

    def start_kubelet(self):
        self.kubelet = PluginWatcher(self.registry, self.node.messages, load_registration())

    def taints(self, name="n1"):
        return [t["key"] for t in self.find(f"/api/v1/nodes/{name}")["spec"].get("taints", [])]

    def calls_to_nodes(self):
        return [call["verb"] for call in self.cluster.audit()
                if call["userAgent"].startswith("locket-agent/") and call.get("objectRef", {}).get("resource") == "nodes"]

    def refusal(self, method, name, body):
        """What the API server answers an agent of node n1."""
        token = (self.token_folder / "token").read_text()
        try:
            self.cluster.call(method, f"/api/v1/nodes/{name}", body, MERGE, token)
        except Refused as why:
            return str(why)
        return None


@test
def until_kubelet_confirms_the_driver_the_taint_stays_and_readyz_says_why(world):
    wait_until(lambda: "[-] registration: kubelet has not asked" in world.page("/readyz")[1], 20, "the reason")
    expect_equal(world.page("/readyz")[0], 503, "/readyz")
    expect_equal(world.page("/healthz")[0], 200, "/healthz: a restart would not help")
    expect_equal(world.metric('locket_agent_ready{check="registration"}'), 0, "the check as a number")
    expect(KEY in world.taints(), "the taint went before kubelet knew the driver")
    expect_equal(world.calls_to_nodes(), [], "calls about nodes")


@test
def an_agent_changes_nothing_of_a_node_but_this_taint(world):
    harmless = {"metadata": {"labels": {"probe": "x"}}}  # it is taken until the policy holds
    wait_until(lambda: world.refusal("PATCH", "n2", harmless), 30, "the policy")
    for name, body, words in (
        ("n2", {"spec": {"taints": [OTHER]}}, "not that of the token"),
        ("n1", {"spec": {"taints": []}}, "no other taint"),
        ("n1", {"spec": {"taints": [{**OTHER, "effect": "NoExecute"}]}}, "no other taint"),
        ("n1", {"spec": {"taints": [OTHER, *[{"key": KEY, "effect": e} for e in EFFECTS]]}}, "none added"),
        ("n1", {"metadata": {"labels": {"tier": "gold"}}}, "nothing but the taint"),
        ("n1", {"metadata": {"annotations": {"a": "b"}}}, "nothing but the taint"),
        ("n1", {"metadata": {"finalizers": ["locket.dev/stays"]}}, "nothing but the taint"),
        ("n1", {"spec": {"providerID": "cloud://other", "taints": [OTHER]}}, "nothing but the taint"),
        ("n1", {"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}}, "nothing but the taint"),
        ("n1", {"spec": {"unschedulable": True, "taints": [OTHER]}}, "nothing but the taint"),
    ):
        said = world.refusal("PATCH", name, body)
        expect(said and words in said, f"{body} of {name}: {said}")
    expect("cannot delete" in (world.refusal("DELETE", "n1", None) or ""), "a node was deleted")


@test
def when_kubelet_has_confirmed_the_driver_the_taint_goes(world):
    world.start_kubelet()
    wait_until(lambda: KEY not in world.taints(), 20, "the taint gone")
    expect_equal(world.taints(), ["cpu"], "what others have set stays")
    expect_equal(world.taints("n2").count(KEY), 2, "the other node's")
    wait_until(lambda: world.page("/readyz")[0] == 200, 10, "/readyz")
    expect("[+] registration" in world.page("/readyz")[1], "registration told")
    expect_equal(world.calls_to_nodes(), ["get", "patch"], "calls about nodes")


@test
def a_driver_that_is_confirmed_again_costs_one_look(world):
    asked = len(world.calls_to_nodes())
    world.programs.stop("driver")
    world.node.start()
    wait_until(lambda: world.calls_to_nodes()[asked:], 30, "a look")
    expect_equal(world.calls_to_nodes()[asked:], ["get"], "calls about nodes")
    world.kubelet.stop()


if __name__ == "__main__":
    run_tests(Joining)
