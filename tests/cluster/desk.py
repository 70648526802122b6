# SPDX-License-Identifier: Apache-2.0
"""Whoever sits before a page of the docs and types its commands: a shell with kubectl, helm and locketctl, and a
control plane that they speak to."""
import os
import re
import shutil
import subprocess

from harness import BUILD, ROOT, expect_equal, tool, wait_until
from node import Node
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


class Page:
    """The page's commands, block by block below their headings, and the files that it shows."""

    def __init__(self, path):
        self.blocks, self.files, heading = {}, {}, ""
        text = path.read_text(encoding="utf-8")
        for title, kind, body in re.findall(r"^## (.*)$|^```(.*)\n((?:(?!```).*\n)*)```$", text, re.MULTILINE):
            heading = title or heading
            if kind == "console cluster":
                self.blocks.setdefault(heading, []).append(re.findall(r"^\$ (.*)$", body, re.MULTILINE))
            elif kind.startswith("yaml "):
                self.files[kind.removeprefix("yaml ")] = body
        self.left = {(heading, n) for heading, blocks in self.blocks.items() for n in range(len(blocks))}


class Desk:
    """A cluster, a node's driver for what is run in its container, and a page to follow."""

    def __init__(self, programs, page):
        self.cluster = Cluster(programs)
        self.page = Page(ROOT / page)
        self.node = Node(programs)
        self.node.start()
        self.folder = programs.folder / "desk"
        shutil.copytree(ROOT / "deploy", self.folder / "deploy")
        for name, body in self.page.files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(body)
        self.make_commands(programs.folder / "bin")
        self.said = ""
        path = "/api/v1/namespaces/kube-system/serviceaccounts/default"
        wait_until(lambda: self.get(path), 30, "accounts")

    def make_commands(self, folder):
        folder.mkdir()
        (folder / "kubectl").write_text(KUBECTL.format(
            kubeconfig=self.cluster.kubeconfig, build=BUILD, admin=self.node.admin,
            kubectl=self.cluster.program("kubectl")))
        (folder / "kubectl").chmod(0o755)
        (folder / "helm").symlink_to(tool("helm"))
        (folder / "locketctl").symlink_to(BUILD / "bin/locketctl")
        self.environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder),
                            "KUBECONFIG": str(self.cluster.kubeconfig)}

    def shell(self, command):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, timeout=90, check=False)
        expect_equal(done.returncode, 0, f"{command}\n{done.stdout[-600:]}\n{done.stderr[-600:]}")
        self.said = done.stdout + done.stderr
        return done.stdout

    def follow(self, heading, *numbers):
        """Runs blocks of the page in one shell each, as a reader would."""
        for number in numbers or range(len(self.page.blocks[heading])):
            self.shell("\n".join(self.page.blocks[heading][number]))
            self.page.left.discard((heading, number))

    def get(self, path):
        try:
            return self.cluster.call("GET", path)
        except Refused as why:
            expect_equal(why.status, 404, str(why))
            return None

    def daemonset(self, name):
        return self.get(f"/apis/apps/v1/namespaces/kube-system/daemonsets/{name}")
