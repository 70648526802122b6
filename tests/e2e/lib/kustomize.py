# SPDX-License-Identifier: Apache-2.0
"""deploy/daemonset as kustomize renders it: resources, components, images and JSON patches, which is all
that is used of it there. So what the manifests promise can be read without a cluster or its tools."""
import json

import yaml

from harness import ROOT, expect, expect_equal

DAEMONSET = ROOT / "deploy/daemonset"
CHART = ROOT / "deploy/chart"
PRESETS = ["base", *(f"overlays/{name}" for name in ("sync", "openshift", "provider-separate", "migration"))]


def documents(path):
    """The documents of a file; what an anchor and its aliases name becomes several things."""
    return json.loads(json.dumps([d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d]))


def point(doc, path):
    """The container and the key that a JSON pointer names."""
    *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])
    for part in parents:
        doc = doc[int(part)] if isinstance(doc, list) else doc[part]
    return doc, last


def patch(doc, step):
    """One operation of RFC 6902."""
    place, key = point(doc, step["path"])
    if isinstance(place, list) and key != "-":
        key = int(key)
    if step["op"] == "test":
        expect_equal(place[key], step["value"], f"test of {step['path']}")
    elif step["op"] == "remove":
        del place[key]
    elif isinstance(place, list) and step["op"] == "add":
        place.insert(len(place) if key == "-" else key, step["value"])
    else:
        expect(step["op"] == "add" or key in place, f"{step['path']} is there to be replaced")
        place[key] = step["value"]


def stack(*folders):
    """The objects of a folder of DAEMONSET with components over it, in their order."""
    objects = ()
    for name in folders:
        objects = render(DAEMONSET / name, objects)
    return objects


def containers_of(objects):
    return [c for o in objects if o["kind"] == "DaemonSet" for c in o["spec"]["template"]["spec"]["containers"]]


def render(folder, objects=()):
    """The objects of a kustomization; a component is given those that are there already."""
    rules = documents(folder / "kustomization.yaml")[0]
    known = {"apiVersion", "kind", "resources", "components", "patches", "images"}
    expect(not rules.keys() - known, f"{folder.name}: only {known} are rendered here")
    objects = list(objects)
    for name in rules.get("resources", []):
        path = folder / name
        objects += render(path) if path.is_dir() else documents(path)
    for name in rules.get("components", []):
        objects = render(folder / name, objects)
    for rule in rules.get("patches", []):
        hit = [o for o in objects if (o["kind"], o["metadata"]["name"]) == tuple(rule["target"].values())]
        expect(hit, f"{folder.name}: {rule['target']} is there to be patched")
        for step in yaml.safe_load(rule["patch"]):
            patch(hit[0], step)
    for image in rules.get("images", []):
        for container in containers_of(objects):
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    return objects
