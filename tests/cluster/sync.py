#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Secrets of the cluster made of the files of volumes, on a real API server with real garbage
collection: two nodes, each with an agent and a driver, and Deployments with pods on both."""
import base64
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from harness import expect, expect_equal, run, run_tests, test, wait_until
from sync_world import MANAGED, TwoNodes, data_of, owners_of, secret_objects

ROTATIONS = int(os.environ.get("SYNC_ROTATIONS", "5"))


@test
def a_classs_files_become_a_secret_that_ends_with_its_pod(world):
    world.make_class("one", keys=["user", "password"], secretObjects=[secret_objects(
        "one", {"username": "user", "pw": "password"}, labels={"environment": "test"},
        annotations={"team": "a"})])
    pod = world.publish("bare", "one")
    secret = world.wait_for_secret("one")
    expect_equal(data_of(secret), {"username": "joe", "pw": "old"}, "data")
    expect_equal(secret["type"], "Opaque", "type")
    meta = secret["metadata"]
    expect_equal(meta["labels"], {**MANAGED, "environment": "test"}, "labels")
    expect_equal(meta["annotations"]["team"], "a", "annotation")
    world.wait_for_owners("one", {"bare"})
    expect_equal(meta.get("ownerReferences", [{"kind": "Pod"}])[0]["kind"], "Pod", "owner's kind")
    pod.unpublish()
    world.delete_pod("bare")
    world.wait_for_end("one")


@test
def two_deployments_share_a_secret_until_both_are_gone(world):
    world.make_class("shared", keys=["user"],
                     secretObjects=[secret_objects("shared", {"username": "user"})])
    pods = world.roll_out("left", "shared") + world.roll_out("right", "shared")
    world.wait_for_owners("shared", {"left", "right"})
    kinds = {o["kind"] for o in world.secret("shared")["metadata"]["ownerReferences"]}
    expect_equal(kinds, {"ReplicaSet"}, "owners' kinds")
    for pod in pods:
        pod.unpublish()
    world.delete_deployment("left")
    world.wait_for_owners("shared", {"right"})
    world.delete_deployment("right")
    world.wait_for_end("shared")


@test
def a_class_of_a_pods_own_namespace_makes_the_secret_there(world):
    world.make_namespace("other")
    world.make_class("spaced", keys=["user"], provider="absent",
                     secretObjects=[secret_objects("spaced", {"k": "user"})])
    world.make_class("spaced", "other", keys=["user"],
                     secretObjects=[secret_objects("spaced", {"k": "user"})])
    pod = world.publish("there", "spaced", "other")
    expect_equal(data_of(world.wait_for_secret("spaced", "other")), {"k": "joe"}, "data")
    expect_equal(world.secret("spaced"), None, "a Secret in the other namespace")
    pod.unpublish()


@test
def several_classes_of_one_pod_and_several_secrets_of_one_class(world):
    objects = [secret_objects(f"many-{i}", {"k": "user"}) for i in range(3)]
    world.make_class("many-a", keys=["user"], secretObjects=objects[:2])
    world.make_class("many-b", keys=["user"], secretObjects=objects[2:])
    one, two = world.publish("many", "many-a"), world.make_pod("many")
    two.target = one.target.parents[1] / "w/mount"
    two.must_publish("many-b")
    for i in range(3):
        world.wait_for_owners(f"many-{i}", {"many"})
    one.unpublish()
    two.unpublish()


@test
def a_rotation_moves_the_secret_once_however_many_nodes_see_it(world):
    world.make_class("moved", keys=["password"],
                     secretObjects=[secret_objects("moved", {"pw": "password"})])
    pods = world.roll_out("mover", "moved")
    world.wait_for_owners("moved", {"mover"})
    world.settle()
    before = world.secret("moved")
    value = world.rotate(pods, "second")
    wait_until(lambda: data_of(world.secret("moved")) == {"pw": value}, 10, "the new value")
    world.settle()
    after = world.secret("moved")
    expect_equal(world.writes("moved", before, after), 1, "writes for one rotation")
    expect_equal(owners_of(after), {"mover"}, "owners")
    asked = world.secret_calls("moved")
    for pod in pods:
        pod.node.must_refresh(pod, changed=False)
        pod.must_publish("moved")
    time.sleep(0.5)
    expect_equal(world.secret_calls("moved")[len(asked):], [], "calls of what changed nothing")
    world.retire(pods)


@test
def a_digest_tells_all_who_look_which_secrets_hold_the_same(world):
    secrets = {}
    for name, path in (("same-a", "user"), ("same-b", "user"), ("other", "password")):
        world.make_class(name, keys=[path], secretObjects=[secret_objects(name, {"k": path})])
        pod = world.publish(f"{name}-pod", name)
        secrets[name] = world.wait_for_owners(name, {f"{name}-pod"})
        pod.unpublish()
    notes = {name: s["metadata"]["annotations"]["locket.dev/content-digest"]
             for name, s in secrets.items()}
    expect_equal(notes["same-a"], notes["same-b"], "digests of the same content")
    expect(notes["other"] != notes["same-a"], "another content has the same digest")
    for name, secret in secrets.items():
        expect_equal(world.digest_of(secret), notes[name], "what who has the key makes of it")


@test
def a_node_with_older_content_yields(world):
    world.make_class("aged", keys=["password"],
                     secretObjects=[secret_objects("aged", {"pw": "password"})])
    young, old = world.roll_out("ager", "aged")
    world.wait_for_owners("aged", {"ager"})
    value = world.rotate([young], "newest")
    wait_until(lambda: data_of(world.secret("aged")) == {"pw": value}, 10, "the new value")
    before = world.secret("aged")["metadata"]["resourceVersion"]
    yields = world.metric('locket_agent_secret_syncs_total{result="yielded"}')
    world.restart(old.node)
    wait_until(lambda: world.syncs("yielded", old.node) > 0, 15, "the old node's look")
    expect_equal(world.secret("aged")["metadata"]["resourceVersion"], before, "version")
    expect(old.read("password") != value, "the old node has the new content")
    expect_equal(world.metric('locket_agent_secret_syncs_total{result="yielded"}'), yields, "others")
    world.retire([young, old])


@test
def what_is_missing_comes_back(world):
    world.make_class("back", keys=["user", "password"],
                     secretObjects=[secret_objects("back", {"u": "user", "p": "password"})])
    pod = world.publish("backer", "back")
    first = world.wait_for_owners("back", {"backer"})
    world.patch("back", [{"op": "remove", "path": "/data/u"}])
    wait_until(lambda: "u" in data_of(world.secret("back")), 15, "the key that was removed")
    world.patch("back", [{"op": "remove", "path": "/metadata/labels"}])
    wait_until(lambda: world.secret("back")["metadata"].get("labels"), 15, "the label")
    world.cluster.call("DELETE", world.secret_path("back"))
    wait_until(lambda: world.secret("back") and owners_of(world.secret("back")), 15, "the Secret")
    expect(world.secret("back")["metadata"]["uid"] != first["metadata"]["uid"], "was it deleted?")
    pod.unpublish()


@test
def an_edit_of_secret_objects_is_applied_at_once(world):
    world.make_class("edit", keys=["user", "password"],
                     secretObjects=[secret_objects("edit", {"u": "user"}, labels={"a": "1"})])
    pod = world.publish("editor", "edit")
    world.wait_for_owners("edit", {"editor"})
    world.make_class("edit", keys=["user", "password"],
                     secretObjects=[secret_objects("edit", {"p": "password", "u": "password"},
                                                   labels={"b": "2"})])
    value = world.values["password"]
    wait_until(lambda: data_of(world.secret("edit")) == {"p": value, "u": value}, 15, "the edit")
    expect_equal(world.secret("edit")["metadata"]["labels"], {**MANAGED, "b": "2"}, "labels")
    expect_equal(owners_of(world.secret("edit")), {"editor"}, "owners")
    pod.unpublish()


@test
def an_edit_of_secret_objects_while_the_agent_is_away_is_applied_when_it_is_back(world):
    world.make_class("slept", keys=["user", "password"],
                     secretObjects=[secret_objects("slept", {"u": "user"})])
    pod = world.publish("sleeper", "slept")
    world.wait_for_owners("slept", {"sleeper"})
    world.programs.stop("agent")
    world.make_class("slept", keys=["user", "password"],
                     secretObjects=[secret_objects("slept", {"p": "password"})])
    world.start_agent()
    wait_until(lambda: data_of(world.secret("slept")) == {"p": world.values["password"]}, 15, "the edit")
    pod.unpublish()


@test
def somebody_elses_secret_is_refused_until_the_class_says_adopt(world):
    world.cluster.apply(world.secret_of("foreign", {"k": "theirs"}))
    mine = [secret_objects("foreign", {"k": "user"})]
    world.make_class("adopter", keys=["user"], secretObjects=mine)
    refused = world.syncs("refused")
    pod = world.publish("adopter", "adopter")
    wait_until(lambda: world.syncs("refused") > refused, 10, "a refusal")
    expect_equal(data_of(world.secret("foreign")), {"k": "theirs"}, "data")
    expect_equal(owners_of(world.secret("foreign")), set(), "owners")
    world.expect_told("foreign", "locket.dev/adopt-secrets=true")
    world.make_class("adopter", keys=["user"], secretObjects=mine,
                     annotations={"locket.dev/adopt-secrets": "true"})
    wait_until(lambda: data_of(world.secret("foreign")) == {"k": "joe"}, 15, "the adoption")
    world.wait_for_owners("foreign", {"adopter"})
    pod.unpublish()


@test
def the_old_drivers_secret_is_taken_over_and_what_others_added_stays(world):
    before = world.secret_of("legacy", {"pw": "before"}, MANAGED)
    query = "?fieldManager=csi-secrets-store"
    world.cluster.call("POST", world.secret_path("").rstrip("/") + query, before)
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "shop", "uid": world.namespace_uid()}
    world.merge("legacy", {"annotations": {"mine": "yes"}, "ownerReferences": [owner]}, "somebody")
    world.make_class("legacy", keys=["password"],
                     secretObjects=[secret_objects("legacy", {"pw": "password"})])
    pod = world.publish("heir", "legacy")
    wait_until(lambda: data_of(world.secret("legacy")) == {"pw": world.values["password"]}, 15,
               "the take-over")
    world.wait_for_owners("legacy", {"heir", "shop"})
    expect_equal(world.secret("legacy")["metadata"]["annotations"]["mine"], "yes", "annotation")
    pod.unpublish()


@test
def a_value_that_somebody_else_set_is_not_overwritten(world):
    world.make_class("held", keys=["password"],
                     secretObjects=[secret_objects("held", {"pw": "password"})])
    pod = world.publish("holder", "held")
    world.wait_for_owners("held", {"holder"})
    hotfix = {"data": {"pw": base64.b64encode(b"hotfix").decode()}}
    world.cluster.call("PATCH", world.secret_path("held") + "?fieldManager=on-call", hotfix,
                       "application/merge-patch+json")
    world.rotate([pod], "later")
    world.expect_told("held", ".data.pw (on-call) is somebody else's")
    expect_equal(data_of(world.secret("held")), {"pw": "hotfix"}, "data")
    pod.unpublish()


@test
def a_bad_pair_of_certificate_and_key_leaves_the_old_one(world):
    pairs = [make_pair(world.cluster.folder, f"pair-{i}") for i in range(2)]
    world.rotate([], crt=pairs[0][0], key=pairs[0][1])
    world.make_class("tls", keys=["crt", "key"], secretObjects=[secret_objects(
        "tls", {"tls.crt": "crt", "tls.key": "key"}, type="kubernetes.io/tls")])
    pod = world.publish("server", "tls")
    good = data_of(world.wait_for_owners("tls", {"server"}))
    expect("CERTIFICATE" in good["tls.crt"] and "PRIVATE KEY" in good["tls.key"], "PEM")
    world.rotate([pod], key=pairs[1][1])
    world.expect_told("tls", "spec.secretObjects[0].data")
    expect_equal(data_of(world.secret("tls")), good, "data after a bad rotation")
    world.rotate([pod], crt=pairs[1][0])
    wait_until(lambda: data_of(world.secret("tls")) != good, 10, "the good pair")
    pod.unpublish()


def make_pair(folder, name):
    """A self-signed certificate and its key, as PEM."""
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", key, "-out", crt,
         "-subj", f"/CN={name}", "-days", "2"])
    return crt.read_text(), key.read_text()


@test
def credentials_of_the_cluster_itself_are_never_written(world):
    for i, kind in enumerate(("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token")):
        world.make_class(f"mint-{i}", keys=["user"], secretObjects=[
            secret_objects(f"mint-{i}", {"k": "user"}, type=kind)])
        pod = world.publish(f"minter-{i}", f"mint-{i}")
        world.expect_told(f"mint-{i}", f"{kind} is refused")
        expect_equal(world.secret(f"mint-{i}"), None, "a Secret")
        pod.unpublish()


@test
def a_policy_that_denies_a_secret_never_fails_a_publish(world):
    world.deny("no-evil", "!object.metadata.name.startsWith('evil')",
               "'no ' + string(object.data['k']) + ' here: ask security'")
    world.make_class("evil", keys=["password"],
                     secretObjects=[secret_objects("evil", {"k": "password"})])
    world.rotate([], "first-secret")
    pod = world.publish("eve", "evil")
    line = world.expect_told("evil", "ask security")
    encoded = base64.b64encode(world.values["password"].encode()).decode()
    expect(encoded not in line and world.values["password"] not in line, f"a secret is told: {line}")
    denied = world.syncs("denied")
    time.sleep(3)
    expect_equal(world.syncs("denied"), denied, "denied writes of one generation")
    world.rotate([pod], "other-secret")
    wait_until(lambda: world.syncs("denied") > denied, 10, "the next generation's try")
    world.allow("no-evil")
    world.rotate([pod], "third-secret")
    wait_until(lambda: world.secret("evil"), 20, "the Secret once the policy allows it")
    pod.unpublish()


@test
def a_policy_that_quotes_a_value_too_short_to_be_blanked_is_not_quoted(world):
    world.deny("no-pin", "!object.metadata.name.startsWith('evil')",
               "'no ' + string(object.data['k']) + ' here: ask security'")
    world.rotate([], pin="427")
    world.make_class("evil-pin", keys=["pin"],
                     secretObjects=[secret_objects("evil-pin", {"k": "pin"})])
    pod = world.publish("adam", "evil-pin")
    line = world.expect_told("evil-pin", "why is not repeated")
    expect("NDI3" not in line and "ask security" not in line, f"the policy's words are told: {line}")
    world.allow("no-pin")
    pod.unpublish()


@test
def the_agent_and_the_api_server_may_be_away_meanwhile(world):
    world.make_class("away", keys=["user"], secretObjects=[secret_objects("away", {"k": "user"})])
    known = world.publish("known", "away")
    world.wait_for_owners("away", {"known"})
    world.programs.stop("agent")
    late = world.make_pod("late").must_publish("away")
    world.programs.stop("apiserver")
    world.start_agent_again()
    time.sleep(1)
    world.cluster.start_apiserver()
    world.wait_for_owners("away", {"known", "late"}, seconds=20)
    known.unpublish()
    late.unpublish()


@test
def a_secret_whose_writer_died_before_it_had_an_owner_ends_with_its_pod(world):
    world.make_class("lost", keys=["user"], secretObjects=[secret_objects("lost", {"k": "user"})])
    world.start_agent_that_dies_at("secret.applied")
    pod = world.publish("loser", "lost")
    world.wait_for_agents_death()
    expect_equal(owners_of(world.wait_for_secret("lost")), set(), "owners after the agent's death")
    pod.unpublish()
    world.delete_pod("loser")
    world.start_agent_again()
    world.wait_for_end("lost")
    expect("goes with it" in world.told("lost")[-1], "it went since it was given its pod")


@test
def rotations_while_drivers_restart_keep_owners_and_move_once_each(world):
    world.make_class("worn", keys=["password"],
                     secretObjects=[secret_objects("worn", {"pw": "password"})])
    pods = world.roll_out("warp", "worn") + world.roll_out("weft", "worn")
    world.wait_for_owners("worn", {"warp", "weft"})
    world.settle()
    for i in range(ROTATIONS):
        before = world.secret("worn")
        if i % 4 == 1:
            world.restart_driver(pods[i % 2].node)
        value = world.rotate(pods, f"worn-{i}")
        wait_until(lambda v=value: data_of(world.secret("worn")) == {"pw": v}, 20, "the value")
        world.settle()
        after = world.secret("worn")
        expect_equal(owners_of(after), {"warp", "weft"}, f"owners after rotation {i}")
        expect_equal(world.writes("worn", before, after), 1, f"writes for rotation {i}")
    world.retire(pods)


@test
def upstreams_metrics_have_true_values(world):
    total = world.metric('sync_k8s_secret_total{provider="file",os_type="linux"}')
    expect_equal(total, world.syncs("applied"), "sync_k8s_secret_total")
    expect(total > 3, f"sync_k8s_secret_total is {total}")
    seconds = world.metric('k8s_secret_duration_sec_count{os_type="linux"}')
    expect(seconds >= total, f"k8s_secret_duration_sec has {seconds} of {total}")


@test
def every_call_was_allowed_and_every_right_to_secrets_was_used(world):
    """Two are not seen in the audit's verbs: they are asked for by an apply that makes a Secret, and by
    OwnerReferencesPermissionEnforcement where an owner is added."""
    world.expect_rights("secretprovidersyncing-role", {("secrets", "create"), ("secrets", "delete")})


@test
def where_it_is_off_no_secret_is_asked_for_or_sent(world):
    world.make_class("off", keys=["user"], secretObjects=[secret_objects("off", {"k": "user"})])
    for agent, driver in (((), world.flags), (world.agent_flags, ())):
        world.restart_with(agent, driver)
        pod = world.publish(f"off-{len(agent)}", "off")
        world.wait_for_status(pod.name, class_name="off")
        time.sleep(1.5)
        expect_equal(world.secret("off"), None, "a Secret")
        expect_equal(world.secret_calls("off"), [], "calls")
        pod.unpublish()
    world.restart_with(world.agent_flags, world.flags)


@test
def no_byte_of_a_secret_is_told_anywhere(world):
    values = [v for v in world.written if len(v) > 7]
    texts = [path.read_text(errors="replace") for path in world.programs.folder.glob("*.log")]
    # Why a policy denied a Secret, the API server tells its own audit as the policy words it.
    audit = [{**call, "responseStatus": None} for call in world.cluster.audit()]
    texts += [world.page("/metrics", world.metrics)[1], json.dumps(audit)]
    texts += [json.dumps(world.cluster.call("GET", "/api/v1/events"))]
    texts += [world.cluster.kubectl("get", "spcps", "-A", "-o", "json")]
    expect(len(texts) > 6 and len(values) > 5, f"{len(texts)} texts, {len(values)} values")
    around = json.dumps([{**s, "data": None} for s in world.secrets()])
    for value in values:
        for form in (value, base64.b64encode(value.encode()).decode().rstrip("=")):
            expect(not any(form in text for text in texts), f"{form!r} is told")
            expect(form not in around, f"{form!r} is in what surrounds a Secret's data")
    kept = {value for s in world.secrets() if s["metadata"]["namespace"] == "shop"
            for value in data_of(s).values()}
    expect(kept & set(values), "positive control: values are in Secrets, where they belong")


@test
def the_agent_forgets_a_secret_that_it_wrote(world):
    world.make_class("brief", keys=["password"],
                     secretObjects=[secret_objects("brief", {"pw": "password"})])
    pod = world.publish("brief", "brief")
    values = [world.rotate([pod], f"memory-{i}-{'x' * 40}").encode() for i in range(3)]
    wait_until(lambda: data_of(world.secret("brief")) == {"pw": values[-1].decode()}, 10, "the value")
    pod.unpublish()
    forms = [*values, *(base64.b64encode(value)[:48] for value in values)]

    def left():
        memory = world.memory("agent")
        return [form for form in forms if form in memory]

    expect(b"brief" in world.memory("agent"), "positive control: the search sees")
    wait_until(lambda: not left(), 10, "the agent's memory without them")


if __name__ == "__main__":
    run_tests(TwoNodes)
