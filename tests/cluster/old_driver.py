# SPDX-License-Identifier: Apache-2.0
"""What the driver before Locket leaves on a node and in the cluster: a plain tmpfs with kubelet's
layout at the target, a status object by its own manager, and no record."""
import subprocess

from objects import GROUP

GENERATION = "..2026_01_02_03_04_05.123456789"
MANAGER = "secrets-store-csi"


def leave_mount(target):
    target.mkdir(parents=True, mode=0o750)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)


def leave_files(target, files, mode):
    """As its atomic writer does, with the provider's mode."""
    folder = target / GENERATION
    folder.mkdir(mode=0o755)
    (target / "..data").symlink_to(GENERATION)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        (folder / path).chmod(mode)
        top = path.partition("/")[0]
        if not (target / top).is_symlink():
            (target / top).symlink_to(f"..data/{top}")


def leave_status(cluster, pod, target, class_name, versions):
    """POST, as it does."""
    meta = pod["metadata"]
    path = f"/apis/{GROUP}/v1/namespaces/{meta['namespace']}/secretproviderclasspodstatuses"
    cluster.call("POST", f"{path}?fieldManager={MANAGER}", {
        "apiVersion": f"{GROUP}/v1", "kind": "SecretProviderClassPodStatus",
        "metadata": {"name": f"{meta['name']}-{meta['namespace']}-{class_name}",
                     "namespace": meta["namespace"],
                     "labels": {"internal.secrets-store.csi.k8s.io/node-name": "n1"},
                     "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": meta["name"],
                                          "uid": meta["uid"]}]},
        "status": {"podName": meta["name"], "secretProviderClassName": class_name,
                   "mounted": True, "targetPath": str(target),
                   "objects": [{"id": i, "version": v} for i, v in sorted(versions.items())]}})
