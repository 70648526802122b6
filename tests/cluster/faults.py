#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between agent, API server and driver: nothing is lost, no final code comes of it,
pods with known classes notice nothing, and five seconds after its end all is as it was."""
import concurrent.futures
import itertools
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))
# pylint: disable=wrong-import-position,import-error
import api_proxy
from harness import expect, expect_equal, run_tests, test, wait_until
from node import Pod
from webhook import Webhook
from objects import GROUP
from world import ACCOUNT, STATUSES, World

AWAY_S = int(os.environ.get("AWAY_S", "10"))  # how long the API server is away
ROUND_S = 60  # between two looks at all that goes on meanwhile
RECOVERY_S = 5
END_S = 5  # for an agent that is told to end
SOON_S = 1  # for what must not wait for the API server
MAYBE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED")
STATUS_PATH = f"/{STATUSES}/"
STATUS_WATCH = rf"/{STATUSES}\?"


FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class FaultyWorld(World):
    """The world with a proxy between agent and API server, and an agent whose clock can jump."""

    def agent_command(self):
        expect(FAKETIME, "no libfaketime: tests/check/deps.sh test")
        words, environment = super().agent_command()
        shift = self.token_folder / "shift"  # where its sandbox lets it read
        if not shift.exists():
            shift.write_text("+0")
        return words, {**environment, "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(shift),
                       "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def jump(self, shift):
        """The wall clock of the agent, and of nobody else."""
        fresh = self.token_folder / "shift.new"
        fresh.write_text(shift)
        fresh.rename(self.token_folder / "shift")

    def prepare_cluster(self):
        super().prepare_cluster()
        certs = self.cluster.folder / "certs"
        self.proxy = api_proxy.ApiProxy(self.cluster.port, certs / "apiserver.crt",
                                        certs / "apiserver.key")
        self.api_port = self.proxy.port

    def kubelet_pod(self, name):
        """A pod that the API server need not be asked for."""
        return Pod(self.node, name, "shop")

    def versions(self, name):
        found = self.status(name)
        return {o["id"]: o["version"] for o in found["status"]["objects"]} if found else None

    def rotate(self, pod, value):
        """The pod reads the new value now. Returns the version that its status is to tell."""
        self.write({**self.values, "password": value})
        self.node.must_refresh(pod, changed=True)
        expect_equal(pod.read("password"), value, "what the pod reads")

    def wait_ready(self, since, within=RECOVERY_S):
        wait_until(lambda: self.page("/readyz")[0] == 200, within + 10, "/readyz")
        took = time.monotonic() - since
        expect(took < within + 1, f"ready {took:.1f} s after the fault")


def timed(what, work):
    began = time.monotonic()
    result = work()
    took = time.monotonic() - began
    expect(took < SOON_S, f"{what} took {took:.1f} s")
    return result


def lives_go_on(world, name):
    """A pod with a known class starts, is read, republished and ended as if nothing was."""
    pod = world.kubelet_pod(name)
    timed("a publish", lambda: pod.must_publish("app"))
    expect_equal(pod.read("user"), "joe", "what the pod reads")
    timed("a republish", lambda: pod.must_publish("app"))
    timed("an unpublish", pod.unpublish)


def expect_maybe(answer):
    expect(answer.code in MAYBE, f"a final code: {answer}")


def live_under_fault(world, pod, number):
    """Each verb once: a rotation, a republish, a life of another pod; an unknown class is no final
    error."""
    world.rotate(pod, f"during-{pod.name}-{number}")
    timed("a republish", lambda: pod.must_publish("app"))
    lives_go_on(world, f"{pod.name}-other-{number}")
    expect_maybe(world.kubelet_pod(f"{pod.name}-lost-{number}").publish("never-heard-of", timeout_s=30))
    expect_equal(timed("/healthz", lambda: world.page("/healthz"))[0], 200, "/healthz")


def during(world, fault, name, seconds=0, restart=False):
    """All goes on under the fault, which lasts so long. Then it heals: the status that waited tells
    of the last rotation within RECOVERY_S."""
    pod = world.publish(name)
    before = world.wait_for_status(name)["status"]["objects"]
    world.proxy.misbehave(fault)
    world.proxy.cut()
    end = time.monotonic() + seconds
    if restart:
        world.programs.stop("agent", signal.SIGKILL)
        world.start_agent()
    for number in itertools.count():
        live_under_fault(world, pod, number)
        left = end - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(left, ROUND_S))
    healed = world.proxy.heal()
    world.wait_for_status(name, lambda s: s and s["status"]["objects"] != before)
    took = time.monotonic() - healed
    expect(took < RECOVERY_S + 1, f"the status came {took:.1f} s after the fault")
    world.wait_ready(healed)
    world.write(world.values)
    pod.unpublish()


@test
def an_api_server_that_is_away_takes_nothing_along(world):
    during(world, api_proxy.away, "away", seconds=AWAY_S)


@test
def an_agent_that_starts_while_the_api_server_is_away_takes_nothing_along(world):
    during(world, api_proxy.away, "started", seconds=AWAY_S, restart=True)


@test
def an_api_server_that_answers_nothing_holds_nobody_up(world):
    during(world, api_proxy.silent(world.proxy), "silent")


@test
def a_slow_api_server_is_waited_for_where_it_is_needed_and_nowhere_else(world):
    pod = world.publish("slow")
    world.wait_for_status("slow")
    world.make_class("far", "shop", ["user"])
    world.proxy.misbehave(api_proxy.slow(2))
    world.proxy.cut()
    lives_go_on(world, "slow-other")
    late = world.kubelet_pod("slow-far")
    late.must_publish("far")
    expect_equal(late.files(), {"user": "joe"}, "files")
    timed("/readyz", lambda: world.page("/readyz"))
    world.wait_ready(world.proxy.heal())
    for each in (late, pod):
        each.unpublish()


@test
def who_is_told_to_come_later_comes_later_though_a_watch_works_again(world):
    told = api_proxy.status(429, "TooManyRequests", "come later")
    later = api_proxy.answers("PATCH", STATUS_PATH, 429, told, times=1, Retry_After="5")

    def patched():
        return world.proxy.asked("PATCH", STATUS_PATH + "later-")

    def watched():
        return world.proxy.asked("GET", STATUS_WATCH)

    def unwatched_until_patched(call):
        return not patched() and api_proxy.answers("GET", STATUS_WATCH, 500, told)(call)

    sooner, pod = world.publish("sooner"), world.make_pod("later")
    world.wait_for_status("sooner")
    world.proxy.misbehave(lambda call: later(call) or unwatched_until_patched(call))
    world.proxy.cut()
    wait_until(watched, 5, "the watch that fails")
    pod.must_publish("app")
    world.wait_for_status("later")
    asked = patched()
    expect_equal(len(asked), 2, "calls")
    expect(5 <= asked[1] - asked[0] < 8, f"asked again after {asked[1] - asked[0]:.1f} s")
    expect(any(asked[0] < at < asked[1] for at in watched()), "the watch came back meanwhile")
    world.proxy.heal()
    for each in (sooner, pod):
        each.unpublish()


@test
def a_watch_that_has_missed_too_much_begins_anew(world):
    """The API server is killed and has forgotten the versions from before: 410 of its own."""
    world.make_class("edited", "shop", ["user"])
    world.make_class("gone", "shop", ["user"])
    pod, left = world.publish("anew", "edited"), world.publish("anew-gone", "gone")
    world.wait_for_status("anew", class_name="edited")
    world.proxy.misbehave(api_proxy.away)
    world.proxy.cut()
    world.make_class("edited", "shop", ["user", "password"])
    world.cluster.kubectl("delete", "secretproviderclass", "gone", "-n", "shop")
    world.cluster.call("DELETE", world.status_path("anew", class_name="edited"))
    world.programs.stop("apiserver", signal.SIGKILL)
    lives_go_on(world, "anew-other")
    world.cluster.start_apiserver()
    healed = world.proxy.heal()
    wait_until(lambda: pod.files() == world.values, 15, "the files of the edited class")
    took = time.monotonic() - healed
    expect(took < 2 * RECOVERY_S, f"the edit was seen {took:.1f} s after the fault")
    world.wait_for_status("anew", class_name="edited")
    expect_equal(left.files(), {"user": "joe"}, "files of a volume whose class is gone")
    expect_equal(world.make_pod("anew-late").publish("gone").code, "NOT_FOUND", "code")
    for each in (pod, left):
        each.unpublish()


DENIAL = {
    "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "deny-statuses"},
    "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [{
        "apiGroups": [GROUP], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
        "resources": [STATUSES]}]},
        "validations": [{"expression": "!object.metadata.name.startsWith('denied')",
                         "message": "no status of this pod"}]},
}
BINDING = {
    "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": "deny-statuses"},
    "spec": {"policyName": "deny-statuses", "validationActions": ["Deny"]},
}


@test
def a_policy_that_denies_statuses_denies_nothing_else(world):
    world.cluster.apply(DENIAL, BINDING)
    probe = {"apiVersion": f"{GROUP}/v1", "kind": "SecretProviderClassPodStatus",
             "metadata": {"name": "denied-probe", "namespace": "shop"}}

    def denies():
        path = f"/apis/{GROUP}/v1/namespaces/shop/{STATUSES}?dryRun=All"
        try:
            world.cluster.call("POST", path, probe)
        except Exception as why:  # pylint: disable=broad-except
            return "no status of this pod" in str(why)
        return False

    wait_until(denies, 20, "the policy")
    world.proxy.misbehave(None)
    pod = world.publish("denied")
    lives_go_on(world, "denied-not")
    time.sleep(4)
    asked = world.proxy.asked("PATCH", STATUS_PATH + "denied-shop")
    expect(1 <= len(asked) <= 4, f"{len(asked)} calls that were denied")
    expect("no status of this pod" in world.programs.log("agent").read_text(), "the policy's words")
    world.rotate(pod, "denied")
    world.cluster.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy",
                          "deny-statuses")
    world.wait_for_status("denied")
    world.write(world.values)
    pod.unpublish()


@test
def a_webhook_that_denies_or_is_away_denies_nothing_else(world):
    certs = world.cluster.folder / "certs"
    webhook = Webhook(certs / "apiserver.crt", certs / "apiserver.key", "no status today")
    world.cluster.apply(webhook.configuration("deny", GROUP, STATUSES))
    world.proxy.misbehave(None)
    # The API server may still write what it is asked right after it took the webhook up.
    pods = []
    wait_until(lambda: pods.append(world.publish(f"hooked-{len(pods)}")) or webhook.asked, 20, "the webhook")
    wait_until(lambda: "no status today" in world.programs.log("agent").read_text(), 10, "its words")
    webhook.stop()
    pods.append(world.publish("hooked"))
    lives_go_on(world, "hooked-not")
    wait_until(lambda: "failed calling webhook" in world.programs.log("agent").read_text(), 10,
               "that nobody answers")
    world.cluster.kubectl("delete", "validatingwebhookconfiguration", "deny")
    world.wait_for_status("hooked")
    for pod in pods:
        world.wait_for_status(pod.name)
        pod.unpublish()


@test
def an_owner_that_changes_between_look_and_write_is_looked_at_again(world):
    first = world.publish("owned")
    world.wait_for_status("owned")
    first.unpublish()
    path = world.status_path("owned")
    strangers = []

    def stranger(call):
        """Somebody writes the object right before each of our first two JSON patches."""
        if call.headers.get("Content-Type") == "application/json-patch+json" and len(strangers) < 2:
            strangers.append(time.time())
            world.cluster.call("PATCH", path, {"metadata": {"annotations": {"by": str(len(strangers))}}},
                               "application/merge-patch+json")
        return False

    world.cluster.call("PATCH", path, {"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "Node", "name": "n1",
         "uid": world.find("/api/v1/nodes/n1")["metadata"]["uid"]}]}}, "application/merge-patch+json")
    world.proxy.misbehave(stranger)
    second = world.publish("owned")
    status = world.wait_for_status(
        "owned", lambda s: s["metadata"]["ownerReferences"][0]["uid"] == second.uid)
    expect_equal(len(status["metadata"]["ownerReferences"]), 1, "owners")
    expect_equal(status["metadata"]["annotations"]["by"], "2", "what somebody else wrote")
    world.proxy.heal()
    second.unpublish()


@test
def a_token_that_is_revoked_is_told_and_a_new_one_taken(world):
    pod = world.publish("revoked")
    before = world.wait_for_status("revoked")["status"]["objects"]
    world.cluster.kubectl("delete", "pod", ACCOUNT, "-n", "kube-system", "--grace-period=0", "--force")
    token = (world.token_folder / "token").read_text()

    def is_refused():
        try:
            world.cluster.call("GET", "/version", token=token)
        except Exception as why:  # pylint: disable=broad-except
            return "401" in str(why)
        return False

    wait_until(is_refused, 30, "the end of the token")
    world.proxy.cut()
    world.rotate(pod, "revoked")
    lives_go_on(world, "revoked-other")
    wait_until(lambda: "401 Unauthorized" in world.page("/readyz")[1], 10, "/readyz telling of it")
    expect_equal(world.page("/readyz")[0], 503, "/readyz")
    world.make_agent_pod()
    world.write_token()
    renewed = time.monotonic()
    world.wait_for_status("revoked", lambda s: s and s["status"]["objects"] != before)
    world.wait_ready(renewed)
    world.write(world.values)
    pod.unpublish()


@test
def a_clock_that_jumps_under_the_agent_loses_nothing_and_makes_no_storm(world):
    """The API server's certificate holds for an hour before it was made."""
    pod = world.publish("jumpy")
    world.wait_for_status("jumpy")
    ahead = time.strftime("%Y-%m-%dT%H:", time.gmtime(time.time() + 3600))
    for shift in ("+1h", "-50m", "+0"):
        world.jump(shift)
        world.proxy.misbehave(None)
        before = world.versions("jumpy")
        world.rotate(pod, f"jumped-{shift}")
        world.wait_for_status("jumpy", lambda s, b=before: s and {
            o["id"]: o["version"] for o in s["status"]["objects"]} != b)
        lives_go_on(world, f"jumpy-{shift.strip('+-')}")
        expect_equal(world.page("/readyz")[0], 200, f"/readyz after {shift}")
        asked = len(world.proxy.seen)
        time.sleep(2)
        expect(len(world.proxy.seen) - asked < 5, f"calls while nothing happens: {world.proxy.seen[asked:]}")
    events = world.cluster.kubectl("get", "events", "-n", "shop", "-o", "json")
    expect(f'"lastTimestamp": "{ahead}' in events, f"positive control: no Event is of the agent's {ahead}")
    pod.unpublish()


@test
def an_agent_ends_when_told_to_though_the_api_server_answers_nothing(world):
    pod = world.publish("ends")
    world.wait_for_status("ends")
    world.proxy.misbehave(api_proxy.silent(world.proxy))
    world.proxy.cut()
    pods = [world.kubelet_pod(f"ends-{i}") for i in range(20)]
    with concurrent.futures.ThreadPoolExecutor(len(pods)) as askers:
        answers = [askers.submit(p.publish, "never-heard-of", timeout_s=30) for p in pods]
        time.sleep(1)
        began = time.monotonic()
        expect_equal(world.programs.stop("agent"), 0, "exit status")
        took = time.monotonic() - began
        expect(took < END_S, f"the agent's end took {took:.1f} s")
        for answer in answers:
            expect_maybe(answer.result())
    world.start_agent()
    world.wait_ready(world.proxy.heal())
    pod.unpublish()


@test
def an_agent_killed_again_and_again_loses_nothing(world):
    pods = [world.publish(f"killed-{i}") for i in range(6)]
    for i, pod in enumerate(pods[:3]):
        world.programs.stop("agent", signal.SIGKILL)
        lives_go_on(world, f"killed-other-{i}")
        timed("an unpublish", pod.unpublish)
        world.delete_pod(pod.name)
        world.start_agent()
        if i < 2:
            time.sleep(0.2 * i)
    world.write({**world.values, "password": "killed"})
    for pod in pods[3:]:
        world.wait_for_status(pod.name)
        world.node.must_refresh(pod, changed=True)
    world.wait_ready(time.monotonic())
    wait_until(lambda: not any(world.status(p.name) for p in pods[:3]), 60, "statuses of ended pods gone")
    world.write(world.values)
    for pod in pods[3:]:
        pod.unpublish()


@test
def a_driver_killed_right_after_an_unpublish_leaves_no_loop_of_writes(world):
    world.write(world.values)
    pod, stays = world.publish("orphan"), world.publish("stays")
    world.wait_for_status("orphan")
    world.wait_for_status("stays")
    world.programs.running["agent"].send_signal(signal.SIGSTOP)
    pod.unpublish()
    world.programs.stop("driver", signal.SIGKILL)
    world.programs.running["agent"].send_signal(signal.SIGCONT)
    world.delete_pod("orphan")
    world.make_class("app", "shop", ["user"])  # an edit that nobody is there to hear
    world.node.start()
    world.proxy.misbehave(None)
    wait_until(lambda: not world.status("orphan"), 60, "the status collected with its pod")
    time.sleep(6)
    asked = world.proxy.asked("PATCH", STATUS_PATH + "orphan")
    expect(len(asked) <= 6, f"{len(asked)} writes for a pod that is gone")
    wait_until(lambda: stays.files() == {"user": "joe"}, 15, "the edit from when the driver was away")
    world.make_class("app", "shop", ["user", "password"])
    wait_until(lambda: stays.files() == world.values, 15, "the class as it was")
    stays.unpublish()


@test
def a_pod_that_is_gone_before_its_volume_is_no_loop_of_writes(world):
    pod = world.publish("early")
    world.wait_for_status("early")
    world.proxy.misbehave(None)
    world.delete_pod("early")
    wait_until(lambda: not world.status("early"), 60, "the status collected with its pod")
    time.sleep(6)
    asked = world.proxy.asked("PATCH", STATUS_PATH + "early")
    expect(1 <= len(asked) <= 6, f"{len(asked)} writes for a pod that is gone")
    pod.unpublish()
    wait_until(lambda: not world.status("early"), 60, "the last of its statuses collected")


@test
def a_class_edit_that_fails_keeps_what_was_and_says_so(world):
    world.make_class("broken", "shop", ["user"])
    pod = world.publish("keeps", "broken")
    generation = pod.generation()
    world.make_class("broken", "shop", ["user"], provider="nobody")
    wait_until(lambda: "nobody" in world.node.ctl("list", "-o", "json"), 15, "the failure told")
    expect_equal((pod.files(), pod.generation()), ({"user": "joe"}, generation), "what the pod reads")
    answer = pod.publish("broken")
    expect(answer.code in ("OK", *MAYBE), f"a republish got a final code: {answer}")
    world.make_class("broken", "shop", ["user", "password"])
    wait_until(lambda: pod.files() == world.values, 15, "the mended class")
    pod.unpublish()


@test
def nothing_is_left_that_the_programs_did_not_expect(world):
    world.programs.expect_in_no_log([(world.token_folder / "token").read_text()], ["driver", "agent"])
    for name in ("driver", "agent"):
        expect_equal(world.programs.stop(name), 0, f"exit status of {name}")


if __name__ == "__main__":
    run_tests(FaultyWorld)
