#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The fake Vault is one that an independent client takes for real: python3-hvac logs in, reads,
writes and is refused. Prints a line per check."""
import pathlib
import subprocess
import sys

import hvac

FAKE = pathlib.Path(__file__).resolve().with_name("vault_fake.py")


def raises(kind, call):
    try:
        call()
    except kind:
        return True
    return False


def checks(url):
    client = hvac.Client(url=url)
    yield "a server that is unsealed", not client.sys.is_sealed()
    yield "nobody is logged in", not client.is_authenticated()
    client.auth.kubernetes.login(role="app", jwt="good.jwt")
    yield "kubernetes login", client.is_authenticated()
    client.auth.jwt.jwt_login(role="app", jwt="good.jwt", path="jwt")
    yield "jwt login", client.is_authenticated()
    client.auth.approle.login(role_id="fake-role-id", secret_id="fake-secret-id")
    yield "AppRole login", client.is_authenticated()
    yield "a bad jwt is forbidden", raises(
        hvac.exceptions.Forbidden, lambda: hvac.Client(url=url).auth.kubernetes.login("app", "bad"))
    v2 = client.secrets.kv.v2
    yield "KV v2", v2.read_secret_version("db")["data"]["data"]["user"] == "anna"
    v2.create_or_update_secret("mine", {"n": "1"})
    v2.create_or_update_secret("mine", {"n": "2"})
    yield "KV v2's versions", [v2.read_secret_version("mine", version=n)["data"]["data"]["n"]
                               for n in (1, 2)] == ["1", "2"]
    yield "what is not there", raises(
        hvac.exceptions.InvalidPath, lambda: v2.read_secret_version("nothing"))
    v1 = client.secrets.kv.v1
    v1.create_or_update_secret("mine", {"a": "b"}, mount_point="kv")
    yield "KV v1", v1.read_secret("mine", mount_point="kv")["data"] == {"a": "b"}
    there = hvac.Client(url=url, token=client.token, namespace="team")
    answer = there.secrets.kv.v2.read_secret_version("db")
    yield "a namespace", answer["data"]["data"]["namespace"] == "team"
    yield "a lease", client.secrets.database.generate_credentials("x")["lease_duration"] == 900
    yield "429", raises(hvac.exceptions.RateLimitExceeded, lambda: client.read("fault/s429"))
    client.auth.token.revoke_self()
    yield "a revoked token", not client.is_authenticated()


def main():
    with subprocess.Popen([FAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as fake:
        port = fake.stdout.readline().split()[1]
        failed = 0
        for says, held in checks(f"http://127.0.0.1:{port}"):
            print("ok" if held else "FAIL", says, flush=True)
            failed += not held
        fake.stdin.close()
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
