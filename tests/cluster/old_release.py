# SPDX-License-Identifier: Apache-2.0
"""The release that Locket takes the place of, as far as an API server sees it: the names, selectors,
labels, containers and folders that its static manifests and its chart are known by. Written here."""
import json

GROUP = "secrets-store.csi.x-k8s.io"
DRIVER = "secrets-store.csi.k8s.io"
ACCOUNT = "secrets-store-csi-driver"
RBAC = "rbac.authorization.k8s.io"
AUDIENCES = [{"audience": "vault"}]


def crd(plural, kind, fields):
    schema = {"openAPIV3Schema": {"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        fields: {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{GROUP}",
                         "annotations": {"controller-gen.kubebuilder.io/version": "v0.16.3"}},
            "spec": {"group": GROUP, "scope": "Namespaced",
                     "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema},
                                  {"name": "v1alpha1", "served": True, "storage": False, "deprecated": True,
                                   "schema": schema}]}}


def crds():
    return [crd("secretproviderclasses", "SecretProviderClass", "spec"),
            crd("secretproviderclasspodstatuses", "SecretProviderClassPodStatus", "status")]


def role(name, rules, labels=None, bound=False):
    objects = [{"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name, "labels": labels or {}},
                "rules": rules}]
    if bound:
        objects.append({"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding",
                        "metadata": {"name": f"{name}binding"},
                        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
                        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "kube-system"}]})
    return objects


def rule(group, resources, *verbs):
    return {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}


def roles():
    reads = ("get", "list", "watch")
    classes = rule(GROUP, ["secretproviderclasses"], *reads)
    return [
        *role("secretproviderclasses-role", [
            rule("", ["events"], "create", "patch"), rule("", ["pods"], *reads), classes,
            rule(GROUP, ["secretproviderclasspodstatuses"], "create", "delete", "patch", "update", *reads)], bound=True),
        *role("secretprovidersyncing-role", [
            rule("", ["secrets"], "create", "delete", "patch", "update", *reads)], bound=True),
        *role("secretproviderrotation-role", [rule("", ["secrets"], *reads)], bound=True),  # until 1.5
        *role("secretprovidertokenrequest-role", [rule("", ["serviceaccounts/token"], "create")], bound=True),
        *role("secretproviderclasses-admin-role", [classes], {f"{RBAC}/aggregate-to-admin": "true"}),
        *role("secretproviderclasses-viewer-role", [classes], {f"{RBAC}/aggregate-to-view": "true"}),
        *role("secretproviderclasspodstatuses-viewer-role", [
            rule(GROUP, ["secretproviderclasspodstatuses"], *reads)], {f"{RBAC}/aggregate-to-view": "true"}),
    ]


def csi_driver():
    return {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER},
            "spec": {"podInfoOnMount": True, "attachRequired": False, "volumeLifecycleModes": ["Ephemeral"],
                     "requiresRepublish": True, "tokenRequests": AUDIENCES}}


def container(name, image, args, mounts, **more):
    return {"name": name, "image": f"example.com/{image}", "args": args,
            "resources": {"limits": {"cpu": "200m", "memory": "200Mi"}, "requests": {"cpu": "50m", "memory": "100Mi"}},
            "volumeMounts": [{"name": n, "mountPath": p, **m} for n, p, m in mounts], **more}


def daemonset(name, labels, system="linux"):
    """Three containers, and the folders of the node they need."""
    plugin, root = ("plugin-dir", "/csi", {}), "/var/lib/kubelet"
    folders = {"mountpoint-dir": f"{root}/pods", "registration-dir": f"{root}/plugins_registry/",
               "plugin-dir": f"{root}/plugins/csi-secrets-store/",
               "providers-dir": "/var/run/secrets-store-csi-providers",
               "providers-dir-0": "/etc/kubernetes/secrets-store-csi-providers"}
    driver = container(
        "secrets-store", "csi-secrets-store/driver:v1.6.0",
        ["--endpoint=$(CSI_ENDPOINT)", "--nodeid=$(KUBE_NODE_NAME)", "--metrics-addr=:8095",
         "--enable-secret-rotation=true", "--rotation-poll-interval=2m"],
        [plugin, ("mountpoint-dir", f"{root}/pods", {"mountPropagation": "Bidirectional"}),
         ("providers-dir", folders["providers-dir"], {}), ("providers-dir-0", folders["providers-dir-0"], {})],
        securityContext={"privileged": True},
        env=[{"name": "CSI_ENDPOINT", "value": "unix:///csi/csi.sock"},
             {"name": "KUBE_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        ports=[{"name": "healthz", "containerPort": 9808}, {"name": "metrics", "containerPort": 8095}],
        livenessProbe={"httpGet": {"path": "/healthz", "port": "healthz"}, "periodSeconds": 15})
    registrar = container(
        "node-driver-registrar", "csi-node-driver-registrar:v2.16.0",
        ["--csi-address=/csi/csi.sock", f"--kubelet-registration-path={root}/plugins/csi-secrets-store/csi.sock"],
        [plugin, ("registration-dir", "/registration", {})])
    probe = container("liveness-probe", "livenessprobe:v2.18.0", ["--csi-address=/csi/csi.sock"], [plugin])
    return {"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
            "spec": {"selector": {"matchLabels": {"app": labels["app"]}},
                     "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                     "template": {"metadata": {"labels": labels}, "spec": {
                         "serviceAccountName": ACCOUNT, "nodeSelector": {"kubernetes.io/os": system},
                         "tolerations": [{"operator": "Exists"}], "containers": [registrar, driver, probe],
                         "volumes": [{"name": n, "hostPath": {"path": p, "type": "DirectoryOrCreate"}}
                                     for n, p in folders.items()]}}}}


def account():
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": "kube-system"}}


def static_objects():
    return [*crds(), csi_driver(), account(), *roles(), daemonset("csi-secrets-store", {"app": "csi-secrets-store"})]


def write_static(folder):
    """A file for each object, as `kubectl apply -f` takes them."""
    folder.mkdir()
    for number, one in enumerate(static_objects()):
        (folder / f"{number:02}.json").write_text(json.dumps(one))
    return folder


def write_chart(folder, release):
    """The chart as its objects are once rendered; its CRDs come by a job, so they are not among them."""
    labels = {"app": "secrets-store-csi-driver", "app.kubernetes.io/name": "secrets-store-csi-driver",
              "app.kubernetes.io/instance": release, "app.kubernetes.io/managed-by": "Helm",
              "app.kubernetes.io/version": "1.6.0", "helm.sh/chart": "secrets-store-csi-driver-1.6.0"}
    name = f"{release}-secrets-store-csi-driver"
    objects = [csi_driver(), account(), *roles(), daemonset(name, labels)]
    windows = daemonset(f"{name}-windows", labels, "windows")
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(
        "apiVersion: v2\nname: secrets-store-csi-driver\nversion: 1.6.0\nappVersion: 1.6.0\n")
    (folder / "values.yaml").write_text(json.dumps({
        "windows": {"enabled": False}, "logVerbosity": 0,
        "linux": {"image": {"repository": "example.com/csi-secrets-store/driver"}}}))
    text = "".join(f"---\n{json.dumps(one)}\n" for one in objects)
    text += f"{{{{ if .Values.windows.enabled }}}}\n---\n{json.dumps(windows)}\n{{{{ end }}}}\n"
    (folder / "templates/objects.yaml").write_text(text)
    return folder
