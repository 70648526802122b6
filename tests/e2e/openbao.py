#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The main job against a store that somebody else wrote: OpenBao with TLS, its own verification of
signed tokens, leases, revocation and quotas."""
import base64
import concurrent.futures
import json
import os
import pathlib
import secrets
import signal
import stat
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
# pylint: disable=wrong-import-position
from bao import Issuer
from harness import BUILD, expect, expect_equal, run, run_tests, test, tool, wait_until
from node import mounts_left
from store import ACCOUNT, COMES_AGAIN, NAMESPACE, REFUSED, World, children_of, kv2, refused
from token_review import TokenReview

@test
def a_signed_token_logs_in_and_kv_v2_and_v1_become_files(world):
    user, password, old = world.value("user"), world.value("password"), world.value("old")
    world.put("db", {"user": user, "password": password})
    world.bao.write("kv1/legacy", {"key": old, "number": 12345678901234567890})
    world.class_of("kv", [
        kv2("user", "db", "user"),
        {**kv2("deep/password", "db", "password"), "filePermission": 0o400},
        {"objectName": "old", "secretPath": "kv1/legacy", "secretKey": "key"},
        {"objectName": "number", "secretPath": "/v1/kv1/legacy", "secretKey": "number"},
    ])
    pod = world.publish("kv-pod", "kv")
    want = {"user": user, "deep/password": password, "old": old, "number": "12345678901234567890"}
    expect_equal(pod.files(), want, "files")
    mode = stat.S_IMODE((pod.target / "deep/password").stat().st_mode)
    expect_equal(mode, 0o400, "mode of a file with filePermission")
    pod.unpublish()


@test
def without_a_key_the_whole_answer_becomes_a_file(world):
    user = world.value("user")
    world.put("whole", {"user": user})
    world.class_of("whole", [{"objectName": "all", "secretPath": "secret/data/whole"}])
    pod = world.publish("whole-pod", "whole")
    expect_equal(json.loads(pod.read("all"))["data"]["data"], {"user": user}, "data")
    first = pod.generation()
    world.node.must_refresh(pod, changed=False)
    expect_equal(pod.generation(), first, "a changed request_id is not a changed secret")
    pod.unpublish()


@test
def encodings_are_undone_and_a_version_can_be_pinned(world):
    first = world.value("first")
    world.put("pinned", {"text": first, "hex": "00ff", "b64": "AP8="})
    world.put("pinned", {"text": world.value("second"), "hex": "00", "b64": "AA=="})
    pinned = "secret/data/pinned?version=1"
    world.class_of("pinned", [
        {"objectName": "text", "secretPath": pinned, "secretKey": "text"},
        {"objectName": "hex", "secretPath": pinned, "secretKey": "hex", "encoding": "hex"},
        {"objectName": "b64", "secretPath": pinned, "secretKey": "b64", "encoding": "base64"},
    ])
    pod = world.publish("pinned-pod", "pinned")
    expect_equal(pod.read("text"), first, "the first version")
    expect_equal((pod.target / "hex").read_bytes(), b"\x00\xff", "hex")
    expect_equal((pod.target / "b64").read_bytes(), b"\x00\xff", "base64")
    pod.unpublish()


@test
def a_field_called_data_in_kv_v1_is_a_field(world):
    outer, inner = world.value("outer"), world.value("inner")
    world.bao.write("kv1/nested", {"data": {"x": inner}, "x": outer})
    world.class_of("nested", [{"objectName": "x", "secretPath": "kv1/nested", "secretKey": "x"}])
    pod = world.publish("nested-pod", "nested")
    expect_equal(pod.read("x"), outer, "the key x")
    pod.unpublish()


@test
def a_namespace_has_logins_and_secrets_of_its_own(world):
    here, there = world.value("root"), world.value("team")
    world.put("where", {"am-i": here})
    world.put("where", {"am-i": there}, "team")
    objects = [kv2("where", "where", "am-i")]
    world.class_of("in-root", objects)
    world.class_of("in-team", objects, vaultNamespace="team")
    in_root, in_team = world.publish("root-pod", "in-root"), world.publish("team-pod", "in-team")
    expect_equal((in_root.read("where"), in_team.read("where")), (here, there), "namespaces")
    in_root.unpublish()
    in_team.unpublish()


@test
def certificate_and_key_come_from_one_issue_and_other_arguments_from_another(world):
    def issued(name, key, host):
        return {"objectName": name, "secretPath": "pki/issue/web", "method": "PUT",
                "secretArgs": {"common_name": host, "ttl": "10m"}, "secretKey": key}

    world.class_of("pki", [
        issued("a.crt", "certificate", "a.example"), issued("a.key", "private_key", "a.example"),
        issued("b.crt", "certificate", "b.example"),
    ])
    pod = world.publish("pki-pod", "pki")
    of_certificate = run(["openssl", "x509", "-in", pod.target / "a.crt", "-noout", "-pubkey"])
    of_key = run(["openssl", "pkey", "-in", pod.target / "a.key", "-pubout"])
    expect_equal(of_certificate.stdout, of_key.stdout, "public keys of a.crt and a.key")
    for name in ("a", "b"):
        subject = run(["openssl", "x509", "-in", pod.target / f"{name}.crt", "-noout", "-subject"])
        expect(f"{name}.example" in subject.stdout, f"{name}.crt is of {subject.stdout}")
    world.secrets.append(pod.read("a.key").splitlines()[1])
    pod.unpublish()


def lent(name, ttl):
    """A certificate that comes with a lease."""
    return {"objectName": name, "secretPath": "pki/issue/lent", "method": "PUT",
            "secretArgs": {"common_name": "lent.example", "ttl": ttl}, "secretKey": "serial_number"}


@test
def what_is_lent_is_asked_for_once_per_lease_and_not_at_each_poll(world):
    world.class_of("lent", [lent("serial", "10m")])
    pod = world.publish("lent-pod", "lent")
    serial = pod.read("serial")
    for _ in range(3):
        world.node.must_refresh(pod, changed=False)
    expect_equal(pod.read("serial"), serial, "the serial number after three polls")
    pod.unpublish()
    again = world.publish("lent-pod-2", "lent")
    expect(again.read("serial") != serial, "another pod got the same lease")
    again.unpublish()


@test
def a_lease_is_replaced_before_it_ends(world):
    world.class_of("lent-briefly", [lent("serial", "9s")])
    pod = world.publish("brief-pod", "lent-briefly")
    serial = pod.read("serial")
    wait_until(lambda: pod.read("serial") != serial, 9, "another certificate")
    pod.unpublish()


@test
def a_changed_secret_reaches_the_files_by_refresh_and_an_unchanged_one_writes_nothing(world):
    world.put("turn", {"user": world.value(), "password": world.value()})
    world.class_of("turn", [kv2("user", "turn", "user"), kv2("password", "turn", "password")])
    pod = world.publish("turn-pod", "turn")
    first = pod.generation()
    world.node.must_refresh(pod, changed=False)
    expect_equal(pod.generation(), first, "the generation after an unchanged refresh")
    want = {"user": world.value("user"), "password": world.value("password")}
    world.put("turn", want)
    world.node.must_refresh(pod, changed=True)
    expect_equal(pod.files(), want, "files after the refresh")
    pod.unpublish()


@test
def a_changed_secret_reaches_the_files_by_the_classes_own_interval(world):
    world.put("tick", {"user": world.value()})
    world.class_of("tick", [kv2("user", "tick", "user")], rotationPollInterval="1s")
    pod = world.publish("tick-pod", "tick")
    fresh = world.value("fresh")
    world.put("tick", {"user": fresh})
    wait_until(lambda: pod.read("user") == fresh, 15, "a rotation by time")
    pod.unpublish()


@test
def one_login_serves_a_pod_until_its_token_ends_and_then_there_is_another(world):
    world.role("short", token_ttl="5s", token_max_ttl="5s")
    world.put("short", {"user": world.value()})
    world.class_of("short", [kv2("user", "short", "user")], roleName="short")
    before = world.bao.accessors()
    pod = world.publish("short-pod", "short")
    world.node.must_refresh(pod, changed=False)
    first = world.bao.accessors() - before
    expect_equal(len(first), 1, "logins for a publish and a refresh")
    wait_until(lambda: not first & world.bao.accessors(), 15, "the end of the token")
    fresh = world.value("fresh")
    world.put("short", {"user": fresh})
    world.node.must_refresh(pod, changed=True)
    expect_equal(pod.read("user"), fresh, "value after the token's end")
    pod.unpublish()


@test
def a_revoked_token_is_replaced_in_the_same_call(world):
    world.put("revoked", {"user": world.value()})
    world.class_of("revoked", [kv2("user", "revoked", "user")])
    before = world.bao.accessors()
    pod = world.publish("revoked-pod", "revoked")
    mine = world.bao.accessors() - before
    expect_equal(len(mine), 1, "logins for a publish")
    world.bao.revoke(mine.pop())
    fresh = world.value("fresh")
    world.put("revoked", {"user": fresh})
    world.node.must_refresh(pod, changed=True)
    expect_equal(pod.read("user"), fresh, "value after the revocation")
    pod.unpublish()


@test
def lost_rights_leave_the_last_good_files_and_a_republish_answers_ok(world):
    kept = world.value("kept")
    world.put("lost", {"user": kept})
    world.role("lost")
    world.class_of("lost", [kv2("user", "lost", "user")], roleName="lost")
    before = world.bao.accessors()
    pod = world.publish("lost-pod", "lost")
    world.role("lost", bound_subject="system:serviceaccount:shop:nobody")
    for accessor in world.bao.accessors() - before:
        world.bao.revoke(accessor)
    world.put("lost", {"user": world.value("unseen")})
    result = world.node.refresh(pod)
    expect(result["code"] in REFUSED, f"code of the refresh: {result}")
    expect_equal(pod.read("user"), kept, "value after the failed refresh")
    expect_equal(pod.publish("lost", tokens=world.tokens(pod)).code, "OK", "republish")
    expect_equal(pod.read("user"), kept, "value after the republish")
    pod.unpublish()


@test
def another_service_account_is_refused_naming_role_and_mount(world):
    world.class_of("strict", [kv2("user", "db", "user")])
    pod = world.pod("other-pod", account="other")
    refused(world, pod, "strict", world.tokens(pod), REFUSED, "app", "jwt")


@test
def a_token_signed_by_somebody_else_is_refused(world):
    forger = Issuer(world.folder / "forger")
    pod = world.pod("forged-pod")
    refused(world, pod, "strict", {"vault": forger.token(pod)}, REFUSED)


@test
def a_token_of_another_pod_never_reaches_the_store(world):
    pod, other = world.pod("mine"), world.pod("yours")
    before = world.bao.accessors()
    refused(world, pod, "strict", world.tokens(other), ("PERMISSION_DENIED",), "vault")
    expect_equal(world.bao.accessors() - before, set(), "logins")


@test
def what_is_not_there_is_told_by_name(world):
    world.class_of("no-path", [kv2("user", "nothing-here", "user")])
    pod = world.pod("no-path-pod")
    refused(world, pod, "no-path", world.tokens(pod), ("NOT_FOUND",), "nothing-here")
    world.class_of("no-key", [kv2("user", "db", "no-such-key")])
    pod = world.pod("no-key-pod")
    refused(world, pod, "no-key", world.tokens(pod), ("NOT_FOUND", "FAILED_PRECONDITION"),
            "no-such-key", "does not exist at the secret path")


@test
def a_policy_that_says_no_is_permission_denied(world):
    world.class_of("forbidden", [
        {"objectName": "x", "secretPath": "sys/mounts", "secretKey": "type"}])
    pod = world.pod("forbidden-pod")
    refused(world, pod, "forbidden", world.tokens(pod), REFUSED, "sys/mounts")


@test
def a_server_whose_certificate_is_not_known_is_not_spoken_to(world):
    world.class_of("unknown-ca", [kv2("user", "db", "user")], vaultCACertPath=None)
    pod = world.pod("unknown-ca-pod")
    before = world.bao.accessors()
    answer = pod.publish("unknown-ca", tokens=world.tokens(pod))
    expect(answer.code != "OK", "a server without a known certificate was believed")
    expect("certificate" in answer.text.lower(), f"the text does not say why: {answer}")
    expect_equal(world.bao.accessors() - before, set(), "logins")


@test
def a_unix_socket_is_an_address_too(world):
    user = world.value("user")
    world.put("by-socket", {"user": user})
    world.class_of("by-socket", [kv2("user", "by-socket", "user")],
                   vaultAddress=f"unix://{world.bao.socket}", vaultCACertPath=None)
    pod = world.publish("by-socket-pod", "by-socket")
    expect_equal(pod.read("user"), user, "value")
    pod.unpublish()


@test
def a_quota_of_the_server_means_come_again_and_costs_no_file(world):
    value = world.value("limited")
    world.put("limited", {"user": value})
    world.class_of("limited", [kv2("user", "limited", "user")])
    pod = world.publish("limited-pod", "limited")
    quota = {"path": "secret/data/limited", "rate": 1, "interval": "60s"}
    world.bao.write("sys/quotas/rate-limit/e2e", quota)
    status = [world.bao.call("GET", "secret/data/limited", check=False)[0] for _ in range(2)]
    expect_equal(status[1], 429, "the quota does not bite")
    result = world.node.refresh(pod)
    expect(result["code"] in COMES_AGAIN, f"code of the refresh: {result}")
    expect_equal(pod.read("user"), value, "value after the refused refresh")
    second = world.pod("second-limited-pod")
    refused(world, second, "limited", world.tokens(second), COMES_AGAIN, "429")
    world.bao.call("DELETE", "sys/quotas/rate-limit/e2e")
    second.must_publish("limited", tokens=world.tokens(second))
    expect_equal(second.read("user"), value, "value without the quota")
    world.node.must_refresh(pod, changed=False)
    pod.unpublish()
    second.unpublish()


def publish_by_locketctl(world, class_name, pod, given):
    """Publishes with a nodePublishSecretRef whose values lie in files, as locketctl takes them."""
    words = []
    for key, value in given.items():
        file = world.folder / f"{pod.name}.{key}"
        file.write_text(value)
        words += ["--secret", f"{key}={file}"]
    run([BUILD / "bin/locketctl", "publish", class_name, "--csi-socket", world.node.csi,
         "--pod", f"{pod.namespace}/{pod.name}", "--uid", pod.uid,
         "--service-account", pod.account, "--volume-id", pod.volume_id,
         "--target", pod.target, *words])


@test
def a_static_token_of_a_secret_reads_without_a_login(world):
    user = world.value("user")
    world.put("static", {"user": user})
    token = world.bao.write("auth/token/create", {"policies": ["app"], "ttl": "10m"})
    token = token["auth"]["client_token"]
    world.secrets.append(token)
    world.class_of("static", [kv2("user", "static", "user")], roleName=None,
                   vaultAuthMountPath=None)
    before = world.bao.accessors()
    pod = world.pod("static-pod")
    publish_by_locketctl(world, "static", pod, {"token": token})
    expect_equal(pod.read("user"), user, "value")
    world.put("static", {"user": world.value("fresh")})
    world.node.must_refresh(pod, changed=True)
    expect_equal(world.bao.accessors() - before, set(), "logins")
    pod.unpublish()


@test
def an_approle_of_a_secret_logs_in(world):
    user = world.value("user")
    world.put("approle", {"user": user})
    world.bao.write("sys/auth/approle", {"type": "approle"})
    world.bao.write("auth/approle/role/app", {"token_policies": ["app"], "token_ttl": "10m"})
    role_id = world.bao.call("GET", "auth/approle/role/app/role-id")[1]["data"]["role_id"]
    secret_id = world.bao.write("auth/approle/role/app/secret-id", {})["data"]["secret_id"]
    world.secrets.append(secret_id)
    world.class_of("approle", [kv2("user", "approle", "user")], roleName=None,
                   vaultAuthMountPath=None)
    pod = world.pod("approle-pod")
    publish_by_locketctl(world, "approle", pod, {"role_id": role_id, "secret_id": secret_id})
    expect_equal(pod.read("user"), user, "value")
    pod.unpublish()


@test
def a_kubernetes_auth_mount_takes_the_same_token_and_asks_the_api_server(world):
    user = world.value("user")
    world.put("k8s", {"user": user})
    review = TokenReview(world.issuer)
    bao = world.bao
    bao.write("sys/auth/clusters/blue", {"type": "kubernetes"})
    bao.write("auth/clusters/blue/config", {
        "kubernetes_host": review.address, "disable_local_ca_jwt": True,
        "kubernetes_ca_cert": bao.ca_file.read_text(),
        "token_reviewer_jwt": world.issuer.token(world.pod("reviewer"))})
    bao.write("auth/clusters/blue/role/app", {
        "bound_service_account_names": [ACCOUNT], "bound_service_account_namespaces": [NAMESPACE],
        "audience": "vault", "token_policies": ["app"], "token_ttl": "1h"})
    objects = [kv2("user", "k8s", "user")]
    world.class_of("k8s", objects, vaultAuthMountPath=None,
                   vaultKubernetesMountPath="clusters/blue")
    pod = world.publish("k8s-pod", "k8s")
    expect_equal(pod.read("user"), user, "value")
    expect_equal(review.asked, 1, "TokenReviews for one login")
    pod.unpublish()
    other = world.pod("k8s-other-pod", account="other")
    refused(world, other, "k8s", world.tokens(other), REFUSED, "clusters/blue")


@test
def pods_at_the_same_time_get_their_own_secrets_by_their_own_logins(world):
    count = 16
    wanted = {}
    for i in range(count):
        wanted[f"par-{i}"] = world.value(f"par-{i}")
        world.put(f"par-{i}", {"user": wanted[f"par-{i}"]})
        world.class_of(f"par-{i}", [kv2("user", f"par-{i}", "user")])
    pods = {name: world.pod(name) for name in wanted}
    tokens = {name: world.tokens(pod) for name, pod in pods.items()}
    before = world.bao.accessors()
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        list(threads.map(lambda n: pods[n].must_publish(n, tokens=tokens[n]), pods))
    for name, pod in pods.items():
        expect_equal(pod.files(), {"user": wanted[name]}, name)
    expect_equal(len(world.bao.accessors() - before), count, "logins")
    for pod in pods.values():
        pod.unpublish()


@test
def large_and_binary_values_and_many_objects_arrive_whole(world):
    large = world.value("large") + "x" * 300_000 + "\u20ac\n\"\\"
    blob = secrets.token_bytes(50_000)
    world.put("large", {"text": large, "blob": base64.b64encode(blob).decode()})
    world.put("many", {f"key{i}": f"{i}" for i in range(200)})
    world.class_of("large", [
        kv2("text", "large", "text"), {**kv2("blob", "large", "blob"), "encoding": "base64"},
        *[kv2(f"many/{i}", "many", f"key{i}") for i in range(200)],
    ])
    pod = world.publish("large-pod", "large")
    expect(pod.read("text") == large, "the large text is not what it was")
    expect((pod.target / "blob").read_bytes() == blob, "the bytes are not what they were")
    expect_equal([pod.read(f"many/{i}") for i in range(200)], [str(i) for i in range(200)], "many")
    pod.unpublish()


@test
def upstreams_client_gets_the_same_values_from_our_provider(world):
    user = world.value("user")
    world.put("client", {"user": user})
    pod = world.pod("client-pod")
    prefix = "csi.storage.k8s.io/"
    tokens = {"vault": {"token": world.tokens(pod)["vault"],
                        "expirationTimestamp": "2099-01-01T00:00:00Z"}}
    file = world.folder / "client.tokens"
    file.write_text(json.dumps(tokens))
    attributes = {
        "vaultAddress": world.bao.address, "vaultCACertPath": str(world.bao.ca_file),
        "vaultAuthMountPath": "jwt", "roleName": "app",
        "objects": json.dumps([kv2("user", "client", "user")]),
        prefix + "pod.name": pod.name, prefix + "pod.namespace": pod.namespace,
        prefix + "pod.uid": pod.uid, prefix + "serviceAccount.name": pod.account,
        prefix + "serviceAccount.tokens": f"@{file}",
    }
    words = [word for pair in attributes.items() for word in ("--attr", "=".join(pair))]
    done = run([tool("wire"), "mount", "--socket", world.node.providers / "vault.sock", *words])
    answer = json.loads(done.stdout)
    expect_equal(answer["code"], "OK", answer.get("message"))
    contents = {f["path"]: base64.b64decode(f["contents"]).decode() for f in answer["files"]}
    expect_equal(contents, {"user": user}, "files")
    expect_equal(list(answer["versions"]), ["user"], "object versions")
    expect(user not in answer["versions"]["user"], "the version tells the value")


@test
def a_killed_worker_is_started_again_and_the_files_stay(world):
    kept = world.value("kept")
    world.put("worker", {"user": kept})
    world.class_of("worker", [kv2("user", "worker", "user")])
    pod = world.publish("worker-pod", "worker")
    supervisor = world.programs.running["provider"].pid
    for worker in children_of(supervisor):
        os.kill(worker, signal.SIGKILL)
    expect_equal(pod.read("user"), kept, "value while the worker is away")
    fresh = world.value("fresh")
    world.put("worker", {"user": fresh})
    wait_until(lambda: world.node.refresh(pod)["code"] == "OK", 15, "a refresh after the kill")
    expect_equal(pod.read("user"), fresh, "value by the new worker")
    pod.unpublish()


@test
def after_a_kill_of_the_driver_a_republish_brings_credentials_and_rotation_goes_on(world):
    kept = world.value("kept")
    world.put("kill", {"user": kept})
    world.class_of("kill", [kv2("user", "kill", "user")])
    pod = world.publish("kill-pod", "kill")
    world.programs.stop("driver", signal.SIGKILL)
    expect_equal(pod.read("user"), kept, "value while the driver is away")
    world.node.start()
    fresh = world.value("fresh")
    world.put("kill", {"user": fresh})
    expect_equal(pod.publish("kill", tokens=world.tokens(pod)).code, "OK", "republish")
    wait_until(lambda: pod.read("user") == fresh, 15, "the refresh by new credentials")
    pod.unpublish()


@test
def a_server_that_went_away_costs_no_file_and_its_return_is_noticed(world):
    kept = world.value("kept")
    world.put("away", {"user": kept})
    world.class_of("away", [kv2("user", "away", "user")])
    pod = world.publish("away-pod", "away")
    server = world.programs.running["bao"]
    server.send_signal(signal.SIGSTOP)  # connections hang, as behind a dead load balancer
    started = time.monotonic()
    try:
        expect_equal(pod.publish("away", tokens=world.tokens(pod)).code, "OK", "republish")
        expect(time.monotonic() - started < 5, "a republish waited for the store")
        expect_equal(pod.read("user"), kept, "value while the server hangs")
        started = time.monotonic()
        pod.unpublish()
        expect(time.monotonic() - started < 1, "an unpublish waited for the store")
    finally:
        server.send_signal(signal.SIGCONT)
    again = world.publish("back-pod", "away")
    expect_equal(again.read("user"), kept, "value when the server is back")
    again.unpublish()


@test
def no_value_and_no_token_is_in_a_log_of_ours(world):
    expect(len(world.secrets) > 20, "nothing was collected to look for")
    world.programs.expect_in_no_log(world.secrets, ["driver", "provider"])


@test
def our_programs_end_by_themselves_when_told(world):
    for name in ("driver", "provider"):
        expect_equal(world.programs.stop(name), 0, f"exit status of {name}")


@test
def nothing_is_mounted_in_the_end(_world):
    expect_equal(mounts_left(), [], "mounts")


if __name__ == "__main__":
    run_tests(World)
