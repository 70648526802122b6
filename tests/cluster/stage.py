# SPDX-License-Identifier: Apache-2.0
"""The stage of the scenarios: what one apply of the sync overlay sets up, a kubelet that is played,
and two providers that are not ours."""
import re
import time

from harness import ROOT, accepts, expect, wait_until, write_json
from kubelet import Kubelet
from objects import GROUP, deployment, e2e_class, inline_pod
from world import World, expect_metric

AUDIENCES = ["aud1", "aud2", "conjur", "api://AzureADTokenExchange", "sts.amazonaws.com"]


class Stage(World):
    """A World whose volumes rotate every second."""

    preset = "overlays/sync"
    flags = ("--rotation-poll-interval=1s", "--sync-secrets")
    agent_flags = ("--sync-secrets", "--secret-check-interval=1s")
    token_requests = [{"audience": a, "expirationSeconds": 3600} for a in AUDIENCES]

    def __init__(self, programs):
        super().__init__(programs)
        self.control(audiences=AUDIENCES)
        self.write_values({"conf/user": "joe"}, "1")
        for name in ("e2e", "writing"):
            socket = self.node.providers / f"{name}-provider.sock"
            programs.start(
                f"{name}-provider",
                ["/usr/bin/python3", ROOT / f"tests/fakes/{name}_provider.py", socket,
                 self.control_file(name)],
                lambda s=socket: accepts(s))
        self.kubelet = Kubelet(self)

    def prepare_cluster(self):
        super().prepare_cluster()
        self.make_csi_driver(tokenRequests=self.token_requests)

    # --- the node's programs ---------------------------------------------------------------------

    def swap_programs(self):
        """Driver and agent anew, as after a change of the DaemonSet; then kubelet's next republish,
        which brings the tokens that no program keeps."""
        for name in ("driver", "agent"):
            self.programs.stop(name)
        self.start_agent()
        self.node.start()
        wait_until(lambda: self.page("/readyz")[0] == 200, 20, "/readyz")
        self.kubelet.republish()

    def wait_told(self, volumes):
        """Until the agent knows so many volumes, and has written all that there is to say."""
        wait_until(lambda: self.metric("locket_agent_volumes") >= volumes and
                   self.metric("locket_agent_pod_status_behind") == 0, 30, "every status written")

    def refresh_all(self, volumes):
        """Each of them once, whatever the interval is."""
        for volume in volumes:
            wait_until(lambda v=volume: self.node.refresh(v)["code"] == "OK", 10, "a refresh")

    # --- what the providers are told -------------------------------------------------------------

    def control_file(self, name):
        return self.programs.folder / f"{name}-control.json"

    def control(self, **wanted):
        write_json(self.control_file("e2e"), wanted)

    def write_values(self, values, version):
        write_json(self.control_file("writing"), {"values": values, "version": version})

    # --- objects ---------------------------------------------------------------------------------

    def classes_path(self, namespace):
        return f"/apis/{GROUP}/v1/namespaces/{namespace}/secretproviderclasses"

    def make_class(self, name, namespace, keys, **more):
        self.cluster.apply(e2e_class(name, namespace, keys, **more))

    def make_inline_pod(self, name, namespace, class_name, **more):
        self.cluster.apply(inline_pod(name, namespace, {"v": class_name}, **more))
        return self.cluster.call("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")

    def delete_and_wait(self, namespace, name):
        self.cluster.kubectl("delete", "pod", name, "-n", namespace, "--wait=false")
        self.kubelet.wait_gone(namespace, name)

    def roll_out(self, name, namespace, classes, env, replicas=2):
        """A Deployment; its pods, once they are ready."""
        self.cluster.apply(deployment(name, namespace, classes, env, replicas))
        return self.kubelet.wait_ready(namespace, f"{name}-", replicas, 90)

    def delete_deployment(self, name, namespace):
        self.cluster.kubectl("delete", "deployment", name, "-n", namespace, "--wait=false")
        self.kubelet.wait_gone(namespace, f"{name}-")

    def secret(self, name, namespace="default"):
        return self.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")

    def wait_owners(self, name, namespace, kinds):
        """Until the Secret's owners are of these kinds; the Secret."""
        def owned():
            secret = self.secret(name, namespace) or {"metadata": {}}
            owners = secret["metadata"].get("ownerReferences", [])
            return sorted(o["kind"] for o in owners) == sorted(kinds) and secret

        return wait_until(owned, 60, f"{kinds} as owners of {namespace}/{name}")

    def wait_no_secret(self, name, namespace):
        """Until the garbage collector has taken it; and it stays away."""
        wait_until(lambda: not self.secret(name, namespace), 60, f"the end of {namespace}/{name}")
        time.sleep(2)  # two looks of the agent
        expect(not self.secret(name, namespace), f"{namespace}/{name} came back")

    def wait_failed_mount(self, pod):
        """The text of a pod's FailedMount."""
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/events?fieldSelector=" \
               f"involvedObject.uid%3D{meta['uid']},reason%3DFailedMount"
        events = self.kubelet.until(lambda: self.cluster.call("GET", path)["items"], 60,
                                    f"a FailedMount of {meta['name']}")
        return events[-1]["message"]

    def series(self, name, labels):
        """The sum of a metric's series that have these labels."""
        expect_metric(name)
        total = 0
        for line in self.page("/metrics", self.metrics)[1].splitlines():
            found = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
            if found and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[1])).items():
                total += float(found[2])
        return total
