# SPDX-License-Identifier: Apache-2.0
"""A node with locket-driver and locket-provider, and an OpenBao whose roles and policies let the
pods of one service account read."""
import pathlib
import secrets

from bao import Bao, Issuer
from harness import expect
from node import Node, Pod
from provider import start_provider

NAMESPACE = "shop"
ACCOUNT = "web"
POLICY = """
path "secret/*" { capabilities = ["read"] }
path "kv1/*"    { capabilities = ["read"] }
path "pki/issue/*" { capabilities = ["update"] }
"""
# Answers to a login or read that was refused: none of them is worth a retry by kubelet.
REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED")
# Answers after which kubelet keeps the volume and comes again.
COMES_AGAIN = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")


class World:
    def __init__(self, programs):
        self.programs = programs
        self.folder = programs.folder
        self.secrets = []  # every value and token of this run: none may reach a log
        self.issuer = Issuer(self.folder / "issuer")
        self.bao = Bao(programs)
        self.prepare()
        self.node = Node(programs)
        start_provider(programs, self.node.providers, ["vault"])
        self.node.start()

    def prepare(self):
        bao = self.bao
        bao.write("sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
        bao.write("sys/mounts/pki", {"type": "pki"})
        bao.write("sys/namespaces/team", {})
        for namespace in (None, "team"):
            bao.write("sys/policies/acl/app", {"policy": POLICY}, namespace)
            bao.write("sys/auth/jwt", {"type": "jwt"}, namespace)
            keys = [self.issuer.public]
            bao.write("auth/jwt/config", {"jwt_validation_pubkeys": keys}, namespace)
            self.role("app", namespace=namespace)
        bao.write("sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, "team")
        bao.write("pki/root/generate/internal", {"common_name": "e2e root", "key_type": "ec"})
        bao.write("pki/roles/web", {"allow_any_name": True, "key_type": "ec", "max_ttl": "1h"})
        bao.write("pki/roles/lent", {"allow_any_name": True, "key_type": "ec", "max_ttl": "1h",
                                     "generate_lease": True})

    def role(self, name, namespace=None, **more):
        body = {
            "role_type": "jwt", "bound_audiences": ["vault"], "user_claim": "sub",
            "bound_subject": f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}",
            "token_policies": ["app"], "token_ttl": "1h", **more,
        }
        self.bao.write(f"auth/jwt/role/{name}", body, namespace)

    def value(self, text="value"):
        """A value that no other place has: found in a log, it is a leak."""
        fresh = f"{text}-{secrets.token_hex(12)}"
        self.secrets.append(fresh)
        return fresh

    def put(self, path, data, namespace=None):
        self.bao.write(f"secret/data/{path}", {"data": data}, namespace)

    def class_of(self, name, objects, **parameters):
        given = {
            "vaultAddress": self.bao.address, "vaultCACertPath": str(self.bao.ca_file),
            "vaultAuthMountPath": "jwt", "roleName": "app", "objects": objects, **parameters,
        }
        kept = {key: value for key, value in given.items() if value is not None}
        self.node.write_class(name, "vault", kept, NAMESPACE)

    def pod(self, name, account=ACCOUNT):
        return Pod(self.node, name, NAMESPACE, account)

    def tokens(self, pod, **changed):
        token = self.issuer.token(pod, **changed)
        self.secrets.append(token.rsplit(".", 1)[1])
        return {"vault": token}

    def publish(self, name, class_name):
        pod = self.pod(name)
        return pod.must_publish(class_name, tokens=self.tokens(pod))


def kv2(name, path, key):
    return {"objectName": name, "secretPath": f"secret/data/{path}", "secretKey": key}


def refused(world, pod, class_name, tokens, codes, *words):
    answer = pod.publish(class_name, tokens=tokens)
    expect(answer.code in codes, f"{class_name}: {answer}")
    for word in words:
        expect(word in answer.text, f"{word!r} is not in the text: {answer}")
    expect("\n" not in answer.text and len(answer.text) <= 512, f"not one short line: {answer}")
    expect(not pod.is_mounted(), "a refused publish left its mount")
    for value in world.secrets:
        expect(value not in answer.text, "a secret is in the text")


def children_of(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    found = [int(word) for word in text.split()]
    expect(found, f"process {pid} has no children")
    return found
