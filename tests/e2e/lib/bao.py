# SPDX-License-Identifier: Apache-2.0
"""An OpenBao server on loopback with real TLS, and an issuer of service account tokens that it
verifies by signature."""
import base64
import json
import os
import secrets
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid

from harness import expect, free_ports, run, tool

ISSUER = "https://kubernetes.default.svc"


class Bao:
    """The server and its root's calls. With the address of a network that is not loopback it is there too, at
    port 8200, by the name localhost."""

    def __init__(self, programs, network=None):
        self.root_token = secrets.token_urlsafe(24)
        port = free_ports(1)[0]
        certificates = programs.folder / "bao"
        certificates.mkdir()
        self.address = f"https://127.0.0.1:{port}"
        self.ca_file = certificates / "vault-ca.pem"
        self.socket = certificates / "bao.sock"
        configuration = certificates / "more.hcl"
        listeners = f'listener "unix" {{ address = "{self.socket}" }}\n'
        if network:
            listeners += (f'listener "tcp" {{ address = "{network}:8200"\n'
                          f'tls_cert_file = "{certificates}/vault-cert.pem"\n'
                          f'tls_key_file = "{certificates}/vault-key.pem" }}\n')
        configuration.write_text(listeners)
        programs.start(
            "bao",
            [tool("openbao"), "server", "-dev", "-dev-tls", f"-dev-tls-cert-dir={certificates}",
             f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token",
             f"-config={configuration}"],
            self.is_up,
            {**os.environ, "BAO_DEV_ROOT_TOKEN_ID": self.root_token, "HOME": str(certificates)},
        )

    def is_up(self):
        try:
            return self.call("GET", "sys/health", check=False)[0] == 200
        except (OSError, ssl.SSLError):
            return False

    def call(self, method, path, body=None, token=None, namespace=None, check=True):
        """One API call as root unless a token is given: (HTTP status, the answer)."""
        headers = {"X-Vault-Token": token or self.root_token}
        if namespace:
            headers["X-Vault-Namespace"] = namespace
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.address}/v1/{path}", data=data, headers=headers, method=method
        )
        context = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        expect(not check or status < 300, f"{method} {path}: {status} {text[:200]!r}")
        return status, json.loads(text) if text else {}

    def write(self, path, body, namespace=None):
        return self.call("POST", path, body, namespace=namespace)[1]

    def accessors(self):
        """The accessors of all tokens that live, root's left out."""
        keys = set(self.call("LIST", "auth/token/accessors")[1]["data"]["keys"])
        own = self.call("GET", "auth/token/lookup-self")[1]["data"]["accessor"]
        return keys - {own}

    def revoke(self, accessor):
        self.call("POST", "auth/token/revoke-accessor", {"accessor": accessor}, check=False)


class Issuer:
    """A key pair, and tokens signed with it as kubelet's API server would sign a pod's."""

    def __init__(self, folder, key=None):
        """With a key of its own, in this folder, or an API server's."""
        folder.mkdir()
        self.key = key or folder / "key.pem"
        if not key:
            run(["openssl", "genrsa", "-out", self.key, "2048"])
        self.public = run(["openssl", "rsa", "-in", self.key, "-pubout"]).stdout

    def token(self, pod, audience="vault", lifetime_s=600, **changed):
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": f"system:serviceaccount:{pod.namespace}:{pod.account}",
            "aud": [audience],
            "iat": now,
            "nbf": now,
            "exp": now + lifetime_s,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": pod.namespace,
                "pod": {"name": pod.name, "uid": pod.uid},
                "serviceaccount": {"name": pod.account, "uid": str(uuid.uuid4())},
            },
        }
        claims.update(changed)
        signed = b".".join(encode(json.dumps(part).encode()) for part in
                           ({"alg": "RS256", "typ": "JWT"}, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key],
            input=signed, stdout=subprocess.PIPE, check=True,
        ).stdout
        return (signed + b"." + encode(signature)).decode()


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")
