# SPDX-License-Identifier: Apache-2.0
"""Tests of node.py's world: the tokens that kubelet itself makes and sends log pods in to an OpenBao, which
believes them as stores do: it asks the API server (kubernetes), or knows its key (jwt)."""
import functools
import secrets

from bao import Bao
from daemonset import DRIVER, SHARED, test
from harness import expect, expect_equal, run, wait_until
from machine import ADDRESS
from objects import provider_class

VALUE = "stored-"
SECRET = (VALUE, "eyJhbGciOiJSUzI1NiIs")  # how each value of the store begins, and each token of a pod
ACCOUNT, STRANGER, REVIEWER = "web", "guest", "vault-reviewer"
CSI_DRIVER = f"/apis/storage.k8s.io/v1/csidrivers/{DRIVER}"
# which parameter of a class names the mount, by its kind
MOUNTS = {"kubernetes": "vaultKubernetesMountPath", "jwt": "vaultAuthMountPath"}


class Store:
    """The server, its mounts for logins, a role that takes one account of the namespace shop, classes."""

    def __init__(self, world):
        self.world = world
        self.bao = Bao(world.programs, ADDRESS)
        self.bao.write("sys/policies/acl/app", {"policy": 'path "secret/*" { capabilities = ["read"] }'})
        for account in (ACCOUNT, STRANGER):
            self.account(account, "shop")
        for kind in MOUNTS:
            self.bao.write(f"sys/auth/{kind}", {"type": kind})
        self.ask_the_cluster()
        key = run(["openssl", "rsa", "-in", world.cluster.folder / "sa.key", "-pubout"]).stdout
        self.bao.write("auth/jwt/config", {"jwt_validation_pubkeys": [key]})
        self.let_in("kubernetes", bound_service_account_names=[ACCOUNT])
        self.let_in("jwt", bound_subject=f"system:serviceaccount:shop:{ACCOUNT}")
        (world.shared / "vault-ca.pem").write_bytes(self.bao.ca_file.read_bytes())
        for kind in MOUNTS:
            self.make_class(f"db-{kind}", kind)

    def account(self, name, namespace):
        self.world.cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount",
                                  "metadata": {"name": name, "namespace": namespace}})

    def ask_the_cluster(self):
        """As an account that may do nothing but that."""
        cluster = self.world.cluster
        self.account(REVIEWER, "kube-system")
        cluster.kubectl("create", "clusterrolebinding", REVIEWER, "--clusterrole=system:auth-delegator",
                        f"--serviceaccount=kube-system:{REVIEWER}")
        self.bao.write("auth/kubernetes/config", {
            "kubernetes_host": cluster.url, "kubernetes_ca_cert": cluster.ca_file.read_text(),
            "token_reviewer_jwt": cluster.token_of("kube-system", REVIEWER)})

    def let_in(self, kind, **whom):
        how = {"kubernetes": {"bound_service_account_namespaces": ["shop"], "audience": "vault"},
               "jwt": {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"]}}
        self.bao.write(f"auth/{kind}/role/app",
                       {"token_policies": ["app"], "token_ttl": "1h", **how[kind], **whom})

    def make_class(self, name, kind, **more):
        objects = f'[{{"objectName": "password", "secretPath": "secret/data/{name}", "secretKey": "password"}}]'
        self.world.cluster.apply(provider_class(name, "shop", [], provider="vault", **{
            "objects": objects, "roleName": "app", MOUNTS[kind]: kind,
            "vaultAddress": f"https://{ADDRESS}:8200", "vaultTLSServerName": "localhost",
            "vaultCACertPath": f"{SHARED}/vault-ca.pem", **more}))
        self.put(name)

    def put(self, name):
        value = VALUE + secrets.token_hex(8)
        self.bao.write(f"secret/data/{name}", {"data": {"password": value}})
        return value

    def logins(self, before=frozenset()):
        """What the store says of the logins since then."""
        new = self.bao.accessors() - before
        return [self.bao.write("auth/token/lookup-accessor", {"accessor": a})["data"] for a in new]


@functools.cache
def store_of(world):
    return Store(world)


def expect_rotation(world, pod, class_name):
    name, fresh = pod["metadata"]["name"], store_of(world).put(class_name)
    wait_until(lambda: world.read(pod, "password") == fresh, 30, f"the store's new value in {name}")
    expect_equal(world.restarts(name), 0, f"restarts of {name}")


def change(world, **spec):
    """Of the CSIDriver object, as an administrator would."""
    world.cluster.call("PATCH", CSI_DRIVER, {"spec": spec}, "application/merge-patch+json")


def does_count_beside_its_name(world, pod):
    """Does the driver take this pod's token where kubelet sent it before, for another volume?"""
    meta, file = pod["metadata"], world.shared / "token"
    file.write_text(world.cluster.token_of("shop", ACCOUNT, "vault", of_pod=meta["name"]))
    driver = "--csi-socket=/csi/csi.sock"
    try:
        said = world.locketctl("publish", "db-kubernetes", "--volume-id=by-hand", f"--pod=shop/{meta['name']}",
                               f"--uid={meta['uid']}", f"--service-account={ACCOUNT}", f"--token=vault={file}", driver)
    finally:
        file.unlink()
    if "no service account token" in said:
        return False
    world.locketctl("unpublish", "by-hand", driver)
    return True


@test
def kubelets_own_token_logs_a_pod_in_and_what_the_store_has_is_in_its_file(world):
    store = store_of(world)
    for kind in MOUNTS:
        before, value = store.bao.accessors(), store.put(f"db-{kind}")
        pod = world.start(f"reads-{kind}", f"db-{kind}", account=ACCOUNT)
        expect_equal(world.read(pod, "password"), value, kind)
        logins = store.logins(before)
        expect_equal([login["path"] for login in logins], [f"auth/{kind}/login"], "logins")
    before = store.bao.accessors()
    world.start("reviewed", "db-kubernetes", account=ACCOUNT)
    meta = store.logins(before)[0]["meta"]
    account = world.find(f"/api/v1/namespaces/shop/serviceaccounts/{ACCOUNT}")["metadata"]
    expect_equal([meta["service_account_name"], meta["service_account_uid"]], [ACCOUNT, account["uid"]],
                 "who logged in, as the API server said")


@test
def a_value_that_changes_in_the_store_changes_in_the_pod_that_runs(world):
    for kind in MOUNTS:
        pod = world.start(f"turns-{kind}", f"db-{kind}", account=ACCOUNT)
        expect_rotation(world, pod, f"db-{kind}")


@test
def an_account_that_the_role_does_not_name_is_refused_by_name_until_it_does(world):
    store = store_of(world)
    for kind in MOUNTS:
        world.create(f"stranger-{kind}", f"db-{kind}", account=STRANGER)
        for words in (f'failed to login: role "app", namespace "", service account shop/{STRANGER}, '
                      f'audience "vault"', f"auth/{kind}/login"):
            world.wait_for_event(f"stranger-{kind}", words)
    world.wait_for_event("stranger-kubernetes", "service account name not authorized")
    store.let_in("kubernetes", bound_service_account_names=[ACCOUNT, STRANGER])
    world.wait_ready("stranger-kubernetes", 60)
    expect(world.pod("stranger-jwt")["status"]["phase"] == "Pending", "started where nobody let it in")
    store.let_in("kubernetes", bound_service_account_names=[ACCOUNT])


@test
def an_audience_that_kubelet_sends_no_token_for_is_told_with_the_line_to_add_which_helps(world):
    store = store_of(world)
    store.make_class("bank", "jwt", audience="bank")
    store.let_in("jwt", bound_subject=f"system:serviceaccount:shop:{ACCOUNT}", bound_audiences=["vault", "bank"])
    world.create("banks", "bank", account=ACCOUNT)
    world.wait_for_event("banks", 'no service account token for audience "bank" was sent: add `- audience: "bank"` '
                         "below spec.tokenRequests of the CSIDriver object")
    change(world, tokenRequests=[{"audience": "vault", "expirationSeconds": 3600}, {"audience": "bank"}])
    world.wait_ready("banks", 60)


@test
def tokens_that_come_with_the_secrets_of_a_call_log_in_as_well(world):
    """Those beside the pod's name do not count then (docs/CLUSTER.md): who logs in has got them there."""
    store = store_of(world)
    earlier = world.start("earlier", "db-kubernetes", account=ACCOUNT)
    expect(does_count_beside_its_name(world, earlier), "a token beside the pod's name counts")
    change(world, serviceAccountTokenInSecrets=True)
    try:
        wait_until(lambda: not does_count_beside_its_name(world, earlier), 20,
                   "a token beside the pod's name that does not count")
        before = store.bao.accessors()
        later = world.start("later", "db-kubernetes", account=ACCOUNT)
        expect_equal(len(store.logins(before)), 1, "logins of the pod that came later")
        for accessor in store.bao.accessors():
            store.bao.revoke(accessor)
        for pod in (earlier, later):
            expect_rotation(world, pod, "db-kubernetes")
    finally:
        change(world, serviceAccountTokenInSecrets=False)
