# SPDX-License-Identifier: Apache-2.0
"""What the system suites share: a driver and a provider of file stores in folders of their own."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
import harness  # noqa: E402
from node import Node  # noqa: E402

FAULTS = harness.BUILD / "faults"


class World:
    """A node, a provider with the file store on one document, and a class over it."""

    def __init__(self, programs, flags=(), build=harness.BUILD):
        self.programs = programs
        self.build = build
        self.node = Node(programs, flags)
        self.document = programs.folder / "secrets.json"
        self.write({"user": "joe", "password": "old"})
        self.write_class("app", ["user", "password"])

    def write(self, values):
        harness.write_json(self.document, values)

    def write_class(self, name, keys, **more):
        objects = [{"objectName": key} for key in keys]
        self.node.write_class(name, "file", {"objects": objects, **more})

    def start_provider(self, *flags, environment=None):
        socket = self.node.providers / "file.sock"
        self.programs.start(
            "provider",
            [
                self.build / "bin/locket-provider",
                f"--provider-dir={self.node.providers}",
                f"--file-root={self.document}",
                "--stores=file",
                *flags,
            ],
            socket.exists,
            environment,
        )

    def start_driver(self, **environment):
        """Starts the driver with these variables; true when it serves, false when it ended."""
        before = harness.BUILD
        os.environ.update(environment)
        try:
            import node  # pylint: disable=import-outside-toplevel

            node.BUILD = self.build
            for socket in (self.node.csi, self.node.admin):
                socket.unlink(missing_ok=True)
            self.node.start()
            return True
        except AssertionError:
            return False
        finally:
            node.BUILD = before
            for name in environment:
                os.environ.pop(name)

    def driver(self):
        return self.programs.running.get("driver")

    def records(self):
        return sorted(path.name for path in self.node.state.glob("*.vol"))

    def list(self):
        return json.loads(self.node.ctl("list", "-o", "json")).get("volumes", [])
