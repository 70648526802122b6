#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""locket-agent against a real API server: classes by watch, pod status, and what happens when the one
or the other is away."""
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fakes"))
# pylint: disable=wrong-import-position,import-error
from h2_relay import H2Relay
from harness import expect, expect_equal, run_tests, test, wait_until
from node import mounts_left
from rig import Refused
from world import World


class QuietWorld(World):
    """A driver that starts spreads its polls over the interval: no volume is refreshed here without a reason."""
    flags = ("--rotation-poll-interval=1h",)


@test
def an_agent_of_a_node_without_volumes_is_ready(world):
    wait_until(lambda: world.page("/readyz")[0] == 200, 10, "/readyz")


@test
def a_class_of_the_cluster_becomes_files_and_a_pod_status(world):
    pod = world.publish("web")
    expect_equal(pod.files(), world.values, "files")
    status = world.wait_for_status("web")
    expect_equal(status["metadata"]["labels"],
                 {"internal.secrets-store.csi.k8s.io/node-name": "n1"}, "labels")
    expect_equal(status["metadata"]["ownerReferences"],
                 [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod.uid}], "owners")
    told = status["status"]
    expect_equal([o["id"] for o in told.pop("objects")], ["password", "user"], "objects")
    expect_equal(told, {"podName": "web", "secretProviderClassName": "app", "mounted": True,
                        "targetPath": str(pod.target)}, "status")
    pod.unpublish()


@test
def a_class_that_is_not_there_is_refused_in_the_words_that_users_know(world):
    answer = world.make_pod("lost").publish("none")
    expect_equal(answer.code, "NOT_FOUND", "code")
    expect("failed to get secretproviderclass shop/none, error: "
           "secretproviderclasses.secrets-store.csi.x-k8s.io \"none\" not found" in answer.text,
           answer.text)


@test
def a_class_of_the_same_name_elsewhere_is_another_one(world):
    world.make_namespace("other")
    world.make_class("app", "other", ["user"], provider="absent")
    pod = world.make_pod("elsewhere", "other")
    answer = pod.publish("app")
    expect("provider not found" in answer.text, answer.text)
    world.make_class("app", "other", ["user"])
    wait_until(lambda: pod.publish("app").code == "OK", 5, "the publish with the mended class")
    expect_equal(pod.files(), {"user": "joe"}, "files")
    pod.unpublish()


@test
def an_edit_of_a_class_refreshes_its_volumes(world):
    world.make_class("edited", "shop", ["user"])
    pod = world.publish("reader", "edited")
    world.make_class("edited", "shop", ["user", "password"])
    wait_until(lambda: pod.files() == world.values, 15, "the files of the edited class")
    world.make_class("edited", "shop", ["user", "nowhere"])
    wait_until(lambda: "nowhere" in world.node.ctl("list", "-o", "json"), 15, "the failure told")
    expect_equal(pod.files(), world.values, "files after an edit that fails")
    pod.unpublish()


@test
def a_rotation_moves_the_status_once_and_an_unchanged_one_asks_nothing(world):
    pod = world.publish("rotated")
    before = world.wait_for_status("rotated")
    asked = len(world.cluster.audit())
    world.node.must_refresh(pod, changed=False)
    time.sleep(0.5)
    expect_equal(len(world.cluster.audit()), asked, "calls for an unchanged refresh")
    world.write({**world.values, "password": "new"})
    world.node.must_refresh(pod, changed=True)
    old = {o["id"]: o["version"] for o in before["status"]["objects"]}

    def versions(status):
        return {o["id"]: o["version"] for o in status["status"]["objects"]}

    after = world.wait_for_status("rotated", lambda s: versions(s) != old)
    expect_equal(versions(after)["user"], old["user"], "version of what did not change")
    expect(versions(after)["password"] != old["password"], "the changed one has its old version")
    calls = [c for c in world.cluster.audit()[asked:] if "rotated-shop" in c["requestURI"]]
    expect_equal([c["verb"] for c in calls], ["patch"], "calls for a rotation")
    world.write(world.values)
    pod.unpublish()


@test
def an_annotation_on_pod_or_class_refreshes_at_once(world):
    pod = world.publish("asked")
    world.wait_for_status("asked")
    for kind, name, value in (("pod", "asked", "one"), ("secretproviderclass", "app", "two")):
        world.write({**world.values, "password": value})
        time.sleep(0.3)
        expect(pod.read("password") != value, "refreshed before it was asked for")
        world.cluster.kubectl("annotate", "--overwrite", "-n", "shop", kind, name,
                              f"locket.dev/refresh-at={time.time()}")
        wait_until(lambda v=value: pod.read("password") == v, 5, f"the refresh asked for on a {kind}")
    world.write(world.values)
    pod.unpublish()


@test
def a_status_that_somebody_deletes_comes_back(world):
    pod = world.publish("deleted")
    first = world.wait_for_status("deleted")["metadata"]["uid"]
    world.cluster.call("DELETE", world.status_path("deleted"))
    again = world.wait_for_status("deleted", lambda s: s and s["metadata"]["uid"] != first)
    expect_equal(again["status"]["podName"], "deleted", "pod")
    pod.unpublish()


def owner(status):
    return status["metadata"]["ownerReferences"][0]["uid"]


@test
def a_pod_of_the_same_name_takes_its_forerunners_status_over(world):
    first = world.publish("zero-0")
    world.wait_for_status("zero-0")
    collector = world.programs.running["controllers"]
    collector.send_signal(signal.SIGSTOP)
    try:
        first.unpublish()
        world.delete_pod("zero-0")
        second = world.publish("zero-0")
        status = world.wait_for_status("zero-0", lambda s: owner(s) == second.uid)
        expect_equal(len(status["metadata"]["ownerReferences"]), 1, "owners")
    finally:
        collector.send_signal(signal.SIGCONT)
    time.sleep(2)
    expect(world.status("zero-0"), "the collector took the second pod's status")
    second.unpublish()
    world.delete_pod("zero-0")
    wait_until(lambda: not world.status("zero-0"), 30, "the status collected with its pod")


@test
def a_status_of_another_node_is_taken_over_with_its_pod(world):
    old = {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
           "metadata": {"name": "moved-0-shop-app", "namespace": "shop",
                        "labels": {"internal.secrets-store.csi.k8s.io/node-name": "n2"},
                        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "moved-0",
                                             "uid": "0a6f6f1e-0000-4000-8000-000000000000"}]},
           "status": {"podName": "moved-0", "mounted": True}}
    moved = world.make_pod("moved-0")
    world.cluster.apply(old)
    moved.must_publish("app")
    status = world.wait_for_status("moved-0", lambda s: s and owner(s) == moved.uid)
    expect_equal(list(status["metadata"]["labels"].values()), ["n1"], "node")
    moved.unpublish()


@test
def the_token_of_a_node_writes_no_other_nodes_status(world):
    token = (world.token_folder / "token").read_text()
    pod = world.publish("mine")
    status = world.wait_for_status("mine")
    path = world.status_path("mine")
    label = "internal.secrets-store.csi.k8s.io/node-name"
    try:
        world.cluster.call("PATCH", path, {"metadata": {"labels": {label: "n2"}}},
                           "application/merge-patch+json", token)
        raise AssertionError("a status was given to another node")
    except Refused as why:
        expect_equal(why.status, 422, "status")
    world.cluster.apply({**status, "metadata": {**status["metadata"], "labels": {label: "n2"},
                                                "managedFields": None}})
    try:
        world.cluster.call("DELETE", path, token=token)
        raise AssertionError("the status of another node was deleted")
    except Refused as why:
        expect_equal(why.status, 422, "status")
    pod.unpublish()


@test
def two_volumes_of_one_pod_and_class_share_a_status(world):
    one = world.publish("double")
    two = world.make_pod("double")
    two.target = one.target.parents[1] / "w/mount"
    two.must_publish("app")
    status = world.wait_for_status("double")
    expect_equal(len(status["status"]["objects"]), 2, "objects")
    one.unpublish()
    wait_until(lambda: world.status("double")["status"]["targetPath"] == str(two.target), 10,
               "the target of the volume that stays")
    two.unpublish()


@test
def a_status_whose_name_is_too_long_is_cut_and_digested(world):
    pod_name, class_name = "p" * 200, "c" * 200
    world.make_class(class_name, "shop", ["user"])
    pod = world.publish(pod_name, class_name)
    path = world.status_path("")[:-len("-shop-app")]

    def named():
        items = world.cluster.call("GET", path.rstrip("/"))["items"]
        return [i["metadata"]["name"] for i in items if i["status"]["podName"] == pod_name]

    names = wait_until(named, 10, "a status of the long name")
    expect(len(names[0]) <= 253 and names[0].startswith("ppp"), names[0])
    pod.unpublish()


@test
def while_the_api_server_is_away_known_classes_serve(world):
    pod = world.publish("before")
    world.wait_for_status("before")
    world.programs.stop("apiserver", signal.SIGKILL)
    try:
        late = type(pod)(world.node, "late", "shop")
        late.must_publish("app")
        expect_equal(late.files(), world.values, "files")
        expect_equal(type(pod)(world.node, "never", "shop").publish("unknown", timeout_s=60).code,
                     "UNAVAILABLE", "code of a class that nobody can be asked for")
        wait_until(lambda: world.page("/readyz")[0] == 503, 10, "/readyz telling of it")
        expect("[-] classes" in world.page("/readyz")[1], "the reason is not told")
        expect_equal(world.page("/healthz")[0], 200, "health: a restart would not help")
        late.unpublish()
        pod.unpublish()
    finally:
        world.cluster.start_apiserver()
    started = time.monotonic()
    wait_until(lambda: world.page("/readyz")[0] == 200, 15, "/readyz")
    expect(time.monotonic() - started < 6, "the agent took long to see the server again")


@test
def a_class_that_was_edited_meanwhile_is_seen_as_it_is(world):
    world.make_class("slept", "shop", ["user"])
    pod = world.publish("sleeper", "slept")
    world.programs.running["agent"].send_signal(signal.SIGSTOP)
    world.make_class("slept", "shop", ["password"])
    world.programs.running["agent"].send_signal(signal.SIGCONT)
    wait_until(lambda: pod.files() == {"password": "old"}, 15, "the files of the edited class")
    pod.unpublish()


# Who is away while classes are edited, and how it comes back.
AWAY = {
    "agent": lambda world: world.start_agent(),
    "driver": lambda world: world.node.start(),
}


@test
def an_edit_while_agent_or_driver_is_away_is_seen_when_it_is_back(world):
    """And a class that was made anew counts as edited, though it says the same; no other does."""
    kept = world.publish("kept")
    for who, start in AWAY.items():
        names = {kind: f"{kind}-{who}" for kind in ("edited", "anew", "gone")}
        for name in names.values():
            world.make_class(name, "shop", ["user", "password"])
        pods = {kind: world.publish(f"pod-{name}", name) for kind, name in names.items()}
        world.wait_for_status(f"pod-{names['gone']}", class_name=names["gone"])
        world.programs.stop(who, signal.SIGKILL)
        world.make_class(names["edited"], "shop", ["user"])
        for kind in ("anew", "gone"):
            world.cluster.kubectl("delete", "secretproviderclass", names[kind], "-n", "shop")
        world.make_class(names["anew"], "shop", ["user", "password"])
        world.write({**world.values, "password": who})  # what a refresh would bring
        start(world)
        wait_until(lambda p=pods: p["edited"].files() == {"user": "joe"}, 20, f"the edit ({who})")
        wait_until(lambda p=pods, w=who: p["anew"].read("password") == w, 20, f"the new one ({who})")
        wait_until(lambda: "not found" in world.node.ctl("list", "-o", "json"), 20, f"the end ({who})")
        expect_equal(kept.read("password"), "old", f"a volume of a class that nobody edited ({who})")
        for pod in pods.values():
            pod.unpublish()
    kept.unpublish()
    world.write(world.values)


@test
def without_the_agent_known_classes_serve_and_reports_wait(world):
    pod = world.publish("stays")
    world.wait_for_status("stays")
    world.programs.stop("agent", signal.SIGKILL)
    try:
        alone = world.make_pod("alone").must_publish("app")
        expect_equal(alone.files(), world.values, "files")
        started = time.monotonic()
        pod.unpublish()
        expect(time.monotonic() - started < 1, "an unpublish waited for the agent")
        answer = world.make_pod("new").publish("never-seen")
        expect_equal(answer.code, "UNAVAILABLE", f"code ({answer.text})")
    finally:
        world.start_agent()
    world.wait_for_status("alone")
    wait_until(lambda: world.page("/readyz")[0] == 200, 15, "/readyz")
    alone.unpublish()


@test
def what_is_said_to_the_api_server_is_http_2_over_connections_that_stay(world):
    certs = world.cluster.folder / "certs"
    relay = H2Relay(world.cluster.port, certs / "apiserver.crt", certs / "apiserver.key")
    world.programs.stop("agent")
    world.api_port = relay.port
    try:
        world.start_agent()
        wait_until(lambda: world.publish("h2-first").unpublish() or world.page("/readyz")[0] == 200, 20, "an agent")
        before = len(relay.spoken)
        for i in range(10):
            pod = world.publish(f"h2-{i}")
            world.wait_for_status(f"h2-{i}")
            pod.unpublish()
        expect_equal(set(relay.spoken), {"h2"}, "what was agreed on")
        more = len(relay.spoken) - before
        expect(more < 10, f"{more} connections more for ten pods, of two calls each")
    finally:
        world.programs.stop("agent")
        world.api_port = world.cluster.port
        world.start_agent()


@test
def an_agent_that_is_new_is_told_of_all_volumes(world):
    pods = [world.publish(f"told-{i}") for i in range(3)]
    for pod in pods:
        world.wait_for_status(pod.name)
    world.programs.stop("agent")
    for pod in pods:
        world.cluster.call("DELETE", world.status_path(pod.name))
    world.start_agent()
    for pod in pods:
        world.wait_for_status(pod.name)
        pod.unpublish()


@test
def a_token_that_is_refused_is_read_again(world):
    world.programs.stop("agent")
    world.start_agent(token="nonsense")
    pod = world.publish("refused")
    wait_until(lambda: world.requests("GET", 401), 10, "a refusal")
    expect_equal(world.status("refused"), None, "a status without a token")
    world.write_token()
    world.wait_for_status("refused")
    pod.unpublish()


@test
def many_namespaces_are_one_watch_and_few_are_one_each(world):
    pods = []

    def watches():
        return world.metric("locket_agent_class_watches")

    for i in range(9):
        namespace = f"many-{i}"
        world.make_namespace(namespace)
        world.make_class("app", namespace, ["user"])
        pods.append(world.publish("p", "app", namespace))
        if i == 3:
            expect(4 <= watches() <= 8, f"{watches()} watches for four namespaces and others before")
    expect_equal(watches(), 1, "watches for more than eight namespaces")
    world.make_class("app", "many-5", ["password"])
    wait_until(lambda: pods[5].files() == {"password": "old"}, 15, "an edit seen by the one watch")
    for pod in pods:
        pod.unpublish()


@test
def tokens_that_kubelet_did_not_write_do_not_count(world):
    world.make_csi_driver(tokenRequests=[{"audience": "vault"}])
    pod = world.make_pod("tokens")

    def dropped(reason):
        text = world.node.ctl("metrics")
        return f'locket_tokens_dropped_total{{reason="{reason}"}}' in text

    def is_known():
        pod.must_publish("app", tokens={"vault": "t", "invented": "t"})
        return dropped("audience")

    wait_until(is_known, 15, "an audience that was not requested dropped")
    world.make_csi_driver(tokenRequests=[])
    wait_until(lambda: pod.publish("app", tokens={"vault": "u"}) and dropped("volume_context"), 15,
               "a token of the pod's author dropped")
    pod.unpublish()


@test
def who_fails_for_want_of_a_token_is_told_that_one_came_and_why_it_did_not_count(world):
    world.make_class("wants", "shop", ["nowhere"])
    pod, context = world.make_pod("wants"), {"tokens": {"vault": "t"}}
    secrets = {"secrets": {"csi.storage.k8s.io/serviceAccount.tokens": json.dumps({"vault": {"token": "t"}})}}
    requested = {"tokenRequests": [{"audience": "vault"}]}
    for driver, more, words in (({}, context, "no spec.tokenRequests"),
                                ({**requested, "serviceAccountTokenInSecrets": True}, context, "kubelet before 1.35"),
                                (requested, secrets, "has no serviceAccountTokenInSecrets: true")):
        world.make_csi_driver(**driver)
        wait_until(lambda: words in pod.publish("wants", **more).text, 15, words)
    answer = pod.publish("wants", **context)
    expect("key nowhere" in answer.text and "do not count" not in answer.text, answer.text)
    world.make_csi_driver()
    pod.unpublish()


@test
def without_pod_info_nothing_new_is_published_and_the_old_lives(world):
    pod = world.publish("named")
    world.make_csi_driver(podInfoOnMount=False)
    late = world.make_pod("nameless")

    def refusal():
        answer = late.publish("app")
        if answer.code == "OK":
            late.unpublish()
            return None
        return answer

    answer = wait_until(refusal, 15, "a refusal")
    expect_equal(answer.code, "FAILED_PRECONDITION", "code")
    expect("podInfoOnMount: true" in answer.text, answer.text)
    pod.must_publish("app")
    expect_equal(pod.files(), world.values, "files of the volume that was there")
    world.make_csi_driver()
    wait_until(lambda: late.publish("app").code == "OK", 15, "the publish after the mending")
    late.unpublish()
    pod.unpublish()


@test
def rotation_without_republish_is_told(world):
    world.make_csi_driver(requiresRepublish=False)
    wait_until(lambda: "requiresRepublish" in world.page("/readyz")[1], 15, "/readyz telling of it")
    expect_equal(world.page("/readyz")[0], 200, "/readyz: everything else goes on")
    doctor = world.node.ctl("doctor", check=False)
    expect("requiresRepublish" in doctor.stdout, doctor.stdout)
    world.make_csi_driver()
    wait_until(lambda: "requiresRepublish" not in world.page("/readyz")[1], 15, "the mending")


@test
def metrics_are_those_of_agent_and_driver(world):
    def text():
        return world.page("/metrics", world.metrics)[1]

    wait_until(lambda: "node_publish_total{" in text(), 15, "the driver's metrics")
    expect(world.requests("PATCH", 200) > 0, "requests counted")
    names = [line.split()[2] for line in text().splitlines() if line.startswith("# TYPE ")]
    expect_equal(len(names), len(set(names)), "metrics told once")


# Rights that the audit log does not show in use, each with its reason.
UNSEEN = {
    ("secretproviderclasses", "list"),  # where the server does not stream lists
    ("secretproviderclasspodstatuses", "list"),
    ("csidrivers", "list"),
    ("pods", "list"),
    ("events", "patch"),  # events.py: an Event that is said again
    ("secretproviderclasspodstatuses", "create"),  # asked for by an apply that makes the object
    ("secretproviderclasspodstatuses", "delete"),  # by OwnerReferencesPermissionEnforcement
}


@test
def every_call_was_allowed_and_every_right_was_used(world):
    world.expect_rights("secretproviderclasses-role", UNSEEN)


@test
def no_secret_is_in_any_log(world):
    world.programs.expect_in_no_log([(world.token_folder / "token").read_text()],
                                    ["driver", "agent"])


@test
def the_programs_end_when_told(world):
    for name in ("driver", "agent"):
        expect_equal(world.programs.stop(name), 0, f"exit status of {name}")
    expect_equal(mounts_left(), [], "mounts")


if __name__ == "__main__":
    run_tests(QuietWorld)
