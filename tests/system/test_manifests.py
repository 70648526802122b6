#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What deploy/daemonset promises, read from the rendered objects. Asks no cluster."""
import functools
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
import harness  # noqa: E402
from harness import expect, expect_equal, test  # noqa: E402
from kustomize import CHART, DAEMONSET, PRESETS, containers_of, documents, render, stack  # noqa: E402

GROUP = "secrets-store.csi.x-k8s.io"
ACCOUNT = "system:serviceaccount:kube-system:secrets-store-csi-driver"
API_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


class World:
    """Every preset, rendered once: lists of objects, and ways to find some."""

    def __init__(self, _programs):
        self.presets = {name: render(DAEMONSET / name) for name in PRESETS}
        self.base = self.presets["base"]

    @staticmethod
    def of(objects, kind, name=None):
        return [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]

    def one(self, kind, name=None, preset="base"):
        found = self.of(self.presets[preset], kind, name)
        expect_equal(len(found), 1, f"{kind} {name or ''} in {preset}")
        return found[0]

    def pod(self, name="csi-secrets-store", preset="base"):
        return self.one("DaemonSet", name, preset)["spec"]["template"]["spec"]

    def containers(self, preset="base"):
        return {c["name"]: c for c in containers_of(self.presets[preset])}

    def pods(self):
        """(preset, pod) of every DaemonSet of every preset."""
        return [
            (preset, daemonset["spec"]["template"]["spec"])
            for preset, objects in self.presets.items()
            for daemonset in self.of(objects, "DaemonSet")
        ]


def mounts(container):
    return {mount["name"]: mount for mount in container["volumeMounts"]}


def volumes_with(pod, kind):
    return {v["name"] for v in pod["volumes"] if kind in v or kind in str(v.get("projected", ""))}


# --- the files --------------------------------------------------------------------------------------------


SEPARATE = "components/provider-separate"
NEEDS = {name: (SEPARATE,) for name in ("minting", "keys-separate", "openshift-separate")}


@test
def every_file_belongs_to_a_kustomization_and_every_component_can_be_applied(_world):
    named = set()
    for rules in DAEMONSET.rglob("kustomization.yaml"):
        named |= {rules.resolve()}
        named |= {(rules.parent / n).resolve() for n in documents(rules)[0].get("resources", [])}
    expect_equal({p.resolve() for p in DAEMONSET.rglob("*.yaml")} - named, set(), "files nobody names")
    for component in DAEMONSET.glob("components/*"):
        stack("base", *NEEDS.get(component.name, ()), f"components/{component.name}")


@test
def what_is_for_a_provider_beside_the_driver_is_refused_with_one_of_its_own_and_the_other_way_round(_world):
    for other in ("keys", "openshift"):
        name = f"components/{other}"
        for names in ((SEPARATE, name), (name, SEPARATE), (f"{name}-separate",)):
            try:
                stack("base", *names)
            except (AssertionError, IndexError, KeyError):
                continue
            expect(False, f"{names} are taken, and one of them is lost")


# --- privilege ---------------------------------------------------------------------------------------------


@test
def the_three_containers_are_driver_agent_and_provider(world):
    expect_equal(list(world.containers()), ["driver", "agent", "provider"])
    for name, container in world.containers().items():
        expect_equal(container["command"], [f"/usr/bin/locket-{name}"])


@test
def no_container_but_the_driver_is_privileged(world):
    for preset in PRESETS:
        for name, container in world.containers(preset).items():
            context = container["securityContext"]
            expect(context["readOnlyRootFilesystem"], f"{preset} {name} cannot change its own files")
            if name == "driver":
                expect(context["privileged"], "Bidirectional needs privileged")
                continue
            expect("privileged" not in context, f"{preset} {name} is not privileged")
            expect_equal(context["runAsNonRoot"], True, name)
            expect_equal((context["runAsUser"], context["runAsGroup"]), (65532, 65532), name)
            expect_equal(context["allowPrivilegeEscalation"], False, name)
            expect_equal(context["capabilities"], {"drop": ["ALL"]}, name)
            expect_equal(context["seccompProfile"], {"type": "RuntimeDefault"}, name)


@test
def the_key_of_the_audit_is_mounted_by_the_agent_alone(world):
    objects = render(DAEMONSET / "components/audit", render(DAEMONSET / "base"))
    containers = {c["name"]: c for c in containers_of(objects)}
    expect_equal([name for name, c in containers.items() if "audit-key" in mounts(c)], ["agent"])
    added = [a for a in containers["agent"]["args"] if a not in world.containers()["agent"]["args"]]
    expect_equal(added, ["--audit-log=-", "--audit-key=/etc/locket/audit/key"], "flags")
    for flag in added:
        expect(f"{flag.split('=')[0]} " in help_of("locket-agent"), f"{flag} is a flag of the agent")
    for name in ("driver", "provider"):
        expect_equal(containers[name], world.containers()[name], name)


@test
def only_mounts_of_the_driver_reach_the_node(world):
    for preset in PRESETS:
        for name, container in world.containers(preset).items():
            spread = {m["mountPath"] for m in container["volumeMounts"] if "mountPropagation" in m}
            expect_equal(spread, {"/var/lib/kubelet/pods"} if name == "driver" else set(), name)


@test
def no_pod_uses_a_namespace_of_the_node(world):
    for preset, pod in world.pods():
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            expect(not pod.get(field), f"{preset}: {field}")


@test
def the_api_token_is_projected_into_the_agent_alone(world):
    for account in world.of(world.base, "ServiceAccount"):
        expect_equal(account["automountServiceAccountToken"], False)
    for preset, pod in world.pods():
        expect_equal(pod["automountServiceAccountToken"], False, preset)
        tokens = volumes_with(pod, "serviceAccountToken")
        holders = {c["name"] for c in pod["containers"] if tokens & mounts(c).keys()}
        own = pod["serviceAccountName"] == "locket-provider"
        allowed = {"provider"} if own and preset == "overlays/migration" else set() if own else {"agent"}
        expect_equal(holders, allowed, f"{preset}, {pod['serviceAccountName']}")
    expect_equal(mounts(world.containers()["agent"])["api-token"]["mountPath"], API_TOKEN)


@test
def agent_and_provider_share_no_volume_and_see_no_folder_of_the_other(world):
    containers = world.containers()
    agent, provider = mounts(containers["agent"]), mounts(containers["provider"])
    expect_equal(agent.keys() & provider.keys(), set(), "volumes of both")
    expect_equal(provider.keys(), {"providers"}, "volumes of the provider")
    host = volumes_with(world.pod(), "hostPath")
    expect_equal(agent.keys() & host, set(), "folders of the node that the agent sees")


@test
def only_the_driver_sees_kubelets_folders_and_other_peoples_sockets(world):
    containers = world.containers()
    volumes = {v["name"]: v["hostPath"]["path"] for v in world.pod()["volumes"] if "hostPath" in v}
    seen = {volumes[m] for m in mounts(containers["driver"]) if m in volumes}
    expect_equal(
        seen,
        {
            "/var/lib/kubelet/plugins/csi-secrets-store",
            "/var/lib/kubelet/plugins_registry",
            "/var/lib/kubelet/pods",
            "/run/locket",
            "/var/run/secrets-store-csi-providers",
            "/etc/kubernetes/secrets-store-csi-providers",
        },
    )
    for name in ("providers-run", "providers-etc"):
        expect(mounts(containers["driver"])[name]["readOnly"], f"{name} is only read")


# --- what the API server allows ----------------------------------------------------------------------------


def rules_of(objects, role):
    """{(group, resource): verbs} of a ClusterRole."""
    rules = {}
    for rule in World.of(objects, "ClusterRole", role)[0]["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                rules.setdefault((group, resource), set()).update(rule["verbs"])
    return rules


@test
def each_rule_of_a_role_has_its_reason_beside_it(_world):
    count = 0
    for path in sorted(DAEMONSET.rglob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if re.match(r"\s*- apiGroups:", line) and f"{path}".find("admission") < 0:
                expect(lines[number - 1].strip().startswith("# "), f"{path.name}:{number + 1} has no reason")
                count += 1
        roles = [doc for doc in documents(path) if doc["kind"] in ("ClusterRole", "Role")]
        count -= sum(len(role["rules"]) for role in roles)
    expect_equal(count, 0, "rules that were found by their text, less those there are")


@test
def the_agents_role_is_what_its_work_takes_and_no_more(world):
    expect_equal(
        rules_of(world.base, "secretproviderclasses-role"),
        {
            (GROUP, "secretproviderclasses"): {"get", "list", "watch"},
            (GROUP, "secretproviderclasspodstatuses"): {"get", "create", "patch", "list", "watch", "delete"},
            ("storage.k8s.io", "csidrivers"): {"list", "watch"},
            ("", "pods"): {"list", "watch"},
            ("", "events"): {"create", "patch"},
        },
    )


@test
def secrets_are_out_of_reach_without_the_overlay_sync_and_never_listed(world):
    for preset, objects in world.presets.items():
        roles = [r["metadata"]["name"] for r in world.of(objects, "ClusterRole")]
        reach = [rules_of(objects, role).get(("", "secrets"), set()) for role in roles]
        want = {"get", "create", "patch", "delete"} if preset == "overlays/sync" else set()
        expect_equal(set().union(*reach), want, preset)


@test
def while_old_drivers_run_they_have_what_they_write_by_and_their_pods_a_token(world):
    objects = world.presets["overlays/migration"]
    expect_equal(rules_of(objects, "locket-old-driver-role"),
                 {("", "pods"): {"get"}, (GROUP, "secretproviderclasspodstatuses"): {"update"}})
    expect(world.one("ServiceAccount", "secrets-store-csi-driver", "overlays/migration")["automountServiceAccountToken"],
           "theirs do not project one")


@test
def tokens_are_minted_by_the_provider_alone_and_only_in_the_migration(world):
    for preset, objects in world.presets.items():
        minting = [
            role["metadata"]["name"]
            for role in world.of(objects, "ClusterRole")
            if ("", "serviceaccounts/token") in rules_of(objects, role["metadata"]["name"])
        ]
        expect_equal(bool(minting), preset == "overlays/migration", preset)
        for binding in world.of(objects, "ClusterRoleBinding"):
            if binding["roleRef"]["name"] in minting:
                expect_equal([s["name"] for s in binding["subjects"]], ["locket-provider"])


@test
def no_rule_says_all_and_every_binding_names_an_account_that_is_there(world):
    for preset, objects in world.presets.items():
        for role in world.of(objects, "ClusterRole"):
            for rule in role["rules"]:
                expect("*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], str(rule))
        accounts = {a["metadata"]["name"] for a in world.of(objects, "ServiceAccount")}
        roles = {r["metadata"]["name"] for r in world.of(objects, "ClusterRole")}
        for binding in world.of(objects, "ClusterRoleBinding") + world.of(objects, "RoleBinding"):
            expect({s["name"] for s in binding["subjects"]} <= accounts, f"{preset}: {binding['subjects']}")
            name = binding["roleRef"]["name"]
            expect(name in roles or name.startswith("system:openshift:scc:"), f"{preset}: {name}")


@test
def the_roles_and_bindings_that_upstreams_tests_look_for_are_there(world):
    sync = world.presets["overlays/sync"]
    for name in (
        "secretproviderclasses-role",
        "secretproviderclasses-admin-role",
        "secretproviderclasses-viewer-role",
        "secretproviderclasspodstatuses-viewer-role",
        "secretprovidersyncing-role",
    ):
        expect(world.of(sync, "ClusterRole", name), name)
    for name in ("secretproviderclasses-rolebinding", "secretprovidersyncing-rolebinding"):
        expect(world.of(sync, "ClusterRoleBinding", name), name)


@test
def a_policy_ties_a_nodes_token_to_its_own_nodes_status_objects(world):
    policy = world.one("ValidatingAdmissionPolicy", "secrets-store.csi.k8s.io-own-node")["spec"]
    expect_equal(policy["failurePolicy"], "Fail")
    rule = policy["matchConstraints"]["resourceRules"][0]
    expect_equal(rule["resources"], ["secretproviderclasspodstatuses"])
    expect_equal(set(rule["operations"]), {"CREATE", "UPDATE", "DELETE"})
    text = str(policy)
    expect("authentication.kubernetes.io/node-name" in text, "the node of the token")
    expect("internal.secrets-store.csi.k8s.io/node-name" in text, "the node of the status")


@test
def every_policy_is_for_an_account_of_ours_and_denies(world):
    for preset, objects in world.presets.items():
        accounts = {a["metadata"]["name"] for a in world.of(objects, "ServiceAccount")}
        for policy in world.of(objects, "ValidatingAdmissionPolicy"):
            condition = policy["spec"]["matchConditions"][0]["expression"]
            account = re.fullmatch(r"request.userInfo.username == 'system:serviceaccount:kube-system:(.*)'", condition)
            expect(account and account.group(1) in accounts, f"{preset}: {condition}")
            bound = world.of(objects, "ValidatingAdmissionPolicyBinding", policy["metadata"]["name"])
            expect_equal(len(bound), 1, policy["metadata"]["name"])
            expect_equal(bound[0]["spec"]["validationActions"], ["Deny"])


# --- how it runs -------------------------------------------------------------------------------------------


@test
def every_container_asks_for_16_mi_or_less_and_the_driver_has_no_limit(world):
    for preset in PRESETS:
        for name, container in world.containers(preset).items():
            resources = container["resources"]
            expect(int(resources["requests"]["memory"].removesuffix("Mi")) <= 16, f"{preset} {name}")
            expect_equal("limits" in resources, name != "driver", f"{preset} {name} has limits")
            expect("cpu" not in resources.get("limits", {}), f"{preset} {name} is throttled")


@test
def pods_stay_where_volumes_are(world):
    for preset, pod in world.pods():
        expect_equal(pod["priorityClassName"], "system-node-critical", preset)
        expect_equal(pod["tolerations"], [{"operator": "Exists"}], preset)
    for preset, objects in world.presets.items():
        for daemonset in world.of(objects, "DaemonSet"):
            strategy = daemonset["spec"]["updateStrategy"]
            if strategy["type"] != "OnDelete":  # the migration's
                expect_equal(strategy["rollingUpdate"]["maxUnavailable"], "10%", preset)
    drain = re.search(r"DRAIN_MS = (\d+)", (harness.ROOT / "driver/main/main.c").read_text(encoding="utf-8"))
    expect(int(drain.group(1)) < 1000 * world.pod()["terminationGracePeriodSeconds"], "calls may end")


@test
def names_labels_and_selectors_are_those_of_upstreams_static_manifests(world):
    daemonset = world.one("DaemonSet")
    expect_equal((daemonset["metadata"]["name"], daemonset["metadata"]["namespace"]), ("csi-secrets-store", "kube-system"))
    expect_equal(daemonset["spec"]["selector"], {"matchLabels": {"app": "csi-secrets-store"}})
    expect_equal(world.pod()["serviceAccountName"], "secrets-store-csi-driver")
    for preset, objects in world.presets.items():
        for one in world.of(objects, "DaemonSet"):
            labels = one["spec"]["template"]["metadata"]["labels"]
            expect_equal(one["spec"]["selector"]["matchLabels"], labels, preset)


@test
def everything_is_in_kube_system_or_has_no_namespace(world):
    for objects in world.presets.values():
        for doc in objects:
            namespaced = doc["kind"] in ("DaemonSet", "ServiceAccount", "NetworkPolicy", "RoleBinding")
            expect_equal(doc["metadata"].get("namespace"), "kube-system" if namespaced else None, doc["kind"])


@test
def the_image_is_one_of_this_version_and_of_no_registry(world):
    version = (harness.ROOT / "VERSION").read_text(encoding="ascii").strip()
    for preset, pod in world.pods():
        expect_equal({c["image"] for c in pod["containers"]}, {f"localhost/locket:{version}"}, preset)


@functools.lru_cache(None)
def help_of(program):
    path = harness.BUILD / f"bin/{program}"
    return subprocess.run([path, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout


@test
def every_flag_is_one_that_the_program_has(world):
    for preset, pod in world.pods():
        for container in pod["containers"]:
            program = pathlib.PurePath(container["command"][0]).name
            for argument in container["args"]:
                flag = argument.partition("=")[0]
                known = re.search(rf"^\s*{re.escape(flag)}\b", help_of(program), re.MULTILINE)
                expect(known, f"{preset}: {program} has {flag}")


@test
def sockets_and_folders_are_mounted_where_flags_say(world):
    for name, container in world.containers().items():
        places = [m["mountPath"] for m in container["volumeMounts"]]
        for argument in container["args"]:
            flag, _, path = argument.partition("=")
            path = path.removeprefix("unix://")
            if path.startswith("/") and flag != "--kubelet-endpoint":
                expect(any(path.startswith(place) for place in places), f"{name}: {argument} is not mounted")
    sockets = [
        next(a for a in world.containers()[name]["args"] if a.startswith("--agent-socket=")).partition("=")[2]
        for name in ("driver", "agent")
    ]
    expect_equal(sockets[0], sockets[1], "the agent's socket")


@test
def probes_ask_ports_that_are_served(world):
    for preset in PRESETS:
        for name, container in world.containers(preset).items():
            served = {p["name"]: p["containerPort"] for p in container.get("ports", [])}
            listens = [a for a in container["args"] if a.startswith(("--metrics-addr=", "--health-addr="))]
            expect_equal({int(a.rpartition(":")[2]) for a in listens}, set(served.values()), name)
            for probe in ("livenessProbe", "readinessProbe"):
                if "httpGet" in container.get(probe, {}):
                    expect(container[probe]["httpGet"]["port"] in served, f"{preset} {name} {probe}")


@test
def every_pod_is_bounded_by_network_policies_that_open_its_ports_alone(world):
    for preset, objects in world.presets.items():
        policies = world.of(objects, "NetworkPolicy")
        for daemonset in world.of(objects, "DaemonSet"):
            labels = daemonset["spec"]["selector"]["matchLabels"]
            own = [p["spec"] for p in policies if p["spec"]["podSelector"]["matchLabels"] == labels]
            expect_equal({t for p in own for t in p["policyTypes"]}, {"Ingress", "Egress"}, preset)
            opened = {q["port"] for p in own for rule in p.get("ingress", []) for q in rule["ports"]}
            served = {
                q["containerPort"]
                for c in daemonset["spec"]["template"]["spec"]["containers"]
                for q in c.get("ports", [])
            }
            expect_equal(opened, served, f"{preset} {labels}")


@test
def no_pod_may_speak_to_the_machines_metadata(world):
    for preset, objects in world.presets.items():
        for policy in world.of(objects, "NetworkPolicy"):
            for rule in policy["spec"].get("egress", []):
                ports = {p["port"] for p in rule["ports"]}
                blocks = [to["ipBlock"] for to in rule.get("to", [])]
                expect(ports <= {53, 5353} or blocks, f"{preset}: a rule to anywhere")
                expect_equal({e for b in blocks for e in b["except"]}, {"169.254.0.0/16", "fe80::/10"} if blocks else set())


# --- what the cluster is told ------------------------------------------------------------------------------


@test
def the_csidriver_object_lets_tokens_be_believed(world):
    spec = world.one("CSIDriver", "secrets-store.csi.k8s.io")["spec"]
    expect_equal(
        {k: v for k, v in spec.items() if k != "tokenRequests"},
        {
            "volumeLifecycleModes": ["Ephemeral"],
            "attachRequired": False,
            "podInfoOnMount": True,
            "requiresRepublish": True,
            "fsGroupPolicy": "File",
            "seLinuxMount": True,
        },
    )
    expect(all(r["expirationSeconds"] >= 600 for r in spec["tokenRequests"]), "kubelet takes 600 s or more")


def fields(schema, prefix=""):
    """Paths of a structural schema: .spec.secretObjects[].type"""
    for name, child in schema.get("properties", {}).items():
        yield f"{prefix}.{name}"
        yield from fields(child, f"{prefix}.{name}")
        yield from fields(child.get("items", {}), f"{prefix}.{name}[]")


CLASS_FIELDS = """.spec .spec.provider .spec.parameters .spec.secretObjects .spec.secretObjects[].secretName
 .spec.secretObjects[].type .spec.secretObjects[].labels .spec.secretObjects[].annotations
 .spec.secretObjects[].data .spec.secretObjects[].data[].objectName .spec.secretObjects[].data[].key .status"""
STATUS_FIELDS = """.status .status.podName .status.secretProviderClassName .status.mounted .status.targetPath
 .status.objects .status.objects[].id .status.objects[].version"""


@test
def the_crds_have_upstreams_names_versions_and_fields_and_stay(world):
    for plural, want in (("secretproviderclasses", CLASS_FIELDS), ("secretproviderclasspodstatuses", STATUS_FIELDS)):
        crd = world.one("CustomResourceDefinition", f"{plural}.{GROUP}")
        spec = crd["spec"]
        expect_equal(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        expect_equal((spec["group"], spec["names"]["plural"], spec["scope"]), (GROUP, plural, "Namespaced"))
        have = [(v["name"], v["served"], v["storage"], v.get("deprecated", False)) for v in spec["versions"]]
        expect_equal(have, [("v1", True, True, False), ("v1alpha1", True, False, True)])
        for version in spec["versions"]:
            expect("subresources" not in version, "upstream's clients write statuses as whole objects")
            expect(version["additionalPrinterColumns"], "kubectl get shows what matters")
            missing = set(want.split()) - set(fields(version["schema"]["openAPIV3Schema"]))
            expect_equal(missing, set(), f"{plural} {version['name']}")
        expect(spec["names"]["shortNames"], "short names")


@test
def no_field_of_an_example_is_unknown_to_the_crd(world):
    crd = world.one("CustomResourceDefinition", f"secretproviderclasses.{GROUP}")
    known = set(fields(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))
    free = (".spec.parameters", ".metadata", ".labels", ".annotations")

    def walk(value, prefix):
        for name, child in value.items():
            path = f"{prefix}.{name}"
            expect(path in known, f"{path} would be dropped")
            for item in [child] if isinstance(child, dict) else child if isinstance(child, list) else []:
                if not path.endswith(free):
                    walk(item, path + ("[]" if isinstance(child, list) else ""))

    examples = list((harness.ROOT / "examples/classes").glob("*.yaml"))
    expect(examples, "there are examples")
    for path in examples:
        for doc in documents(path):
            walk(doc, "")


# --- overlays ----------------------------------------------------------------------------------------------


@test
def openshift_gets_the_scc_and_the_label_for_inline_volumes(world):
    driver = world.one("CSIDriver", preset="overlays/openshift")
    expect_equal(driver["metadata"]["labels"], {"security.openshift.io/csi-ephemeral-volume-profile": "restricted"})
    binding = world.one("RoleBinding", preset="overlays/openshift")
    expect_equal(binding["roleRef"]["name"], "system:openshift:scc:privileged")
    expect_equal(binding["metadata"]["namespace"], "kube-system")
    for objects in (world.presets["overlays/openshift"], stack("base", SEPARATE, "components/openshift-separate")):
        bound = {s["name"] for b in world.of(objects, "RoleBinding") for s in b["subjects"]}
        pods = [d["spec"]["template"]["spec"] for d in world.of(objects, "DaemonSet")]
        expect_equal({pod["serviceAccountName"] for pod in pods}, bound, "accounts whose pods are let in")
        for one in containers_of(objects):
            kind = one["securityContext"].get("seLinuxOptions", {}).get("type")
            expect_equal(kind, "spc_t" if one["name"] == "provider" else None, one["name"])


@test
def names_are_asked_for_where_openshifts_pods_listen(world):
    for objects in (world.presets["overlays/openshift"], stack("base", SEPARATE, "components/openshift-separate")):
        for policy in world.of(objects, "NetworkPolicy"):
            for rule in policy["spec"].get("egress", [])[:1]:
                expect_equal({(p["protocol"], p["port"]) for p in rule["ports"]},
                             {(p, n) for p in ("UDP", "TCP") for n in (53, 5353)}, policy["metadata"]["name"])


@test
def a_separate_provider_is_the_same_container_in_a_pod_without_rights(world):
    separate = world.containers("overlays/provider-separate")
    expect_equal(separate["provider"], world.containers()["provider"])
    expect_equal([c["name"] for c in world.pod(preset="overlays/provider-separate")["containers"]], ["driver", "agent"])
    for binding in world.of(world.presets["overlays/provider-separate"], "ClusterRoleBinding"):
        expect("locket-provider" not in [s["name"] for s in binding["subjects"]], "no rights")


@test
def the_migration_changes_a_node_over_only_when_its_pod_is_deleted(world):
    daemonset = world.one("DaemonSet", "csi-secrets-store", "overlays/migration")
    expect_equal(daemonset["spec"]["updateStrategy"], {"type": "OnDelete"})
    expect("--attribute-override=warn" in world.containers("overlays/migration")["driver"]["args"], "pods go on")
    spec = world.one("CSIDriver", preset="overlays/migration")["spec"]
    expect_equal(spec.keys() & {"seLinuxMount", "tokenRequests"}, set(), "what live volumes hang on")


# --- the chart -----------------------------------------------------------------------------------------------

LINUX_VALUES = """enabled image.repository image.tag image.digest image.pullPolicy crds.enabled crds.image.repository
 crds.image.tag crds.image.pullPolicy crds.resources crds.annotations crds.podLabels"""
NODE_VALUES = """affinity driver.resources registrarImage.repository registrarImage.tag registrarImage.digest
 registrarImage.pullPolicy registrar.resources registrar.logVerbosity livenessProbeImage.repository
 livenessProbeImage.tag livenessProbeImage.digest livenessProbeImage.pullPolicy livenessProbe.resources
 updateStrategy kubeletRootDir providersDir additionalProvidersDirs nodeSelector tolerations metricsAddr env
 priorityClassName daemonsetAnnotations podAnnotations podLabels volumes volumeMounts"""
OTHER_VALUES = """windows.enabled windows.image.repository logVerbosity logFormatJSON livenessProbe.port
 livenessProbe.logLevel maxCallRecvMsgSize rbac.install rbac.pspEnabled syncSecret.enabled enableSecretRotation
 rotationPollInterval providerHealthCheck providerHealthCheckInterval imagePullSecrets tokenRequests
 automountServiceAccountToken commonLabels nameOverride fullnameOverride"""


def upstreams_values():
    yield from (f"linux.{name}" for name in LINUX_VALUES.split())
    yield from (f"{os}.{name}" for os in ("linux", "windows") for name in NODE_VALUES.split())
    yield from OTHER_VALUES.split()


def known(table, path):
    """The row that a value falls under: its own, or that of something it is part of."""
    parts = path.split(".")
    return next((row for n in range(len(parts), 0, -1) if (row := ".".join(parts[:n])) in table), None)


def leaves(values, prefix=""):
    for name, value in values.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")


@test
def every_value_of_upstreams_chart_is_known_to_ours(_world):
    table = documents(CHART / "files/values.yaml")[0]
    expect_equal([path for path in upstreams_values() if not known(table, path)], [])


@test
def every_value_with_an_effect_has_a_default_and_a_template_that_reads_it(_world):
    table, values = (documents(CHART / name)[0] for name in ("files/values.yaml", "values.yaml"))
    text = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir())
    defaults = set(leaves(values))
    for path in (path for path, reason in table.items() if not reason and path != "global"):
        expect(path in defaults, f"{path} has a default")
        expect(re.search(rf"[.$]\w*\.?{re.escape(path.split('.', 1)[-1])}\b", text), f"{path} is read")
    expect_equal([p for p in defaults if not known(table, p) and not any(t.startswith(p + ".") for t in table)], [])
    expect_equal([p for p in defaults if table.get(known(table, p) or "")], [], "defaults without effect")


@test
def the_chart_takes_its_objects_from_the_manifests_and_has_their_version(world):
    version = (harness.ROOT / "VERSION").read_text(encoding="ascii").strip()
    about = documents(CHART / "Chart.yaml")[0]
    expect_equal((about["version"], about["appVersion"], about["name"]), (version, version, "secrets-store-csi-driver"))
    for name in ("base", "components"):
        expect_equal((CHART / "files" / name).resolve(), DAEMONSET / name)
    text = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir())
    for name in re.findall(r'"(?:files/)?((?:base|components)/[\w/.-]+\.yaml)"', text):
        expect((DAEMONSET / name).is_file(), f"{name} is there")
    defaults = documents(CHART / "values.yaml")[0]
    containers = world.containers()
    expect_equal(defaults["linux"]["driver"]["resources"], containers["driver"]["resources"])
    for name in ("agent", "provider"):
        expect_equal(defaults["locket"][name]["resources"], containers[name]["resources"])


harness.run_tests(World)
