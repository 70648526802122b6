#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What people are told of their pods' volumes, and what auditors find: Events on a real API server,
and the audit's lines, whatever happens to the agent, its disk and its reader."""
import base64
import errno
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))
# pylint: disable=wrong-import-position,import-error
from harness import BUILD, accepts, expect, expect_equal, run, run_tests, test, wait_until
from node import mounts_left
from webhook import Webhook
from provider import as_user
from world import World

MARK = "mark-5ecret-9f3e77"  # in every value that a store of these tests holds
INTERVAL_S = 2
NOBODY = 65534


class Reader:
    """An agent whose audit goes to its standard output, and nobody who reads that yet."""

    def __init__(self, world):
        self.end, writing = os.pipe()
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, 4096)
        words, environment = world.agent_command()
        words = [w for w in words if not str(w).startswith("--audit-log")] + ["--audit-log=-"]
        with open(world.programs.log("agent"), "ab") as log:
            # pylint: disable-next=consider-using-with
            self.agent = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL,
                                          stdout=writing, stderr=log, env=environment)
        os.close(writing)
        world.programs.running["agent"] = self.agent
        wait_until(lambda: accepts(world.agent_socket), 20, "the agent serving")

    def read_all(self, programs):
        """Its lines, to its end."""
        texts = []

        def read():
            with open(self.end, encoding="utf-8") as pipe:
                texts.append(pipe.read())

        reading = threading.Thread(target=read)
        reading.start()
        expect_equal(programs.stop("agent"), 0, "exit status of the agent")
        reading.join()
        return [json.loads(line) for line in texts[0].splitlines()]


class Watched(World):
    """The world with an audit, on a disk that is soon full."""

    def __init__(self, programs):
        self.folder = programs.folder / "audit"
        self.folder.mkdir()
        run(["mount", "-t", "tmpfs", "-o", "size=1m", "audit", self.folder])
        self.log = self.folder / "audit.log"
        self.key = programs.folder / "audit.key"
        self.key.write_text("k" * 40)
        self.agent_flags = [f"--audit-log={self.log}", f"--audit-key={self.key}",
                            "--cluster-name=c1", "--audit-head-interval=1s"]
        super().__init__(programs)

    def values_of(self, word):
        return {"user": f"{MARK}-joe", "password": f"{MARK}-{word}"}

    # --- Events ----------------------------------------------------------------------------------

    def events(self, pod_name=None, reason=None):
        items = self.cluster.call("GET", "/api/v1/namespaces/shop/events")["items"]
        return [e for e in items if pod_name in (None, e["involvedObject"]["name"]) and
                reason in (None, e["reason"])]

    def wait_for_event(self, pod, reason, count=1, seconds=20):
        """The one Event of this reason about this pod."""
        def told():
            found = self.events(pod.name, reason)
            expect(len(found) < 2, f"more than one {reason}: {[e['message'] for e in found]}")
            return found and found[0]["count"] == count and found[0]

        event = wait_until(told, seconds, f"{reason} (count {count}) of {pod.name}")
        expect_equal(event["involvedObject"]["uid"], pod.uid, "uid")
        expect_equal(event["source"]["component"], "csi-secrets-store-controller", "component")
        return event

    # --- the audit -------------------------------------------------------------------------------

    def lines(self):
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def lines_of(self, pod):
        return [line for line in self.lines() if line.get("pod_uid") == pod.uid]

    def wait_for_line(self, pod, event, **more):
        def found():
            for line in self.lines_of(pod):
                if line["event"] == event and all(line.get(k) == v for k, v in more.items()):
                    return line
            return None

        return wait_until(found, 10, f"a line {event} of {pod.name}")

    def verify(self, *words, check=True):
        files = sorted(self.folder.glob("audit.log*"), reverse=True)
        return run([BUILD / "bin/locketctl", "audit", "verify", "--key", self.key, *words, *files],
                   check=check)

    def use_full_disk(self):
        with open(self.folder / "other", "wb", buffering=0) as other:
            try:
                while True:
                    other.write(bytes(4096))
            except OSError as why:
                expect_equal(why.errno, errno.ENOSPC, "error of a full disk")

    def use_disk(self):
        (self.folder / "other").unlink()

    def start_driver(self, *flags):
        self.node.flags = list(flags)
        self.node.start()


def claims_of(token):
    middle = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))


def fails(world):
    """The store forgets everything."""
    world.write({})


@test
def a_rotation_is_one_event_that_says_from_what_to_what(world):
    world.write(world.values_of("old"))
    pod = world.publish("rotated")
    before = {o["id"]: o["version"] for o in world.wait_for_status("rotated")["status"]["objects"]}
    world.node.must_refresh(pod, changed=False)
    expect_equal(world.events("rotated"), [], "Events of a pod that nothing happened to")
    world.write(world.values_of("new"))
    world.node.must_refresh(pod, changed=True)
    event = world.wait_for_event(pod, "MountRotationComplete")
    expect_equal(event["type"], "Normal", "type")
    said = re.search(r"password (\S+) -> (\S+)\.", event["message"])
    expect(said, event["message"])
    expect(before["password"].startswith(said[1]), f"{said[1]} was not {before['password']}")
    expect("user" not in event["message"], "what did not change is told")
    pod.unpublish()


@test
def a_failing_volume_is_told_of_once_and_again_when_it_works(world):
    pod = world.publish("failing")
    fails(world)
    for _ in range(3):
        expect(world.node.refresh(pod)["code"] != "OK", "a refresh of nothing")
    event = world.wait_for_event(pod, "MountRotationFailed")
    expect_equal(event["type"], "Warning", "type")
    expect("files stay as they were" in event["message"], event["message"])
    world.write(world.values_of("new"))
    world.node.must_refresh(pod, changed=False)
    world.wait_for_event(pod, "MountRotationRecovered")
    fails(world)
    world.node.refresh(pod)
    world.wait_for_event(pod, "MountRotationFailed", count=2)
    world.write(world.values_of("new"))
    pod.unpublish()


@test
def an_edit_that_fails_is_told_with_what_to_do(world):
    world.make_class("edited", "shop", ["user"])
    pod = world.publish("reader", "edited")
    world.wait_for_status("reader", class_name="edited")
    world.make_class("edited", "shop", ["nowhere"])
    event = world.wait_for_event(pod, "SecretProviderClassRefused")
    expect("take the edit back" in event["message"] and "nowhere" in event["message"],
           event["message"])
    world.make_class("edited", "shop", ["user"])
    world.wait_for_event(pod, "MountRotationRecovered")
    pod.unpublish()


@test
def a_provider_that_is_away_is_told_of(world):
    pod = world.publish("lonely")
    world.programs.stop("provider")
    try:
        expect(world.node.refresh(pod)["code"] != "OK", "a refresh without a provider")
        event = world.wait_for_event(pod, "ProviderUnavailable")
        expect("provider file" in event["message"], event["message"])
    finally:
        world.start_provider()
    wait_until(lambda: world.node.refresh(pod)["code"] == "OK", 10, "the provider back")
    world.wait_for_event(pod, "MountRotationRecovered")
    pod.unpublish()


@test
def another_user_at_a_providers_socket_is_told_of(world):
    pod, folder = world.publish("replaced"), world.node.providers
    words = as_user(world.programs, folder, NOBODY)
    world.programs.stop("provider")
    world.start_provider(program=words)
    try:
        wait_until(lambda: world.node.refresh(pod)["code"] == "OK", 10, "the other user's provider")
        event = world.wait_for_event(pod, "ProviderPeerChanged")
        expect(f"uid {NOBODY}" in event["message"], event["message"])
        pod.unpublish()
    finally:
        world.programs.stop("provider")
        os.chown(folder, 0, 0)
        world.start_provider()


@test
def a_volume_that_is_not_refreshed_for_long_is_told_to_be_stale(world):
    world.make_class("hasty", "shop", ["user"], rotationPollInterval=f"{INTERVAL_S}s")
    pod = world.publish("old", "hasty")
    fails(world)
    event = world.wait_for_event(pod, "SecretsStale", seconds=40)
    expect(re.search(r"those of 20\d\d-\d\d-\d\dT\S+Z, or older", event["message"]),
           event["message"])
    time.sleep(2 * INTERVAL_S)
    world.wait_for_event(pod, "SecretsStale")
    world.wait_for_event(pod, "MountRotationFailed")
    world.write(world.values_of("new"))
    world.node.refresh(pod)
    world.wait_for_event(pod, "MountRotationRecovered")
    pod.unpublish()


@test
def a_token_of_another_pod_is_told_of_once(world):
    world.make_csi_driver(tokenRequests=[{"audience": "vault"}])
    pod = world.make_pod("mistaken")
    mine = world.cluster.token_of("shop", "default", "vault", of_pod="mistaken")
    world.make_pod("other")
    foreign = world.cluster.token_of("shop", "default", "vault", of_pod="other")
    pod.must_publish("app", tokens={"vault": mine})
    line = world.wait_for_line(pod, "publish")
    expect_equal(line["credential"], claims_of(mine)["jti"], "the token's id")
    for _ in range(3):
        pod.must_publish("app", tokens={"vault": foreign})
    event = world.wait_for_event(pod, "TokenMismatch")
    expect("podInfoOnMount" in event["message"], event["message"])
    line = world.wait_for_line(pod, "policy-deny")
    expect_equal(line["code"], "PERMISSION_DENIED", "code")
    for token in (mine, foreign):
        expect(token.split(".")[2] not in event["message"] + json.dumps(line), "a token is told")
    world.make_csi_driver(tokenRequests=[{"audience": "vault"}], requiresRepublish=False)
    event = world.wait_for_event(pod, "RepublishOff")
    expect("requiresRepublish: true" in event["message"] and "at 20" in event["message"],
           event["message"])
    world.make_csi_driver()
    pod.unpublish()


@test
def an_agent_that_is_new_repeats_nothing(world):
    before = {e["metadata"]["uid"]: e["count"] for e in world.events()}
    pod = world.publish("stays")
    world.programs.stop("agent", signal.SIGKILL)
    world.start_agent()
    world.wait_for_status("stays")
    wait_until(lambda: world.page("/readyz")[0] == 200, 15, "/readyz")
    time.sleep(1)
    expect_equal({e["metadata"]["uid"]: e["count"] for e in world.events()}, before, "Events")
    pod.unpublish()


@test
def a_webhook_that_is_away_holds_up_the_events_of_its_namespace_alone(world):
    certs = world.cluster.folder / "certs"
    webhook = Webhook(certs / "apiserver.crt", certs / "apiserver.key", "no Event today")
    hook = webhook.configuration("events", "", "events")
    hook["webhooks"][0]["namespaceSelector"] = {
        "matchLabels": {"kubernetes.io/metadata.name": "hooked"}}
    webhook.stop()
    world.make_namespace("hooked")
    world.make_class("app", "hooked", ["user", "password"])
    world.cluster.apply(hook)
    held, free = world.publish("held", namespace="hooked"), world.publish("free")
    words = []

    def rotate(pod):
        words.append(f"hooked-{len(words)}")
        world.write(world.values_of(words[-1]))
        world.node.must_refresh(pod, changed=True)

    def refused():
        """The API server may still write what it is asked right after it took the webhook up."""
        rotate(held)
        time.sleep(1)
        return "failed calling webhook" in world.programs.log("agent").read_text()

    wait_until(refused, 20, "an Event that the webhook holds up")
    rotations = len(words)
    rotate(free)
    world.wait_for_event(free, "MountRotationComplete", seconds=10)

    def told():
        items = world.cluster.call("GET", "/api/v1/namespaces/hooked/events")["items"]
        return sum(e["reason"] == "MountRotationComplete" for e in items)

    expect(told() < rotations, "the webhook held up nothing")
    world.cluster.kubectl("delete", "validatingwebhookconfiguration", "events")
    wait_until(lambda: told() == rotations, 40, "the Events that waited")
    held.unpublish()
    free.unpublish()


# --- the audit ---------------------------------------------------------------------------------------


@test
def each_access_has_one_line_of_who_what_and_when(world):
    pod = world.publish("audited")
    line = world.wait_for_line(pod, "publish")
    for key, value in {"cluster": "c1", "node": "n1", "namespace": "shop", "pod": "audited",
                       "service_account": "default", "volume": pod.volume_id, "class": "app",
                       "provider": "file", "store": f"file://{world.document}", "code": "OK",
                       "generation": 1}.items():
        expect_equal(line[key], value, key)
    expect(re.fullmatch(rf"socket={world.node.providers}/file.sock uid=0 gid=0 pid=[0-9]+",
                        line["peer"]), line["peer"])
    objects = {o["name"]: o for o in line["objects"]}
    expect_equal(sorted(objects), ["password", "user"], "objects")
    expect_equal(objects["user"]["bytes"], len(f"{MARK}-joe"), "bytes")
    expect("version" in objects["user"] and "digest" not in objects["user"], str(objects))
    world.node.must_refresh(pod, changed=False)
    world.wait_for_line(pod, "rotate", code="OK")
    fails(world)
    world.node.refresh(pod)
    world.wait_for_line(pod, "rotate", code="NOT_FOUND")
    world.write(world.values_of("new"))
    pod.must_publish("app")  # kubelet's next: nothing is accessed
    pod.unpublish()
    world.wait_for_line(pod, "unpublish", code="OK")
    pod.unpublish()  # which nobody knows any more
    wait_until(lambda: len(world.lines_of(pod)) > 4, 10, "a line of an unknown volume")
    expect_equal([x["event"] for x in world.lines_of(pod)],
                 ["publish", "rotate", "rotate", "unpublish", "unpublish"], "lines")
    expect("class" not in world.lines_of(pod)[-1], "what nobody knows is told")


@test
def a_line_says_whose_the_pod_is(world):
    selector = {"matchLabels": {"app": "web"}}
    template = {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "rig.local/none"}]}}
    # Of a kind whose controller does not run here: it would let go of a pod that it did not make.
    owner = world.cluster.call("POST", "/apis/apps/v1/namespaces/shop/statefulsets", {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"},
        "spec": {"replicas": 0, "serviceName": "web", "selector": selector, "template": template}})
    pod = world.make_pod("owned")
    reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": True,
                 "uid": owner["metadata"]["uid"]}
    world.cluster.call("PATCH", "/api/v1/namespaces/shop/pods/owned",
                       {"metadata": {"ownerReferences": [reference]}}, "application/merge-patch+json")
    pod.must_publish("app")

    def told():
        world.node.must_refresh(pod, changed=False)
        return any(x.get("owner") == "StatefulSet/web" for x in world.lines_of(pod))

    wait_until(told, 60, "a line with the owner")
    pod.unpublish()


@test
def the_chain_is_whole_and_its_end_is_noted_outside(world):
    def noted():
        items = world.cluster.call("GET", "/api/v1/namespaces/default/events")["items"]
        heads = [e for e in items if e["reason"] == "AuditHead"]
        expect(len(heads) < 2, "more than one Event has the head")
        return heads and heads[0]["metadata"]["annotations"]["locket.dev/audit-head"].split()

    last = world.lines()[-1]
    seq, head = wait_until(lambda: noted() and int(noted()[0]) >= last["seq"] and noted(), 15,
                           "the head in an Event")
    expect(any(str(x["seq"]) == seq and x["hash"] == head for x in world.lines()), "another head")
    world.verify("--head", head)
    number = world.metric("locket_agent_audit_head")
    expect(any(int(x["hash"][:13], 16) == number for x in world.lines()), "the metric is no head")
    text = world.log.read_text(encoding="utf-8")
    world.log.with_name("audit.log.bad").write_text(text.replace('"pod":"audited"', '"pod":"x"', 1))
    done = run([BUILD / "bin/locketctl", "audit", "verify", "--key", world.key,
                world.log.with_name("audit.log.bad")], check=False)
    world.log.with_name("audit.log.bad").unlink()
    expect(done.returncode != 0, "a changed line was not found")


@test
def a_kill_in_the_middle_loses_nothing_that_the_driver_knows(world):
    pods = [world.make_pod(f"killed-{i}") for i in range(12)]
    for i, pod in enumerate(pods):
        pod.must_publish("app")
        if i == 5:
            world.programs.stop("agent", signal.SIGKILL)
    world.start_agent()
    for pod in pods[6:]:
        world.wait_for_line(pod, "publish")
    for pod in pods:
        pod.unpublish()
    world.wait_for_line(pods[-1], "unpublish")
    world.verify()
    seen = [x["pod"] for x in world.lines() if x["event"] == "publish" and
            x["pod"].startswith("killed-")]
    expect(len(seen) >= 8, f"{len(seen)} of 12 publishes have a line")  # some were in its memory


@test
def nothing_new_is_published_while_the_audit_cannot_be_written_and_the_old_lives(world):
    pod = world.publish("before")
    world.programs.stop("driver")
    world.start_driver("--audit-fail-closed")
    world.use_full_disk()
    try:
        fresh = world.make_pod("refused")

        def refusal():
            answer = fresh.publish("app")
            if answer.code == "OK":
                fresh.unpublish()
            return answer.code != "OK" and answer

        answer = wait_until(refusal, 20, "a refusal")
        expect_equal(answer.code, "UNAVAILABLE", "code")
        expect("audit" in answer.text and "No space left" in answer.text, answer.text)
        expect(not fresh.target.exists(), "the refused volume's folder is there")
        expect("[!] audit" in world.page("/readyz")[1], "/readyz does not tell of it")
        expect_equal(world.metric("locket_agent_audit_failing"), 1, "the metric")
        pod.must_publish("app")
        world.write(world.values_of("closed"))
        world.node.must_refresh(pod, changed=True)
        expect_equal(pod.read("password"), f"{MARK}-closed", "the rotated file")
        world.programs.stop("agent", signal.SIGKILL)
        answer = fresh.publish("app")
        expect_equal(answer.code, "UNAVAILABLE", f"code without an agent ({answer.text})")
        pod.unpublish()
    finally:
        world.use_disk()
        world.start_agent()
    wait_until(lambda: fresh.publish("app").code == "OK", 15, "the publish with an audit again")
    world.wait_for_line(fresh, "publish")
    world.wait_for_line(pod, "unpublish")
    fresh.unpublish()
    world.verify()


@test
def a_reader_that_does_not_read_costs_nobody_a_wait_and_loses_no_line(world):
    world.programs.stop("agent")
    reader = Reader(world)
    try:
        pod = world.make_pod("slow")
        started = time.monotonic()
        pod.must_publish("app")
        for _ in range(20):
            world.node.must_refresh(pod, changed=False)
        expect(time.monotonic() - started < 10, "refreshes waited for the audit's reader")
        wait_until(lambda: world.metric("locket_agent_audit_failing") == 1, 20, "the audit failing")
        expect(world.metric("locket_agent_audit_queued") > 5, "nothing waits")
        pod.unpublish()
        # The driver tells of it after its answer; an agent that ends before would have no line of it.
        wait_until(lambda: world.metric("locket_agent_audit_queued") +
                   world.metric("locket_agent_audit_written_total") == 23, 10, "start and 22 lines")
    finally:
        lines = reader.read_all(world.programs)
    events = [line["event"] for line in lines if line.get("pod") == "slow"]
    expect_equal(events, ["publish"] + 20 * ["rotate"] + ["unpublish"], "lines that waited")
    expect_equal([line["seq"] for line in lines], list(range(1, len(lines) + 1)), "their numbers")
    world.start_agent()


@test
def what_does_not_fit_the_queue_is_counted_and_the_chain_says_so(world):
    """Lines of 64 KiB: 256 of them are all that may wait."""
    keys = [f"key-{i:04}" for i in range(800)]
    world.write({**world.values_of("many"), **{key: MARK for key in keys}})
    world.make_class("all", "shop", keys)
    world.programs.stop("agent")
    reader = Reader(world)
    try:
        pod = world.publish("greedy", "all")

        def refresh():
            for _ in range(20):
                world.node.must_refresh(pod, changed=False)
            return world.metric("locket_agent_audit_dropped_total") > 20

        wait_until(refresh, 60, "dropped lines")
        expect_equal(world.metric("locket_agent_audit_failing"), 1, "the audit failing")
        expect(world.metric("locket_agent_audit_blocked_seconds_total") > 0, "blocked for no time")
        pod.unpublish()
        wait_until(lambda: world.metric("locket_agent_volumes") == 0, 10, "the unpublish told")
        dropped = world.metric("locket_agent_audit_dropped_total")
    finally:
        lines = reader.read_all(world.programs)
        world.write(world.values_of("old"))
    told = sum(line["count"] for line in lines if line["event"] == "dropped")
    expect(told >= dropped > 20, f"{told} of {dropped} are told")
    expect(sum(line.get("volume") == pod.volume_id for line in lines) > 200, "what did fit")
    expect_equal([line["seq"] for line in lines], list(range(1, len(lines) + 1)), "their numbers")
    world.start_agent()


@test
def nothing_secret_is_in_events_audit_or_logs(world):
    everything = json.dumps(world.events()) + world.log.read_text(encoding="utf-8")
    expect(MARK not in everything, "a value was told")
    expect("killed-3" in everything, "nothing was looked at")
    token = (world.token_folder / "token").read_text()
    world.programs.expect_in_no_log([MARK, token], ["driver", "agent"])
    for event in world.events():
        expect(event["message"].endswith(".") and "\n" not in event["message"], event["message"])


@test
def every_call_was_allowed(world):
    refused = [(c["verb"], c["requestURI"]) for c in world.cluster.audit()
               if c["userAgent"].startswith("locket-agent/") and
               c["responseStatus"]["code"] == 403 and not world.cluster.was_young(c)]
    expect_equal(refused, [], "calls that the role did not allow")
    used = {c["verb"] for c in world.cluster.audit()
            if c.get("objectRef", {}).get("resource") == "events"}
    expect_equal(used, {"create", "patch"}, "what is done to Events")


@test
def the_programs_end_when_told(world):
    for name in ("driver", "agent"):
        expect_equal(world.programs.stop(name), 0, f"exit status of {name}")
    expect_equal(world.lines()[-1]["event"], "stop", "the last line")
    world.verify()
    expect_equal(mounts_left(), [], "mounts")


if __name__ == "__main__":
    run_tests(Watched)
