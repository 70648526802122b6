# SPDX-License-Identifier: Apache-2.0
"""A page of docs/ whose commands are run as they stand, and who types them."""
import os
import re
import shutil
import subprocess

from harness import ROOT, expect_equal


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


class Reader:
    """Has a folder with deploy/ and the page's files, and the commands of a cluster on its PATH."""

    def __init__(self, programs, page):
        self.page, self.said = page, ""
        self.folder, self.commands = programs.folder / "desk", programs.folder / "bin"
        self.commands.mkdir()
        shutil.copytree(ROOT / "deploy", self.folder / "deploy")
        for name, body in page.files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(body)
        self.environment = {**os.environ, "PATH": f"{self.commands}:{os.environ['PATH']}", "HOME": str(self.commands)}

    def command(self, name, what):
        """The text of a script, or the program of this path."""
        if isinstance(what, str):
            (self.commands / name).write_text(what)
            (self.commands / name).chmod(0o755)
        else:
            (self.commands / name).symlink_to(what)

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
