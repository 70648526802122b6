#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A provider that is strict about all that the published protocol says of a Mount, and makes its
values up: what the scenarios of upstream's end-to-end tests are played with.

    e2e_provider.py SOCKET CONTROL

CONTROL is a file of JSON that is read at each Mount: `audiences` that a Mount must have tokens of,
`rotated`: a pod's second Mount and all after it give new values, `suffix` of the new versions.
"""
import collections
import json
import sys
import threading

import yaml

from provider_server import M, authority, read_control, refuse, serve

POD_UID = "csi.storage.k8s.io/pod.uid"
TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"
VALUES = {"foo": "secret", "fookey": "-----BEGIN KEY-----\nZm9v\n-----END KEY-----\n"}
ROTATED = "rotated"


class Strict:
    """Mounts counted by pod, for those who ask whether it is the second."""

    def __init__(self, control):
        self.control = control
        self.lock = threading.Lock()
        self.mounts = collections.Counter()

    def mount(self, request, context):
        control = read_control(self.control)
        attributes = check(request, context)
        check_tokens(attributes, control.get("audiences", []), context)
        with self.lock:
            self.mounts[attributes.get(POD_UID)] += 1
            again = self.mounts[attributes.get(POD_UID)] > 1
        rotated = again and control.get("rotated", False)
        return answer(object_names(attributes, context), rotated, control.get("suffix", "v2"))


def as_json(name, text, context):
    try:
        return json.loads(text)
    except ValueError:
        return refuse(context, f"{name} is no JSON")


def check(request, context):
    """All that the protocol promises of a request; its attributes."""
    if authority(context) != "localhost":
        refuse(context, f":authority is {authority(context)!r}, not localhost")
    attributes = as_json("attributes", request.attributes, context)
    secrets = as_json("secrets", request.secrets, context)
    if secrets is not None and not isinstance(secrets, dict):
        refuse(context, "secrets are neither null nor a map")
    if as_json("permission", request.permission, context) != 0o644:
        refuse(context, f"permission is {request.permission!r}, not 420")
    if not request.target_path:
        refuse(context, "target_path is empty")
    if not all(isinstance(v, str) for v in attributes.values()):
        refuse(context, "an attribute is no text")
    if request.volume_id or request.accepts_unchanged:
        refuse(context, "fields that the published protocol does not have")
    return attributes


def check_tokens(attributes, audiences, context):
    tokens = json.loads(attributes.get(TOKENS, "{}"))
    for audience in audiences:
        if not tokens.get(audience, {}).get("token"):
            refuse(context, f"no token of audience {audience}")
        if not tokens[audience].get("expirationTimestamp"):
            refuse(context, f"no expiry of the token of audience {audience}")


def object_names(attributes, context):
    """`objects`: YAML with an array of YAML texts, each an object."""
    try:
        rows = [yaml.safe_load(text) for text in yaml.safe_load(attributes["objects"])["array"]]
        return [row["objectName"] for row in rows]
    except (KeyError, TypeError, yaml.YAMLError):
        return refuse(context, "objects is no array of YAML texts with an objectName each")


def answer(names, rotated, suffix):
    """Files as theirs are: mode 0, so that whoever needs more says so in the pod."""
    out = M.MountResponse()
    for name in names:
        text = ROTATED if rotated else VALUES.get(name, "secret")
        out.files.add(path=name, mode=0, contents=text.encode())
        out.object_version.add(id="secret/" + name, version=suffix if rotated else "v1")
    return out


if __name__ == "__main__":
    serve(sys.argv[1], Strict(sys.argv[2]).mount)
