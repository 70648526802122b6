# SPDX-License-Identifier: Apache-2.0
"""Objects that the cluster's tests make: classes, pods."""
import json

import yaml

GROUP = "secrets-store.csi.x-k8s.io"

def provider_class(name, namespace, keys, provider="file", version="v1", **parameters):
    """A class of the file store's."""
    objects = json.dumps([{"objectName": key} for key in keys])
    return {
        "apiVersion": f"{GROUP}/{version}", "kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": provider, "parameters": {"objects": objects, **parameters}},
    }


def pod(name, namespace, node="n1", account="default", **metadata):
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"nodeName": node, "serviceAccountName": account,
                 "containers": [{"name": "c", "image": "rig.local/none"}]},
    }


def e2e_class(name, namespace, keys, provider="e2e-provider", version="v1", **spec):
    """A class of e2e_provider.py's: `objects` is YAML of YAML texts, as upstream's providers have it."""
    texts = [yaml.safe_dump({"objectName": key, "objectVersion": "v1"}) for key in keys]
    return {
        "apiVersion": f"{GROUP}/{version}", "kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": provider,
                 "parameters": {"objects": yaml.safe_dump({"array": texts}, default_style="|")},
                 **spec},
    }


def inline_pod(name, namespace, classes, read_only=True, **more):
    """A pod with an inline volume for each (name: class) of these."""
    made = pod(name, namespace, **more)
    made["spec"]["volumes"] = [
        {"name": volume, "csi": {
            "driver": "secrets-store.csi.k8s.io", "readOnly": read_only,
            "volumeAttributes": {"secretProviderClass": class_name}}}
        for volume, class_name in classes.items()]
    return made


def secret_object(name, keys, **more):
    """One of a class's secretObjects: keys of the Secret, and the files they are of."""
    return {"secretName": name, "type": "Opaque",
            "data": [{"key": key, "objectName": path} for key, path in keys.items()], **more}


def deployment(name, namespace, classes, env, replicas=2):
    """Its pods have an inline volume for each (name: class), and variables (name: (Secret, key))."""
    template = inline_pod("", namespace, classes)
    template["spec"]["containers"][0]["env"] = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for variable, (secret, key) in env.items()]
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": template["spec"]}},
    }
