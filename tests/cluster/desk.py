# SPDX-License-Identifier: Apache-2.0
"""Whoever sits before a page of the docs and types its commands: a shell with kubectl, helm and locketctl, and a
control plane that they speak to."""
import pathlib

from harness import BUILD, ROOT, expect_equal, tool, wait_until
from node import Node
from page import Page, Reader
from rig import Cluster, Refused

# No kubelet is here: what would be run in a container runs beside the test's own driver, and a rollout
# is over once somebody has seen the object.
KUBECTL = """#!/bin/bash
set -euo pipefail
export KUBECONFIG={kubeconfig}
if [[ " $* " == *" exec "* ]]; then
    while [[ $1 != -- ]]; do shift; done
    exec {build}/bin/"$2" "${{@:3}}" --admin-socket={admin}
fi
if [[ " $* " == *" rollout status "* ]]; then
    seen=$({kubectl} -n kube-system get "${{@: -1}}" -o 'jsonpath={{.metadata.generation}}')
    {kubectl} -n kube-system patch "${{@: -1}}" --subresource=status --type=merge \\
        -p "{{\\"status\\":{{\\"observedGeneration\\":$seen}}}}" >/dev/null
fi
exec {kubectl} "$@"
"""


class Desk(Reader):
    """A cluster, a node's driver for what is run in its container, and a page to follow."""

    def __init__(self, programs, page):
        super().__init__(programs, Page(ROOT / page))
        self.cluster = Cluster(programs)
        self.node = Node(programs)
        self.node.start()
        self.command("kubectl", KUBECTL.format(
            kubeconfig=self.cluster.kubeconfig, build=BUILD, admin=self.node.admin,
            kubectl=self.cluster.program("kubectl")))
        self.command("helm", pathlib.Path(tool("helm")))
        self.command("locketctl", BUILD / "bin/locketctl")
        self.environment["KUBECONFIG"] = str(self.cluster.kubeconfig)
        path = "/api/v1/namespaces/kube-system/serviceaccounts/default"
        wait_until(lambda: self.get(path), 30, "accounts")

    def get(self, path):
        try:
            return self.cluster.call("GET", path)
        except Refused as why:
            expect_equal(why.status, 404, str(why))
            return None

    def daemonset(self, name):
        return self.get(f"/apis/apps/v1/namespaces/kube-system/daemonsets/{name}")
