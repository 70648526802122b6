# SPDX-License-Identifier: Apache-2.0
"""A stand-in for controllers that restart a workload when what it mounts has changed: it watches
SecretProviderClassPodStatus objects through the API server and counts changes of their
`id=version` pairs. Nothing is missed: one that was deleted and made anew is compared as well."""
import collections
import threading

from harness import wait_until
from objects import GROUP

PATH = f"/apis/{GROUP}/v1/namespaces/{{}}/secretproviderclasspodstatuses"


class Reloader:
    """Of one namespace, from now on."""

    def __init__(self, cluster, namespace):
        self.cluster = cluster
        self.path = PATH.format(namespace)
        self.pairs = {}  # by name: what was seen last
        self.versions = {}  # by name: resourceVersion of it
        self.restarts = collections.Counter()
        begin = cluster.call("GET", self.path)
        for item in begin["items"]:
            self.see(item)
        threading.Thread(target=self.follow, args=[begin["metadata"]["resourceVersion"]],
                         daemon=True).start()

    def follow(self, version):
        for event in self.cluster.watch(f"{self.path}?watch=1&resourceVersion={version}"):
            if event["type"] != "DELETED":
                self.see(event["object"])

    def see(self, item):
        name = item["metadata"]["name"]
        pairs = sorted(f"{o['id']}={o['version']}" for o in item["status"].get("objects", []))
        if self.pairs.setdefault(name, pairs) != pairs:
            self.restarts[name] += 1
        self.pairs[name] = pairs
        self.versions[name] = item["metadata"]["resourceVersion"]

    def count(self):
        """Restarts by name, once all that there is now has been seen."""
        there = {item["metadata"]["name"]: item["metadata"]["resourceVersion"]
                 for item in self.cluster.call("GET", self.path)["items"]}
        wait_until(lambda: all(int(self.versions.get(n, 0)) >= int(v) for n, v in there.items()),
                   10, "the watch to catch up")
        return dict(self.restarts)
