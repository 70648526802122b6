# SPDX-License-Identifier: Apache-2.0
"""Objects that the cluster's tests make: classes, pods."""
import json

GROUP = "secrets-store.csi.x-k8s.io"

def provider_class(name, namespace, keys, provider="file", version="v1", **parameters):
    """A class of the file store's."""
    objects = json.dumps([{"objectName": key} for key in keys])
    return {
        "apiVersion": f"{GROUP}/{version}", "kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"provider": provider, "parameters": {"objects": objects, **parameters}},
    }


def pod(name, namespace, node="n1", account="default"):
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": node, "serviceAccountName": account,
                 "containers": [{"name": "c", "image": "rig.local/none"}]},
    }
