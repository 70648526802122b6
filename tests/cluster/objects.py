# SPDX-License-Identifier: Apache-2.0
"""Objects that the cluster's tests begin with: the old driver's CRDs, classes, pods."""
import json

GROUP = "secrets-store.csi.x-k8s.io"
TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def items(**fields):
    return {"type": "array", "items": {"type": "object", "properties": fields}}


CLASS_SPEC = {
    "type": "object",
    "properties": {
        "provider": TEXT,
        "parameters": TEXTS,
        "secretObjects": items(
            secretName=TEXT, type=TEXT, labels=TEXTS, annotations=TEXTS,
            data=items(objectName=TEXT, key=TEXT),
        ),
    },
}
STATUS = {
    "type": "object",
    "properties": {
        "podName": TEXT, "secretProviderClassName": TEXT, "mounted": {"type": "boolean"},
        "targetPath": TEXT, "objects": items(id=TEXT, version=TEXT),
    },
}


def crd(kind, schema):
    plural = kind.lower() + ("es" if kind.endswith("s") else "s")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {"kind": kind, "listKind": kind + "List", "plural": plural,
                      "singular": kind.lower()},
            "versions": [
                {"name": name, "served": True, "storage": name == "v1",
                 "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                     "apiVersion": TEXT, "kind": TEXT, "metadata": {"type": "object"}, **schema}}}}
                for name in ("v1", "v1alpha1")
            ],
        },
    }


def old_crds():
    return [crd("SecretProviderClass", {"spec": CLASS_SPEC}),
            crd("SecretProviderClassPodStatus", {"status": STATUS})]


def provider_class(name, namespace, keys, provider="file", version="v1", **parameters):
    """A class of the file store's."""
    objects = json.dumps([{"objectName": key} for key in keys])
    return {
        "apiVersion": f"{GROUP}/{version}", "kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": provider, "parameters": {"objects": objects, **parameters}},
    }


def pod(name, namespace, node="n1"):
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "rig.local/none"}]},
    }
