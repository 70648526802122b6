#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The fake API server is one that an independent client takes for real: kubectl lists its pages, reads
an object, follows a watch and is refused."""
import json
import pathlib
import subprocess
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from harness import ROOT, expect, expect_equal, run_tests, test, tool, wait_until


class Fake:
    """The fake, and kubectl."""

    def __init__(self, programs):
        self.programs = programs
        # pylint: disable-next=consider-using-with
        self.server = subprocess.Popen([ROOT / "tests/fakes/kube_fake.py"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.server.stdout.readline().split()[1]}"
        self.program = programs.folder / "kubectl"
        self.program.symlink_to(tool("kubernetes"))
        for name in "abcde":
            self.put(name)

    def command(self, *words):
        return [self.program, f"--server={self.url}", f"--cache-dir={self.programs.folder}/cache", *words]

    def kubectl(self, *words):
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=30, check=False)

    def tell(self, what, body=None):
        request = urllib.request.Request(f"{self.url}/fake/{what}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def put(self, name):
        self.tell("put/things", {"apiVersion": "fake.dev/v1", "kind": "Thing",
                                 "metadata": {"name": name, "namespace": "shop"}})


@test
def a_list_comes_in_pages(fake):
    fake.tell("set/things", {"page": 2})
    got = fake.kubectl("get", "things", "-n", "shop", "-o", "name", "--chunk-size=2")
    expect_equal(got.stdout.split(), [f"thing.fake.dev/{name}" for name in "abcde"], "names")
    pages = [line for line in fake.tell("log").splitlines() if "limit=2" in line]
    expect_equal(len(pages), 3, "pages")


@test
def an_object_is_read_and_one_that_is_not_there_is_not_found(fake):
    got = json.loads(fake.kubectl("get", "thing", "c", "-n", "shop", "-o", "json").stdout)
    expect_equal(got["metadata"]["name"], "c", "name")
    expect("NotFound" in fake.kubectl("get", "thing", "z", "-n", "shop").stderr, "found what is not there")


@test
def a_watch_is_followed(fake):
    out = fake.programs.folder / "watched"
    with open(out, "wb") as file, subprocess.Popen(
            fake.command("get", "things", "-n", "shop", "-o", "name", "--watch-only"),
            stdout=file) as watcher:
        try:
            wait_until(lambda: "watch=true" in fake.tell("log"), 10, "the watch")
            fake.put("f")
            fake.tell("delete/things/shop/b")
            wait_until(lambda: out.read_text().split() == ["thing.fake.dev/f", "thing.fake.dev/b"], 10,
                       "both changes")
        finally:
            watcher.kill()


@test
def an_old_version_is_gone_and_a_token_is_asked_for(fake):
    fake.tell("compact/things")
    words = "/apis/fake.dev/v1/things?watch=true&resourceVersion=1"
    expect("too old resource version" in fake.kubectl("get", "--raw", words).stderr, "410")
    fake.tell("set/things", {"token": "t"})
    expect("Unauthorized" in fake.kubectl("get", "thing", "c", "-n", "shop").stderr, "401")
    fake.server.stdin.close()
    expect_equal(fake.server.wait(10), 0, "exit status: its input has ended")


run_tests(Fake)
